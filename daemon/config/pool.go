// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Pools of virtual addresses with their attributes, and certificate authorities (swanctl.conf(5), pools and authorities).

package config

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// The attribute types of RFC 7296, Section 3.15.1, and the registry behind it.
const (
	attrIP4Netmask = 2
	attrIP4NBNS    = 4
	attrIP4DHCP    = 6
	attrIP6DHCP    = 12
	attrIP4Subnet  = 13
	attrIP6Subnet  = 15
	attrIP4Server  = 23456 // Microsoft's
	attrIP6Server  = 23457
)

// maxAttrLen bounds the text of a numbered attribute.
const maxAttrLen = 1024

func (d *decoder) pool(name string) ike.Pool {
	p := ike.Pool{Name: name}
	v, found := d.text("addrs")
	from, to, ok := parseRange(v)
	switch {
	case !found:
		d.fail("addrs", "a prefix or range of addresses", "nothing")
	case !ok:
		d.fail("addrs", "a prefix or range of addresses", quote(v))
	}
	p.From, p.To = from, to
	if prefix, err := netip.ParsePrefix(v); err == nil {
		p.Prefix = prefix.Masked()
	}
	p.DNS = d.addresses("dns")
	for _, a := range d.addresses("nbns") {
		d.attr(&p, "nbns", a, attrIP4NBNS, 0)
	}
	for _, a := range d.addresses("dhcp") {
		d.attr(&p, "dhcp", a, attrIP4DHCP, attrIP6DHCP)
	}
	for _, a := range d.addresses("netmask") {
		d.attr(&p, "netmask", a, attrIP4Netmask, 0)
	}
	for _, a := range d.addresses("server") {
		d.attr(&p, "server", a, attrIP4Server, attrIP6Server)
	}
	d.subnets(&p)
	for _, key := range []string{"split_include", "split_exclude"} {
		d.never(key, "an attribute of Cisco Unity for IKEv1, which is not built yet; traffic selectors say it in IKEv2")
	}
	d.numberedAttrs(&p)
	return p
}

// attr adds an address as an attribute; type6 is 0 where there is none for IPv6.
func (d *decoder) attr(p *ike.Pool, key string, a netip.Addr, type4, type6 uint16) {
	t := type4
	if a.Is6() {
		if t = type6; t == 0 {
			d.fail(key, "an IPv4 address", quote(a.String()))
			return
		}
	}
	p.Attrs = append(p.Attrs, ike.Attr{Type: t, Value: a.AsSlice()})
}

// subnets adds INTERNAL_IP4_SUBNET (address, mask) and INTERNAL_IP6_SUBNET (address, prefix length).
func (d *decoder) subnets(p *ike.Pool) {
	for _, v := range d.texts("subnet") {
		prefix, err := netip.ParsePrefix(v)
		if err != nil {
			d.fail("subnet", "a prefix", quote(v))
			return
		}
		prefix = prefix.Masked()
		value := prefix.Addr().AsSlice()
		if prefix.Addr().Is6() {
			p.Attrs = append(p.Attrs, ike.Attr{Type: attrIP6Subnet, Value: append(value, byte(prefix.Bits()))})
			continue
		}
		mask := ^uint32(0) << (32 - prefix.Bits()) // a shift by 32 gives 0
		value = append(value, byte(mask>>24), byte(mask>>16), byte(mask>>8), byte(mask))
		p.Attrs = append(p.Attrs, ike.Attr{Type: attrIP4Subnet, Value: value})
	}
}

// numberedAttrs adds attributes that are named by their number: addresses where the text is one, else the text.
func (d *decoder) numberedAttrs(p *ike.Pool) {
	for _, it := range d.s.Items {
		n, err := strconv.ParseUint(it.Key, 10, 15)
		if err != nil || n == 0 || it.Kind != vici.KindList {
			continue
		}
		for _, v := range d.texts(it.Key) {
			value := []byte(v)
			if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
				value = a.AsSlice()
			}
			if len(value) > maxAttrLen {
				d.refuse(it.Key, "%d octets, at most %d", len(value), maxAttrLen)
			}
			p.Attrs = append(p.Attrs, ike.Attr{Type: uint16(n), Value: value})
		}
	}
}

// Authority is a certificate authority: a CA certificate, and where its revocation information is. The URIs are stored
// only.
type Authority struct {
	Name        string
	Cert        Cert
	CRLURIs     []string
	OCSPURIs    []string
	CertURIBase string
}

func (d *decoder) authority(name string) Authority {
	a := Authority{Name: name}
	for _, key := range []string{"handle", "slot", "module"} {
		d.never(key, noToken)
	}
	d.never("file", noCertFile)
	if it := d.take("cacert", vici.KindValue); it != nil {
		der, err := parseCert(it.Value)
		if err != nil {
			d.fail("cacert", "a certificate", err.Error())
		}
		a.Cert = Cert{DER: der, CA: true, Source: it.Pos}
	} else {
		d.fail("cacert", "the certificate of the authority", "nothing")
	}
	a.CRLURIs, a.OCSPURIs = slices.Clone(d.texts("crl_uris")), slices.Clone(d.texts("ocsp_uris"))
	a.CertURIBase, _ = d.text("cert_uri_base")
	return a
}
