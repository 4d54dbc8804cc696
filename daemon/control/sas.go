// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE SAs and children as sections: list-sas, and the events that tell of one. The keys, their order and the formats are
// charon's (5.9.8); child-sas is the last key of an IKE SA and always there, for swanctl prints the SA when it meets it.
// Instants are relative seconds.

package control

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// listSAs is list-sas {noblock ike ike-id child child-id}: one event list-sa an IKE SA.
func (c *Control) listSAs(k *call) *vici.Section {
	t, err := k.target("noblock")
	if err != nil {
		return result(err)
	}
	for _, sa := range c.d.Status() {
		if t.IKE != "" && t.IKE != sa.Connection || t.IKEID != 0 && t.IKEID != sa.Unique {
			continue
		}
		now := time.Now()
		children := childSections(now, sa, func(ch ike.ChildStatus) bool {
			return (t.Child == "" || t.Child == ch.Name) && (t.ChildID == 0 || t.ChildID == ch.ChildID)
		})
		if t.Children() && len(children.Items) == 0 {
			continue
		}
		s := ikeSection(now, sa.Status).SetSub("child-sas", children)
		if k.emit("list-sa", vici.New().SetSub(nameOf(sa.Connection), s)) != nil {
			break
		}
	}
	return vici.New()
}

// nameOf is the name of a section: an SA that has no connection yet has an empty one, which VICI cannot carry.
func nameOf(connection string) string {
	if connection == "" {
		return "(unnamed)"
	}
	return connection
}

// seconds is a number of whole seconds, not below 0.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(0, int64(d/time.Second)), 10)
}

func number[T uint32 | uint64 | uint16 | int](n T) string { return fmt.Sprint(n) }

// ikeSection is an IKE SA without its children.
func ikeSection(now time.Time, sa ike.Status) *vici.Section {
	s := vici.New().Set("uniqueid", number(sa.Unique)).Set("version", number(sa.Version)).Set("state", sa.State)
	s.Set("local-host", hostText(sa.Path.Local)).Set("local-port", number(sa.Path.Local.Port())).Set("local-id", sa.LocalID.String())
	s.Set("remote-host", hostText(sa.Path.Remote)).Set("remote-port", number(sa.Path.Remote.Port())).Set("remote-id", sa.RemoteID.String())
	s.SetBool("initiator", sa.Initiator)
	s.Set("initiator-spi", fmt.Sprintf("%016x", sa.SPIi)).Set("responder-spi", fmt.Sprintf("%016x", sa.SPIr))
	s.SetBool("nat-local", sa.NATLocal).SetBool("nat-remote", sa.NATRemote).SetBool("nat-fake", sa.NATFake)
	s.SetBool("nat-any", sa.NATLocal || sa.NATRemote || sa.NATFake)
	if sa.Suite.Encr != 0 {
		algorithms(s, sa.Suite.Encr, sa.Suite.EncrBits, sa.Suite.Integ)
		s.Set("prf-alg", sa.Suite.PRF.String()).Set("dh-group", sa.Suite.KE.String())
	}
	if up := sa.State == "ESTABLISHED" || sa.State == "REKEYING"; up && !sa.Established.IsZero() {
		s.Set("established", seconds(now.Sub(sa.Established)))
		if !sa.RekeyAt.IsZero() {
			s.Set("rekey-time", seconds(sa.RekeyAt.Sub(now)))
		}
		if !sa.ReauthAt.IsZero() {
			s.Set("reauth-time", seconds(sa.ReauthAt.Sub(now)))
		}
	}
	setSome(s, "local-vips", daemon.AddrTexts(sa.LocalVIPs))
	setSome(s, "remote-vips", daemon.AddrTexts(sa.RemoteVIPs))
	setSome(s, "tasks-queued", sa.TasksQueued)
	setSome(s, "tasks-active", sa.TasksActive)
	return s
}

// algorithms sets the keys of encryption and integrity; the key size is absent where an algorithm has only one.
func algorithms(s *vici.Section, e suite.Encr, bits int, i suite.Integ) {
	if e != 0 {
		s.Set("encr-alg", e.String())
	}
	if bits != 0 {
		s.Set("encr-keysize", number(bits))
	}
	if !e.AEAD() && i != suite.IntegNone {
		s.Set("integ-alg", i.String())
	}
}

func hostText(a netip.AddrPort) string {
	if !a.IsValid() {
		return "%any"
	}
	return a.Addr().Unmap().String()
}

// setSome sets a list that is absent when empty.
func setSome(s *vici.Section, key string, values []string) {
	if len(values) > 0 {
		s.SetList(key, values...)
	}
}

// childSections are the children of an IKE SA that are wanted, each named NAME-NUMBER.
func childSections(now time.Time, sa daemon.SA, wanted func(ike.ChildStatus) bool) *vici.Section {
	all := vici.New()
	for i, ch := range sa.Children {
		if wanted(ch) {
			all.SetSub(childName(ch.ChildSA), childSection(now, ch, sa.Usage[i]))
		}
	}
	return all
}

func childName(c ike.ChildSA) string { return fmt.Sprintf("%s-%d", c.Name, c.ChildID) }

// childSection is one child.
func childSection(now time.Time, c ike.ChildStatus, u ike.Usage) *vici.Section {
	s := vici.New().Set("name", c.Name).Set("uniqueid", number(c.ChildID)).Set("reqid", number(c.Reqid))
	s.Set("state", c.State).Set("mode", modeText(c.Mode))
	if c.SPIOut != 0 {
		s.Set("protocol", protocolText(c.AH)).SetBool("encap", c.Encap)
		s.Set("spi-in", fmt.Sprintf("%08x", c.SPIIn)).Set("spi-out", fmt.Sprintf("%08x", c.SPIOut))
		if c.CPIIn != 0 {
			s.Set("cpi-in", fmt.Sprintf("%04x", c.CPIIn)).Set("cpi-out", fmt.Sprintf("%04x", c.CPIOut))
		}
		algorithms(s, c.Suite.Encr, c.Suite.EncrBits, c.Suite.Integ)
		if c.Suite.KE != suite.KENone {
			s.Set("dh-group", c.Suite.KE.String())
		}
		if c.Suite.ESN {
			s.Set("esn", "1")
		}
		traffic(s, now, u)
		if !c.RekeyAt.IsZero() {
			s.Set("rekey-time", seconds(c.RekeyAt.Sub(now)))
		}
		if !c.ExpireAt.IsZero() {
			s.Set("life-time", seconds(c.ExpireAt.Sub(now)))
		}
		if !c.Installed.IsZero() {
			s.Set("install-time", seconds(now.Sub(c.Installed)))
		}
	}
	return s.SetList("local-ts", selectorTexts(c.TSLocal)...).SetList("remote-ts", selectorTexts(c.TSRemote)...)
}

func protocolText(ah bool) string {
	if ah {
		return "AH"
	}
	return "ESP"
}

// traffic sets what the SAs have carried; use-in and use-out are absent until something has passed.
func traffic(s *vici.Section, now time.Time, u ike.Usage) {
	s.Set("bytes-in", number(u.BytesIn)).Set("packets-in", number(u.PacketsIn))
	if !u.LastIn.IsZero() {
		s.Set("use-in", seconds(now.Sub(u.LastIn)))
	}
	s.Set("bytes-out", number(u.BytesOut)).Set("packets-out", number(u.PacketsOut))
	if !u.LastOut.IsZero() {
		s.Set("use-out", seconds(now.Sub(u.LastOut)))
	}
}

func selectorTexts(list []ike.Selector) []string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = daemon.SelectorText(s)
	}
	return texts
}
