// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The requests of FuzzServer: what could mean something, with mistakes.

package keysock_test

import "github.com/natterjack/natterjack/wire/pfkey"

// request is one of those that could mean something, with mistakes.
func (u *duel) request(d pfkey.Dialect) *pfkey.Message {
	t := [...]pfkey.Type{
		1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 11, 12, 13, 13, 14, 14, 14, 15, 15, 16, 17, 19, 20, 21, 22, 23,
	}[u.d.roll(35)]
	r := &pfkey.Message{Header: pfkey.Header{Type: t, Seq: uint32(u.d.roll(3)), PID: 4242}}
	r.SAType = [...]pfkey.SAType{3, 3, 3, 3, 2, 2, 9, 0, 5, 77}[u.d.roll(10)]
	switch {
	case t >= 13 && t <= 22:
		u.policy(r)
		return r
	case t == pfkey.TypeAcquire && u.d.one(2), t == pfkey.TypeExpire:
		r.SA = &pfkey.SA{SPI: 0x1001}
		return r
	case t == pfkey.TypeAcquire:
		r.Errno = pfkey.EINVAL
		return r
	case t == pfkey.TypeRegister && d == pfkey.FreeBSD && u.d.one(2):
		r.KMPrivate = pfkey.Codec{Dialect: d}.Private(pfkey.PrivateNames)
		return r
	case t == pfkey.TypeFlush || t == pfkey.TypePChange || t == pfkey.TypeNewMapping || t == pfkey.TypeRegister:
		return r
	case t == pfkey.TypePromisc:
		r.SAType = pfkey.SAType(u.d.roll(3))
		return r
	}
	u.sa(r, d)
	return r
}

func (u *duel) host() *pfkey.Address {
	return addr([...]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}[u.d.roll(3)])
}

// sa fills in a request about an SA.
func (u *duel) sa(r *pfkey.Message, d pfkey.Dialect) {
	if !u.d.one(16) {
		r.Src = u.host()
	}
	if !u.d.one(16) {
		r.Dst = u.host()
	}
	if u.d.one(3) {
		r.SA2 = &pfkey.SA2{Mode: pfkey.Mode(u.d.roll(4)), Reqid: uint32(u.d.roll(3))}
	}
	if r.Type == pfkey.TypeGetSPI {
		if !u.d.one(4) {
			least := uint32([...]int{0x1001, 0x1002, 0x50, 0x20000, 0xffff}[u.d.roll(5)])
			r.SPIRange = &pfkey.SPIRange{Min: least, Max: least + uint32([...]int{0, 0, 0x30000}[u.d.roll(3)])}
		}
		return
	}
	if !u.d.one(16) {
		r.SA = &pfkey.SA{SPI: u.spi(), State: pfkey.StateMature}
	}
	if r.Type != pfkey.TypeAdd && r.Type != pfkey.TypeUpdate {
		return
	}
	if u.d.one(3) {
		r.LifetimeHard = &pfkey.Lifetime{AddTime: uint64(u.d.roll(2) * 5)}
		r.LifetimeSoft = &pfkey.Lifetime{AddTime: uint64(u.d.roll(2) * 2)}
		if u.d.one(8) {
			r.LifetimeSoft = nil
		}
	}
	if u.d.one(3) {
		r.NATType = ptr([...]uint8{2, 2, 2, 1, 3}[u.d.roll(5)])
		if !u.d.one(8) {
			r.NATSrcPort = ptr([...]uint16{4500, 4500, 1024, 0}[u.d.roll(4)])
		}
		r.NATDstPort = ptr(uint16(4500))
	}
	if d == pfkey.FreeBSD && r.Type == pfkey.TypeUpdate && u.d.one(3) {
		r.NewDst = u.host()
	}
	u.keys(r)
}

// spi is one that is there, or another.
func (u *duel) spi() uint32 {
	if n := len(u.m.sas); n > 0 && !u.d.one(3) {
		return u.m.sas[u.d.roll(n)].spi
	}
	return uint32([...]int{0x1001, 0x1002, 0x1003, 0x50, 0}[u.d.roll(5)])
}

func (u *duel) keys(r *pfkey.Message) {
	if r.Type == pfkey.TypeUpdate && u.d.one(3) || r.SA == nil {
		return
	}
	fill := byte(u.d.roll(2) * 100)
	switch r.SAType {
	case pfkey.SATypeIPComp:
		r.SA.Encrypt = [...]pfkey.EncryptAlg{2, 2, 3}[u.d.roll(3)]
		return
	case pfkey.SATypeAH:
		r.SA.Auth, r.KeyAuth = 3, key(20, fill)
	default:
		r.SA.Encrypt, r.KeyEncrypt = 12, key(16, fill)
		r.SA.Auth, r.KeyAuth = 3, key(20, fill)
		if u.d.one(4) {
			r.SA.Encrypt, r.KeyEncrypt, r.SA.Auth, r.KeyAuth = 20, key(20, fill), 0, nil
		}
	}
	switch u.d.roll(12) {
	case 0:
		r.SA.Auth = 99
	case 1:
		r.SA.Encrypt = 99
	case 2:
		r.KeyAuth = key(19, fill)
	case 3:
		r.KeyEncrypt = nil
	}
}

// policy fills in a request about a policy.
func (u *duel) policy(r *pfkey.Message) {
	if !u.d.one(4) {
		r.SAType = 0
	}
	prefix := func() *pfkey.Address {
		a := addr([...]string{"10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/24", "10.1.7.7/16"}[u.d.roll(4)])
		a.Proto = 255
		return a
	}
	if r.Type != pfkey.TypeSPDGet && r.Type != pfkey.TypeSPDDelete2 {
		if !u.d.one(12) {
			r.Src = prefix()
		}
		r.Dst = prefix()
	}
	if u.d.one(16) {
		return
	}
	r.Policy = &pfkey.Policy{Type: [...]pfkey.PolicyType{2, 2, 2, 0, 1}[u.d.roll(5)], Dir: pfkey.Dir(1 + u.d.roll(3)), ID: uint32(1 + u.d.roll(4))}
	if r.Policy.Type == pfkey.PolicyIPsec && (r.Type == pfkey.TypeSPDAdd || r.Type == pfkey.TypeSPDUpdate || r.Type == pfkey.TypeSPDSetIdx) {
		for range u.d.roll(3) {
			r.Policy.Requests = append(r.Policy.Requests, pfkey.Request{
				Proto: 50, Mode: pfkey.ModeTunnel, Level: pfkey.Level(u.d.roll(4)),
				Src: u.host().Sockaddr, Dst: u.host().Sockaddr,
			})
		}
	}
	if u.d.one(4) {
		r.LifetimeHard = &pfkey.Lifetime{AddTime: 5}
	}
}
