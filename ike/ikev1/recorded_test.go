// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recording is a conversation of two hosts with all its keys, as one line a value and one line a message.
type recording struct {
	values   map[string]string
	messages []recorded
}

type recorded struct {
	byInitiator bool
	from        netip.AddrPort
	octets      []byte
}

func readRecording(t testing.TB, name string) recording {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded-" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	r := recording{values: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(f) == 3:
			r.messages = append(r.messages, recorded{f[0] == "i", netip.MustParseAddrPort(f[1]), unhex(t, f[2])})
		default:
			r.values[f[0]] = f[1]
		}
	}
	return r
}

func (r recording) secret(t testing.TB, name string) secret.Key {
	t.Helper()
	return secret.New(unhex(t, r.values[name]))
}

// reader takes a recording apart with our own code, message after message, and encrypts each again.
type reader struct {
	t         testing.TB
	r         recording
	suite     Suite
	keys      keys
	phase1    phase1
	chain     chain
	clear     []*ikev1msg.Message // of phase 1, before encryption
	next      int
	exchanges []string // what each message after phase 1 was
}

// read prepares a recording: what went in the clear, the keys of it, and the chain of phase 1. clear is how many messages of phase 1
// were not encrypted.
func read(t testing.TB, name string, clear int) *reader {
	t.Helper()
	x := &reader{t: t, r: readRecording(t, name), next: clear}
	for _, m := range x.r.messages[:clear] {
		parsed, err := ikev1msg.Parse(m.octets)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.Append(nil), m.octets) {
			t.Errorf("%s does not append to its own octets", parsed.Summary())
		}
		x.clear = append(x.clear, parsed)
	}
	x.negotiated()
	for i, m := range x.clear {
		for j, p := range m.Payloads {
			x.exchanged(x.r.messages[i].byInitiator, m, j, p)
		}
	}
	x.phase1.ckyI, x.phase1.ckyR = x.clear[1].SPIi, x.clear[1].SPIr
	var err error
	psk := x.r.secret(t, "psk")
	if x.keys, err = deriveKeys(x.suite, psk, x.r.secret(t, "g_ir"), &x.phase1); err != nil {
		t.Fatal(err)
	}
	x.chain = newChain(x.suite, &x.keys, &x.phase1)
	return x
}

// negotiated reads the suite from the responder's SA payload.
func (x *reader) negotiated() {
	sa := ikev1msg.All[*ikev1msg.SA](x.clear[1].Payloads)[0]
	p, err := sa.Proposals[0].Transforms[0].Phase1()
	if err != nil {
		x.t.Fatal(err)
	}
	if x.suite, err = suiteOf(p); err != nil {
		x.t.Fatal(err)
	}
	if x.suite.String() != x.r.values["proposal"] {
		x.t.Errorf("suite %s, recorded %s", x.suite, x.r.values["proposal"])
	}
}

// exchanged keeps what payload j of a message in the clear says.
func (x *reader) exchanged(byInitiator bool, m *ikev1msg.Message, j int, p ikev1msg.Payload) {
	body := m.Body(j)
	switch p.(type) {
	case *ikev1msg.SA:
		if byInitiator {
			x.phase1.saI = body
		}
	case *ikev1msg.KE:
		if byInitiator {
			x.phase1.gxi = body
		} else {
			x.phase1.gxr = body
		}
	case *ikev1msg.Nonce:
		if byInitiator {
			x.phase1.ni = body
		} else {
			x.phase1.nr = body
		}
	}
}

// wantKeys compares every key and the first IV with what the daemon wrote down.
func (x *reader) wantKeys() {
	x.t.Helper()
	for name, k := range map[string]secret.Key{"SKEYID": x.keys.skeyid, "SKEYID_d": x.keys.skeyidD, "SKEYID_a": x.keys.skeyidA,
		"SKEYID_e": x.keys.skeyidE, "Ka": x.keys.ka, "IV": secret.New(x.chain.last())} {
		if !k.Equal(x.r.secret(x.t, name)) || k.IsZero() {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
	if fmt.Sprintf("%016x", x.phase1.ckyI) != x.r.values["spi_i"] || fmt.Sprintf("%016x", x.phase1.ckyR) != x.r.values["spi_r"] {
		x.t.Error("the cookies differ from the recording")
	}
}

// again encrypts what a message contained from a copy of the chain before it: the payloads appended by the codec, and the padding
// as it was.
func (x *reader) again(before chain, m *ikev1msg.Message, c *ikev1msg.Chain, octets []byte) {
	x.t.Helper()
	first, plain := ikev1msg.AppendPayloads(nil, c.Payloads)
	if bytes.Equal(plain, nil) || !bytes.Equal(before.encrypt(m.Header, first, append(plain, c.Padding()...)), octets) {
		x.t.Errorf("%s is not encrypted to the same octets again", m.Summary())
	}
}

// wantHash verifies the HASH of a side in c, whose ID payload is in ids, and makes it again.
func (x *reader) wantHash(initiator bool, ids, c *ikev1msg.Chain) {
	x.t.Helper()
	i, err := idIn(ids)
	if err != nil {
		x.t.Fatal(err)
	}
	data, err := proofIn(x.suite.Auth, initiator, c.Payloads)
	if err != nil {
		x.t.Fatal(err)
	}
	p := proof{suite: x.suite, keys: &x.keys, phase1: &x.phase1, initiator: initiator, id: ids.Body(i)}
	if err := p.verify(data, nil, nil); err != nil {
		x.t.Errorf("HASH (initiator: %t): %v", initiator, err)
	}
	ours, err := p.payload(nil, nil)
	if err != nil || !bytes.Equal(ours.(*ikev1msg.Hash).Data, data) {
		x.t.Errorf("HASH (initiator: %t) of ours: %v", initiator, err)
	}
	p.initiator = !initiator
	if p.verify(data, nil, nil) == nil {
		x.t.Error("the HASH of one side is that of the other")
	}
}

// sealedPhase1 reads the next message, an encrypted one of phase 1.
func (x *reader) sealedPhase1() (recorded, *ikev1msg.Chain) {
	x.t.Helper()
	r := x.r.messages[x.next]
	x.next++
	m, err := ikev1msg.Parse(r.octets)
	if err != nil {
		x.t.Fatal(err)
	}
	before := x.chain
	t, err := x.chain.decrypt(m, r.octets)
	if err != nil {
		x.t.Fatal(err)
	}
	if !unmoved(x.chain, before) {
		x.t.Error("the chain moved before the message was authenticated")
	}
	x.again(before, m, t.chain, r.octets)
	if err := x.chain.take(t); err != nil {
		x.t.Fatal(err)
	}
	return r, t.chain
}

// unmoved reports whether a chain is where it was.
func unmoved(a, b chain) bool {
	return a.iv == b.iv && a.moves == b.moves && a.known == b.known && a.taken == b.taken
}

// quick is what a Quick Mode negotiated.
type quick struct {
	ni, nr     []byte
	spiI, spiR uint32
}

// phase2 reads all that follows phase 1, each message with the HASH that its place in its exchange has.
func (x *reader) phase2() quick {
	x.t.Helper()
	p := newProtection(x.suite, x.keys, x.chain)
	open := map[uint32]*exchange{}
	count := map[uint32]int{}
	var q quick
	for _, r := range x.r.messages[x.next:] {
		m, err := ikev1msg.Parse(r.octets)
		if err != nil {
			x.t.Fatal(err)
		}
		count[m.MessageID]++
		covers := first(m.MessageID)
		if ikev1msg.Exchange(m.Exchange) == ikev1msg.QuickMode {
			switch count[m.MessageID] {
			case 2:
				covers = second(m.MessageID, q.ni)
			case 3:
				covers = third(m.MessageID, q.ni, q.nr)
			}
		}
		before, _ := x.chain.exchange(m.MessageID)
		if e := open[m.MessageID]; e != nil {
			before = e.chain
		}
		o := x.openOne(p, open, m, r.octets, covers)
		x.wantSealed(before, m, covers, o, r.octets)
		x.exchanges = append(x.exchanges, ikev1msg.Exchange(m.Exchange).String()+" "+ikev1msg.SummaryOf(o.payloads))
		if ikev1msg.Exchange(m.Exchange) == ikev1msg.QuickMode && count[m.MessageID] < 3 {
			q.add(x.t, count[m.MessageID] == 1, o)
		}
	}
	return q
}

func (x *reader) openOne(p *protection, open map[uint32]*exchange, m *ikev1msg.Message, octets []byte, c covered) opened {
	x.t.Helper()
	var o opened
	var err error
	if e := open[m.MessageID]; e != nil {
		o, err = e.open(m, octets, c)
	} else {
		open[m.MessageID], o, err = p.open(m, octets)
	}
	if err != nil {
		x.t.Fatalf("%s: %v", m.Summary(), err)
	}
	return o
}

// wantSealed makes the message again from its payloads: its HASH computed, padded as it was.
func (x *reader) wantSealed(before chain, m *ikev1msg.Message, c covered, o opened, octets []byte) {
	x.t.Helper()
	copied := before
	t, err := copied.decrypt(m, octets)
	if err != nil {
		x.t.Fatal(err)
	}
	x.again(before, m, t.chain, octets)
	e := exchange{keys: &x.keys, chain: before}
	sealed := e.seal(m.Header, c, o.payloads)
	if n := len(t.chain.Padding()); n >= before.block() { // charon pads a whole block where none is needed; we do not
		if want := len(octets) - before.block(); len(sealed) != want || !bytes.Equal(sealed[28:], octets[28:want]) {
			x.t.Errorf("%s is not sealed to the same octets", m.Summary())
		}
	} else if zero := bytes.Equal(t.chain.Padding(), make([]byte, n)); zero && !bytes.Equal(sealed, octets) {
		x.t.Errorf("%s is not sealed to the same octets", m.Summary())
	}
}

func (q *quick) add(t testing.TB, byInitiator bool, o opened) {
	t.Helper()
	nonce, sa := ikev1msg.All[*ikev1msg.Nonce](o.payloads), ikev1msg.All[*ikev1msg.SA](o.payloads)
	if len(nonce) != 1 || len(sa) != 1 {
		t.Fatal("no SA and nonce in the Quick Mode")
	}
	spi, _ := strconv.ParseUint(hex.EncodeToString(sa[0].Proposals[0].SPI), 16, 32)
	if byInitiator {
		q.ni, q.spiI = nonce[0].Data, uint32(spi)
	} else {
		q.nr, q.spiR = nonce[0].Data, uint32(spi)
	}
}

func (x *reader) wantChild(q quick) {
	x.t.Helper()
	if fmt.Sprintf("%08x", q.spiR) != x.r.values["child_spi_in"] || fmt.Sprintf("%08x", q.spiI) != x.r.values["child_spi_out"] {
		x.t.Error("the SPIs differ from the recording")
	}
	c := child{protocol: ikev1msg.ProtoESP, suite: suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196},
		spiI: q.spiI, spiR: q.spiR, ni: q.ni, nr: q.nr}
	if c.suite.String() != x.r.values["child_proposal"] {
		x.t.Errorf("recorded %s", x.r.values["child_proposal"])
	}
	k := deriveChild(x.suite.Hash, x.keys.skeyidD, &c)
	for name, k := range map[string]secret.Key{"child_enc_i": k.encrI, "child_enc_r": k.encrR, "child_int_i": k.integI, "child_int_r": k.integR} {
		if !k.Equal(x.r.secret(x.t, name)) {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
}

// wantNAT: the gateway of the recordings is at 198.51.100.10, the NAT before the client at 198.51.100.1, the client at 192.168.77.2.
// The data planes were kernel-libipsec, for which charon makes its peer see a NAT that is not there. from is where the client's payloads
// came from, and port the gateway's that they hash.
func (x *reader) wantNAT(byInitiator, byResponder []ikev1msg.Payload, from netip.AddrPort, port uint16) {
	x.t.Helper()
	v, _ := ikev1msg.FindNATT(unhex(x.t, "4a131c81070358455c5728f20e95452f"))
	gw := ike.Path{Local: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.10"), port), Remote: from}
	floated := ike.Path{Local: netip.MustParseAddrPort("198.51.100.10:4500"), Remote: from}
	if local, remote, ok := natDetect(v, byInitiator, x.suite, &x.phase1, floated, gw); local || !remote || !ok {
		x.t.Errorf("the gateway finds a NAT before itself: %t, before its client: %t (supported: %t)", local, remote, ok)
	}
	cl := ike.Path{Local: netip.MustParseAddrPort("192.168.77.2:500"), Remote: netip.MustParseAddrPort("198.51.100.10:500")}
	if local, remote, ok := natDetect(v, byResponder, x.suite, &x.phase1, cl); !local || !remote || !ok {
		x.t.Errorf("the client finds a NAT before itself: %t, before its gateway: %t (supported: %t)", local, remote, ok)
	}
	cl.Remote = gw.Local
	theirs, ours := ikev1msg.All[*ikev1msg.NATD](byInitiator), natPayloads(v, x.suite, &x.phase1, cl, false)
	if theirs[0].Num != v.NATD || !bytes.Equal(theirs[0].Data, ours[0].(*ikev1msg.NATD).Data) {
		x.t.Error("the client's NAT-D payload of the gateway differs from ours")
	}
}

func (x *reader) wantExchanges(want ...string) {
	x.t.Helper()
	if !slices.Equal(x.exchanges, want) {
		x.t.Errorf("exchanges:\n%s\nexpected:\n%s", strings.Join(x.exchanges, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecordedMainPSK(t *testing.T) {
	x := read(t, "ikev1-main-psk", 4)
	x.wantKeys()
	x.wantNAT(x.clear[2].Payloads, x.clear[3].Payloads, x.r.messages[2].from, 500)
	for _, initiator := range []bool{true, false} {
		r, c := x.sealedPhase1()
		if r.byInitiator != initiator {
			t.Fatal("the recording has another order")
		}
		x.wantHash(initiator, c, c)
	}
	x.wantChild(x.phase2())
	x.wantExchanges(
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { D(ESP 6fcdc3d7) }", "INFORMATIONAL { D(ISAKMP 4591fe3a0a0426b2b05f68454fff5b47) }",
	)
}

// aggressive reads a phase 1 in aggressive mode: the responder proves itself in the clear, the initiator encrypted.
// It floated, and hashes port.
func (x *reader) aggressive(payloads string, port uint16) {
	x.t.Helper()
	x.wantKeys()
	x.wantHash(false, &x.clear[1].Chain, &x.clear[1].Chain)
	r, c := x.sealedPhase1()
	x.wantHash(true, &x.clear[0].Chain, c)
	x.wantNAT(c.Payloads, x.clear[1].Payloads, r.from, port)
	if got := ikev1msg.SummaryOf(c.Payloads); got != payloads {
		x.t.Errorf("the last message of phase 1 has %s", got)
	}
}

func TestRecordedAggressiveXAUTH(t *testing.T) {
	x := read(t, "ikev1-agg-xauth", 2)
	x.aggressive("{ HASH NAT-D NAT-D }", 4500)
	x.wantChild(x.phase2())
	x.wantExchanges(
		"TRANSACTION { CONFIG(REQUEST XAUTH_USER_NAME XAUTH_USER_PASSWORD) }", "TRANSACTION { CONFIG(REPLY XAUTH_USER_NAME XAUTH_USER_PASSWORD) }",
		"TRANSACTION { CONFIG(SET XAUTH_STATUS) }", "TRANSACTION { CONFIG(ACK XAUTH_STATUS) }",
		"TRANSACTION { CONFIG(REQUEST INTERNAL_IP4_ADDRESS UNITY_SPLIT_INCLUDE UNITY_LOCAL_LAN) }",
		"TRANSACTION { CONFIG(REPLY INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS UNITY_SPLIT_INCLUDE) }",
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { D(ESP 47607ff9) }", "INFORMATIONAL { D(ISAKMP 673bded5cbbe2b1b7847b49c883c1cc7) }",
	)
}

// TestRecordedVpnc: 256 bits of AES from 160 of SHA-1 need the cipher's key expanded.
func TestRecordedVpnc(t *testing.T) {
	x := read(t, "vpnc-natt", 2)
	x.aggressive("{ HASH N(INITIAL_CONTACT) V V NAT-D NAT-D }", 500)
	x.wantChild(x.phase2())
	x.wantExchanges(
		"TRANSACTION { CONFIG(REQUEST XAUTH_USER_NAME XAUTH_USER_PASSWORD) }", "TRANSACTION { CONFIG(REPLY XAUTH_USER_NAME XAUTH_USER_PASSWORD) }",
		"TRANSACTION { CONFIG(SET XAUTH_STATUS) }", "TRANSACTION { CONFIG(ACK XAUTH_STATUS) }",
		"TRANSACTION { CONFIG(REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_NETMASK INTERNAL_IP4_DNS INTERNAL_IP4_NBNS UNITY_DEF_DOMAIN UNITY_FW_TYPE "+
			"UNITY_PFS UNITY_BANNER UNITY_SAVE_PASSWD UNITY_SPLIT_INCLUDE UNITY_SPLITDNS_NAME UNITY_DDNS_HOSTNAME APPLICATION_VERSION) }",
		"TRANSACTION { CONFIG(REPLY INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS UNITY_SPLIT_INCLUDE) }",
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { N(R_U_THERE) }", "INFORMATIONAL { N(R_U_THERE_ACK) }",
		"INFORMATIONAL { D(ESP 9f784126 0f50847c) }", "INFORMATIONAL { D(ISAKMP 3ef16ab66a998df42c3fb4b9d7233497) }",
	)
}
