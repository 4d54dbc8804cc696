// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The options of one connection (swanctl.conf(5), connections.<conn>).

package config

import (
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// The reasons for which options are refused, each in one place.
const (
	noIKEv1    = "IKEv1 is not built yet"
	noEAP      = "EAP is not built yet"
	noMOBIKE   = "MOBIKE is not built yet; an endpoint behind a NAT is followed without it"
	noMarks    = "policies and SAs do not have marks or interfaces here"
	noPPK      = "post-quantum preshared keys are not built yet"
	noReauth   = "reauthentication is not built yet; rekey_time renews all keys"
	noToken    = "keys and certificates on tokens are not built yet"
	noCertFile = "name the file in the list option instead (certs, cacerts, cacert)"
	noProxy    = "the proxy mode of Mobile IPv6 is not built"
	noBeet     = "BEET is not standardized for IKEv2"
)

// maxKeyingTries bounds keyingtries; 0 and %forever are without a bound.
const maxKeyingTries = 1000000

func (d *decoder) connection(name string) *ike.Connection {
	c := &ike.Connection{Name: name}
	d.only("version", "2", noIKEv1)
	d.only("aggressive", "no", noIKEv1)
	d.only("pull", "yes", noIKEv1)
	d.only("dscp", "000000", "the DSCP of IKE messages cannot be set")
	d.only("mobike", "no", noMOBIKE)
	d.only("childless", "never", "childless IKE SAs are not built yet")
	d.only("ppk_required", "no", noPPK)
	d.only("mediation", "no", "mediation is not built yet")
	d.only("local_port", "500", "the daemon's ports are the options port and port_nat_t of the section daemon")
	for _, key := range []string{"if_id_in", "if_id_out"} {
		d.only(key, "0", noMarks)
	}
	d.never("ppk_id", noPPK)
	d.never("mediated_by", "mediation is not built yet")
	d.never("mediation_peer", "mediation is not built yet")
	d.duration("dpd_timeout") // of IKEv1 only; IKEv2 gives up after its retransmissions

	c.LocalAddrs, c.RemoteAddrs = d.addrs("local_addrs"), d.addrs("remote_addrs")
	c.RemotePort = uint16(d.number("remote_port", 0, 0, 65535))
	c.RemotePortNATT = uint16(d.number("remote_port_nat_t", 0, 0, 65535))
	c.Proposals = d.ikeProposals("proposals")
	c.VIPs = d.vips("vips")
	c.Pools = d.texts("pools")
	c.Encap = d.boolean("encap", false)
	c.Fragmentation = ike.Fragmentation(d.keyword("fragmentation", 0, []string{"yes", "accept", "force", "no"}, nil))
	c.SendCertReq = d.boolean("send_certreq", true)
	c.SendCert = ike.SendCert(d.keyword("send_cert", 0, []string{"ifasked", "always", "never"}, nil))
	c.DPDDelay, _ = d.duration("dpd_delay")
	c.KeyingTries = d.keyingTries()
	c.Unique = ike.Unique(d.keyword("unique", 0, []string{"no", "never", "keep", "replace"}, nil))
	d.rekeying(c)
	c.Local, c.Remote = d.rounds("local", true), d.rounds("remote", false)
	if children := d.sub("children"); children != nil {
		c.Children = children.children()
	}
	for _, ch := range c.Children {
		if ch.Start.Traps() && len(c.VIPs) > 0 {
			d.refuse("vips", "child %s has start_action = trap: the packet that asks for a virtual address could not have it yet", ch.Name)
		}
	}
	return c
}

func (d *decoder) keyingTries() int {
	if d.s.Get("keyingtries") == "%forever" {
		d.text("keyingtries")
		return 0
	}
	return int(d.number("keyingtries", 1, 0, maxKeyingTries))
}

// rekeying sets the times of an IKE SA. Only what is absent is derived.
func (d *decoder) rekeying(c *ike.Connection) {
	if t, _ := d.duration("reauth_time"); t != 0 {
		d.refuse("reauth_time", "refused: %s", noReauth)
	}
	var found bool
	if c.RekeyTime, found = d.duration("rekey_time"); !found {
		c.RekeyTime = 4 * time.Hour
	}
	if c.OverTime, found = d.duration("over_time"); !found {
		c.OverTime = c.RekeyTime / 10
	}
	if c.RandTime, found = d.duration("rand_time"); !found {
		c.RandTime = min(c.OverTime, c.RekeyTime)
	}
	if c.RandTime > c.RekeyTime && c.RekeyTime > 0 {
		d.fail("rand_time", "at most rekey_time ("+c.RekeyTime.String()+")", c.RandTime.String())
	}
}

// rounds decodes the authentication of one side: one section whose name begins with side.
func (d *decoder) rounds(side string, local bool) []*ike.Auth {
	// Whatever else begins with the side's name is taken by now.
	keys := d.numbered(side, vici.KindSection)
	switch len(keys) {
	case 0:
		return []*ike.Auth{{Method: ike.AuthPubkey}}
	case 1:
	default:
		d.refuse(keys[1], "refused: a second authentication round (RFC 4739) is not built yet")
		return nil
	}
	s := d.sub(keys[0])
	if s == nil {
		return nil
	}
	return []*ike.Auth{s.auth(local)}
}

// auth decodes one authentication round.
func (d *decoder) auth(local bool) *ike.Auth {
	a := &ike.Auth{}
	d.number("round", 0, 0, 255) // the order of rounds; there is one
	d.authMethod(a)
	a.ID = d.identity("id")
	a.Certs = d.certificates("certs")
	for _, key := range []string{"eap_id", "aaa_id"} {
		if local || key == "eap_id" {
			d.never(key, noEAP)
		}
	}
	d.never("pubkeys", "raw public keys are not built yet; use certificates")
	if local {
		d.never("xauth_id", noIKEv1)
		if a.ID.Wildcard() && !a.ID.IsZero() {
			d.refuse("id", "expected one identity of this side, found a pattern")
		}
		if len(a.Certs) > 0 {
			a.ID = asSubject(a.ID, rawSubject(a.Certs[0]))
		}
	} else {
		d.never("groups", "groups are not built yet")
		d.never("cert_policy", "certificate policies are not built yet")
		d.never("ca_id", "constraints on the identity of an authority are not built yet; use cacerts")
		d.only("revocation", "relaxed", "revocation lists and OCSP are not built yet")
		a.CACerts = d.certificates("cacerts")
		for _, key := range d.numbered("cacert", vici.KindSection) {
			d.certSection(key)
		}
	}
	for _, key := range d.numbered("cert", vici.KindSection) {
		d.certSection(key)
	}
	return a
}

// certSection refuses cert<suffix> and cacert<suffix> sections by the option they give.
func (d *decoder) certSection(key string) {
	s := d.sub(key)
	if s == nil {
		return
	}
	s.never("file", noCertFile)
	for _, key := range []string{"handle", "slot", "module"} {
		s.never(key, noToken)
	}
}

// children decodes the children of a connection.
func (d *decoder) children() []*ike.ChildConfig {
	var list []*ike.ChildConfig
	if len(d.s.Items) > maxChildren {
		d.set(&Error{Key: d.path, Reason: "too many children"}, "")
		return nil
	}
	for _, it := range d.s.Items {
		if s := d.sub(it.Key); s != nil {
			list = append(list, s.child(it.Key))
		}
	}
	return list
}
