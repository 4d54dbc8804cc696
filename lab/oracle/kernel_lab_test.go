// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The kernel as judge: Debian's in a virtual machine holds every conversation, and says what the recorded transcripts say.
// With -record the transcripts are written anew; their diff is the review.

package oracle

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

var record = flag.Bool("record", false, "write the kernel's transcripts instead of comparing with them")

const (
	// stepLimit bounds an answer of the guest.
	stepLimit = 20 * time.Second
	// larvalDefault is Linux's net.core.xfrm_acq_expires.
	larvalDefault = 30
)

// TestMain runs the helpers that netlab starts.
func TestMain(m *testing.M) {
	netlab.Main()
	os.Exit(m.Run())
}

// linux is the guest's kernel.
type linux struct {
	guest *qemu.Guest
	// larval says that the lifetime of larval SAs is not Linux's own.
	larval bool
	// inject sends packets as the peer; nil until the first case with packets, when the guest gets addresses too.
	inject *netlab.Injector
}

func (k *linux) call(method string, args, reply any) error {
	return k.guest.TryCall(stepLimit, method, args, reply)
}

// Reset closes all sockets and flushes both tables.
func (k *linux) Reset() error {
	if k.larval {
		if _, err := k.Larval(larvalDefault); err != nil {
			return err
		}
		k.larval = false
	}
	return k.call("KeyReset", [][]byte{msg(flush, unspec).octets(0), msg(spdFlush, unspec).octets(0)}, &struct{}{})
}

func (k *linux) Open(socket string) error { return k.call("KeyOpen", socket, &struct{}{}) }

func (k *linux) Close(socket string) error { return k.call("KeyClose", socket, &struct{}{}) }

func (k *linux) Step(socket string, octets []byte, wait time.Duration) (int, map[string][][]byte, error) {
	var r agent.KeyRead
	err := k.call("KeyStep", agent.KeyWrite{Socket: socket, Octets: octets, Wait: wait}, &r)
	return r.Errno, r.Received, err
}

func (k *linux) Emit(from, to netip.AddrPort, octets int) error {
	if err := k.network(); err != nil {
		return err
	}
	return k.call("Emit", agent.Packet{From: from, To: to, Octets: octets}, &struct{}{})
}

func (k *linux) Arrive(packet []byte) error {
	if err := k.network(); err != nil {
		return err
	}
	k.inject.Send(packet)
	return nil
}

// network gives the guest and its peer their addresses, and the guest a port for ESP in UDP. From now on the kernel looks for no module:
// every REGISTER would have it look for a dozen that are not there.
func (k *linux) network() error {
	if k.inject != nil {
		return nil
	}
	k.guest.IP("addr add "+addr2+"/24 dev "+qemu.Tap, "addr add 192.0.2.3/24 dev "+qemu.Tap)
	k.guest.GuestIP("addr add "+addr1+"/24 dev eth0", "addr add "+inner1+"/32 dev lo", "route add "+inner2+" via "+addr2)
	k.guest.Call("Encap", agent.EncapPort{Port: 4500, Type: agent.EncapNonESP}, &struct{}{})
	k.inject = k.guest.StartInjector()
	const socket = "warm"
	for _, m := range []message{msg(register, esp), espSA(add, 0x7fff), named(del, esp, 0x7fff)} { // what the cases need is loaded
		if err := k.call("KeyStep", agent.KeyWrite{Socket: socket, Octets: m.octets(0)}, &agent.KeyRead{}); err != nil {
			return err
		}
	}
	k.guest.WriteFile("/proc/sys/kernel/modprobe", "\n")
	return k.call("KeyClose", socket, &struct{}{})
}

func (k *linux) Larval(seconds int) (int, error) {
	k.larval = true
	return seconds, k.call("WriteFile", agent.File{Path: "/proc/sys/net/core/xfrm_acq_expires", Data: fmt.Appendf(nil, "%d\n", seconds)}, &struct{}{})
}

func TestKernel(t *testing.T) {
	l := netlab.New(t)
	k := &linux{guest: qemu.Boot(l, l.NewSpace("q"))}
	t.Logf("%s ready in %v", k.guest.Release, k.guest.Booted.Round(time.Millisecond))
	for _, g := range Groups() {
		t.Run(g.Name, func(t *testing.T) { g.ask(t, k) })
	}
}

// ask holds the conversations of a group with the kernel.
func (g Group) ask(t *testing.T, k *linux) {
	t.Helper()
	recorded, err := readTranscript(g.path())
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, c := range g.Cases {
		text, err := c.Transcript(k)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if _, twice := said[c.Name]; twice {
			t.Errorf("case %q: twice", c.Name)
		}
		said[c.Name] = text
		if d := difference(recorded[c.Name], text); d != "" && !*record {
			t.Errorf("%s: the kernel does not say what was recorded (-record writes it anew): %s", c.Name, d)
		}
		delete(recorded, c.Name)
	}
	if !*record {
		for name := range recorded {
			t.Errorf("%s: recorded, but there is no such case", name)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(g.path()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.path(), format(g.Cases, func(c Case) string { return said[c.Name] }), 0o644); err != nil {
		t.Fatal(err)
	}
}
