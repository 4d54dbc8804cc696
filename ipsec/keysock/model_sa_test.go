// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The slow model's SAs: GETSPI, ADD, UPDATE, GET and DELETE.

package keysock_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// faults of the parts that GETSPI, ADD, UPDATE, GET and DELETE have.
func faults(r *pfkey.Message, needSA bool) (wrong []pfkey.Errno) {
	if r.Src == nil || r.Dst == nil || protoOf(r.SAType) == 0 || needSA && r.SA == nil {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if r.SAType == 0 && (r.Type == pfkey.TypeAdd || r.Type == pfkey.TypeUpdate) {
		wrong = append(wrong, pfkey.EPROTONOSUPPORT)
	}
	return wrong
}

func (m *model) getSPI(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	wrong := faults(r, false)
	mode, reqid, bad := modeReqid(c, r)
	least, most := uint32(0x100), uint32(0x0fffffff)
	if r.SPIRange != nil {
		least, most = max(r.SPIRange.Min, 256), r.SPIRange.Max
	}
	if r.SAType == 9 {
		if c.dialect == pfkey.Linux && r.SPIRange != nil && most > 0xffff {
			bad = true
		}
		least, most = min(least, 0xffff), min(most, 0xffff)
	}
	if bad || least > most {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if len(wrong) > 0 {
		return wrong
	}
	larvals := 0
	for _, s := range m.sas {
		if s.larval && s.owner == i {
			larvals++
		}
	}
	if larvals >= m.larvalMax {
		return []pfkey.Errno{pfkey.ENOBUFS}
	}
	free := 0
	for spi := least; spi <= most && free == 0; spi++ {
		if !m.taken(c, protoOf(r.SAType), spi, r.Dst.Addr) {
			free++
		}
	}
	if free == 0 && c.dialect == pfkey.Linux {
		return []pfkey.Errno{pfkey.ENOENT}
	}
	if free == 0 {
		return []pfkey.Errno{pfkey.EEXIST}
	}
	// Which one it was, the answer says.
	m.sas = append(m.sas, &mSA{proto: protoOf(r.SAType), src: r.Src.Addr, dst: r.Dst.Addr, owner: i, larval: true, mode: mode, reqid: reqid, born: m.now})
	m.tell(word(r.Type, 0), only(i))
	return nil
}

// taken: FreeBSD knows an SPI once; the database once for a protocol, or for a protocol and a destination.
func (m *model) taken(c *mClient, proto uint8, spi uint32, dst netip.Addr) bool {
	return m.find(func(s *mSA) bool {
		return s.spi == spi && (c.dialect == pfkey.FreeBSD || s.proto == proto && (!m.perDst || s.dst == dst))
	}) != nil
}

// named: there is an SA of the name that an ADD brings.
func (m *model) named(c *mClient, s *mSA) bool {
	if !c.names {
		return m.taken(c, s.proto, s.spi, s.dst)
	}
	return m.find(func(o *mSA) bool { return o.spi == s.spi && o.proto == s.proto && (!m.perDst || o.dst == s.dst) }) != nil
}

func modeReqid(c *mClient, r *pfkey.Message) (mode pfkey.Mode, reqid uint32, bad bool) {
	if r.SA2 != nil {
		mode, reqid = r.SA2.Mode, r.SA2.Reqid
	}
	if c.dialect == pfkey.Linux && mode == 0 {
		mode = 1
	}
	return mode, reqid, mode > 2
}

// asked reads what ADD and UPDATE have in common.
func (m *model) asked(i int, c *mClient, r *pfkey.Message) (*mSA, []pfkey.Errno) {
	wrong := faults(r, true)
	s := &mSA{owner: i, born: m.now, proto: protoOf(r.SAType)}
	var bad bool
	s.mode, s.reqid, bad = modeReqid(c, r)
	if bad || (r.LifetimeHard == nil) != (r.LifetimeSoft == nil) {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if r.LifetimeHard != nil && r.LifetimeSoft != nil {
		s.hard, s.soft = time.Duration(r.LifetimeHard.AddTime)*time.Second, time.Duration(r.LifetimeSoft.AddTime)*time.Second
	}
	var e pfkey.Errno
	if s.natt, e = nattOf(c, r); e != 0 {
		wrong = append(wrong, e)
	}
	if r.SA != nil && r.Src != nil && r.Dst != nil {
		s.spi, s.src, s.dst = r.SA.SPI, r.Src.Addr, r.Dst.Addr
		if s.proto == 108 && (s.spi == 0 || s.spi > 0xffff) || s.proto != 108 && s.spi < 256 {
			wrong = append(wrong, pfkey.EINVAL)
		}
	}
	return s, wrong
}

func nattOf(c *mClient, r *pfkey.Message) (uint8, pfkey.Errno) {
	if r.SAType != 3 || r.NATType == nil {
		return 0, 0
	}
	if c.dialect != pfkey.Linux {
		if r.NATSrcPort == nil || r.NATDstPort == nil {
			return 0, 0
		}
		if *r.NATSrcPort == 0 || *r.NATDstPort == 0 {
			return 0, pfkey.EINVAL
		}
	}
	if *r.NATType == 2 || *r.NATType == 1 && c.dialect != pfkey.FreeBSD {
		return *r.NATType, 0
	}
	return 0, pfkey.EINVAL
}

// material is the algorithms and keys; the tests use four kinds of them.
func material(c *mClient, r *pfkey.Message) (string, []pfkey.Errno) {
	unknown := []pfkey.Errno{pfkey.EINVAL}
	if c.dialect == pfkey.Linux {
		unknown = []pfkey.Errno{pfkey.ENOSYS}
	}
	invalid := []pfkey.Errno{pfkey.EINVAL}
	if r.SA == nil {
		return "", invalid
	}
	switch r.SAType {
	case 0:
		return "", append(invalid, pfkey.EPROTONOSUPPORT)
	case 9:
		switch r.SA.Encrypt {
		case 0:
			return "", invalid
		case 2:
			return "deflate", nil
		}
		return "", unknown
	case 2:
		if r.KeyAuth == nil || r.SA.Encrypt != 0 {
			return "", invalid
		}
	default:
		if r.KeyEncrypt == nil {
			return "", invalid
		}
		if r.SA.Encrypt != 12 && r.SA.Encrypt != 20 {
			return "", unknown
		}
		if r.SA.Encrypt == 12 && r.KeyEncrypt.Len() != 16 || r.SA.Encrypt == 20 && r.KeyEncrypt.Len() != 20 {
			return "", invalid
		}
		if r.SA.Encrypt == 20 {
			if r.SA.Auth != 0 {
				return "", invalid
			}
			return fmt.Sprintf("gcm %x", r.KeyEncrypt.Bytes()), nil
		}
	}
	switch {
	case r.KeyAuth == nil || r.SA.Auth == 0:
		return "", invalid
	case r.SA.Auth != 3:
		return "", unknown
	case r.KeyAuth.Len() != 20:
		return "", invalid
	}
	text := fmt.Sprintf("%d %x", r.SA.Encrypt, r.KeyAuth.Bytes())
	if r.KeyEncrypt != nil {
		text += fmt.Sprintf(" %x", r.KeyEncrypt.Bytes())
	}
	return text, nil
}

func (m *model) add(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	s, wrong := m.asked(i, c, r)
	text, bad := material(c, r)
	s.material = text
	wrong = append(wrong, bad...)
	if m.named(c, s) {
		wrong = append(wrong, pfkey.EEXIST)
	}
	if len(wrong) > 0 {
		return wrong
	}
	m.sas = append(m.sas, s)
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) update(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	s, wrong := m.asked(i, c, r)
	if len(wrong) > 0 {
		wrong = append(wrong, pfkey.ESRCH, pfkey.ENOSYS) // several faults: any order
		return wrong
	}
	if c.dialect == pfkey.FreeBSD {
		return m.updateFreeBSD(i, c, r, s)
	}
	text, bad := material(c, r)
	old := m.find(func(o *mSA) bool { return o.proto == s.proto && o.spi == s.spi && o.dst == s.dst })
	if old == nil {
		bad = append(bad, pfkey.ESRCH)
	}
	if len(bad) > 0 {
		return bad
	}
	s.material = text
	if old.larval {
		m.complete(old, s)
	} else {
		if old.material != s.material || old.natt != s.natt {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		old.soft, old.hard, old.softTold = s.soft, s.hard, false
	}
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) complete(old, s *mSA) {
	if s.reqid == 0 {
		s.reqid = old.reqid
	}
	*old = *s
}

func (m *model) updateFreeBSD(i int, c *mClient, r *pfkey.Message, s *mSA) []pfkey.Errno {
	old := m.find(func(o *mSA) bool { return o.proto == s.proto && o.spi == s.spi && o.dst == s.dst })
	if old == nil {
		return []pfkey.Errno{pfkey.EINVAL, pfkey.ESRCH} // as the first with this SPI is another's or the client's own
	}
	if old.owner != i {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	if old.src != s.src || s.reqid != 0 && s.reqid != old.reqid || old.mode != 0 && old.mode != s.mode {
		return []pfkey.Errno{pfkey.ESRCH}
	}
	if old.larval {
		text, bad := material(c, r)
		if len(bad) > 0 {
			return bad
		}
		s.material = text
		m.complete(old, s)
		m.tell(word(r.Type, 0), everybody)
		return nil
	}
	if r.KeyEncrypt != nil || r.KeyAuth != nil {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	moves := r.NewSrc != nil || r.NewDst != nil
	if !moves && s.natt == 0 && (r.NATType != nil || old.natt != 0) {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	src, dst := old.src, old.dst
	if r.NewSrc != nil {
		src = r.NewSrc.Addr
	}
	if r.NewDst != nil {
		dst = r.NewDst.Addr
	}
	if o := m.find(func(o *mSA) bool { return o != old && o.proto == old.proto && o.spi == old.spi && o.dst == dst }); o != nil {
		return []pfkey.Errno{pfkey.EEXIST}
	}
	if moves || s.natt != 0 {
		old.src, old.dst, old.natt = src, dst, s.natt
	}
	if r.LifetimeHard != nil {
		old.soft, old.hard, old.softTold = s.soft, s.hard, false
	}
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) getDelete(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	if r.Type == pfkey.TypeDelete && r.SA == nil && c.dialect != pfkey.Linux {
		if wrong := faults(r, false); len(wrong) > 0 {
			return wrong
		}
		m.drop(func(s *mSA) bool {
			return !s.larval && s.proto == protoOf(r.SAType) && s.src == r.Src.Addr && s.dst == r.Dst.Addr
		})
		m.tell(word(r.Type, 0), everybody)
		return nil
	}
	if wrong := faults(r, true); len(wrong) > 0 {
		return wrong
	}
	s := m.find(func(s *mSA) bool {
		return s.proto == protoOf(r.SAType) && s.spi == r.SA.SPI && s.dst == r.Dst.Addr && (c.dialect != pfkey.FreeBSD || s.src == r.Src.Addr)
	})
	if s == nil {
		return []pfkey.Errno{pfkey.ESRCH}
	}
	if r.Type == pfkey.TypeGet {
		m.tell(word(r.Type, 0), only(i))
		return nil
	}
	m.drop(func(o *mSA) bool { return o == s })
	m.tell(word(r.Type, 0), everybody)
	return nil
}
