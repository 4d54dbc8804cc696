// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What both ends count of the same SAs, and what the outer link held.

package kernelpeer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const (
	protoIPComp, protoTCP, protoFragment = 108, 6, 44
	// sameLimit is for what is on its way.
	sameLimit = 5 * time.Second
)

// passed is what an SA has carried.
type passed struct{ packets, octets int }

var kernelSA = regexp.MustCompile(`proto (\w+) spi 0x([0-9a-f]+)\S*[\s\S]*?lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)`)

// kernelCounts are of the guest's SAs and of its second gateway's, by their SPIs. (The SA that the kernel makes by itself for what an IPComp
// tunnel leaves as it is has protocol ipencap.)
func (m *manual) kernelCounts(t *testing.T, second bool) map[int]passed {
	t.Helper()
	text := m.guest.Exec("ip", "-s", "xfrm", "state")
	if second {
		text += m.guest.Exec(in(true, "ip", "-s", "xfrm", "state")...)
	}
	all := map[int]passed{}
	for _, match := range kernelSA.FindAllStringSubmatch(text, -1) {
		spi, _ := strconv.ParseInt(match[2], 16, 64)
		octets, _ := strconv.Atoi(match[3])
		packets, _ := strconv.Atoi(match[4])
		if match[1] == "esp" || match[1] == "ah" || match[1] == "comp" {
			all[int(spi)] = passed{packets, octets}
		}
	}
	return all
}

// ourCounts are of the engine's.
func (m *manual) ourCounts(t *testing.T) map[int]passed {
	t.Helper()
	var list []struct{ SPI, Bytes, Packets int }
	if err := json.Unmarshal([]byte(m.cli(t, "dump", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[int]passed{}
	for _, sa := range list {
		all[sa.SPI] = passed{sa.Packets, sa.Bytes}
	}
	return all
}

// spis are an SA each way, by the client's directions.
type spis struct{ out, in int }

// lossPart is which part of a TCP transfer may be lost on the way, between a sender and a receiver that both say the truth: the machines are busy.
// What a receiver refuses it counts, and that has to be nothing (errors).
const lossPart = 20

// same waits until both ends have counted the same packets and octets of the SAs; with lossy the receiver may have fewer, a part.
func (m *manual) same(t *testing.T, second, lossy bool, list ...spis) {
	t.Helper()
	equal := func(sent, got passed) bool {
		return got == sent || lossy && got.packets < sent.packets && got.octets < sent.octets && sent.packets-got.packets <= sent.packets/lossPart
	}
	var wrong []string
	for deadline := time.Now().Add(sameLimit); ; {
		ours, theirs := m.ourCounts(t), m.kernelCounts(t, second)
		wrong = nil
		for _, sa := range list {
			if a, b := ours[sa.out], theirs[sa.out]; !equal(a, b) || b.packets == 0 {
				wrong = append(wrong, fmt.Sprintf("SPI 0x%x: %+v sent, the kernel received %+v", sa.out, a, b))
			}
			if a, b := ours[sa.in], theirs[sa.in]; !equal(b, a) || a.packets == 0 {
				wrong = append(wrong, fmt.Sprintf("SPI 0x%x: %+v received, the kernel sent %+v", sa.in, a, b))
			}
		}
		if wrong == nil {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Fatalf("the ends do not count the same:\n%s\n%s", strings.Join(wrong, "\n"), m.kernelErrors())
}

// agree is same for a case's ESP and AH; of IPComp, who sends counts also what it leaves as it is.
func (c layersCase) agree(t *testing.T, m *manual, lossy bool) {
	t.Helper()
	var list []spis
	for i, l := range c.layers {
		if l.proto != "ipcomp" {
			list = append(list, spis{c.spi(i, true), c.spi(i, false)})
		}
	}
	m.same(t, c.second(), lossy, list...)
	ours, theirs := m.ourCounts(t), m.kernelCounts(t, c.second())
	for i, l := range c.layers {
		if l.proto != "ipcomp" {
			continue
		}
		for _, out := range []bool{true, false} {
			sent, received := ours[c.spi(i, out)], theirs[c.spi(i, out)]
			if !out {
				sent, received = received, sent
			}
			if received.packets == 0 || received.packets > sent.packets || received.octets > sent.octets {
				t.Errorf("IPComp, from the client %v: %+v sent, %+v received", out, sent, received)
			}
			t.Logf("IPComp, from the client %v: %+v sent, %+v received", out, sent, received)
		}
	}
}

// errors are the guest's counters of errors that are not zero, and its second gateway's.
func (m *manual) errors(t *testing.T) string {
	t.Helper()
	const show = "grep -v '[^0-9]0$' /proc/net/xfrm_stat"
	return m.guest.Exec("sh", "-c", show+"; ip netns exec "+secondName+" "+show+"; true")
}

// settled stops a capture when it has what was sent.
func settled(t *testing.T, m *manual, capture *netlab.Capture) []netlab.Packet {
	t.Helper()
	m.Eventually(upLimit, "the capture has it all", func() (bool, string) {
		info, err := os.Stat(capture.Path)
		return err == nil && info.Size() > octets, fmt.Sprint(err)
	})
	return capture.Stop()
}

// look fails if the outer link held anything else than the outermost protocol, and the pattern in clear though ESP encrypts.
func (c layersCase) look(t *testing.T, packets []netlab.Packet, pattern []byte) {
	t.Helper()
	last := c.layers[len(c.layers)-1]
	want := map[string]uint8{"esp": protoESP, "ah": protoAH, "ipcomp": protoIPComp}[last.proto]
	encrypted := false
	for _, l := range c.layers {
		encrypted = encrypted || l.encr > 0
	}
	count := map[uint8]int{}
	for i := range packets {
		p := &packets[i]
		src, dst := p.Src.Addr().String(), p.Dst.Addr().String()
		if !(src == last.client && dst == last.guest) && !(src == last.guest && dst == last.client) {
			continue
		}
		if p.Protocol == protoFragment {
			p.Protocol = want
		}
		count[p.Protocol]++
		if encrypted && bytes.Contains(p.Frame, pattern) {
			t.Fatalf("packet %d holds the payload's pattern in clear", i+1)
		}
	}
	if count[want] < minPackets {
		t.Errorf("%v packets by protocol, expected at least %d of %d", count, minPackets, want)
	}
	if c.alone() {
		if count[protoTCP] < minPackets {
			t.Errorf("%v packets by protocol, expected at least %d that are not shorter compressed", count, minPackets)
		}
		return
	}
	if len(count) != 1 {
		t.Errorf("%v packets by protocol, expected only %d", count, want)
	}
}

// counters are the guest's counters of errors.
func (w *world) counters(t *testing.T) map[string]int {
	t.Helper()
	return statistics(w.guest.Exec("cat", "/proc/net/xfrm_stat"))
}

// statistics reads lines of a name and a number.
func statistics(text string) map[string]int {
	all := map[string]int{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 {
			all[words[0]], _ = strconv.Atoi(words[1])
		}
	}
	return all
}
