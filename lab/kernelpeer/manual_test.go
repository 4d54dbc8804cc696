// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// SAs with keys by hand, without IKE: `natterjack pfkey serve` with `pfkey add` and `pfkey policy add` on the host, `ip xfrm` in the
// guest. ESP in all its encapsulations, AH, IPComp and bundles, in both modes and families.

package kernelpeer

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

const (
	// The ports of ESP in UDP at both ends: charon has 500 and 4500.
	nonESPPort, nonIKEPort = 5400, 5500
	// Inner addresses of the client, behind its tunnels.
	client4, client6 = "10.30.0.77", "fd30::77"
)

// algorithm is one of both sides' names for one thing.
type algorithm struct {
	proto      string   // as natterjack's command line has it
	ours       []string // behind its SPI
	encr, auth int      // octets of the keys
	kernel     []string // of ip xfrm state; E and A are the keys
}

func cbc() algorithm {
	return algorithm{"esp", []string{"-E", "aes-cbc", "-A", "hmac-sha256"}, 16, 32, strings.Fields("enc cbc(aes) E auth-trunc hmac(sha256) A 128")}
}

func gcm() algorithm {
	return algorithm{"esp", []string{"-E", "aes-gcm-16"}, 36, 0, strings.Fields("aead rfc4106(gcm(aes)) E 128")}
}

func ctr() algorithm {
	return algorithm{"esp", []string{"-E", "aes-ctr", "-A", "hmac-sha384"}, 36, 48, strings.Fields("enc rfc3686(ctr(aes)) E auth-trunc hmac(sha384) A 192")}
}

func des() algorithm {
	return algorithm{"esp", []string{"-E", "3des-cbc", "-A", "hmac-sha512"}, 24, 64, strings.Fields("enc cbc(des3_ede) E auth-trunc hmac(sha512) A 256")}
}

func ccm() algorithm {
	return algorithm{"esp", []string{"-E", "aes-ccm-8"}, 19, 0, strings.Fields("aead rfc4309(ccm(aes)) E 64")}
}

func null() algorithm {
	return algorithm{"esp", []string{"-E", "null", "-A", "hmac-sha1"}, 0, 20, strings.Fields("enc ecb(cipher_null) E auth-trunc hmac(sha1) A 96")}
}

func ahSHA256() algorithm {
	return algorithm{"ah", []string{"-A", "hmac-sha256"}, 0, 32, strings.Fields("auth-trunc hmac(sha256) A 128")}
}

func ahSHA1() algorithm {
	return algorithm{"ah", []string{"-A", "hmac-sha1"}, 0, 20, strings.Fields("auth-trunc hmac(sha1) A 96")}
}

func ahXCBC() algorithm {
	return algorithm{"ah", []string{"-A", "aes-xcbc-mac"}, 0, 16, strings.Fields("auth-trunc xcbc(aes) A 96")}
}

func deflate() algorithm {
	return algorithm{"ipcomp", []string{"-C", "deflate"}, 0, 0, strings.Fields("comp deflate")}
}

// words are what ip xfrm state says of the algorithms and keys.
func (a algorithm) words(encr, auth []byte) []string {
	list := make([]string, len(a.kernel))
	for i, word := range a.kernel {
		switch word {
		case "E":
			word = "0x" + hex.EncodeToString(encr)
		case "A":
			word = "0x" + hex.EncodeToString(auth)
		}
		list[i] = strings.TrimSuffix(word, "0x") // NULL has an empty key
	}
	return list
}

// manualCase is one bundle, innermost first, each way; the first has the mode, the others are in transport mode.
type manualCase struct {
	name         string
	ipv6, tunnel bool
	bundle       []algorithm
	encap        string // espinudp, espinudp-nonike; empty: none
}

func manualCases() []manualCase {
	return []manualCase{
		{name: "tunnel, ESP with CTR", tunnel: true, bundle: []algorithm{ctr()}},
		{name: "tunnel, ESP with 3DES over IPv6", tunnel: true, ipv6: true, bundle: []algorithm{des()}},
		{name: "transport, ESP with CCM", bundle: []algorithm{ccm()}},
		{name: "transport, ESP with NULL over IPv6", ipv6: true, bundle: []algorithm{null()}},
		{name: "tunnel, ESP in UDP", tunnel: true, bundle: []algorithm{cbc()}, encap: "espinudp"},
		{name: "transport, ESP in UDP", bundle: []algorithm{gcm()}, encap: "espinudp"},
		{name: "transport, ESP in UDP over IPv6", ipv6: true, bundle: []algorithm{cbc()}, encap: "espinudp"},
		{name: "tunnel, ESP in UDP with the non-IKE marker", tunnel: true, bundle: []algorithm{gcm()}, encap: "espinudp-nonike"},
		{name: "transport, ESP in UDP with the non-IKE marker", bundle: []algorithm{cbc()}, encap: "espinudp-nonike"},
		{name: "tunnel, AH", tunnel: true, bundle: []algorithm{ahSHA256()}},
		{name: "tunnel, AH over IPv6", tunnel: true, ipv6: true, bundle: []algorithm{ahXCBC()}},
		{name: "transport, AH", bundle: []algorithm{ahSHA1()}},
		{name: "transport, AH over IPv6", ipv6: true, bundle: []algorithm{ahSHA256()}},
		{name: "transport, ESP in AH", bundle: []algorithm{cbc(), ahSHA1()}},
		{name: "tunnel, ESP in AH over IPv6", tunnel: true, ipv6: true, bundle: []algorithm{gcm(), ahSHA256()}},
		{name: "tunnel, IPComp in ESP", tunnel: true, bundle: []algorithm{deflate(), cbc()}},
		{name: "transport, IPComp in ESP in AH", bundle: []algorithm{deflate(), gcm(), ahSHA256()}},
	}
}

// manual is an engine without IKE on the client, and what is typed at both ends.
type manual struct {
	*world
	proc            *netlab.Process
	socket, dialect string
}

// newManual starts the engine.
func newManual(t *testing.T, w *world) *manual {
	t.Helper()
	m := &manual{world: w, socket: filepath.Join(w.Dir, "manual.pfkey"), dialect: "linux"}
	c := w.Clients[0]
	w.guest.GuestIP("route add "+client4+" via 198.51.100.1", "-6 route add "+client6+" via 2001:db8:100::1")
	c.IP("addr add "+client4+"/32 dev lo", "-6 addr add "+client6+"/128 dev lo nodad")
	for _, p := range []agent.EncapPort{{Port: nonESPPort, Type: agent.EncapNonESP}, {Port: nonESPPort, Type: agent.EncapNonESP, IPv6: true},
		{Port: nonIKEPort, Type: agent.EncapNonIKE}} {
		w.guest.Call("Encap", p, &struct{}{})
	}
	m.proc = c.Start("manual", nil, w.Binary(), "pfkey", "serve", "--log-level", "debug", "--state", filepath.Join(w.Dir, "manual-state"),
		"--pfkey", m.socket+"=linux", "--encap", strconv.Itoa(nonESPPort), "--encap", strconv.Itoa(nonIKEPort)+"=udp-non-ike")
	w.Eventually(upLimit, "the PF_KEY service listens", func() (bool, string) {
		_, err := os.Stat(m.socket + ".ports")
		return err == nil, m.proc.Log()
	})
	return m
}

func (m *manual) close() {
	m.proc.Stop(syscall.SIGTERM, 4*time.Second)
	m.Clients[0].IP("addr del "+client4+"/32 dev lo", "-6 addr del "+client6+"/128 dev lo")
}

// cli is natterjack's command line against the engine.
func (m *manual) cli(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.Clients[0].Try(append(append([]string{m.Binary(), "pfkey"}, args...), "--socket", m.socket, "--dialect", m.dialect)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kernel is ip xfrm in the guest.
func (m *manual) kernel(t *testing.T, args ...string) {
	t.Helper()
	if _, err := m.guest.TryRun(append([]string{"ip", "xfrm"}, args...)...); err != nil {
		t.Fatal(err)
	}
}

// flush leaves both ends without SAs and policies.
func (m *manual) flush(t *testing.T) {
	t.Helper()
	m.kernel(t, "policy", "flush")
	m.kernel(t, "state", "flush")
	m.cli(t, "flush", "--policies")
	m.cli(t, "flush")
}

// key is a key of n octets of its own for everything that asks.
func key(salt, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(salt*37 + i*11 + 1)
	}
	return b
}

func (c manualCase) mode(i int) string {
	if i == 0 && c.tunnel {
		return "tunnel"
	}
	return "transport"
}

// outside are the addresses of the SAs, inside those of the packets.
func (c manualCase) outside() (client, guest string) {
	client, _, guest = peerCase{ipv6: c.ipv6}.ends(nil)
	return client, guest
}

func (c manualCase) inside() (client, guest string) {
	switch {
	case !c.tunnel:
		return c.outside()
	case c.ipv6:
		return client6, inside6
	}
	return client4, inside4
}

// add gives both ends the SAs of one direction, of which out is the client's: keys by a file, as the command line wants them.
func (m *manual) add(t *testing.T, c manualCase, out bool) {
	t.Helper()
	t.Helper()
	src, dst := c.outside()
	salt := 0x10
	if !out {
		src, dst, salt = dst, src, 0x20
	}
	for i, a := range c.bundle {
		spi := fmt.Sprintf("0x%x", 0x1000+salt+i)
		e, k := key(salt+2*i, a.encr), key(salt+2*i+1, a.auth)
		ours := append([]string{"add", src, dst, a.proto, spi, "-m", c.mode(i)}, a.ours...)
		if a.proto != "ipcomp" {
			ours = append(ours, "-r", "64", "--key-file", m.keyFile(t, e, k))
		}
		kernel := []string{"state", "add", "src", src, "dst", dst, "proto", kernelProto(a.proto), "spi", spi, "mode", c.mode(i)}
		if a.proto != "ipcomp" {
			kernel = append(kernel, "replay-window", "32") // of IPComp, which has no numbers, it would refuse every packet
		}
		kernel = append(kernel, a.words(e, k)...)
		if c.encap != "" && a.proto == "esp" {
			port := strconv.Itoa(nonESPPort)
			if c.encap == "espinudp-nonike" {
				port = strconv.Itoa(nonIKEPort)
				ours = append(ours, "--non-ike")
			}
			ours = append(ours, "--natt", port+":"+port)
			kernel = append(kernel, "encap", c.encap, port, port, "0.0.0.0")
		}
		m.cli(t, ours...)
		m.kernel(t, kernel...)
	}
}

func kernelProto(name string) string {
	if name == "ipcomp" {
		return "comp"
	}
	return name
}

func (m *manual) keyFile(t *testing.T, e, a []byte) string {
	t.Helper()
	var b strings.Builder
	if len(e) > 0 {
		fmt.Fprintf(&b, "E 0x%x\n", e)
	}
	if len(a) > 0 {
		fmt.Fprintf(&b, "A 0x%x\n", a)
	}
	path := filepath.Join(m.Dir, "manual.keys")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// policy gives both ends the policies of one direction.
func (m *manual) policy(t *testing.T, c manualCase, out bool) {
	t.Helper()
	from, to := c.inside()
	src, dst := c.outside()
	ours, theirs := "out", "in"
	if !out {
		from, to, src, dst, ours, theirs = to, from, dst, src, theirs, ours
	}
	args := []string{"policy", "add", from, to, "any", "-P", ours, "ipsec"}
	kernel := []string{"policy", "add", "src", from, "dst", to, "dir", theirs}
	for i, a := range c.bundle {
		ends, level, kernelLevel := "", "require", "required"
		if a.proto == "ipcomp" {
			level = "use" // what is too short is not compressed
			if theirs == "in" || !c.tunnel {
				kernelLevel = "use" // which no outgoing tunnel may be
			}
		}
		if c.mode(i) == "tunnel" {
			ends = src + "-" + dst
		}
		args = append(args, a.proto+"/"+c.mode(i)+"/"+ends+"/"+level)
		kernel = append(kernel, "tmpl", "src", src, "dst", dst, "proto", kernelProto(a.proto), "mode", c.mode(i), "level", kernelLevel)
	}
	m.cli(t, args...)
	m.kernel(t, kernel...)
}

var packetCount = regexp.MustCompile(`proto (\w+) spi[\s\S]*?(\d+)\(packets\)`)

// run is the whole of a case.
func (c manualCase) run(t *testing.T, m *manual) {
	m.translate(t, false)
	m.flush(t)
	for _, out := range []bool{true, false} {
		m.add(t, c, out)
		m.policy(t, c, out)
	}
	before := m.counters(t)
	capture := m.Router.Capture("wan")
	client, guest := c.inside()
	m.explained(t, m.Clients[0].Ping(3*time.Second, "-I", client, guest))
	m.explained(t, m.Clients[0].Ping(3*time.Second, "-s", "1200", "-p", "41", "-I", client, guest))
	_, err := m.guest.TryRun("ping", "-c", "1", "-W", "3", "-s", "1200", "-I", guest, client)
	m.explained(t, err)
	m.same(t, false, false, c.authentic()...)
	pattern := netlab.NewPattern()
	m.transfer(t, client, guest, pattern)
	if !c.compresses() {
		m.Eventually(upLimit, "the capture has it all", func() (bool, string) {
			info, err := os.Stat(capture.Path)
			return err == nil && info.Size() > 2*octets, fmt.Sprint(err)
		})
	}
	m.same(t, false, true, c.authentic()...)
	packets := capture.Stop()
	if err := c.outer().look(m.world, packets, pattern); err != nil {
		t.Errorf("outer link: %v", err)
	}
	for name, n := range m.counters(t) {
		if n != before[name] {
			t.Errorf("the kernel counted %s %d times", name, n-before[name])
		}
	}
	state := m.guest.Exec("ip", "-s", "xfrm", "state")
	used := 0
	for _, match := range packetCount.FindAllStringSubmatch(state, -1) {
		if match[2] != "0" {
			used++
		}
	}
	if used < 2*len(c.bundle) {
		t.Errorf("%d SAs of the kernel carried packets, expected %d:\n%s", used, 2*len(c.bundle), state)
	}
}

// authentic are the SPIs of all but IPComp, whose sender counts also what it leaves as it is.
func (c manualCase) authentic() []spis {
	var list []spis
	for i, a := range c.bundle {
		if a.proto != "ipcomp" {
			list = append(list, spis{0x1010 + i, 0x1020 + i})
		}
	}
	return list
}

func (c manualCase) compresses() bool { return c.bundle[0].proto == "ipcomp" }

// outer is the case as the outer link's judge has it.
func (c manualCase) outer() peerCase {
	p := peerCase{ipv6: c.ipv6}
	last := c.bundle[len(c.bundle)-1]
	p.udp = c.encap != ""
	if last.proto == "ah" {
		p.ah = "ah"
	}
	for _, a := range c.bundle {
		if a.encr > 0 {
			p.esp = a.ours[1]
		}
	}
	return p
}

// explained fails with what the kernel and the engine count.
func (m *manual) explained(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\n%s\n%s\n%s", err, m.kernelErrors(), m.cli(t, "dump"), m.cli(t, "policies"))
	}
}
