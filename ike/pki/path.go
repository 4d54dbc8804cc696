// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Path building and validation (RFC 5280, Section 6, by crypto/x509) with what IKE asks for beside it (RFC 4945, Section 5.1).
// The peer's certificates are attacker controlled. crypto/x509 makes at most 100 signature checks a path, each bounded by the
// key lengths that Parse lets through.

package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// Trust is what a chain is measured by.
type Trust struct {
	Now time.Time
	// Anchors are the CAs that a chain may end at.
	Anchors []*x509.Certificate
	// Pinned are the only end entities accepted; empty: any. One of them needs no anchor, unless NeedAnchor is set.
	Pinned     [][]byte
	NeedAnchor bool
	// Intermediates are certificates of our own store that may complete a chain.
	Intermediates []*x509.Certificate
}

// ParseAll parses the certificates of a peer, end entity first. A certificate behind the first that does not parse, or whose
// key is refused, is left out: peers send whole bundles, and what is missing shows when the chain is built.
func ParseAll(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) > MaxCerts {
		return nil, fmt.Errorf("%d certificates, at most %d", len(ders), MaxCerts)
	}
	var list []*x509.Certificate
	for i, der := range ders {
		c, err := Parse(der)
		switch {
		case err != nil && (i == 0 || len(der) > MaxCertLen):
			return nil, err
		case err == nil:
			list = append(list, c)
		}
	}
	return list, nil
}

// Verify builds and validates a chain from the first of certs, the end entity, and returns it with the anchor last. The
// others are candidates for intermediates, in any order.
func Verify(certs []*x509.Certificate, t Trust) ([]*x509.Certificate, error) {
	switch {
	case len(certs) == 0:
		return nil, errors.New("no certificate")
	case len(certs) > MaxCerts:
		return nil, fmt.Errorf("%d certificates, at most %d", len(certs), MaxCerts)
	case t.Now.IsZero():
		return nil, errors.New("the time of verification is not set") // crypto/x509 would read the clock
	}
	end := certs[0]
	if err := checkEnd(end); err != nil {
		return nil, err
	}
	if err := checkNames(certs[1:]); err != nil {
		return nil, err
	}
	pinned := slices.ContainsFunc(t.Pinned, func(der []byte) bool { return bytes.Equal(der, end.Raw) })
	switch {
	case len(t.Pinned) > 0 && !pinned:
		return nil, fmt.Errorf("certificate of %s (serial %x) is none of the %d that remote.certs lists", Subject(end), end.SerialNumber, len(t.Pinned))
	case pinned && !t.NeedAnchor:
		return []*x509.Certificate{end}, checkTime(end, t.Now)
	case len(t.Anchors) == 0:
		return nil, fmt.Errorf("certificate of %s, issued by %s: no CA certificate is loaded that could vouch for it", Subject(end), Issuer(end))
	}
	return build(certs, t)
}

// maxKeysOfName bounds the keys of one CA name among a peer's certificates: two while a CA changes its key. Seven of them
// would have every signature tried with every key: 28 verifications where a chain needs 7 (HOSTILE T-043, 50 ms).
const maxKeysOfName = 2

func checkNames(certs []*x509.Certificate) error {
	for _, c := range certs {
		keys := map[string]bool{}
		for _, o := range certs {
			if bytes.Equal(o.RawSubject, c.RawSubject) {
				keys[string(o.RawSubjectPublicKeyInfo)] = true
			}
		}
		if len(keys) > maxKeysOfName {
			return fmt.Errorf("%d keys under the name %s, at most %d", len(keys), Subject(c), maxKeysOfName)
		}
	}
	return nil
}

// build finds a chain whose certificates all satisfy IKE's rules.
func build(certs []*x509.Certificate, t Trust) ([]*x509.Certificate, error) {
	end := certs[0]
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: t.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // checkEKU has IKE's rule
	}
	for _, c := range t.Anchors {
		options.Roots.AddCert(c)
	}
	for _, c := range slices.Concat(certs[1:], t.Intermediates) {
		if c.IsCA { // nothing else can be one, and crypto/x509 need not try
			options.Intermediates.AddCert(c)
		}
	}
	chains, err := end.Verify(options)
	if err != nil {
		return nil, explain(end, err, t)
	}
	for _, chain := range chains {
		if err = checkChain(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// checkEnd has the rules of RFC 4945, Section 5.1.3 for the certificate of an IKE peer.
func checkEnd(c *x509.Certificate) error {
	// Section 5.1.3.2: without the extension any use is allowed; with it, one of two bits must be set.
	const signing = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if has(c, 15) && c.KeyUsage&signing == 0 {
		return fmt.Errorf("certificate of %s: its keyUsage has neither digitalSignature nor nonRepudiation", Subject(c))
	}
	return checkEKU(c)
}

// checkEKU: no extendedKeyUsage, or one of id-kp-ipsecIKE, anyExtendedKeyUsage, serverAuth, clientAuth and iKEIntermediate.
// Deviation: RFC 4945, Section 5.1.3.12 has the first two only; certificates for the clients of Windows and Apple carry the
// others. Which of serverAuth and clientAuth it is decides nothing: in IKE the two sides are peers.
func checkEKU(c *x509.Certificate) error {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth:
			return nil
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		switch oid.String() {
		case "1.3.6.1.5.5.7.3.17", "1.3.6.1.5.5.8.2.2": // id-kp-ipsecIKE (RFC 4945), iKEIntermediate (Apple)
			return nil
		}
	}
	return fmt.Errorf("certificate of %s: its extendedKeyUsage is not for IKE (expected serverAuth, clientAuth, ipsecIKE or none)", Subject(c))
}

// checkChain has what crypto/x509 leaves to us of the CAs between the end entity and the anchor. The anchor itself is
// trusted by configuration.
func checkChain(chain []*x509.Certificate) error {
	for i := 1; i < len(chain)-1; i++ {
		c := chain[i]
		// RFC 5280, Section 4.2.1.3: conforming CAs include keyUsage, with keyCertSign. crypto/x509 checks only the bit.
		if !has(c, 15) || c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fmt.Errorf("CA certificate of %s: its keyUsage does not have keyCertSign", Subject(c))
		}
		if err := checkEKU(c); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether the certificate has the extension id-ce n (RFC 5280, Section 4.2).
func has(c *x509.Certificate, n int) bool {
	oid := asn1.ObjectIdentifier{2, 5, 29, n}
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return true
		}
	}
	return false
}

func checkTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("certificate of %s is not valid before %s", Subject(c), c.NotBefore.UTC().Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("certificate of %s expired at %s", Subject(c), c.NotAfter.UTC().Format(time.RFC3339))
	case len(c.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("certificate of %s: critical extension %s is not known", Subject(c), c.UnhandledCriticalExtensions[0])
	}
	return nil
}

// explain says what crypto/x509 found, with the names that an administrator knows.
func explain(end *x509.Certificate, err error, t Trust) error {
	if late := checkTime(end, t.Now); late != nil {
		return late
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Cert != nil && invalid.Reason == x509.Expired {
		if late := checkTime(invalid.Cert, t.Now); late != nil {
			return late
		}
	}
	var names []string
	for i, c := range t.Anchors {
		if i == 4 {
			names = append(names, fmt.Sprintf("and %d more", len(t.Anchors)-i))
			break
		}
		names = append(names, Subject(c))
	}
	return fmt.Errorf("certificate of %s, issued by %s, does not lead to a CA that is accepted (%s): %w", Subject(end), Issuer(end), strings.Join(names, "; "), err)
}

// Subject is the certificate's subject, escaped and bounded.
func Subject(c *x509.Certificate) string { return nameOf(c.RawSubject) }

// Issuer is the name of who issued it, escaped and bounded.
func Issuer(c *x509.Certificate) string { return nameOf(c.RawIssuer) }

func nameOf(der []byte) string {
	if s := (ike.ID{Type: ike.IDDERASN1DN, Data: der}).String(); s != "" {
		return `"` + s + `"`
	}
	return "an empty name"
}
