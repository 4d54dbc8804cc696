// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Command guest is the first process of the lab's virtual machine: it mounts what programs expect, loads the modules that
// it is told of on the kernel's command line, and serves package agent until the machine is ended. With NETLAB_HELPER in its
// environment it is a helper of package netlab, so that transfers through tunnels end in the guest as they do in a namespace.
package main

import (
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

const (
	// listPath names the modules to load, one a line.
	listPath = "/etc/modules.list"
	// portLimit is how long the virtio-serial port may take to appear.
	portLimit = 5 * time.Second
)

func main() {
	netlab.Main()
	if err := serve(); err != nil {
		fmt.Println("guest:", err)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func serve() error {
	os.Setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
	for _, m := range []struct{ what, where string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := unix.Mount(m.what, m.where, m.what, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	// The kernel loads the templates of crypto by itself.
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte("/bin/modprobe"), 0o644); err != nil {
		return err
	}
	list, err := os.ReadFile(listPath)
	if err != nil {
		return err
	}
	args := append([]string{"-a"}, strings.Fields(string(list))...)
	if out, err := exec.Command("/bin/modprobe", args...).CombinedOutput(); err != nil {
		fmt.Printf("guest: modprobe: %v: %s\n", err, out)
	}
	for _, name := range []string{"lo", "eth0"} {
		if out, err := exec.Command("/bin/ip", "link", "set", name, "up").CombinedOutput(); err != nil && name == "lo" {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(agent.New()); err != nil {
		return err
	}
	if _, err := port.Write([]byte(agent.Greeting)); err != nil {
		return err
	}
	server.ServeConn(port)
	return nil
}

// openPort waits for the virtio-serial port of our name.
func openPort() (*os.File, error) {
	for begin := time.Now(); time.Since(begin) < portLimit; time.Sleep(10 * time.Millisecond) {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err == nil && strings.TrimSpace(string(b)) == agent.PortName {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(name)), os.O_RDWR, 0)
			}
		}
	}
	return nil, fmt.Errorf("no virtio-serial port %q within %v", agent.PortName, portLimit)
}
