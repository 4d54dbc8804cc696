// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The two implementations as processes: unmodified charon-systemd with kernel-libipsec, and natterjack. Both are driven by
// Debian's unmodified swanctl, and read through VICI.

package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Kind is an implementation.
type Kind string

// The implementations.
const (
	StrongSwan Kind = "strongswan"
	Natterjack Kind = "natterjack"
)

const (
	// startLimit is for a daemon's socket to answer.
	startLimit = 15 * time.Second
	// initiateLimit is for a tunnel to be up.
	initiateLimit = 10 * time.Second
	// buildLimit is for go build with a cold cache.
	buildLimit = 5 * time.Minute
)

// plugins are charon's; kernel-libipsec must precede kernel-netlink, which stays for addresses and routes.
const plugins = "random nonce openssl aes sha1 sha2 hmac gcm kdf chapoly ccm ctr xcbc cmac curve25519 gmp mgf1 pem pkcs1 pkcs8 x509 pubkey " +
	"constraints kernel-libipsec kernel-netlink socket-default vici updown"

// Node is a running daemon.
type Node struct {
	*Host
	Kind   Kind
	Config Config
	Proc   *Process
	engine *Process // of pfkey serve, if that is asked for

	lab *Lab
	dir string
}

// build compiles natterjack once a process.
var build struct {
	sync.Once
	path string
	err  error
}

// Binary is the natterjack that the labs run: NETLAB_BINARY, or what is built from the tree.
func (l *Lab) Binary() string {
	l.Helper()
	if path := os.Getenv("NETLAB_BINARY"); path != "" {
		return path
	}
	build.Do(func() {
		root, err := exec.Command("go", "env", "GOMOD").Output()
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(os.TempDir(), fmt.Sprintf("natterjack-lab-%d", os.Getpid()))
		_, build.err = command(buildLimit, []string{"CGO_ENABLED=0"}, "", "go", "build", "-C", filepath.Dir(strings.TrimSpace(string(root))),
			"-o", build.path, "./cmd/natterjack")
	})
	if build.err != nil {
		l.Fatal(build.err)
	}
	return build.path
}

// RemoveBinary removes what Binary built. TestMain calls it at the end.
func RemoveBinary() {
	if build.path != "" {
		os.Remove(build.path)
	}
}

// StartNode starts an implementation on a host and loads its configuration.
func (l *Lab) StartNode(kind Kind, h *Host, c Config) *Node {
	l.Helper()
	n := &Node{Host: h, Kind: kind, Config: c, lab: l, dir: filepath.Join(l.Dir, h.Role)}
	l.nodes = append(l.nodes, n)
	n.writeFiles()
	n.Launch()
	return n
}

func (n *Node) writeFiles() {
	n.lab.Helper()
	text := n.Config.String()
	if n.Kind == Natterjack {
		text += "daemon {\n  " + strings.Join(n.Config.Daemon, "\n  ") + "\n}\n"
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		n.lab.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "swanctl.conf"), []byte(text), 0o600); err != nil {
		n.lab.Fatal(err)
	}
	if n.Config.Cert != nil {
		if err := n.Config.Cert.write(n.dir); err != nil {
			n.lab.Fatal(err)
		}
	}
	conf := "swanctl {\n}\n"
	if n.Kind == StrongSwan {
		conf = fmt.Sprintf(charonConf, plugins, strings.Join(n.Config.Charon, "\n  "), filepath.Join(n.lab.Dir, n.Role+"-charon.log"), n.Socket())
	}
	if err := os.WriteFile(filepath.Join(n.dir, "strongswan.conf"), []byte(conf), 0o600); err != nil {
		n.lab.Fatal(err)
	}
}

// charonConf is strongswan.conf. The peer is given up after 1 + 1.4 + 2 s.
const charonConf = `charon-systemd {
  load = %s
  install_virtual_ip = yes
  retransmit_tries = 2
  retransmit_timeout = 1
  retransmit_base = 1.4
  %s
  filelog {
    main {
      path = %s
      default = 1
      ike = 2
      flush_line = yes
      time_format = %%H:%%M:%%S
      time_add_ms = yes
    }
  }
  plugins {
    vici {
      socket = unix://%s
    }
  }
}
swanctl {
}
`

// Socket is the path of the daemon's VICI socket.
func (n *Node) Socket() string { return filepath.Join(n.lab.Dir, n.Role+".vici") }

// state is the folder of natterjack's crash journal.
func (n *Node) state() string { return filepath.Join(n.lab.Dir, n.Role+"-state") }

// Cleanup runs natterjack cleanup, after a crash.
func (n *Node) Cleanup() (string, error) {
	return n.Try(n.lab.Binary(), "cleanup", "--state", n.state())
}

// Dir is the folder of the node's configuration.
func (n *Node) Dir() string { return n.dir }

func (n *Node) env() []string {
	return []string{"STRONGSWAN_CONF=" + filepath.Join(n.dir, "strongswan.conf"), "SWANCTL_DIR=" + n.dir}
}

// Launch starts the daemon again after it has ended, or for the first time.
func (n *Node) Launch() {
	n.lab.Helper()
	os.Remove(n.Socket())
	switch n.Kind {
	case StrongSwan:
		n.Proc = n.Start("charon-out", n.env(), "charon-systemd")
	case Natterjack:
		args := []string{n.lab.Binary(), "run", "--vici", n.Socket(), "--state", n.state(), "--log-level", "debug"}
		if !n.Config.Bare {
			args = append(args, "--swanctl", n.dir)
		}
		if Keyed() {
			n.serveKeys()
			args = append(args, "--ipsec", "pfkey:"+n.keys())
		}
		n.Proc = n.Start("natterjack", nil, args...)
	}
	n.lab.Eventually(startLimit, string(n.Kind)+" answers", func() (bool, string) {
		if n.Proc.Ended() {
			n.lab.Fatalf("%s %s ended: %v\n%s", n.Role, n.Kind, n.Proc.err, tail(n.Proc.Log(), 30))
		}
		_, err := n.call("version", nil)
		return err == nil, fmt.Sprint(err)
	})
	if n.Kind == StrongSwan || n.Config.Bare {
		n.Swanctl("--load-all", "--noprompt")
	}
}

// Keyed reports whether our daemons have their engine behind PF_KEY: LAB_IPSEC=pfkey.
func Keyed() bool { return os.Getenv("LAB_IPSEC") == "pfkey" }

// keys is the path of the engine's PF_KEY socket.
func (n *Node) keys() string { return filepath.Join(n.lab.Dir, n.Role+".pfkey") }

// serveKeys starts the engine of a daemon that has none, unless it runs.
func (n *Node) serveKeys() {
	n.lab.Helper()
	if n.engine != nil && !n.engine.Ended() {
		return
	}
	args := []string{n.lab.Binary(), "pfkey", "serve", "--pfkey", n.keys() + "=freebsd", "--state", n.state() + "-keys"}
	for _, line := range n.Config.Daemon { // the interface is the engine's
		if name, ok := strings.CutPrefix(line, "tun = "); ok {
			args = append(args, "--tun", name)
		}
	}
	n.engine = n.Start("pfkey-serve", nil, args...)
	n.lab.Eventually(startLimit, "the PF_KEY service listens", func() (bool, string) {
		if n.engine.Ended() {
			n.lab.Fatalf("%s pfkey serve ended: %v\n%s", n.Role, n.engine.err, tail(n.engine.Log(), 30))
		}
		_, err := os.Stat(n.keys() + ".ports")
		return err == nil, fmt.Sprint(err)
	})
}

// StopKeys ends the engine of a daemon that has none: what is left then was left by one of the two.
func (n *Node) StopKeys() {
	if n.engine != nil && !n.engine.Ended() {
		n.engine.Stop(syscall.SIGTERM, 4*time.Second)
	}
}

// Swanctl runs Debian's swanctl against the daemon; its failure is the test's.
func (n *Node) Swanctl(args ...string) string {
	n.lab.Helper()
	out, err := n.TrySwanctl(args...)
	if err != nil {
		n.lab.Fatalf("%s: %v", n.Role, err)
	}
	return out
}

// TrySwanctl runs Debian's swanctl against the daemon.
func (n *Node) TrySwanctl(args ...string) (string, error) {
	return command(commandLimit, n.env(), "", append(append([]string{"swanctl"}, args...), "--uri", "unix://"+n.Socket())...)
}

// CLI runs natterjack's own command line against the daemon.
func (n *Node) CLI(args ...string) (string, error) {
	return command(commandLimit, nil, "", append(append([]string{n.lab.Binary()}, args...), "--vici", n.Socket())...)
}

// Initiate brings a child up and fails if that does not succeed.
func (n *Node) Initiate(child string) {
	n.lab.Helper()
	n.Swanctl("--initiate", "--child", child, "--timeout", fmt.Sprint(int(initiateLimit.Seconds())))
}

// BeginInitiate is Initiate without waiting: the process is swanctl.
func (n *Node) BeginInitiate(child string) *Process {
	n.lab.Helper()
	return n.Start("swanctl", n.env(), "swanctl", "--initiate", "--child", child, "--timeout", fmt.Sprint(int(initiateLimit.Seconds())),
		"--uri", "unix://"+n.Socket())
}

// stop ends the daemon in an orderly way, and at once if it takes long.
func (n *Node) stop() {
	if n.Proc != nil && !n.Proc.Ended() {
		n.Proc.Stop(syscall.SIGTERM, 4*time.Second)
	}
}
