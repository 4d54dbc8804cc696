// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a peer, or who copies its packets, may not have repeated for ever: responses to somebody else, and successors.

package scripts

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// Copies of an authentic request, and of IKE_SA_INIT, have responses sent to where the copy says: not for ever.
func TestRepeatedResponsesAreBounded(t *testing.T) {
	const atMost, copies = 16, 500
	w, a, b := cast(false)
	first := w.Flight[0].IKE
	count := func(f func()) (n int) {
		w.Flight = nil
		for range copies {
			f()
		}
		for _, p := range w.Flight {
			if p.IKE != nil {
				n++
			}
		}
		w.Flight = nil
		return n
	}
	path, _ := a.Path(b.Addrs[0])
	if n := count(func() { b.Receive(path.Local, path.Remote, first) }); n > 1+atMost || n < 5 {
		t.Errorf("IKE_SA_INIT: %d answers to %d copies", n, copies)
	}
	w, a, b = cast(true)
	f := b.Forge(a, true)
	request := f.Message(ikev2msg.Informational, 2, false)
	f.Deliver(request)
	f.From = netip.AddrPortFrom(bystander, 4500)
	if n := count(func() { f.Deliver(request) }); n > atMost || n < 5 {
		t.Errorf("%d answers to %d copies", n, copies)
	}
	w.Advance(20 * time.Second)
	if n := count(func() { f.Deliver(request) }); n < 1 || n > 4 {
		t.Errorf("%d answers to %d copies after 20 s, expected some: the peer may not have any yet", n, copies)
	}
}

// While our rekey is outstanding the peer's may cross it once.
func TestOneCrossingSuccessor(t *testing.T) {
	w, a, _, f := peerOf()
	a.Do(ike.Rekey{})
	w.Flight = nil
	served := 0
	for id := range uint32(4) {
		payloads := offerIKE(a)
		payloads[0].(*ikev2msg.SA).Proposals[0].SPI[0] = byte(id + 1)
		if strings.Contains(answered(t, f, id, payloads), "{ SA") {
			served++
		}
	}
	if served != 1 || a.Claims() != 3 {
		t.Errorf("%d crossing successors of the IKE SA, %d SPIs", served, a.Claims())
	}

	w, a, b, f := peerOf()
	a.Do(ike.Rekey{ChildID: a.SAs()[0].ChildID})
	w.Flight = nil
	served = 0
	for id := range uint32(4) {
		payloads := offer(1, rekeySA(theirSPI(a)))
		payloads[1].(*ikev2msg.SA).Proposals[0].SPI = binary.BigEndian.AppendUint32(nil, 0x20000+id)
		if strings.Contains(answered(t, f, id, payloads), "{ SA") {
			served++
		}
	}
	if served != 1 || len(a.SAs()) != 2 {
		t.Errorf("%d crossing successors of the child, %d children; %s", served, len(a.SAs()), b.Name)
	}
}

// What an initiator does not announce is not announced to it: of a stranger's datagram no more comes back than it has to be.
func TestStrangersLearnNoMore(t *testing.T) {
	w, a, b, m := initRequest(t)
	m.Payloads = slices.DeleteFunc(m.Payloads, func(p ikev2msg.Payload) bool {
		n, ok := p.(*ikev2msg.Notify)
		_, vendor := p.(*ikev2msg.Vendor)
		return vendor || ok && n.Notify != ikev2msg.NATDetectionSourceIP && n.Notify != ikev2msg.NATDetectionDestinationIP
	})
	r := answerTo(t, w, a, b, m)
	if want := "{ SA KEr Nr N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) }"; !strings.HasSuffix(kindsOf(r), want) {
		t.Fatalf("answered by %s, expected %s", kindsOf(r), want)
	}
	if in, out := len(m.Append(nil)), len(r.Append(nil)); 2*out > 3*in {
		t.Errorf("%d octets for %d", out, in)
	}
}
