// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SAs: `natterjack pfkey dump`, as setkey -D prints them, and as JSON. Keys are printed only if they are asked for, and only where the
// server gives them.

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// setkeyTime is how setkey prints a time.
const setkeyTime = "Jan _2 15:04:05 2006"

// pfkeyDumpCommand is `natterjack pfkey dump`.
func pfkeyDumpCommand() *cobra.Command {
	var p pfkeyPath
	var keys, asJSON bool
	cmd := &cobra.Command{
		Use:   "dump [esp|ah|ipcomp]",
		Short: "Show the SAs, as setkey -D does",
		Long: `Shows every SA of the engine, or those of one protocol. Keys are left out: --keys prints them where the server gives them, which is to
root and to the user who runs it. Replay windows are in packets, in all dialects.`,
		Example: `  natterjack pfkey dump
  natterjack pfkey dump esp --json | jq '.[].spi'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump}}
			if len(args) > 0 {
				var err error
				if m.SAType, err = protoNamed(args[0]); err != nil {
					return err
				}
			}
			d, err := p.checked()
			if err != nil {
				return err
			}
			all, err := p.list(cmd.Context(), m)
			if err != nil {
				return err
			}
			s := saPrinter{d, keys, time.Now()}
			if asJSON {
				return s.json(cmd.OutOrStdout(), all)
			}
			return s.print(cmd.OutOrStdout(), all)
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVar(&keys, "keys", false, "print the keys, where the server gives them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// saPrinter prints SAs.
type saPrinter struct {
	d    pfkey.Dialect
	keys bool
	now  time.Time
}

func (s saPrinter) print(w io.Writer, all []*pfkey.Message) error {
	var b strings.Builder
	for i, m := range all {
		if m.SA != nil && m.Src != nil && m.Dst != nil {
			s.one(&b, m, len(all)-1-i)
		}
	}
	if b.Len() == 0 {
		b.WriteString("No SAD entries.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// one prints an SA as setkey does. left is what setkey calls sadb_seq, which is 0 for the last.
func (s saPrinter) one(b *strings.Builder, m *pfkey.Message, left int) {
	fmt.Fprintf(b, "%s %s \n", withPort(m.Src.Sockaddr, m.NATSrcPort), withPort(m.Dst.Sockaddr, m.NATDstPort))
	mode, reqid := pfkey.ModeAny, uint32(0)
	if m.SA2 != nil {
		mode, reqid = m.SA2.Mode, m.SA2.Reqid
	}
	fmt.Fprintf(b, "\t%s mode=%s spi=%d(0x%08x) reqid=%d(0x%08x)\n", kindText(m), mode, m.SA.SPI, m.SA.SPI, reqid, reqid)
	if m.NATOAi != nil {
		fmt.Fprintf(b, "\tNAT OAi=%s\n", m.NATOAi.Addr)
	}
	if m.NATOAr != nil {
		fmt.Fprintf(b, "\tNAT OAr=%s\n", m.NATOAr.Addr)
	}
	if m.SAType == pfkey.SATypeIPComp {
		fmt.Fprintf(b, "\tC: %s  \n", m.SA.Encrypt.CompressName())
	} else {
		if m.SA.Encrypt != pfkey.EncryptNone {
			fmt.Fprintf(b, "\tE: %s  %s\n", m.SA.Encrypt.Name(s.d), s.key(m.KeyEncrypt))
		}
		if m.SA.Auth != pfkey.AuthNone {
			fmt.Fprintf(b, "\tA: %s  %s\n", m.SA.Auth.Name(s.d), s.key(m.KeyAuth))
		}
	}
	seq := uint32(0)
	if m.SA2 != nil {
		seq = m.SA2.Seq
	}
	fmt.Fprintf(b, "\tseq=0x%08x replay=%d flags=0x%08x state=%s \n", seq, s.d.Window(m), m.SA.Flags, m.SA.State)
	s.lifetimes(b, m)
	fmt.Fprintf(b, "\tsadb_seq=%d pid=%d refcnt=0\n", left, m.PID)
}

// lifetimes prints what passed and what may: nothing of an SA that has not begun.
func (s saPrinter) lifetimes(b *strings.Builder, m *pfkey.Message) {
	c, hard, soft := m.LifetimeCurrent, m.LifetimeHard, m.LifetimeSoft
	if c == nil {
		return
	}
	for _, p := range [...]**pfkey.Lifetime{&hard, &soft} {
		if *p == nil {
			*p = &pfkey.Lifetime{}
		}
	}
	age := int64(0)
	if c.AddTime != 0 {
		age = max(0, s.now.Unix()-int64(c.AddTime))
	}
	fmt.Fprintf(b, "\tcreated: %s\tcurrent: %s\n", when(c.AddTime), s.now.Format(setkeyTime))
	fmt.Fprintf(b, "\tdiff: %d(s)\thard: %d(s)\tsoft: %d(s)\n", age, hard.AddTime, soft.AddTime)
	fmt.Fprintf(b, "\tlast: %s\thard: %d(s)\tsoft: %d(s)\n", when(c.UseTime), hard.UseTime, soft.UseTime)
	fmt.Fprintf(b, "\tcurrent: %d(bytes)\thard: %d(bytes)\tsoft: %d(bytes)\n", c.Bytes, hard.Bytes, soft.Bytes)
	fmt.Fprintf(b, "\tallocated: %d\thard: %d\tsoft: %d\n", c.Allocations, hard.Allocations, soft.Allocations)
}

// when is a time as setkey prints it: blanks where there was none.
func when(seconds uint64) string {
	if seconds == 0 {
		return strings.Repeat(" ", len(setkeyTime))
	}
	return time.Unix(int64(seconds), 0).Format(setkeyTime)
}

// withPort is an address with the UDP port of its encapsulation, in setkey's brackets.
func withPort(a pfkey.Sockaddr, nat *uint16) string {
	port := a.Port
	if nat != nil {
		port = *nat
	}
	if port == 0 {
		return a.Addr.String()
	}
	return fmt.Sprintf("%s[%d]", a.Addr, port)
}

// kindText is setkey's word for the protocol: esp-udp in UDP.
func kindText(m *pfkey.Message) string {
	switch {
	case m.SAType == pfkey.SATypeESP && m.NATType != nil && *m.NATType != 0:
		return "esp-udp"
	case m.SAType == pfkey.SATypeESP:
		return "esp"
	case m.SAType == pfkey.SATypeAH:
		return "ah"
	case m.SAType == pfkey.SATypeIPComp:
		return "ipcomp"
	}
	return strings.ToLower(m.SAType.String())
}

// key is a key in setkey's groups, or how long it is.
func (s saPrinter) key(k *secret.Key) string {
	switch {
	case k == nil || k.Len() == 0 && !s.keys:
		return "(not shown)"
	case !s.keys:
		return fmt.Sprintf("(%d bits, not shown)", 8*k.Len())
	}
	var words []string
	for text := hex.EncodeToString(k.Bytes()); len(text) > 0; text = text[min(8, len(text)):] {
		words = append(words, text[:min(8, len(text))])
	}
	return strings.Join(words, " ")
}

// saJSON is an SA for programs. Times are seconds, since 1970 or as durations.
type saJSON struct {
	Proto       string `json:"proto"`
	SPI         uint32 `json:"spi"`
	Src         string `json:"src"`
	Dst         string `json:"dst"`
	Mode        string `json:"mode"`
	Reqid       uint32 `json:"reqid"`
	State       string `json:"state"`
	UDP         bool   `json:"udp"`
	SrcPort     uint16 `json:"src_port,omitempty"`
	DstPort     uint16 `json:"dst_port,omitempty"`
	OAi         string `json:"nat_oai,omitempty"`
	OAr         string `json:"nat_oar,omitempty"`
	Encrypt     string `json:"encrypt,omitempty"`
	EncryptBits int    `json:"encrypt_bits,omitempty"`
	EncryptKey  string `json:"encrypt_key,omitempty"`
	Auth        string `json:"auth,omitempty"`
	AuthBits    int    `json:"auth_bits,omitempty"`
	AuthKey     string `json:"auth_key,omitempty"`
	Compress    string `json:"compress,omitempty"`
	Replay      int    `json:"replay"`
	Flags       uint32 `json:"flags"`
	Added       uint64 `json:"added,omitempty"`
	Used        uint64 `json:"used,omitempty"`
	Bytes       uint64 `json:"bytes"`
	Packets     uint32 `json:"packets"`
	HardSeconds uint64 `json:"hard_seconds,omitempty"`
	SoftSeconds uint64 `json:"soft_seconds,omitempty"`
	HardBytes   uint64 `json:"hard_bytes,omitempty"`
	SoftBytes   uint64 `json:"soft_bytes,omitempty"`
}

func (s saPrinter) json(w io.Writer, all []*pfkey.Message) error {
	list := []saJSON{}
	for _, m := range all {
		if m.SA != nil && m.Src != nil && m.Dst != nil {
			list = append(list, s.object(m))
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

func (s saPrinter) object(m *pfkey.Message) saJSON {
	o := saJSON{Proto: strings.TrimSuffix(kindText(m), "-udp"), SPI: m.SA.SPI, Src: m.Src.Addr.String(), Dst: m.Dst.Addr.String(), State: m.SA.State.String(),
		UDP: m.NATType != nil && *m.NATType != 0, Replay: s.d.Window(m), Flags: m.SA.Flags}
	if m.SA2 != nil {
		o.Mode, o.Reqid = m.SA2.Mode.String(), m.SA2.Reqid
	}
	if m.NATSrcPort != nil {
		o.SrcPort = *m.NATSrcPort
	}
	if m.NATDstPort != nil {
		o.DstPort = *m.NATDstPort
	}
	if m.NATOAi != nil {
		o.OAi = m.NATOAi.Addr.String()
	}
	if m.NATOAr != nil {
		o.OAr = m.NATOAr.Addr.String()
	}
	s.algorithms(&o, m)
	if c := m.LifetimeCurrent; c != nil {
		o.Added, o.Used, o.Bytes, o.Packets = c.AddTime, c.UseTime, c.Bytes, c.Allocations
	}
	if h := m.LifetimeHard; h != nil {
		o.HardSeconds, o.HardBytes = h.AddTime, h.Bytes
	}
	if l := m.LifetimeSoft; l != nil {
		o.SoftSeconds, o.SoftBytes = l.AddTime, l.Bytes
	}
	return o
}

func (s saPrinter) algorithms(o *saJSON, m *pfkey.Message) {
	if m.SAType == pfkey.SATypeIPComp {
		o.Compress = m.SA.Encrypt.CompressName()
		return
	}
	if m.SA.Encrypt != pfkey.EncryptNone {
		o.Encrypt = m.SA.Encrypt.Name(s.d)
	}
	if m.SA.Auth != pfkey.AuthNone {
		o.Auth = m.SA.Auth.Name(s.d)
	}
	if k := m.KeyEncrypt; k != nil {
		o.EncryptBits = 8 * k.Len()
		if s.keys {
			o.EncryptKey = hex.EncodeToString(k.Bytes())
		}
	}
	if k := m.KeyAuth; k != nil {
		o.AuthBits = 8 * k.Len()
		if s.keys {
			o.AuthKey = hex.EncodeToString(k.Bytes())
		}
	}
}
