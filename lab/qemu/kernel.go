// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The kernel: Debian's newest for clouds, unpacked but never installed.

package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// metaPackage depends on the newest kernel of the distribution.
	metaPackage = "linux-image-cloud-amd64"
	// fetchLimit bounds each step of fetching and unpacking.
	fetchLimit = 3 * time.Minute
)

// cacheFolder holds kernels and images between runs and packages. It is outside of the tree.
func cacheFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // no HOME
	}
	dir := filepath.Join(base, "natterjack-lab")
	return dir, os.MkdirAll(dir, 0o755)
}

// lockCache keeps two labs from filling the cache at once. The lock ends with the returned function.
func lockCache(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func output(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

var kernelName = regexp.MustCompile(`linux-image-\d\S*-cloud-amd64`)

// newestKernel asks apt for the package that the meta package depends on and for its version.
func newestKernel() (name, version string, err error) {
	out, err := output("", "apt-cache", "depends", metaPackage)
	if err != nil {
		return "", "", err
	}
	if name = kernelName.FindString(out); name == "" {
		return "", "", fmt.Errorf("apt-cache depends %s names no kernel; run apt-get update", metaPackage)
	}
	if out, err = output("", "apt-cache", "show", "--no-all-versions", name); err != nil {
		return "", "", err
	}
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return name, strings.TrimSpace(v), nil
		}
	}
	return "", "", fmt.Errorf("apt-cache show %s: no version", name)
}

// kernel is an unpacked kernel package.
type kernel struct {
	dir     string // the root of the package
	release string // as uname has it
}

func (k kernel) image() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.release) }

func (k kernel) modules() string { return filepath.Join(k.dir, "lib", "modules", k.release) }

// fetchKernel returns the newest kernel, from the cache if it is there. Without a network the newest of the cache does.
func fetchKernel(cache string) (kernel, error) {
	name, version, err := newestKernel()
	if err == nil {
		dir := filepath.Join(cache, name+"_"+version)
		if _, serr := os.Stat(dir); serr == nil {
			return openKernel(dir)
		}
		if err = unpackKernel(cache, name, dir); err == nil {
			return openKernel(dir)
		}
	}
	old, _ := filepath.Glob(filepath.Join(cache, "linux-image-*"))
	if len(old) == 0 {
		return kernel{}, err
	}
	slices.Sort(old)
	return openKernel(old[len(old)-1])
}

func unpackKernel(cache, name, dir string) error {
	tmp, err := os.MkdirTemp(cache, "fetch")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// apt downloads as a user of its own.
	if err := os.Chmod(tmp, 0o777); err != nil {
		return err
	}
	if _, err := output(tmp, "apt-get", "-q", "download", name); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download %s: %d packages, expected one", name, len(debs))
	}
	root := filepath.Join(tmp, "root")
	if _, err := output(tmp, "dpkg-deb", "-x", debs[0], root); err != nil {
		return err
	}
	// busybox modprobe reads the index that the package makes only when it is installed.
	k, err := openKernel(root)
	if err != nil {
		return err
	}
	if _, err := output(tmp, "busybox", "depmod", "-b", root, k.release); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

func openKernel(dir string) (kernel, error) {
	list, err := filepath.Glob(filepath.Join(dir, "lib", "modules", "*"))
	if err != nil || len(list) != 1 {
		return kernel{}, errors.Join(fmt.Errorf("%s: %d folders of modules, expected one", dir, len(list)), err)
	}
	return kernel{dir: dir, release: filepath.Base(list[0])}, nil
}
