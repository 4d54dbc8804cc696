// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What single SAs are refused for: a privileged client is not believed that what it says fits together.

package sadb

import (
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/wire/natt"
)

// check refuses what no SA can be: addresses, mode and keys.
func (s *SA) check() error {
	if s.Proto != ProtoESP && s.Proto != ProtoAH && s.Proto != ProtoIPComp {
		return ErrProto
	}
	if !validSPI(s.Proto, s.SPI) {
		return ErrRange
	}
	if s.Mode > Tunnel {
		return fmt.Errorf("mode: %d, expected any, transport or tunnel", s.Mode)
	}
	if err := s.checkPlace(); err != nil {
		return err
	}
	return s.checkKeys()
}

// checkPlace refuses addresses that an SA cannot have.
func (s *SA) checkPlace() error {
	if !single(s.Dst) || s.Dst.IsUnspecified() || !single(s.Src) || s.Src.Is4() != s.Dst.Is4() {
		return ErrEndpoint
	}
	for _, a := range [2]netip.Addr{s.OrigSrc, s.OrigDst} {
		if a.IsValid() && (!single(a) || a.Is4() != s.Dst.Is4()) {
			return ErrEndpoint
		}
	}
	switch s.Encap {
	case natt.Raw:
		return nil
	case natt.NonESP, natt.NonIKE, natt.CiscoUDP:
	default:
		return fmt.Errorf("encapsulation: %v, expected one in UDP or none", s.Encap)
	}
	if s.Proto != ProtoESP {
		return fmt.Errorf("encapsulation: %v, expected none: only ESP travels in UDP", s.Encap)
	}
	if s.SrcPort == 0 || s.DstPort == 0 {
		return ErrEndpoint
	}
	return nil
}

func single(a netip.Addr) bool { return a.IsValid() && !a.Is4In6() && a.Zone() == "" }

// checkKeys makes an SA of them, once, for what it says.
func (s *SA) checkKeys() error {
	switch s.Proto {
	case ProtoIPComp:
		if !s.Key.IsZero() || !s.Integ.IsZero() {
			return fmt.Errorf("key of %d octets: IPComp has none", s.Key.Len()+s.Integ.Len())
		}
		return nil
	case ProtoAH:
		return s.checkAH()
	}
	_, err := esp.NewOpener(s.SPI, s.Suite, s.Key, s.Integ, s.Window)
	return err
}
