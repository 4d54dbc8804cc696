// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What authenticates a peer at the end of phase 1 (RFC 2409, Sections 5.1 and 5.4; draft-ietf-ipsec-isakmp-hybrid-auth-05,
// Section 3.2.3): a HASH payload with a pre-shared key, a SIG payload with a certificate. Payloads, key and signature are
// attacker controlled. Which of the two it has to be follows from the method alone, never from what came.

package ikev1

import (
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/natterjack/natterjack/crypt/sig"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// proof is what one side has to prove: that it knows SKEYID, and with a signature that the key is its own.
type proof struct {
	suite     Suite
	keys      *keys
	phase1    *phase1
	initiator bool
	id        []byte // the body of its ID payload, as it was sent
}

func (p *proof) hash() []byte { return p.keys.hash(p.suite, p.phase1, p.initiator, p.id) }

// payload is the HASH or SIG payload of our own side. key is nil where we do not sign.
func (p *proof) payload(rand io.Reader, key crypto.Signer) (ikev1msg.Payload, error) {
	if !signs(p.suite.Auth, p.initiator) {
		return &ikev1msg.Hash{Data: p.hash()}, nil
	}
	if key == nil {
		return nil, errors.New("no private key, and the method is a signature")
	}
	if err := fitsMethod(p.suite.Auth, key.Public()); err != nil {
		return nil, err
	}
	data, err := sig.SignIKEv1(rand, key, p.hash())
	return &ikev1msg.Sig{Data: data}, err
}

// idIn finds the one ID payload of a message of phase 1: in main mode it is beside what proves it, in aggressive mode the
// initiator's is in the first message and what proves it in the third.
func idIn(c *ikev1msg.Chain) (int, error) {
	id, ids := 0, 0
	for i, p := range c.Payloads {
		if _, ok := p.(*ikev1msg.ID); ok {
			id, ids = i, ids+1
		}
	}
	if ids != 1 {
		return 0, fmt.Errorf("%d ID payloads, expected 1", ids)
	}
	return id, nil
}

// proofIn finds what is to be verified in a peer's message: its one HASH or its one SIG, whichever the method has. It says
// nothing about whether that is true.
func proofIn(m ikev1msg.AuthMethod, initiator bool, payloads []ikev1msg.Payload) ([]byte, error) {
	hashes, sigs := ikev1msg.All[*ikev1msg.Hash](payloads), ikev1msg.All[*ikev1msg.Sig](payloads)
	switch signed := signs(m, initiator); {
	case signed && len(sigs) == 1 && len(hashes) == 0:
		return sigs[0].Data, nil
	case !signed && len(hashes) == 1 && len(sigs) == 0:
		return hashes[0].Data, nil
	case signed:
		return nil, fmt.Errorf("%d HASH and %d SIG payloads, expected one SIG", len(hashes), len(sigs))
	}
	return nil, fmt.Errorf("%d HASH and %d SIG payloads, expected one HASH", len(hashes), len(sigs))
}

// aside gives what may be used, once the proof of a message of phase 1 holds, of the payloads that stand beside it; encrypted says
// whether the message was. Everything that a machine takes from such a message but its ID, its proof and what went into the keys
// (SA, KE, nonce, which HASH_I and HASH_R cover) it takes from here. Certificates prove themselves. A vendor ID and NAT-D are
// believed of nobody: they say how to send, and the worst a forged one does is what dropping the message does. Every other payload
// is covered by no hash (RFC 2409, Section 5): whoever is on the path can append a notify to a message in the clear, as the
// third of aggressive mode may be, and INITIAL_CONTACT ends the other SAs of that identity. In an encrypted one, changing it garbles
// the block before. A Delete belongs into an Informational exchange of an established phase 1 and is given of neither.
func aside(encrypted bool, payloads []ikev1msg.Payload) []ikev1msg.Payload {
	var list []ikev1msg.Payload
	for _, p := range payloads {
		switch p.(type) {
		case *ikev1msg.Cert, *ikev1msg.CertReq, *ikev1msg.Vendor, *ikev1msg.NATD:
			list = append(list, p)
		case *ikev1msg.Notify:
			if encrypted {
				list = append(list, p)
			}
		}
	}
	return list
}

// verify checks the data of the peer's HASH or SIG payload. pub is the key of a certificate that is trusted for the identity
// in p, and nil where the peer does not sign.
func (p *proof) verify(data []byte, pub crypto.PublicKey, constraints []string) error {
	if !signs(p.suite.Auth, p.initiator) {
		if !equalHash(data, p.hash()) {
			return errHash
		}
		return nil
	}
	if err := fitsMethod(p.suite.Auth, pub); err != nil {
		return err
	}
	return sig.VerifyIKEv1(pub, data, p.hash(), constraints)
}

// fitsMethod holds a method to its kind of key, and each ECDSA method to its curve (RFC 4754, Section 3).
func fitsMethod(m ikev1msg.AuthMethod, pub crypto.PublicKey) error {
	want := sig.Scheme(0)
	switch m {
	case ikev1msg.AuthECDSA256:
		want = sig.ECDSASHA256
	case ikev1msg.AuthECDSA384:
		want = sig.ECDSASHA384
	case ikev1msg.AuthECDSA521:
		want = sig.ECDSASHA512
	}
	if got := sig.IKEv1ECDSA(pub); got != want {
		return fmt.Errorf("the key %s with the authentication method %s", sig.KeyName(pub), m)
	}
	return nil
}
