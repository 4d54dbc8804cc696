// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Attributes payload of configuration messages (draft-dukes-ike-mode-cfg-02, Section 3.2), and what the values of
// Mode-Config, XAUTH and Cisco Unity say. The payload is read whatever its attributes are; each value is judged where it is
// used, so that one that a peer got wrong is left out and its neighbours are not.

package ikev1msg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/wire"
)

// maxNamed is how many attributes a summary names, as maxShown: more than clients ask for.
const maxNamed = 24

// Config is the Attributes payload.
type Config struct {
	CfgType    CfgType
	ID         uint16 // of the transaction
	Attributes []Attribute
}

// Type implements Payload.
func (*Config) Type() PayloadType { return TypeConfig }

// summary shows no values: XAUTH's are secrets.
func (p *Config) summary() string {
	var names []string
	for i, a := range p.Attributes {
		if i == maxNamed {
			names = append(names, "...")
			break
		}
		names = append(names, ConfigName(a.Kind))
	}
	if len(names) == 0 {
		return fmt.Sprintf("CONFIG(%s)", p.CfgType)
	}
	return fmt.Sprintf("CONFIG(%s %s)", p.CfgType, strings.Join(names, " "))
}

func parseConfig(b []byte) (*Config, error) {
	r := wire.NewReader(b)
	p := &Config{CfgType: CfgType(r.U8("CFG type"))}
	if r.U8("reserved") != 0 {
		return nil, errors.New("reserved octet not zero")
	}
	p.ID = r.U16("identifier")
	list, err := parseAttributes(r.Rest())
	if err != nil {
		return nil, err
	}
	p.Attributes = list
	return p, r.Err()
}

func (p *Config) append(dst []byte) []byte {
	dst = append(dst, uint8(p.CfgType), 0)
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	return appendAttributes(dst, p.Attributes)
}

// Find is the first attribute of a kind.
func (p *Config) Find(kind uint16) (Attribute, bool) {
	for _, a := range p.Attributes {
		if a.Kind == kind {
			return a, true
		}
	}
	return Attribute{}, false
}

// Addr is the value as an address, of 4 or 16 octets as its kind has it.
func (a Attribute) Addr() (netip.Addr, error) {
	want := 4
	switch a.Kind {
	case AttrIP6Address, AttrIP6Netmask, AttrIP6DNS, AttrIP6NBNS, AttrIP6DHCP, AttrMSIP6Server:
		want = 16
	}
	addr, ok := netip.AddrFromSlice(a.Value)
	if !ok || len(a.Value) != want {
		return netip.Addr{}, fmt.Errorf("%s: %d octets, expected %d", ConfigName(a.Kind), len(a.Value), want)
	}
	return addr, nil
}

// Subnet is the value of INTERNAL_IP4_SUBNET, whose mask must be a prefix, or INTERNAL_IP6_SUBNET.
func (a Attribute) Subnet() (netip.Prefix, error) {
	switch {
	case a.Kind == AttrIP4Subnet && len(a.Value) == 8:
		return maskedPrefix(a.Value)
	case a.Kind == AttrIP6Subnet && len(a.Value) == 17 && a.Value[16] <= 128:
		addr, _ := netip.AddrFromSlice(a.Value[:16])
		return addr.Prefix(int(a.Value[16]))
	}
	return netip.Prefix{}, fmt.Errorf("%s: %d octets, expected 8 of IPv4, or 17 of IPv6 with a length up to 128", ConfigName(a.Kind), len(a.Value))
}

// maskedPrefix reads an IPv4 address and its mask. Bits of the address behind the mask are dropped.
func maskedPrefix(b []byte) (netip.Prefix, error) {
	mask := binary.BigEndian.Uint32(b[4:8])
	bits := 0
	for ; bits < 32 && mask<<bits&0x80000000 != 0; bits++ {
	}
	if mask<<bits != 0 {
		return netip.Prefix{}, fmt.Errorf("mask %08x, expected ones and then zeros", mask)
	}
	addr, _ := netip.AddrFromSlice(b[:4])
	return addr.Prefix(bits)
}

// Text is the value as text. Strings are not terminated (draft-beaulieu-ike-xauth-02, Section 6.2), but some peers' end with
// NULs, which are dropped. Anything else may be in it: who shows it replaces what is not printable.
func (a Attribute) Text() string { return strings.TrimRight(string(a.Value), "\x00") }

// XAUTHType is the value of XAUTH_TYPE.
func (a Attribute) XAUTHType() (XAUTHType, error) {
	v, err := a.number()
	return XAUTHType(v), err
}

// Port is the value of UNITY_NATT_PORT.
func (a Attribute) Port() (uint16, error) {
	v, err := a.number()
	if err == nil && v == 0 {
		return 0, fmt.Errorf("%s: port 0, expected another", ConfigName(a.Kind))
	}
	return v, err
}

// Flag is the value of XAUTH_STATUS, UNITY_PFS or UNITY_SAVE_PASSWD.
func (a Attribute) Flag() (bool, error) {
	v, err := a.number()
	if err == nil && v > 1 {
		return false, fmt.Errorf("%s: %d, expected 0 or 1", ConfigName(a.Kind), v)
	}
	return v == 1, err
}

// number is a value that is basic; some peers send it variable, with one, two or four octets.
func (a Attribute) number() (uint16, error) {
	v, ok := a.Uint()
	if !ok || v > 0xffff {
		return 0, fmt.Errorf("%s: %d octets, expected a number of two", ConfigName(a.Kind), len(a.Value))
	}
	return uint16(v), nil
}

const (
	unityNet = 14 // address, mask, protocol, source port, destination port
	bareNet  = 8  // address, mask
)

// UnityNet is one network of UNITY_SPLIT_INCLUDE or UNITY_LOCAL_LAN. Protocol and ports are 0 for any.
type UnityNet struct {
	Net              netip.Prefix
	Proto            uint16
	SrcPort, DstPort uint16
}

// Nets is the value of UNITY_SPLIT_INCLUDE or UNITY_LOCAL_LAN: networks of 14 octets each.
//
// Deviation: gateways that have their networks as a list of addresses and masks send 8 octets each; a length that is a
// multiple of 8 and not of 14 is taken to be that.
func (a Attribute) Nets() ([]UnityNet, error) {
	size := unityNet
	if len(a.Value)%unityNet != 0 && len(a.Value)%bareNet == 0 {
		size = bareNet
	}
	if len(a.Value)%size != 0 {
		return nil, fmt.Errorf("%s: %d octets, expected a multiple of %d", ConfigName(a.Kind), len(a.Value), unityNet)
	}
	list := make([]UnityNet, 0, len(a.Value)/size)
	for b := a.Value; len(b) > 0; b = b[size:] {
		net, err := maskedPrefix(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ConfigName(a.Kind), err)
		}
		n := UnityNet{Net: net}
		if size == unityNet {
			n.Proto = binary.BigEndian.Uint16(b[8:])
			n.SrcPort, n.DstPort = binary.BigEndian.Uint16(b[10:]), binary.BigEndian.Uint16(b[12:])
		}
		list = append(list, n)
	}
	return list, nil
}

// UnityNets makes the attribute of a kind, UNITY_SPLIT_INCLUDE or UNITY_LOCAL_LAN, from networks. Those of IPv6 have
// no place in it and are left out.
func UnityNets(kind uint16, list []UnityNet) Attribute {
	var b []byte
	for _, n := range list {
		if !n.Net.Addr().Is4() {
			continue
		}
		b = append(b, n.Net.Masked().Addr().AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, ^uint32(0)<<(32-n.Net.Bits()))
		b = binary.BigEndian.AppendUint16(b, n.Proto)
		b = binary.BigEndian.AppendUint16(b, n.SrcPort)
		b = binary.BigEndian.AppendUint16(b, n.DstPort)
	}
	return Variable(kind, b)
}

// Supported is the value of SUPPORTED_ATTRIBUTES: kinds of attributes.
func (a Attribute) Supported() ([]uint16, error) {
	if len(a.Value)%2 != 0 {
		return nil, fmt.Errorf("%s: %d octets, expected a multiple of 2", ConfigName(a.Kind), len(a.Value))
	}
	list := make([]uint16, 0, len(a.Value)/2)
	for b := a.Value; len(b) > 0; b = b[2:] {
		list = append(list, binary.BigEndian.Uint16(b))
	}
	return list, nil
}
