// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What is configured, as sections: list-conns, get-conns, list-policies, get-pools.

package control

import (
	"crypto/x509"
	"net/netip"
	"strconv"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// listConns is list-conns {ike}: one event list-conn a connection.
func (c *Control) listConns(k *call) *vici.Section {
	if err := k.only("ike"); err != nil {
		return result(err)
	}
	for _, conn := range c.d.Connections() {
		if name := k.args.Get("ike"); name != "" && name != conn.Name {
			continue
		}
		if k.emit("list-conn", vici.New().SetSub(conn.Name, connSection(conn))) != nil {
			break
		}
	}
	return vici.New()
}

func (c *Control) getConns(*call) *vici.Section {
	var names []string
	for _, conn := range c.d.Connections() {
		names = append(names, conn.Name)
	}
	return vici.New().SetList("conns", names...)
}

// connSection is one connection, in charon's order.
func connSection(conn *ike.Connection) *vici.Section {
	s := vici.New().SetList("local_addrs", specTexts(conn.LocalAddrs)...).SetList("remote_addrs", specTexts(conn.RemoteAddrs)...)
	s.Set("version", "IKEv2").Set("reauth_time", seconds(conn.ReauthTime)).Set("rekey_time", seconds(conn.RekeyTime))
	s.Set("unique", uniqueText(conn.Unique))
	if conn.DPDDelay > 0 {
		s.Set("dpd_delay", seconds(conn.DPDDelay))
	}
	for i, a := range conn.Local {
		s.SetSub("local-"+strconv.Itoa(i+1), authSection(a))
	}
	for i, a := range conn.Remote {
		s.SetSub("remote-"+strconv.Itoa(i+1), authSection(a))
	}
	children := vici.New()
	for _, ch := range conn.Children {
		children.SetSub(ch.Name, childConfigSection(ch))
	}
	return s.SetSub("children", children)
}

func uniqueText(u ike.Unique) string {
	switch u {
	case ike.UniqueNever:
		return "UNIQUE_NEVER"
	case ike.UniqueKeep:
		return "UNIQUE_KEEP"
	case ike.UniqueReplace:
		return "UNIQUE_REPLACE"
	}
	return "UNIQUE_NO"
}

// specTexts prints local_addrs or remote_addrs; none is any.
func specTexts(list []ike.AddrSpec) []string {
	if len(list) == 0 {
		return []string{"%any"}
	}
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = specText(a)
	}
	return texts
}

func specText(a ike.AddrSpec) string {
	switch p, ok := daemon.RangePrefix(a.From, a.To); {
	case a.Host != "":
		return a.Host
	case !a.From.IsValid():
		return "%any"
	case a.From == a.To:
		return a.From.String()
	case ok:
		return p.String()
	}
	return a.From.String() + "-" + a.To.String()
}

// authSection is one authentication round.
func authSection(a *ike.Auth) *vici.Section {
	s := vici.New()
	if !a.ID.IsZero() {
		s.Set("id", a.ID.String())
	}
	class := "public key"
	if a.Method == ike.AuthPSK {
		class = "pre-shared key"
	}
	s.Set("class", class).SetList("groups").SetList("cert_policy")
	return s.SetList("certs", subjects(a.Certs)...).SetList("cacerts", subjects(a.CACerts)...)
}

// subjects are the distinguished names of certificates.
func subjects(certs [][]byte) []string {
	var list []string
	for _, der := range certs {
		list = append(list, subjectOf(der))
	}
	return list
}

func subjectOf(der []byte) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "(unreadable)" // it was parsed when it was loaded
	}
	return ike.ID{Type: ike.IDDERASN1DN, Data: cert.RawSubject}.String()
}

func childConfigSection(ch *ike.ChildConfig) *vici.Section {
	s := vici.New().Set("mode", modeText(ch.Mode)).Set("rekey_time", seconds(ch.RekeyTime))
	s.Set("rekey_bytes", number(ch.RekeyBytes)).Set("rekey_packets", number(ch.RekeyPackets))
	// charon's word for dpd_action = clear and close_action = none, which are all there is here.
	s.Set("dpd_action", "none").Set("close_action", "none")
	return s.SetList("local-ts", selectorTexts(ch.LocalTS)...).SetList("remote-ts", selectorTexts(ch.RemoteTS)...)
}

func modeText(m ike.Mode) string {
	switch m {
	case ike.ModePass:
		return "PASS"
	case ike.ModeDrop:
		return "DROP"
	case ike.ModeTransport:
		return "TRANSPORT"
	}
	return "TUNNEL"
}

// listPolicies is list-policies {drop pass trap ike child}: the policies of mode pass and drop, and those that wait for
// traffic, which are in force.
func (c *Control) listPolicies(k *call) *vici.Section {
	if err := k.only("drop", "pass", "trap", "ike", "child"); err != nil {
		return result(err)
	}
	for _, conn := range c.d.Connections() {
		for _, ch := range conn.Children {
			shown := ch.Mode == ike.ModePass && k.args.Bool("pass") || ch.Mode == ike.ModeDrop && k.args.Bool("drop")
			if !shown || !asked(k.args.Get("ike"), conn.Name) || !asked(k.args.Get("child"), ch.Name) {
				continue
			}
			s := vici.New().Set("child", ch.Name).Set("ike", conn.Name).Set("mode", modeText(ch.Mode))
			s.SetList("local-ts", selectorTexts(ch.LocalTS)...).SetList("remote-ts", selectorTexts(ch.RemoteTS)...)
			if k.emit("list-policy", vici.New().SetSub(conn.Name+"/"+ch.Name, s)) != nil {
				return vici.New()
			}
		}
	}
	for _, t := range c.d.Traps() {
		if !k.args.Bool("trap") || !asked(k.args.Get("ike"), t.Connection) || !asked(k.args.Get("child"), t.Child) {
			continue
		}
		s := vici.New().Set("child", t.Child).Set("ike", t.Connection).Set("mode", modeText(t.Mode))
		s.SetList("local-ts", selectorTexts(t.Local)...).SetList("remote-ts", selectorTexts(t.Remote)...)
		if k.emit("list-policy", vici.New().SetSub(t.Connection+"/"+t.Child, s)) != nil {
			break
		}
	}
	return vici.New()
}

func asked(filter, name string) bool { return filter == "" || filter == name }

// getPools is get-pools {leases name}.
func (c *Control) getPools(k *call) *vici.Section {
	if err := k.only("leases", "name"); err != nil {
		return result(err)
	}
	all, leases := vici.New(), k.args.Bool("leases")
	for _, p := range c.d.Pools(leases) {
		if !asked(k.args.Get("name"), p.Name) {
			continue
		}
		s := vici.New().Set("base", p.Base.String()).Set("size", number(p.Size))
		s.Set("online", number(p.Online)).Set("offline", number(p.Offline))
		if leases {
			list := vici.New()
			for i, l := range p.Leases {
				list.SetSub(strconv.Itoa(i), leaseSection(l.Addr, l.Identity, l.Online))
			}
			s.SetSub("leases", list)
		}
		all.SetSub(p.Name, s)
	}
	return all
}

func leaseSection(a netip.Addr, id ike.ID, online bool) *vici.Section {
	status := "offline"
	if online {
		status = "online"
	}
	return vici.New().Set("address", a.String()).Set("identity", id.String()).Set("status", status)
}

// ago is a span of time as charon prints it: one unit, and no smaller one than what it has twice.
func ago(d time.Duration) string {
	n, unit := int64(d/time.Second), "second"
	switch {
	case n > 2*24*3600:
		n, unit = n/(24*3600), "day"
	case n > 2*3600:
		n, unit = n/3600, "hour"
	case n > 2*60:
		n, unit = n/60, "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.FormatInt(n, 10) + " " + unit
}
