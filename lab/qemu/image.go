// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What is in the initramfs: the kernel's modules for IPsec, busybox, ip, strongSwan with the libraries it is linked to, and the
// agent. The archive without the agent is kept in the cache; the agent is built from the tree each time and put behind it, for the
// kernel unpacks archives one after the other.

package qemu

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// imageFormat changes when what is in the archive changes for other reasons than its files.
const imageFormat = 1

// subtrees are the modules in the image, relative to the kernel's folder: what crypto loads by itself is among them.
func subtrees() []string {
	return []string{"crypto", "arch/x86/crypto", "lib", "net/xfrm", "net/key", "net/ipv4", "net/ipv6", "net/core",
		"drivers/virtio", "drivers/net/virtio_net.ko", "drivers/net/net_failover.ko", "drivers/net/dummy.ko", "drivers/net/veth.ko",
		"drivers/char/virtio_console.ko", "drivers/char/hw_random", "drivers/net/tun.ko"}
}

// loaded are the modules that the guest loads at its start; others are loaded by the kernel.
func loaded() []string {
	return []string{"virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "dummy", "af_key", "xfrm_user", "esp4", "esp6", "ah4", "ah6",
		"ipcomp", "ipcomp6", "xfrm4_tunnel", "xfrm6_tunnel"}
}

// applets are the commands of busybox that the labs call.
func applets() []string {
	return []string{"sh", "modprobe", "cat", "ls", "sleep", "ping", "ping6", "dmesg", "grep", "kill", "ps", "mkdir", "sysctl", "nc", "head", "tail", "rm"}
}

// programs are copied from the host with their libraries; the globs are of what they load at run time.
func programs() []string {
	return []string{"/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/usr/lib/ipsec/*.so*", "/usr/lib/ipsec/plugins/*.so",
		"/usr/lib/x86_64-linux-gnu/ossl-modules/*.so", "/lib/x86_64-linux-gnu/libnss_files.so.2", "/lib/x86_64-linux-gnu/libgcc_s.so.1"}
}

// buildImage returns the path of the cached archive, and makes it if it is not there or something in it is newer.
func buildImage(cache string, k kernel) (string, error) {
	files, err := hostFiles()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, imageFormat, k.release, subtrees(), loaded(), applets())
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, f, info.Size(), info.ModTime().UnixNano())
	}
	path := filepath.Join(cache, "initramfs-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	old, _ := filepath.Glob(filepath.Join(cache, "initramfs-*"))
	for _, o := range old {
		os.Remove(o)
	}
	return path, writeImage(path, k, files)
}

var libraryPath = regexp.MustCompile(`/\S+`)

// hostFiles are the programs and every library that the loader says they need.
func hostFiles() ([]string, error) {
	var files []string
	for _, pattern := range append([]string{"/bin/busybox"}, append(programs(), ipProgram()...)...) {
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) == 0 {
			return nil, fmt.Errorf("%s is not installed; run: go run ./lab/ci install", pattern)
		}
		files = append(files, list...)
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[f] = true
	}
	for _, f := range files {
		out, err := output("", "ldd", f)
		if err != nil {
			continue // static
		}
		for _, lib := range libraryPath.FindAllString(out, -1) {
			lib = strings.TrimSuffix(lib, ":")
			if !seen[lib] {
				seen[lib] = true
				files = append(files, lib)
			}
		}
	}
	return files, nil
}

// ipProgram is iproute2's ip; busybox's knows no xfrm.
func ipProgram() []string { return []string{"/bin/ip"} }

func writeImage(path string, k kernel, files []string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "making")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(w)
	skeleton(a)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		a.file(file, b, 0o755)
	}
	if err := addModules(a, k); err != nil {
		return err
	}
	if err := a.close(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// skeleton is the folders and the little files that programs expect.
func skeleton(a *archive) {
	for _, d := range []string{"proc", "sys", "dev", "run", "tmp", "root", "etc"} {
		a.folder(d)
	}
	a.link("var/run", "../run")
	a.link("usr/sbin/ip", "/bin/ip")
	for _, name := range applets() {
		a.link("bin/"+name, "busybox")
	}
	a.device("dev/console", 5, 1)
	a.file("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644)
	a.file("etc/group", []byte("root:x:0:\n"), 0o644)
	a.file("etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files\n"), 0o644)
	a.file("etc/modules.list", []byte(strings.Join(loaded(), "\n")), 0o644)
}

func addModules(a *archive, k kernel) error {
	base := filepath.Join("lib", "modules", k.release)
	index, _ := filepath.Glob(filepath.Join(k.modules(), "modules.*"))
	for _, f := range index {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		a.file(filepath.Join(base, filepath.Base(f)), b, 0o644)
	}
	for _, tree := range subtrees() {
		root := filepath.Join(k.modules(), "kernel", tree)
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(k.modules(), p)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			a.file(filepath.Join(base, rel), b, 0o644)
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
