// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Proposals in strongSwan's notation ("aes128gcm16-prfsha256-ecp256"). The rules are charon's: the PRF is derived from the
// integrity algorithm where none is given, an integrity algorithm beside an AEAD counts for that only, and AEADs and other
// encryption do not share a proposal (RFC 7296, Section 3.3; RFC 5282, Section 8).

package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
)

// maxProposals bounds the proposals of one option, and the transforms of one proposal: a peer need not read more.
const maxProposals, maxTransforms = 16, 64

// transforms is one proposal as written.
type transforms struct {
	encrs  []ike.EncrSpec
	integs []suite.Integ
	prfs   []suite.PRF
	kes    []suite.KE
	esn    []bool
}

// ikeProposals returns proposals of an IKE SA.
func (d *decoder) ikeProposals(key string) []ike.IKEProposal {
	values := d.texts(key)
	if len(values) == 0 {
		values = []string{"default"}
	}
	var list []ike.IKEProposal
	for _, v := range values {
		if v == "default" {
			list = append(list, defaultIKE()...)
			continue
		}
		t, why := parseTransforms(v)
		if why == "" {
			why = t.checkIKE()
		}
		if why != "" {
			d.refuse(key, "%s: %s", quote(v), why)
			return nil
		}
		list = append(list, ike.IKEProposal{Encrs: t.encrs, Integs: t.integs, PRFs: t.prfs, KEs: t.kes})
	}
	if len(list) > maxProposals {
		d.refuse(key, "%d proposals, at most %d", len(list), maxProposals)
	}
	return list
}

// childProposals returns those of a child, of ESP or of AH.
func (d *decoder) childProposals() []ike.ESPProposal {
	if !d.s.Has("ah_proposals") {
		return d.espProposals("esp_proposals", defaultESP(), (*transforms).checkESP)
	}
	if d.s.Has("esp_proposals") {
		d.refuse("ah_proposals", "a child has either esp_proposals or ah_proposals: write two children")
	}
	return d.espProposals("ah_proposals", defaultAH(), (*transforms).checkAH)
}

// espProposals returns the proposals of one option.
func (d *decoder) espProposals(key string, standard []ike.ESPProposal, check func(*transforms) string) []ike.ESPProposal {
	values := d.texts(key)
	if len(values) == 0 {
		values = []string{"default"}
	}
	var list []ike.ESPProposal
	for _, v := range values {
		if v == "default" {
			list = append(list, standard...)
			continue
		}
		t, why := parseTransforms(v)
		if why == "" {
			why = check(&t)
		}
		if why != "" {
			d.refuse(key, "%s: %s", quote(v), why)
			return nil
		}
		list = append(list, ike.ESPProposal{Encrs: t.encrs, Integs: t.integs, KEs: t.kes, ESN: t.esn})
	}
	if len(list) > maxProposals {
		d.refuse(key, "%d proposals, at most %d", len(list), maxProposals)
	}
	return list
}

// defaultIKE is "default": what RFC 8247 asks for, AEADs first, strong groups first. SHA-1 is not in it.
func defaultIKE() []ike.IKEProposal {
	prfs := []suite.PRF{suite.PRFHMACSHA2256, suite.PRFHMACSHA2384, suite.PRFHMACSHA2512}
	kes := []suite.KE{suite.KECurve25519, suite.KEECP256, suite.KEECP384, suite.KEMODP3072, suite.KEMODP4096, suite.KEMODP2048}
	return []ike.IKEProposal{
		{Encrs: defaultAEADs(), PRFs: prfs, KEs: kes},
		{Encrs: defaultCBCs(), Integs: defaultIntegs(), PRFs: prfs, KEs: kes},
	}
}

// defaultESP is "default" of a child: without PFS and extended sequence numbers, as charon's.
func defaultESP() []ike.ESPProposal {
	return []ike.ESPProposal{
		{Encrs: defaultAEADs(), ESN: []bool{false}},
		{Encrs: defaultCBCs(), Integs: defaultIntegs(), ESN: []bool{false}},
	}
}

// defaultAH is "default" of AH.
func defaultAH() []ike.ESPProposal {
	return []ike.ESPProposal{{Integs: defaultIntegs(), ESN: []bool{false}}}
}

func defaultAEADs() []ike.EncrSpec {
	return []ike.EncrSpec{
		{Encr: suite.EncrAESGCM16, Bits: 128}, {Encr: suite.EncrAESGCM16, Bits: 256}, {Encr: suite.EncrAESGCM16, Bits: 192},
		{Encr: suite.EncrChaCha20Poly1305},
	}
}

func defaultCBCs() []ike.EncrSpec {
	return []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: 128}, {Encr: suite.EncrAESCBC, Bits: 192}, {Encr: suite.EncrAESCBC, Bits: 256}}
}

func defaultIntegs() []suite.Integ {
	return []suite.Integ{suite.IntegHMACSHA2256128, suite.IntegHMACSHA2384192, suite.IntegHMACSHA2512256}
}

// parseTransforms parses the words of one proposal. why is empty, or says what is wrong with it.
func parseTransforms(v string) (t transforms, why string) {
	words := strings.Split(strings.ToLower(v), "-")
	if len(words) > maxTransforms {
		return t, strconv.Itoa(len(words)) + " algorithms, at most " + strconv.Itoa(maxTransforms)
	}
	for _, w := range words {
		w = strings.TrimSpace(w)
		switch encr, integ, prf, ke := encrWord(w), integWord(w), prfWord(w), keWord(w); {
		case encr.Encr != 0:
			t.encrs = appendNew(t.encrs, encr)
		case integ != 0:
			t.integs = appendNew(t.integs, integ)
		case prf != 0:
			t.prfs = appendNew(t.prfs, prf)
		case ke.Known():
			t.kes = appendNew(t.kes, ke)
		case w == "esn":
			t.esn = appendNew(t.esn, true)
		case w == "noesn":
			t.esn = appendNew(t.esn, false)
		default:
			return t, "the algorithm " + quote(w) + " is " + unsupported(w) + "; there are " + supported
		}
	}
	return t, ""
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

const supported = "aes128gcm16 aes192gcm16 aes256gcm16 chacha20poly1305 aes128 aes192 aes256 (also …gcm12, …ccm8, …ccm12, …ccm16, …ctr, " +
	"…gmac and null), sha256 sha384 sha512 sha1 aesxcbc aescmac sha256_96, prfsha256 prfsha384 prfsha512 prfsha1, " +
	"x25519 ecp256 ecp384 ecp521 modp2048 modp3072 modp4096, esn noesn, default"

// unsupported tells what strongSwan knows and is not built, or is too weak, from what is a typing error.
func unsupported(w string) string {
	for _, weak := range []string{"des", "3des", "md5", "prfmd5", "modp768", "modp1024", "modp1536", "blowfish", "cast128", "modpn", "ecp192"} {
		if strings.HasPrefix(w, weak) {
			return "not supported: it is too weak (RFC 8247)"
		}
	}
	for _, known := range []string{"aes", "camellia", "serpent", "twofish", "prf", "modp", "ecp", "curve448", "x448", "mlkem", "ke1_", "sha", "newhope", "ntru"} {
		if strings.HasPrefix(w, known) {
			return "not supported"
		}
	}
	return "not known"
}

func prfWord(w string) suite.PRF {
	switch w {
	case "prfsha1":
		return suite.PRFHMACSHA1
	case "prfsha256":
		return suite.PRFHMACSHA2256
	case "prfsha384":
		return suite.PRFHMACSHA2384
	case "prfsha512":
		return suite.PRFHMACSHA2512
	}
	return 0
}

func keWord(w string) suite.KE {
	switch w {
	case "modp2048":
		return suite.KEMODP2048
	case "modp3072":
		return suite.KEMODP3072
	case "modp4096":
		return suite.KEMODP4096
	case "ecp256":
		return suite.KEECP256
	case "ecp384":
		return suite.KEECP384
	case "ecp521":
		return suite.KEECP521
	case "curve25519", "x25519":
		return suite.KECurve25519
	}
	return suite.KENone
}

// prfOf is the PRF on the hash of an integrity algorithm.
func prfOf(i suite.Integ) suite.PRF {
	switch i {
	case suite.IntegHMACSHA196:
		return suite.PRFHMACSHA1
	case suite.IntegHMACSHA2256128:
		return suite.PRFHMACSHA2256
	case suite.IntegHMACSHA2384192:
		return suite.PRFHMACSHA2384
	case suite.IntegHMACSHA2512256:
		return suite.PRFHMACSHA2512
	}
	return 0 // one has to be named
}

// checkEncr checks what both kinds of proposals need, and drops the integrity algorithms beside AEADs.
func (t *transforms) checkEncr() string {
	if len(t.encrs) == 0 {
		return "an encryption algorithm is missing"
	}
	for _, e := range t.encrs {
		if e.Encr == suite.EncrNULL && len(t.encrs) > 1 {
			return "null cannot be mixed with encryption in one proposal: the peer could choose it"
		}
		if e.Encr.AEAD() != t.encrs[0].Encr.AEAD() {
			return "AEAD and other encryption cannot be mixed in one proposal; write two, separated by a comma"
		}
	}
	switch {
	case t.encrs[0].Encr.AEAD():
		t.integs = nil
	case len(t.integs) == 0:
		return "an integrity algorithm is missing (sha256, …)"
	}
	return ""
}

func (t *transforms) checkIKE() string {
	if len(t.prfs) == 0 {
		for _, i := range t.integs {
			if p := prfOf(i); p != 0 {
				t.prfs = appendNew(t.prfs, p)
			}
		}
	}
	why := t.checkEncr()
	switch {
	case why != "":
		return why
	case len(t.prfs) == 0:
		return "a PRF is missing (prfsha256, …)"
	case len(t.kes) == 0:
		return "a key exchange method is missing (x25519, ecp256, …)"
	case len(t.esn) > 0:
		return "esn and noesn belong to esp_proposals"
	}
	for _, e := range t.encrs {
		if !e.Encr.KnownIKE() {
			return e.Encr.String() + " is not for IKE SAs"
		}
	}
	for _, i := range t.integs {
		if !i.KnownIKE() {
			return i.String() + " is not for IKE SAs"
		}
	}
	return ""
}

func (t *transforms) checkESP() string {
	if len(t.prfs) > 0 {
		return "a PRF belongs to the IKE SA's proposals"
	}
	if len(t.esn) == 0 {
		t.esn = []bool{false}
	}
	return t.checkEncr()
}

// checkAH: there is nothing to encrypt with (RFC 4302).
func (t *transforms) checkAH() string {
	// GMAC is written as an encryption algorithm, which it is in ESP; in AH it is an integrity algorithm (RFC 4543).
	t.encrs = slices.DeleteFunc(t.encrs, func(e ike.EncrSpec) bool {
		i, ok := map[int]suite.Integ{128: suite.IntegAES128GMAC, 192: suite.IntegAES192GMAC, 256: suite.IntegAES256GMAC}[e.Bits]
		if ok = ok && e.Encr == suite.EncrNullAESGMAC; ok {
			t.integs = appendNew(t.integs, i)
		}
		return ok
	})
	switch {
	case len(t.encrs) > 0:
		return "AH does not encrypt: an encryption algorithm belongs to esp_proposals"
	case len(t.prfs) > 0:
		return "a PRF belongs to the IKE SA's proposals"
	case len(t.integs) == 0:
		return "an integrity algorithm is missing (sha256, …)"
	}
	if len(t.esn) == 0 {
		t.esn = []bool{false}
	}
	return ""
}
