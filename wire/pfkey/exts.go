// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The extensions one by one: is it there, parse it, append it. A reader begins behind an extension's length and type; whatever it
// leaves unread is an error of its caller.

package pfkey

import (
	"bytes"

	"github.com/natterjack/natterjack/crypt/secret"
)

// Has reports whether the extension is there.
func (m *Message) Has(t ExtType) bool {
	switch t {
	case ExtSA:
		return m.SA != nil
	case ExtKeyAuth, ExtKeyEncrypt:
		return *m.key(t) != nil
	case ExtIdentitySrc:
		return m.IdentitySrc != nil
	case ExtIdentityDst:
		return m.IdentityDst != nil
	case ExtProposal:
		return m.Proposal != nil
	case ExtSupportedAuth:
		return m.SupportedAuth != nil
	case ExtSupportedEncrypt:
		return m.SupportedEncrypt != nil
	case ExtSPIRange:
		return m.SPIRange != nil
	case ExtPolicy:
		return m.Policy != nil
	case ExtSA2:
		return m.SA2 != nil
	case ExtNATType:
		return m.NATType != nil
	case ExtNATFrag:
		return m.NATFrag != nil
	case ExtSAReplay:
		return m.SAReplay != nil
	case ExtSecCtx:
		return m.SecCtx != nil
	case ExtKMAddress:
		return m.KMAddr != nil
	case ExtFilter:
		return m.Filter != nil
	}
	if p := m.lifetime(t); p != nil {
		return *p != nil
	}
	if p := m.address(t); p != nil {
		return *p != nil
	}
	if p := m.opaque(t); p != nil {
		return *p != nil
	}
	if p := m.port(t); p != nil {
		return *p != nil
	}
	for i := range m.Raw {
		if m.Raw[i].Type == t {
			return true
		}
	}
	return false
}

// lifetime, address, opaque, port and key are where an extension of their kind is kept; nil for another kind.
func (m *Message) lifetime(t ExtType) **Lifetime {
	switch t {
	case ExtLifetimeCurrent:
		return &m.LifetimeCurrent
	case ExtLifetimeHard:
		return &m.LifetimeHard
	case ExtLifetimeSoft:
		return &m.LifetimeSoft
	case ExtLifetimeSWOff:
		return &m.LifetimeSW
	case ExtLifetimeHWOff:
		return &m.LifetimeHW
	}
	return nil
}

func (m *Message) address(t ExtType) **Address {
	switch t {
	case ExtAddressSrc:
		return &m.Src
	case ExtAddressDst:
		return &m.Dst
	case ExtAddressProxy:
		return &m.Proxy
	case ExtNATOAi:
		return &m.NATOAi
	case ExtNATOAr:
		return &m.NATOAr
	case ExtNewAddressSrc:
		return &m.NewSrc
	case ExtNewAddressDst:
		return &m.NewDst
	}
	return nil
}

func (m *Message) opaque(t ExtType) **Opaque {
	switch t {
	case ExtSensitivity:
		return &m.Sensitivity
	case ExtKMPrivate:
		return &m.KMPrivate
	case ExtIfHWOffload:
		return &m.IfOffload
	}
	return nil
}

func (m *Message) port(t ExtType) **uint16 {
	switch t {
	case ExtNATSrcPort:
		return &m.NATSrcPort
	case ExtNATDstPort:
		return &m.NATDstPort
	case ExtUDPEncap:
		return &m.UDPEncap
	}
	return nil
}

func (m *Message) key(t ExtType) **secret.Key {
	if t == ExtKeyAuth {
		return &m.KeyAuth
	}
	return &m.KeyEncrypt
}

// wipe overwrites the keys of a message that was refused.
func (m *Message) wipe() {
	for _, k := range [...]*secret.Key{m.KeyAuth, m.KeyEncrypt} {
		if k != nil {
			k.Wipe()
		}
	}
}

// ext parses the body of an extension into the message.
func (r *reader) ext(m *Message, t ExtType) {
	switch t {
	case ExtSA:
		m.SA = &SA{SPI: r.spi("spi"), Replay: r.U8("replay"), State: State(r.U8("state")), Auth: AuthAlg(r.U8("auth")), Encrypt: EncryptAlg(r.U8("encrypt")),
			Flags: r.U32("flags")}
	case ExtKeyAuth, ExtKeyEncrypt:
		*m.key(t) = r.key()
	case ExtIdentitySrc:
		m.IdentitySrc = r.identity()
	case ExtIdentityDst:
		m.IdentityDst = r.identity()
	case ExtProposal:
		m.Proposal = r.proposal()
	case ExtSupportedAuth:
		m.SupportedAuth = r.supported()
	case ExtSupportedEncrypt:
		m.SupportedEncrypt = r.supported()
	case ExtSPIRange:
		m.SPIRange = &SPIRange{Min: r.U32("minimum"), Max: r.U32("maximum")}
		r.skip(4)
	case ExtPolicy:
		m.Policy = r.policy()
	case ExtSA2:
		s := &SA2{Mode: Mode(r.U8("mode"))}
		r.skip(3)
		s.Seq, s.Reqid = r.U32("sequence"), r.U32("reqid")
		m.SA2 = s
	case ExtNATType:
		v := r.U8("type")
		r.skip(3)
		m.NATType = &v
	case ExtNATFrag:
		v := r.U16("fragment length")
		r.skip(2)
		m.NATFrag = &v
	case ExtSAReplay:
		v := r.U32("window")
		m.SAReplay = &v
	case ExtSecCtx:
		m.SecCtx = r.secCtx()
	case ExtKMAddress:
		r.skip(4)
		src, dst := r.pair()
		m.KMAddr = &KMAddress{src, dst}
	case ExtFilter:
		m.Filter = r.filter()
	default:
		r.kinds(m, t)
	}
}

// kinds parses the extensions of which there are several of one kind.
func (r *reader) kinds(m *Message, t ExtType) {
	if p := m.lifetime(t); p != nil {
		*p = &Lifetime{r.U32("allocations"), r.U64("bytes"), r.U64("addtime"), r.U64("usetime")}
	} else if p := m.address(t); p != nil {
		*p = r.address()
	} else if p := m.opaque(t); p != nil {
		*p = &Opaque{r.limited("data", r.Len())}
	} else if p := m.port(t); p != nil {
		v := r.port("port")
		r.skip(2)
		*p = &v
	} else {
		m.Raw = append(m.Raw, RawExt{t, r.limited("data", r.Len())})
	}
}

// limited reads and copies n octets of content that is not ours.
func (r *reader) limited(field string, n int) []byte {
	if n > maxOpaque {
		r.Fail("%s: %d octets, expected at most %d", field, n, maxOpaque)
	}
	return bytes.Clone(r.Bytes(field, n))
}

// body appends what is behind an extension's length and type. Padding is the caller's.
func (w *writer) body(m *Message, t ExtType) {
	switch t {
	case ExtSA:
		s := m.SA
		w.spi(s.SPI)
		w.bytes([]byte{s.Replay, uint8(s.State), uint8(s.Auth), uint8(s.Encrypt)})
		w.u32(s.Flags)
	case ExtKeyAuth, ExtKeyEncrypt:
		w.key(*m.key(t))
	case ExtIdentitySrc:
		w.identity(m.IdentitySrc)
	case ExtIdentityDst:
		w.identity(m.IdentityDst)
	case ExtProposal:
		w.proposal(m.Proposal)
	case ExtSupportedAuth:
		w.supported(m.SupportedAuth)
	case ExtSupportedEncrypt:
		w.supported(m.SupportedEncrypt)
	case ExtSPIRange:
		w.u32(m.SPIRange.Min)
		w.u32(m.SPIRange.Max)
		w.zero(4)
	case ExtPolicy:
		w.policy(m.Policy)
	case ExtSA2:
		w.u8(uint8(m.SA2.Mode))
		w.zero(3)
		w.u32(m.SA2.Seq)
		w.u32(m.SA2.Reqid)
	case ExtNATType:
		w.u8(*m.NATType)
	case ExtNATFrag:
		w.u16(*m.NATFrag)
	case ExtSAReplay:
		w.u32(*m.SAReplay)
	case ExtSecCtx:
		w.secCtx(m.SecCtx)
	case ExtKMAddress:
		w.zero(4)
		w.pair(m.KMAddr.Src, m.KMAddr.Dst)
	case ExtFilter:
		w.filter(m.Filter)
	default:
		w.kinds(m, t)
	}
}

func (w *writer) kinds(m *Message, t ExtType) {
	if p := m.lifetime(t); p != nil {
		w.u32((*p).Allocations)
		w.u64((*p).Bytes)
		w.u64((*p).AddTime)
		w.u64((*p).UseTime)
	} else if p := m.address(t); p != nil {
		w.address(*p)
	} else if p := m.opaque(t); p != nil {
		w.opaque(t, (*p).Data)
	} else if p := m.port(t); p != nil {
		w.port(**p)
	}
}

func (w *writer) opaque(t ExtType, data []byte) {
	if len(data) > maxOpaque || padding(len(data)+4) != 0 {
		w.fail("%s: %d octets, expected 4 and a multiple of 8, at most %d", t, len(data), maxOpaque)
		return
	}
	start := len(w.b)
	w.bytes(data)
	if t == ExtKMPrivate {
		clear(w.b[start : start+4]) // reserved
	}
}
