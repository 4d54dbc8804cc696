// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_AUTH as initiator (RFC 7296, Sections 1.2, 2.15, 2.19 and 2.21.2):
//
//	HDR, SK {IDi, [CERT,] [N(INITIAL_CONTACT),] [CERTREQ,] [IDr,] AUTH, [CP,] SA, TSi, TSr} -->
//	                                          <-- HDR, SK {IDr, [CERT,] AUTH, [CP,] SA, TSr, TSr}
//
// The response is encrypted by whoever did the key exchange: until AUTH is verified its sender is nobody, and nothing in
// it but a refusal is believed. One that cannot be verified ends the IKE SA, and the responder is told so, since it
// believes that it is up.

package ikev2

import (
	"bytes"
	"fmt"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// maxCerts bounds the certificates of a chain that are looked at.
const maxCerts = 10

// proof is what the peer's AUTH is verified against.
type proof struct {
	id     ike.ID
	auth   *ikev2msg.Auth
	certs  [][]byte
	octets []byte
}

// askAuth gathers what the request needs, in order: whether this is the first contact, the SPI of the first child, the
// authorities to ask for, and our own AUTH.
func (sa *SA) askAuth(now time.Time) {
	if sa.init.child == nil {
		sa.closeNow(now, ike.CloseNegotiation, "an IKE SA comes up with a child: name one (childless IKE SAs are not built)")
		return
	}
	if why := sa.cannot(sa.init.child); why != "" {
		sa.closeNow(now, ike.CloseNegotiation, why)
		return
	}
	sa.localID = ownID(sa.conn.Local[0], sa.path)
	q := ike.Admit{Unique: sa.env.Unique, Policy: sa.conn.Unique, Connection: sa.conn.Name, Local: sa.localID,
		Remote: sa.conn.Remote[0].ID, Initiator: true}
	sa.ask(q, func(now time.Time, ans ike.Answer) {
		admitted, ok := ans.(ike.Admitted)
		if !ok {
			_, detail := refusal(ans, 0)
			sa.closeNow(now, ike.CloseLimit, detail)
			return
		}
		contact := !admitted.Others && sa.conn.Unique != ike.UniqueNever
		q := sa.reservation(sa.init.child)
		q.Initiated = true
		sa.ask(q, func(now time.Time, ans ike.Answer) {
			r, ok := ans.(ike.Reserved)
			if !ok {
				_, detail := refusal(ans, 0)
				sa.closeNow(now, ike.CloseInternal, "no SPI: "+detail)
				return
			}
			sa.reserve(r.SPI)
			sa.init.first = &attempt{t: sa.childTask(sa.init.child, sa.init.request), conf: sa.init.child,
				proposals: sa.init.child.Proposals, reserved: r, cpi: sa.offerCPI(sa.init.child)}
			sa.askAuthorities(now, contact)
		})
	})
}

func (sa *SA) askAuthorities(now time.Time, contact bool) {
	sign := func(now time.Time) {
		octets := authOctets(sa.init.initMessage, sa.cur.nr, sa.cur.suite.PRF, sa.cur.keys.skPi, idBody(sa.localID))
		sa.prove(sa.conn, sa.conn.Remote[0].ID, octets, func(now time.Time, p ike.Signed, err error) {
			if err != nil {
				sa.report(ike.Event{Kind: ike.EventFailed, Detail: err.Error()})
				sa.closeNow(now, ike.CloseAuthFailed, err.Error())
				return
			}
			sa.sendAuth(now, p, contact)
		})
	}
	if !sa.conn.SendCertReq || sa.conn.Remote[0].Method != ike.AuthPubkey {
		sign(now)
		return
	}
	sa.ask(ike.CertRequests{Connections: []*ike.Connection{sa.conn}}, func(now time.Time, ans ike.Answer) {
		if c, ok := ans.(ike.CertAuthorities); ok {
			sa.init.askCerts = c.Hashes
		}
		sign(now)
	})
}

// prove makes our AUTH for a connection; remote is the peer's identity, as far as it is known.
func (sa *SA) prove(conn *ike.Connection, remote ike.ID, octets []byte, then func(now time.Time, p ike.Signed, err error)) {
	local := conn.Local[0]
	if local.Method == ike.AuthPSK {
		sa.ask(ike.FindPSK{Connection: conn, Local: sa.localID, Remote: remote, Path: sa.path}, func(now time.Time, ans ike.Answer) {
			k, ok := ans.(ike.PSK)
			if !ok {
				then(now, ike.Signed{}, fmt.Errorf("no shared key for %s and %s: add one to `secrets`", sa.localID, remote))
				return
			}
			defer k.Key.Wipe()
			then(now, ike.Signed{Method: methodPSK, Data: pskAuth(sa.cur.suite.PRF, k.Key, octets)}, nil)
		})
		return
	}
	sa.ask(ike.Sign{Auth: local, CertReq: sa.init.certReq, PeerHashes: sa.peerHashes, Octets: octets}, func(now time.Time, ans ike.Answer) {
		s, ok := ans.(ike.Signed)
		if !ok {
			_, detail := refusal(ans, 0)
			then(now, ike.Signed{}, fmt.Errorf("this host cannot sign as %s: %s", sa.localID, detail))
			return
		}
		then(now, s, nil)
	})
}

// verify has the peer's AUTH verified for a connection. The error says nothing that the peer may learn.
func (sa *SA) verify(now time.Time, conn *ike.Connection, p proof, then func(now time.Time, scheme string, err error)) {
	remote := conn.Remote[0]
	if (p.auth.Method == methodPSK) != (remote.Method == ike.AuthPSK) {
		then(now, "", fmt.Errorf("the peer authenticates by method %d, which connection %s does not allow", p.auth.Method, conn.Name))
		return
	}
	if remote.Method == ike.AuthPSK {
		sa.ask(ike.FindPSK{Connection: conn, Local: sa.localID, Remote: p.id, Path: sa.path}, func(now time.Time, ans ike.Answer) {
			k, ok := ans.(ike.PSK)
			if !ok {
				then(now, "", fmt.Errorf("no shared key for %s and %s", sa.localID, p.id))
				return
			}
			defer k.Key.Wipe()
			want := secret.New(pskAuth(sa.cur.suite.PRF, k.Key, p.octets))
			if !want.Equal(secret.New(p.auth.Data)) {
				then(now, "", fmt.Errorf("the shared keys of %s and %s differ", sa.localID, p.id))
				return
			}
			then(now, "PSK", nil)
		})
		return
	}
	q := ike.Verify{Auth: remote, ID: p.id, Certs: p.certs, Method: p.auth.Method, Data: p.auth.Data, Octets: p.octets, Allowed: hashAlgorithms()}
	sa.ask(q, func(now time.Time, ans ike.Answer) {
		v, ok := ans.(ike.Verified)
		if !ok {
			_, detail := refusal(ans, 0)
			then(now, "", fmt.Errorf("%s is not proved: %s", p.id, detail))
			return
		}
		then(now, v.Scheme, nil)
	})
}

// sendAuth sends the request.
func (sa *SA) sendAuth(now time.Time, p ike.Signed, contact bool) {
	in := sa.init
	payloads := []ikev2msg.Payload{idPayload(true, sa.localID)}
	payloads = append(payloads, sa.certPayloads(sa.conn, p)...)
	if contact {
		payloads = append(payloads, &ikev2msg.Notify{Notify: ikev2msg.InitialContact})
	}
	if len(in.askCerts) > 0 {
		payloads = append(payloads, &ikev2msg.CertReq{Encoding: ikev2msg.CertEncodingX509Signature, Authorities: in.askCerts})
	}
	if id := sa.conn.Remote[0].ID; !id.Wildcard() {
		payloads = append(payloads, idPayload(false, id))
	}
	payloads = append(payloads, &ikev2msg.Auth{Method: p.Method, Data: p.Data})
	if cp := requestCP(sa.conn.VIPs); cp != nil {
		payloads = append(payloads, cp)
	}
	a := in.first
	a.local, a.remote = sa.firstSelectors(a.conf)
	payloads = append(payloads, childNotifies(a.conf.Mode, a.cpi)...)
	payloads = append(payloads, proposeESP(a.proposals, a.reserved.SPI, false), toWire(true, a.local), toWire(false, a.remote))
	sa.request(now, sa.cur, ikev2msg.IKEAuth, "IKE_AUTH", payloads, sa.finishAuth)
}

// firstSelectors are those of the child of IKE_AUTH. A virtual address that is asked for is not known yet: any address of
// its family is offered, and the responder narrows it (RFC 7296, Section 2.19).
func (sa *SA) firstSelectors(conf *ike.ChildConfig) (local, remote []ike.Selector) {
	local, remote = sa.offerOf(conf)
	if len(sa.conn.VIPs) == 0 || conf.Mode == ike.ModeTransport {
		return local, remote
	}
	local = nil
	for _, s := range conf.LocalTS {
		if !s.Dynamic {
			local = append(local, s)
			continue
		}
		for _, a := range sa.conn.VIPs {
			all := anyOf(a)
			all.Proto, all.PortFrom, all.PortTo = s.Proto, s.PortFrom, s.PortTo
			local = append(local, all)
		}
	}
	return local, remote
}

// certPayloads are our certificates, where the peer is to have them.
func (sa *SA) certPayloads(conn *ike.Connection, p ike.Signed) []ikev2msg.Payload {
	if conn.SendCert == ike.SendCertNever || conn.SendCert == ike.SendCertIfAsked && sa.init.certReq == nil {
		return nil
	}
	var list []ikev2msg.Payload
	for _, der := range p.Certs {
		list = append(list, &ikev2msg.Cert{Encoding: ikev2msg.CertEncodingX509Signature, Data: der})
	}
	return list
}

// finishAuth takes the response.
func (sa *SA) finishAuth(now time.Time, o opened) {
	auth, hasAuth := find[*ikev2msg.Auth](o.payloads)
	if n := errorNotify(o.payloads); n != nil && !hasAuth {
		sa.authRefused(now, n)
		return
	}
	id, err := idOf(o.payloads, false)
	if _, err2 := only[*ikev2msg.Auth](o.payloads, "AUTH"); err == nil {
		err = err2
	}
	if err == nil && !sa.conn.Remote[0].ID.Matches(id) {
		err = fmt.Errorf("the peer is %s, expected %s: set `id` of the remote section to what it should be", id, sa.conn.Remote[0].ID)
	}
	if err != nil {
		sa.rejectResponder(now, id, err)
		return
	}
	sa.init.certs = certsOf(o.payloads)
	g := sa.cur
	octets := authOctets(sa.init.respMessage, g.ni, g.suite.PRF, g.keys.skPr, idBody(id))
	p := proof{id: id, auth: auth, certs: sa.init.certs, octets: octets}
	sa.verify(now, sa.conn, p, func(now time.Time, scheme string, err error) {
		if err != nil {
			sa.rejectResponder(now, id, err)
			return
		}
		sa.peerID = id
		sa.report(ike.Event{Kind: ike.EventAuthenticated, Identity: id, LocalIdentity: sa.localID, Scheme: scheme})
		sa.establish(now)
		sa.finishConfig(now, o)
	})
}

// authRefused: the responder has not accepted us. That nobody has authenticated this refusal cannot be helped: who sends it
// did the key exchange, and could as well have said nothing.
func (sa *SA) authRefused(now time.Time, n *ikev2msg.Notify) {
	why, detail := ike.CloseNegotiation, "the peer refused IKE_AUTH: "+n.Notify.String()
	if n.Notify == ikev2msg.AuthenticationFailed {
		why = ike.CloseAuthFailed
		detail = "the peer did not accept this host as " + sa.localID.String() +
			" (AUTHENTICATION_FAILED): do the identities, and the shared key or the certificate, fit what it is configured with?"
	}
	sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(n.Notify), Detail: detail})
	sa.closeNow(now, why, detail)
}

// rejectResponder ends an IKE SA that the responder takes to be up: RFC 7296, Section 2.21.2 has the initiator say so in
// an INFORMATIONAL exchange of its own. Nobody waits for it: the operator is told at once.
func (sa *SA) rejectResponder(now time.Time, id ike.ID, err error) {
	detail := "the peer's authentication failed: " + err.Error()
	sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(ikev2msg.AuthenticationFailed), Identity: id, Detail: detail})
	sa.done(sa.init.request, 0, detail)
	sa.init.request = 0
	sa.unreserve(sa.init.first.reserved.SPI)
	sa.state, sa.closing, sa.closingDetail = deleting, ike.CloseAuthFailed, detail
	r := sa.request(now, sa.cur, ikev2msg.Informational, "reject responder", []ikev2msg.Payload{
		&ikev2msg.Notify{Notify: ikev2msg.AuthenticationFailed}, &ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}},
		func(now time.Time, _ opened) { sa.closeNow(now, sa.closing, sa.closingDetail) })
	r.kind = kindDeleteIKE
}

// finishConfig takes the addresses that were assigned, and then the first child.
func (sa *SA) finishConfig(now time.Time, o opened) {
	a := sa.init.first
	sa.init = nil
	if cp, ok := find[*ikev2msg.CP](o.payloads); ok && cp.CfgType == ikev2msg.CFGReply && len(sa.conn.VIPs) > 0 {
		sa.vips, sa.dns = readCP(cp, sa.conn.VIPs)
	}
	if len(sa.vips) > 0 {
		sa.act(ike.Configure{Unique: sa.env.Unique, Connection: sa.conn.Name, VIPs: sa.vips, DNS: sa.dns})
		sa.report(ike.Event{Kind: ike.EventAddresses, Addrs: sa.vips, DNS: sa.dns})
	}
	sa.running = a.t
	if n := errorNotify(o.payloads); n != nil {
		// RFC 7296, Section 1.2: the IKE SA is up all the same.
		detail := "the peer refused child " + a.conf.Name + ": " + n.Notify.String()
		switch n.Notify {
		case ikev2msg.TSUnacceptable:
			detail += "; offered " + show(a.local) + " === " + show(a.remote) + ": local_ts and remote_ts must meet the peer's"
		case ikev2msg.NoProposalChosen:
			detail += "; offered " + describe(proposeESP(a.proposals, a.reserved.SPI, false)) + ": set " + proposalsOption(a.conf) + " to what it has"
		}
		sa.failChild(now, a, n.Notify, detail)
		return
	}
	c, err := sa.readFirstChild(a, o)
	if err != nil {
		sa.childBroken(now, a, err.Error())
		return
	}
	sa.installOurs(now, a, c, deriveChild(o.g.suite.PRF, o.g.keys.skD, c.sa.Suite, secret.Key{}, o.g.ni, o.g.nr))
}

// readFirstChild makes the child of IKE_AUTH from the response.
func (sa *SA) readFirstChild(a *attempt, o opened) (*child, error) {
	answer, err := only[*ikev2msg.SA](o.payloads, "SA")
	if err != nil {
		return nil, err
	}
	s, p, err := acceptESP(answer, a.proposals, false)
	if err != nil {
		return nil, err
	}
	c, err := sa.agreedChild(a, o, s, p)
	if err != nil {
		return nil, err
	}
	c.proposals = keepFirst(a.conf.Proposals, s)
	return c, nil
}

// establish: the peer is proved.
func (sa *SA) establish(now time.Time) {
	sa.state, sa.establishedAt, sa.halfOpenUntil = established, now, time.Time{}
	sa.armIKE(now)
	sa.report(ike.Event{Kind: ike.EventIKEUp, Identity: sa.peerID, LocalIdentity: sa.localID, Suite: sa.cur.suite})
	sa.planTraffic(now)
}

// ownID is the identity of this side: the configured one, else its address.
func ownID(a *ike.Auth, path ike.Path) ike.ID {
	if !a.ID.IsZero() {
		return a.ID
	}
	if id, ok := subjectOf(a.Certs); ok {
		return id
	}
	return ike.IDFromAddr(path.Local.Addr())
}

func idPayload(initiator bool, id ike.ID) *ikev2msg.ID {
	return &ikev2msg.ID{Initiator: initiator, IDType: uint8(id.Type), Data: id.Data}
}

func idBody(id ike.ID) []byte { return idPayload(true, id).Body() }

// idOf is the identity in a message.
func idOf(payloads []ikev2msg.Payload, initiator bool) (ike.ID, error) {
	name := "IDr"
	if initiator {
		name = "IDi"
	}
	var found *ikev2msg.ID
	for _, p := range payloads {
		if id, ok := p.(*ikev2msg.ID); ok && id.Initiator == initiator {
			if found != nil {
				return ike.ID{}, fmt.Errorf("%s: more than one", name)
			}
			found = id
		}
	}
	if found == nil {
		return ike.ID{}, fmt.Errorf("%s: missing", name)
	}
	if found.IDType == 0 {
		return ike.ID{}, fmt.Errorf("%s: type 0 is reserved", name)
	}
	id := ike.ID{Type: ike.IDType(found.IDType), Data: bytes.Clone(found.Data)}
	if (id.Type == ike.IDFQDN || id.Type == ike.IDRFC822) && bytes.ContainsRune(id.Data, '*') {
		return ike.ID{}, fmt.Errorf("%s: %s is a pattern and nobody's identity", name, id)
	}
	return id, nil
}
