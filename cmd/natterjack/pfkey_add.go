// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One SA by hand: `natterjack pfkey add` and `natterjack pfkey delete`, with setkey's arguments but for the keys.

package main

import (
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// addOptions are the flags of `pfkey add`.
type addOptions struct {
	pfkeyPath
	mode, encrypt, auth, compress string
	natt, oai, oar, keyFile       string
	reqid                         uint32
	window                        int
	esn, nonIKE                   bool
	hard, soft                    time.Duration
	hardBytes, softBytes          uint64
}

// pfkeyAddCommand is `natterjack pfkey add`.
func pfkeyAddCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add SRC DST esp|ah|ipcomp SPI",
		Short: "Add an SA by hand, as setkey's add does",
		Long: `Adds an SA with keys of your own, which nobody renews: for tests, and for peers that have nothing better. It opens what arrives at DST, or
seals what a policy sends from SRC to DST.

Keys are read from --key-file, or from standard input, and never from the command line: what is written there can be read by every user
of this host, in ps and in the shell's history. A line has the letter of the algorithm and its key, hexadecimal or as text:

  E 0x00112233445566778899aabbccddeeff
  A "twenty octets of text"

The key of aes-ctr, aes-gcm-*, aes-gmac and chacha20-poly1305 ends with the four octets of its salt, that of aes-ccm-* with three.

Each command owns what it has added: where the peer's NAT gives it another port, what another command has added does not follow. That is the
work of a key daemon.`,
		Example: `  natterjack pfkey add 192.0.2.1 192.0.2.2 esp 0x1000 -m tunnel -E aes-cbc -A hmac-sha256 --key-file keys
  natterjack pfkey add 192.0.2.2 192.0.2.1 esp 0x1001 -u 7 -E aes-gcm-16 --natt 4500:26711 < keys
  natterjack pfkey add 192.0.2.1 192.0.2.2 ah 0x2000 -A hmac-sha1 --key-file keys`,
		Args: fourArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := o.message(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer wipeKeys(m)
			return o.ask(cmd.Context(), m)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.mode, "mode", "m", "any", "`transport|tunnel|any`")
	f.Uint32VarP(&o.reqid, "reqid", "u", 0, "the `NUMBER` by which a policy of level unique finds the SA")
	f.IntVarP(&o.window, "replay", "r", 0, "the replay window in `PACKETS`; 0 is none")
	f.StringVarP(&o.encrypt, "encrypt", "E", "", "the `ALGORITHM` of encryption: aes-cbc, aes-gcm-16, null …")
	f.StringVarP(&o.auth, "auth", "A", "", "the `ALGORITHM` of integrity: hmac-sha256, hmac-sha1 …")
	f.StringVarP(&o.compress, "compress", "C", "", "the `ALGORITHM` of compression: deflate")
	f.StringVar(&o.keyFile, "key-file", "-", "the `FILE` with the keys, private to its owner; - is standard input")
	f.StringVar(&o.natt, "natt", "", "ESP in UDP, from and to these ports: `SPORT:DPORT`")
	f.BoolVar(&o.nonIKE, "non-ike", false, "with --natt: behind the marker of drafts 00 and 01, on port 500")
	f.StringVar(&o.oai, "oai", "", "the `ADDRESS` that SRC has behind its NAT; for transport mode")
	f.StringVar(&o.oar, "oar", "", "the `ADDRESS` that DST has behind its NAT; not in Linux's dialect")
	f.BoolVar(&o.esn, "esn", false, "extended sequence numbers; only in FreeBSD's dialect")
	f.DurationVar(&o.hard, "hard", 0, "delete it after this `TIME`")
	f.DurationVar(&o.soft, "soft", 0, "tell key daemons after this `TIME`")
	f.Uint64Var(&o.hardBytes, "hard-bytes", 0, "delete it after so many `OCTETS`")
	f.Uint64Var(&o.softBytes, "soft-bytes", 0, "tell key daemons after so many `OCTETS`")
	_ = cmd.MarkFlagFilename("key-file")
	return cmd
}

// fourArguments wants SRC DST PROTO SPI.
func fourArguments(_ *cobra.Command, args []string) error {
	if len(args) > 4 {
		return usagef("expected SRC DST PROTOCOL SPI, found %s: if one of them is a key, it has just been shown to every user of this host; make another, and give it by --key-file or standard input", plural(len(args), "argument"))
	}
	if len(args) < 4 {
		return usagef("expected SRC DST PROTOCOL SPI, found %s", plural(len(args), "argument"))
	}
	return nil
}

// saNamed is a message about the SA that SRC DST PROTO SPI name.
func saNamed(t pfkey.Type, args []string) (*pfkey.Message, error) {
	m := &pfkey.Message{Header: pfkey.Header{Type: t}}
	var err error
	if m.Src, m.Dst, err = hostPair(args[0], args[1]); err != nil {
		return nil, err
	}
	if m.SAType, err = protoNamed(args[2]); err != nil {
		return nil, err
	}
	if len(args) > 3 {
		spi, err := strconv.ParseUint(args[3], 0, 32)
		if err != nil {
			return nil, usagef("SPI %.40q: expected a number up to 0xffffffff", args[3])
		}
		m.SA = &pfkey.SA{SPI: uint32(spi), State: pfkey.StateMature}
	}
	return m, nil
}

// hostPair parses two addresses of hosts, of one family.
func hostPair(src, dst string) (a, b *pfkey.Address, err error) {
	var pair [2]*pfkey.Address
	for i, text := range [...]string{src, dst} {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return nil, nil, usagef("address %.60q: expected an IPv4 or IPv6 address; names are not looked up", text)
		}
		pair[i] = &pfkey.Address{PrefixLen: uint8(addr.BitLen()), Sockaddr: pfkey.Sockaddr{Addr: addr}}
	}
	if pair[0].Addr.Is4() != pair[1].Addr.Is4() {
		return nil, nil, usagef("addresses %s and %s: expected one family", src, dst)
	}
	return pair[0], pair[1], nil
}

// message makes the ADD.
func (o *addOptions) message(args []string, stdin io.Reader) (*pfkey.Message, error) {
	d, err := o.checked()
	if err != nil {
		return nil, err
	}
	m, err := saNamed(pfkey.TypeAdd, args)
	if err != nil {
		return nil, err
	}
	mode, err := modeNamed(o.mode)
	if err != nil {
		return nil, err
	}
	m.SA2 = &pfkey.SA2{Mode: mode, Reqid: o.reqid}
	if o.esn {
		if d != pfkey.FreeBSD {
			return nil, usagef("--esn: %s has no word for it over PF_KEY; use a path with FreeBSD's dialect", d)
		}
		m.SA.Flags |= pfkey.SAFlagESN
	}
	if o.window < 0 || o.window > math.MaxUint16 {
		return nil, usagef("--replay: %d, expected 0 to %d packets", o.window, math.MaxUint16)
	}
	d.SetWindow(m, o.window)
	if got := d.Window(m); got < o.window {
		return nil, usagef("--replay: %s can say at most %d packets over PF_KEY", d, got)
	}
	if err := o.udp(d, m); err != nil {
		return nil, err
	}
	if err := o.lifetimes(m); err != nil {
		return nil, err
	}
	if err := o.algorithms(d, m); err != nil {
		return nil, err
	}
	if m.SAType == pfkey.SATypeIPComp {
		return m, nil
	}
	return m, readKeys(o.keyFile, stdin, m)
}

func modeNamed(name string) (pfkey.Mode, error) {
	for _, m := range [...]pfkey.Mode{pfkey.ModeAny, pfkey.ModeTransport, pfkey.ModeTunnel} {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, usagef("mode %.20q: expected transport, tunnel or any", name)
}

// udp sets what NAT traversal needs.
func (o *addOptions) udp(d pfkey.Dialect, m *pfkey.Message) error {
	if o.natt == "" {
		if o.nonIKE || o.oai != "" || o.oar != "" {
			return usagef("--non-ike, --oai and --oar: expected --natt SPORT:DPORT with them")
		}
		return nil
	}
	if m.SAType != pfkey.SATypeESP {
		return usagef("--natt: only ESP travels in UDP")
	}
	from, to, ok := strings.Cut(o.natt, ":")
	sport, err := strconv.ParseUint(from, 10, 16)
	dport, err2 := strconv.ParseUint(to, 10, 16)
	if !ok || err != nil || err2 != nil || sport == 0 || dport == 0 {
		return usagef("--natt %.40q: expected SPORT:DPORT, each 1 to 65535", o.natt)
	}
	kind, s, t := pfkey.NATTNonESP, uint16(sport), uint16(dport)
	if o.nonIKE {
		kind = pfkey.NATTNonIKE
	}
	m.NATType, m.NATSrcPort, m.NATDstPort = &kind, &s, &t
	for _, oa := range [...]struct {
		flag, text string
		to         **pfkey.Address
	}{{"--oai", o.oai, &m.NATOAi}, {"--oar", o.oar, &m.NATOAr}} {
		if oa.text == "" {
			continue
		}
		if oa.flag == "--oar" && d == pfkey.Linux {
			return usagef("--oar: Linux has one original address, that of SRC: give it as --oai with the SA that comes in")
		}
		a, _, err := hostPair(oa.text, oa.text)
		if err != nil {
			return fmt.Errorf("%s: %w", oa.flag, err)
		}
		*oa.to = a
	}
	return nil
}

func (o *addOptions) lifetimes(m *pfkey.Message) error {
	for _, l := range [...]struct {
		flag  string
		time  time.Duration
		bytes uint64
		to    **pfkey.Lifetime
	}{{"--hard", o.hard, o.hardBytes, &m.LifetimeHard}, {"--soft", o.soft, o.softBytes, &m.LifetimeSoft}} {
		if l.time < 0 || l.time%time.Second != 0 {
			return usagef("%s: %s, expected whole seconds", l.flag, l.time)
		}
		// Kernels want both or neither.
		if o.hard > 0 || o.soft > 0 || o.hardBytes > 0 || o.softBytes > 0 {
			*l.to = &pfkey.Lifetime{AddTime: uint64(l.time / time.Second), Bytes: l.bytes}
		}
	}
	return nil
}

// algorithms sets the numbers. Which key belongs to which is said in the file of keys.
func (o *addOptions) algorithms(d pfkey.Dialect, m *pfkey.Message) error {
	switch {
	case m.SAType == pfkey.SATypeIPComp:
		alg, ok := pfkey.CompressNamed(o.compress)
		if !ok || o.encrypt != "" || o.auth != "" {
			return usagef("IPComp: expected -C deflate, and neither -E nor -A")
		}
		m.SA.Encrypt = alg
		return nil
	case o.compress != "":
		return usagef("-C: only IPComp compresses")
	case m.SAType == pfkey.SATypeAH && (o.auth == "" || o.encrypt != ""):
		return usagef("AH: expected -A ALGORITHM, and no -E")
	case m.SAType == pfkey.SATypeESP && o.encrypt == "":
		return usagef("ESP: expected -E ALGORITHM, and -A ALGORITHM unless the first brings its own integrity")
	}
	var ok bool
	if m.SA.Encrypt, ok = d.EncryptNamed(o.encrypt); !ok && o.encrypt != "" {
		return usagef("-E %.40q: %s has no encryption of that name; expected aes-cbc, aes-gcm-16 …", o.encrypt, d)
	}
	if m.SA.Auth, ok = d.AuthNamed(o.auth); !ok && o.auth != "" {
		return usagef("-A %.40q: %s has no integrity of that name; expected hmac-sha256, hmac-sha1 …", o.auth, d)
	}
	return nil
}

// pfkeyDeleteCommand is `natterjack pfkey delete`.
func pfkeyDeleteCommand() *cobra.Command {
	var p pfkeyPath
	cmd := &cobra.Command{
		Use:     "delete SRC DST esp|ah|ipcomp SPI",
		Short:   "Delete an SA, as setkey's delete does",
		Example: `  natterjack pfkey delete 192.0.2.1 192.0.2.2 esp 0x1000`,
		Args:    fourArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := p.checked(); err != nil {
				return err
			}
			m, err := saNamed(pfkey.TypeDelete, args)
			if err != nil {
				return err
			}
			return p.ask(cmd.Context(), m)
		},
	}
	p.flags(cmd)
	return cmd
}
