// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The rooms of docs/ARCHITECTURE.md and who may import whom. Input is the tree itself.

package rooms

import "strings"

const module = "github.com/natterjack/natterjack"

// room is a set of packages with one height. A package may import its own room and every lower one.
type room struct {
	name   string
	height int
	pure   bool
}

// roomOf returns the room of an import path of this module, by its first folder.
func roomOf(path string) (room, bool) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "crypt":
		return room{"crypt", 0, true}, true
	case "wire":
		return room{"wire", 1, true}, true
	case "ike":
		return room{"ike", 2, true}, true
	case "ipsec":
		return room{"ipsec", 2, true}, true
	case "port":
		return room{"port", 3, false}, true
	case "daemon":
		return room{"daemon", 4, false}, true
	case "cmd", "":
		return room{"cmd", 5, false}, true
	case "lab":
		return room{"lab", 6, false}, true
	}
	return room{}, false
}

// refuse returns why the package from must not import the package to of this module; empty if it may.
func refuse(from, to string) string {
	a, okA := roomOf(from)
	b, okB := roomOf(to)
	switch {
	case !okA || !okB:
		return "one of them is in no room of docs/ARCHITECTURE.md"
	case strings.HasPrefix(to, module+"/ike/ikev1") && !strings.HasPrefix(from, module+"/ike/ikev1") && from != module+"/ike/mux" && a.name != "lab":
		return "IKEv1 must stay deletable: only ike/mux may import it"
	case strings.HasPrefix(to, module+"/wire/ikev1msg") && !strings.HasPrefix(from, module+"/ike/ikev1") && from != module+"/ike/mux" && a.name != "lab":
		return "IKEv1 must stay deletable: only ike/ikev1 and ike/mux may read its messages"
	case a.name == b.name:
		return ""
	case b.height == a.height:
		return "ike decides and ipsec carries packets; they meet in daemon only, so that either can be replaced (a PF_KEY daemon, a kernel)"
	case b.height > a.height:
		return "imports go down only: what is below must be understandable, testable and reviewable without what is above"
	}
	return ""
}

// refuseOutside returns why a package must not import path, which is not of this module; empty if it may.
func refuseOutside(from, path string) string {
	if (path == "math/rand" || path == "math/rand/v2") && !repeatable(from) {
		return "not a source of randomness for security software; take an io.Reader"
	}
	if why := adapterOnly(from, path); why != "" {
		return why
	}
	r, _ := roomOf(from)
	if !r.pure {
		return ""
	}
	switch first, _, _ := strings.Cut(path, "/"); {
	case path == "net/netip":
	case path == "log/slog" && from == module+"/crypt/secret":
		// A key must be able to hide itself from slog (LogValue).
	case first == "net", first == "os", path == "syscall", first == "log", path == "context":
		return "a pure room does no I/O: its callers act, it decides, and a test drives it without a world around it"
	case strings.HasPrefix(path, "golang.org/x/sys"), strings.HasPrefix(path, "golang.org/x/net"):
		return "every system call lives in port"
	case path == "unsafe", path == "reflect":
		return "memory safety is what this project promises, and a reviewer must see what a parser does"
	case path == "crypto/rand":
		return "randomness is a parameter, so that a recorded exchange can be replayed to the octet"
	case (path == "sync" || path == "sync/atomic") && r.name != "ipsec":
		return "a machine has one owner; locks hide a second one"
	}
	return ""
}

// repeatable reports whether a package holds no secret and must do the same again from a seed: the labs, and the impairment
// box, whose losses and delays a test has to be able to repeat.
func repeatable(from string) bool {
	return strings.HasPrefix(from, module+"/lab/") || strings.HasPrefix(from, module+"/port/natbox/")
}

// adapterOnly holds each dependency to the package that wraps it, so that replacing one touches one place.
func adapterOnly(from, path string) string {
	only := func(folders ...string) string {
		for _, f := range folders {
			if from == module+"/"+f || strings.HasPrefix(from, module+"/"+f+"/") {
				return ""
			}
		}
		return "only " + strings.Join(folders, ", ") + " may import it: a dependency is wrapped in one place"
	}
	switch {
	case strings.HasPrefix(path, "golang.zx2c4.com/wireguard"):
		return only("port/tun", "port/route")
	case strings.HasPrefix(path, "gvisor.dev/gvisor"):
		return only("port/netstack")
	case strings.HasPrefix(path, "github.com/vishvananda/netlink"):
		return only("port/route", "lab")
	case strings.HasPrefix(path, "github.com/google/nftables"):
		return only("port/firewall", "lab")
	case strings.HasPrefix(path, "github.com/gaissmai/bart"):
		return only("ipsec", "ike/pool")
	case strings.HasPrefix(path, "filippo.io/bigmod"):
		return only("crypt")
	case strings.HasPrefix(path, "github.com/spf13/cobra"):
		return only("cmd")
	}
	return ""
}
