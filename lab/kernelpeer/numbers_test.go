// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Extended sequence numbers across 2^32 (RFC 4303, Section 2.2.1 and Appendix A): both ends' SAs begin near it, and packets from before
// it arrive late. What GCM may protect with one key ends there (NIST SP 800-38D, Section 8.3), and every SA without extended numbers
// (RFC 4303, Section 3.3.3). Windows of one and of several words, with and without extended numbers (Section 3.4.3).

package kernelpeer

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/replay"
	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

const (
	boundary = 1 << 32
	// The client's inner address and its device.
	numbersInner, numbersDevice = "10.31.0.77", "nj-esn"
	numbersSPIOut, numbersSPIIn = 0x3010, 0x3020
	// A ping that nobody answers is not waited for.
	lostLimit = 200 * time.Millisecond
)

// numbersCase is an SA each way.
type numbersCase struct {
	name   string
	alg    algorithm
	window int
	// outBefore and inBefore are how many packets of the client's and the guest's are left before the boundary; 0: they begin at 1.
	outBefore, inBefore int
	// pings cross it. They are answered, so that each goes both ways. Without ESN a few less than the window leave what came before them inside.
	pings int
	// plain: sequence numbers of 32 bits.
	plain bool
}

func numbersCases() []numbersCase {
	return []numbersCase{
		{"CBC, window of 32", cbc(), 32, 6, 12, 22, false},
		{"CBC, window of 2048", cbc(), 2048, 200, 6, 800, false},
		{"GCM, what the kernel seals, window of 32", gcm(), 32, 0, 8, 20, false},
		{"GCM, what the kernel seals, window of 1024", gcm(), 1024, 0, 8, 500, false},
		{"AH, window of 64", ahSHA256(), 64, 8, 6, 30, false},
		{"CBC without ESN, window of 32", cbc(), 32, 0, 0, 24, true},
		{"GCM without ESN, window of 128", gcm(), 128, 0, 0, 120, true},
		{"AH without ESN, window of 256", ahSHA1(), 256, 0, 0, 248, true},
	}
}

// numbers is the engine and what is around it.
type numbers struct {
	*manual
	engine *netlab.Process
	inject *netlab.Injector
}

func newNumbers(t *testing.T, w *world) *numbers {
	t.Helper()
	w.translate(t, false)
	c := w.Clients[0]
	n := &numbers{manual: &manual{world: w, socket: filepath.Join(w.Dir, "numbers.pfkey"), dialect: "freebsd"}}
	n.engine = c.StartHelper("engine", "engine", numbersDevice, n.socket)
	tell(t, n.engine, "ready", "")
	n.proc = n.engine
	n.inject = w.Router.StartInjector()
	c.IP("addr add "+numbersInner+"/32 dev lo", "link set "+numbersDevice+" up", "route add "+inside4+" dev "+numbersDevice+" src "+numbersInner)
	w.guest.GuestIP("route add " + numbersInner + " via 198.51.100.1")
	return n
}

func (n *numbers) close() {
	n.engine.Stop(syscall.SIGTERM, 4*time.Second)
	n.inject.Close()
	n.Clients[0].IP("addr del " + numbersInner + "/32 dev lo")
}

// before is the number of the packet behind which an SA begins that has so many left before the boundary.
func before(left int) uint64 {
	if left == 0 {
		return 0
	}
	return boundary - 1 - uint64(left)
}

// add gives both ends the SAs and policies.
func (c numbersCase) add(t *testing.T, n *numbers) {
	t.Helper()
	n.flush(t)
	client, guest := manualCase{}.outside()
	for _, d := range []struct {
		spi                            int
		src, dst, from, to, way, other string
		left                           int
	}{{numbersSPIOut, client, guest, numbersInner, inside4, "out", "in", c.outBefore}, {numbersSPIIn, guest, client, inside4, numbersInner, "in", "out", c.inBefore}} {
		spi := fmt.Sprintf("0x%x", d.spi)
		e, k := key(d.spi, c.alg.encr), key(d.spi+1, c.alg.auth)
		ours := append([]string{"add", d.src, d.dst, c.alg.proto, spi, "-m", "tunnel", "-r", strconv.Itoa(c.window), "--key-file", n.keyFile(t, e, k)}, c.alg.ours...)
		flags := []string{"flag", "esn", "align4"} // the latter: AH as RFC 4302 has it, and FreeBSD
		if c.plain {
			flags = []string{"flag", "align4"}
		} else {
			ours = append(ours, "--esn")
		}
		n.cli(t, ours...)
		n.cli(t, "policy", "add", d.from, d.to, "any", "-P", d.way, "ipsec", c.alg.proto+"/tunnel/"+d.src+"-"+d.dst+"/require")
		at := before(d.left)
		if at > 0 {
			proto := map[string]int{"esp": protoESP, "ah": protoAH}[c.alg.proto]
			tell(t, n.engine, "started", "%d %d %s %s %d", proto, d.spi, d.dst, d.way, at)
		}
		counter := map[string]string{"out": "replay-seq", "in": "replay-oseq"}[d.way]
		args := append([]string{"state", "add", "src", d.src, "dst", d.dst, "proto", c.alg.proto, "spi", spi, "mode", "tunnel",
			"replay-window", strconv.Itoa(c.window), counter, strconv.FormatUint(at, 10)}, flags...)
		n.kernel(t, append(args, c.alg.words(e, k)...)...)
		n.kernel(t, "policy", "add", "src", d.from, "dst", d.to, "dir", d.other, "tmpl", "src", d.src, "dst", d.dst, "proto", c.alg.proto, "mode", "tunnel")
	}
}

// run holds one packet each way back, crosses the boundary, and then lets it go, twice.
func (c numbersCase) run(t *testing.T, n *numbers) {
	c.add(t, n)
	early := n.holdBack(t, c)
	n.explained(t, n.Clients[0].Ping(20*time.Second, "-c", strconv.Itoa(c.pings), "-i", "0.005", "-I", numbersInner, inside4))
	state := n.guest.Exec("ip", "-s", "xfrm", "state")
	if want := strings.Count(state, "-hi 0x1"); want < c.crossings() {
		t.Fatalf("%d of the kernel's SAs have crossed the boundary, expected %d:\n%s", want, c.crossings(), state)
	}
	errors := n.counters(t)["XfrmInStateSeqError"]
	before := n.echoes(t)
	n.again(early)
	n.Eventually(upLimit, "the late packets arrive", func() (bool, string) {
		now := n.echoes(t)
		return now == [2]int{before[0] + 1, before[1] + 1}, fmt.Sprint(before, now, "\n", n.kernelErrors(), n.cli(t, "dump"))
	})
	n.again(early)
	n.Eventually(upLimit, "the kernel refuses the replay", func() (bool, string) {
		now := n.counters(t)["XfrmInStateSeqError"]
		return now == errors+1, fmt.Sprint(errors, now)
	})
	n.explained(t, n.Clients[0].Ping(3*time.Second, "-I", numbersInner, inside4))
	if now := n.echoes(t); now != [2]int{before[0] + 1, before[1] + 2} {
		t.Errorf("echo requests at the client and the guest: %v after %v: a replay was delivered", now, before)
	}
	if c.plain {
		c.stale(t, n)
	}
}

// stale holds one packet each way back until the windows have left it behind: both ends refuse it, though it was never received. Ours are of
// 64 packets and multiples of it.
func (c numbersCase) stale(t *testing.T, n *numbers) {
	t.Helper()
	early := n.holdBack(t, c)
	n.explained(t, n.Clients[0].Ping(20*time.Second, "-c", strconv.Itoa(max(c.window, replay.DefaultSize)), "-i", "0.005", "-I", numbersInner, inside4))
	errors, before := n.counters(t)["XfrmInStateSeqError"], n.echoes(t)
	n.again(early)
	n.Eventually(upLimit, "the kernel refuses what is left of its window", func() (bool, string) {
		now := n.counters(t)["XfrmInStateSeqError"]
		return now == errors+1, fmt.Sprint(errors, now)
	})
	n.explained(t, n.Clients[0].Ping(3*time.Second, "-I", numbersInner, inside4))
	if now := n.echoes(t); now != [2]int{before[0], before[1] + 1} {
		t.Errorf("echo requests at the client and the guest: %v after %v: a packet left of the window was delivered", now, before)
	}
}

func (c numbersCase) crossings() int {
	count := 0
	for _, left := range []int{c.outBefore, c.inBefore} {
		if left > 0 {
			count++
		}
	}
	return count
}

// holdBack has each side send a packet that the router drops, and returns them: the client's, the guest's.
func (n *numbers) holdBack(t *testing.T, c numbersCase) [2][]byte {
	t.Helper()
	n.Router.NFT("table inet hold {\n  chain f { type filter hook forward priority filter; meta l4proto { esp, ah } drop\n  }\n}\n")
	lan, wan := n.Router.Capture("lan"), n.Router.Capture("wan")
	if n.Clients[0].Ping(lostLimit, "-I", numbersInner, inside4) == nil {
		t.Fatal("the router does not hold anything back")
	}
	_, _ = n.guest.TryRun("ping", "-c", "1", "-W", "1", "-I", inside4, numbersInner)
	client, guest := manualCase{}.outside()
	early := [2][]byte{n.only(t, lan, client), n.only(t, wan, guest)}
	n.Router.Run("nft", "delete", "table", "inet", "hold")
	return early
}

// only is the one packet of an SA that a capture has from a host.
func (n *numbers) only(t *testing.T, c *netlab.Capture, from string) []byte {
	t.Helper()
	const ethernet = 14
	var found [][]byte
	n.Eventually(upLimit, "the capture has a packet", func() (bool, string) {
		info, err := os.Stat(c.Path)
		return err == nil && info.Size() > 100, fmt.Sprint(err)
	})
	for _, p := range c.Stop() {
		if p.Src.Addr().String() == from && (p.Protocol == protoESP || p.Protocol == protoAH) {
			found = append(found, p.Frame[ethernet:])
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d packets from %s, expected one", len(found), from)
	}
	return found[0]
}

// again sends what was held back.
func (n *numbers) again(early [2][]byte) {
	for _, p := range early {
		n.inject.Send(p)
	}
}

// echoes are how many echo requests the client's host and the guest have received.
func (n *numbers) echoes(t *testing.T) [2]int {
	t.Helper()
	return [2]int{echoesOf(n.Clients[0].Run("cat", "/proc/net/snmp")), echoesOf(n.guest.Exec("cat", "/proc/net/snmp"))}
}

// echoesOf is Icmp: InEchos.
func echoesOf(snmp string) int {
	var names []string
	for line := range strings.Lines(snmp) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, name := range names {
			if name == "InEchos" {
				count, _ := strconv.Atoi(words[i])
				return count
			}
		}
	}
	return -1
}

// lastNumbers: GCM ends with packet 2^32, whose high half the kernel has still to guess right, and nothing is sent after it.
func lastNumbers(t *testing.T, n *numbers) {
	const left, refused = 5, 3
	c := numbersCase{alg: gcm(), window: 32, outBefore: left}
	c.add(t, n)
	before := n.echoes(t)
	_ = n.Clients[0].Ping(2*time.Second, "-c", strconv.Itoa(left+1+refused), "-i", "0.01", "-I", numbersInner, inside4)
	if now := n.echoes(t); now[1] != before[1]+left+1 {
		t.Errorf("%d packets arrived, expected %d before the boundary and the one at it", now[1]-before[1], left)
	}
	state := n.guest.Exec("ip", "-s", "xfrm", "state")
	if !strings.Contains(state, "seq-hi 0x1, seq 0x0,") {
		t.Errorf("the kernel's newest packet is not 2^32:\n%s", state)
	}
	if dump := n.cli(t, "dump"); strings.Contains(dump, fmt.Sprintf("spi=%d(", numbersSPIOut)) {
		t.Errorf("the SA that may seal nothing more is still there:\n%s", dump)
	}
}

// plainEnds: without extended numbers an SA seals packet 2^32-1 and none after it, here and in the kernel, and both open it.
func plainEnds(t *testing.T, n *numbers) {
	const outLeft, inLeft, more, port = 5, 4, 3, 7000
	c := numbersCase{alg: cbc(), window: 64, outBefore: outLeft, inBefore: outLeft + inLeft, plain: true}
	c.add(t, n)
	before, refused := n.echoes(t), n.counters(t)["XfrmOutStateSeqError"]
	_ = n.Clients[0].Ping(time.Second, "-c", strconv.Itoa(outLeft+more), "-i", "0.01", "-I", numbersInner, inside4)
	if now := n.echoes(t); now[1] != before[1]+outLeft {
		t.Errorf("%d of the client's packets arrived, expected %d", now[1]-before[1], outLeft)
	}
	// What the guest answered has left it so many.
	to := netip.AddrPortFrom(netip.MustParseAddr(numbersInner), port)
	arrived := n.Clients[0].CountUDP(to.String())
	for range inLeft + more {
		n.guest.Call("Emit", agent.Packet{From: netip.AddrPortFrom(netip.MustParseAddr(inside4), port), To: to, Octets: 100}, &struct{}{})
	}
	n.Eventually(upLimit, "the kernel seals no more", func() (bool, string) {
		now := n.counters(t)["XfrmOutStateSeqError"]
		return now == refused+more, fmt.Sprint(refused, now)
	})
	n.Eventually(upLimit, "the engine has opened the kernel's last", func() (bool, string) {
		got := n.ourCounts(t)[numbersSPIIn].packets
		return got == outLeft+inLeft, fmt.Sprint(got)
	})
	if packets, _, _ := arrived.Stop(); packets != inLeft {
		t.Errorf("%d of the guest's packets arrived, expected %d", packets, inLeft)
	}
	state := n.guest.Exec("ip", "-s", "xfrm", "state")
	for _, want := range []string{"oseq-hi 0x0, oseq 0xffffffff", "seq-hi 0x0, seq 0xffffffff"} {
		if !strings.Contains(state, want) {
			t.Errorf("the kernel's SAs have not come to their last number (%s):\n%s", want, state)
		}
	}
	if dump := n.cli(t, "dump"); strings.Contains(dump, fmt.Sprintf("spi=%d(", numbersSPIOut)) {
		t.Errorf("the SA that may seal nothing more is still there:\n%s", dump)
	}
}
