// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where our server answers otherwise than Linux, and why. A difference is lines of a case that only one of both has; it is meant if an
// entry's where matches the case and its patterns match the lines, all of them.

package oracle

import (
	"regexp"
	"slices"
	"strings"
)

// meant is one kind of difference. Patterns match all lines of one side, joined by newlines; an empty one means that this side has none;
// anything means what it says.
type meant struct {
	where, kernel, ours string
	reason              string
}

const anything = `(?s).*`

func differences() []meant {
	const (
		refused   = `a< \w+ \w+ errno=22`
		unknown   = `a< \w+ \w+ errno=38`
		accepted  = `(a|ab)< \w+ \w+( reserved=3)?(\n {3}.*)+`
		supported = `( *SUPPORTED_(AUTH|ENCRYPT) .*\n?)+`
		body      = `(\n {3}.*)+`
		follows   = "the engine follows an authentic new endpoint by itself, since OpenIKED and racoon do not: it is said once, and GET shows it"
		question  = "an ACQUIRE is no SA: it is not shown, and does not expire"
	)
	return []meant{
		// What messages look like.
		{`.*`, `(a|ab|abc|abcd|b)< X_SPD\w+ UNSPEC reserved=\d+( seq=.*)?`, `(a|ab|abc|abcd|b)< X_SPD\w+ UNSPEC( seq=.*)?`,
			"the kernel shows how often it refers to the policy; reserved octets are zeros here (T-097)"},
		{`header/seven octets more|extensions/four octets left`, refused, `a! errno 90`,
			"a message that is no whole number of words fails the write, as one of a wrong length does"},
		{`extensions/SA of three words`, `.*`, refused, "an extension of fixed length has that length (T-097)"},
		{`others/PROMISC with an extension`, anything, refused, "X_PROMISC has no extensions"},
		{`header/ADD with satype 9`, refused, unknown, "IPComp with AES is an algorithm that is not there"},
		{`get-delete/(GET|DELETE) satype (unspecified|10)`, `a< \w+ \w+ errno=3`, refused, "an SA type that cannot be is said to be wrong, not unknown"},
		{`policies/SPDFLUSH of satype ESP`, anything, anything, "the answer repeats the request's SA type"},
		{`templates/seven templates`, `.*`, refused, "a bundle is too long: EINVAL, not ELOOP"},
		{`others/MIGRATE of templates that the policy has not`, `.* errno=61`, `.* errno=2`, "nothing to migrate: ENOENT, not ENODATA"},
		{`others/MIGRATE`, anything, anything, "the answer repeats the request's header and selectors, so that its sender knows it for his"},

		// Who hears what.
		{`register/on three sockets`, anything, anything, "REGISTER is answered to the sockets that are registered for this SA type (RFC 2367, Section 3.1.7), not to all"},
		{`expire/.*`, `(b|c|d)+< EXPIRE .*`, `(b|c|d)< EXPIRE .*`, "EXPIRE goes to the sockets that are registered for this SA type (Section 3.1.8), not to all"},
		{`expire/AH, IPComp and IPv6`, anything, anything, "as above: the order differs because the receivers do"},

		{`acquire/(tunnel of AH|registered for AH alone)`, `b< ACQUIRE .*` + body, ``, "ACQUIRE goes to the sockets that are registered for this SA type (Section 3.1.6), not to all"},
		{`acquire/a bundle`, `bc< ACQUIRE .*`, `b< ACQUIRE .*`, "as above"},
		{`partly/.*`, `bcd< ACQUIRE .*`, `[bcd]< ACQUIRE .*`, "as above"},

		// Packets.
		{`acquire/(tunnel|failed, and asked again)`, `a< DUMP ESP seq=0\n   SA spi=0x0 .*` + body, `a< DUMP UNSPEC errno=2`, question},
		{`acquire/answered by GETSPI of its number`, `a< DUMP ESP seq=1`, `a< DUMP ESP seq=0`, question},
		{`acquire/answered by GETSPI of its number`, `a< DUMP ESP seq=0\n   SA spi=0x0 .*` + body, ``, question},
		{`acquire/nobody answers`, `b< EXPIRE ESP\n   SA spi=0x0 .*` + body, ``, question},
		{`acquire/policy deleted, asked again by another`, ``, `b< ACQUIRE ESP .*` + body, "a policy's question goes with it, and another policy asks its own"},
		{`acquire/policy deleted, asked again by another`, ` *CURRENT .* used=0`, ` *CURRENT .* used=now`, "a packet that is held has used its policy"},
		{`usage/(packets|soft alone.*)`, `1 of \d+ octets .*`, ``, "a soft limit is said when it is reached, not at the packet behind it"},
		{`usage/(packets|soft alone.*)`, ``, `1 of \d+ octets .*`, "as above"},
		{`usage/octets(, hard alone)?`, anything, anything, "as above, and no packet is sealed that would exceed a hard limit of octets"},
		{`mapping/.*`, ` *X_NAT_T_[SD]PORT 4500`, ` *X_NAT_T_[SD]PORT (26711|1024)`, follows},
		{`mapping/from another address`, ` *(SRC|DST) .* 192\.0\.2\.2:0`, ` *(SRC|DST) .* 192\.0\.2\.3:0`, follows},
		{`mapping/from another port, three times`, `b< X_NAT_T_NEW_MAPPING ESP .*` + body, ``, follows},
		{`mapping/there and back`, ``, `b< X_NAT_T_NEW_MAPPING ESP .*` + body, follows},
		{`mapping/from another port, forged`, ` *CURRENT .* used=now`, ` *CURRENT .* used=0`, "a packet that is not authentic has not used the SA"},

		// Algorithms and keys.
		{`register/.*`, supported, supported,
			"the algorithms are this project's: no DES, CAST, Blowfish, Serpent, Twofish, RIPEMD-160, unauthenticated NULL; AEADs, which AF_KEY does not do"},
		{`algorithms/.*`, accepted + `|` + refused, unknown, "an algorithm that is not there is ENOSYS before its key is looked at"},
		{`algorithms/(ESP|AH) auth .*|algorithms/an encryption key of 127 bits|algorithms/a key that claims less than it has`, accepted, refused,
			"a key has the length of its algorithm (RFC 2403, 2404, 4868): another is a mistake of who wrote it; ESP has integrity"},
		{`algorithms/encryption \d+ with \d+ bits, no authentication`, accepted, refused, "ESP without integrity protection (RFC 8221, Section 4)"},
		{`algorithms/encryption (14|15|16|19|20|23) with \d+ bits, no authentication`, unknown, accepted, "AEADs, which AF_KEY does not do and strongSwan sends"},
		{`algorithms/encryption (14|15|16|19|20|23) with \d+ bits`, unknown, refused, "an AEAD has no authentication algorithm besides"},
		{`add/without the authentication key`, accepted, refused, "HMAC without a key"},
		{`add/AH with an encryption algorithm|header/ADD with satype 2`, accepted, refused, "AH does not encrypt (RFC 4302)"},
		{`add/IPComp with authentication`, ` *SA .* auth=3 .*`, ` *SA .* auth=0 .*`, "IPComp does not authenticate, and is not shown to"},

		// SPIs and addresses.
		{`getspi/(a range of one that is reserved|from zero)|add/SPI 0x(0|1|ff)`, accepted, refused, "SPIs below 256 are reserved (RFC 4303, Section 2.1)"},
		{`getspi/IPComp without a range`, refused, accepted, "the default range of IPComp is that of CPIs (RFC 3173, Section 3.3)"},
		{`add/IPComp, CPI beyond 16 bits`, accepted, refused, "a CPI has 16 bits (RFC 3173, Section 3.3)"},
		{`getspi/one that a mature SA to another destination has`, anything, anything,
			"SAs are told apart by their destination: what a peer chose for its own SPI is no reason to refuse ours"},
		{`(getspi/to the|addresses/(IPv6 )?)\s*unspecified (address|destination)|addresses/IPv6 mapped`, accepted, refused, "no packet has this destination"},
		{`add/proxy of the other family`, ` *PROXY .*32\.1\.13\.184:0`, ` *PROXY .*\[2001:db8::1\]:0`, "the kernel reads the address as one of the SA's family"},
		{`(add|templates)/mode 3`, accepted, refused, "BEET is not served"},

		// What UPDATE changes.
		{`.*`, ` *SA .* state=3 .*`, ` *SA .* state=1 .*`, "in answer to an UPDATE the kernel shows the state of the scratch copy that it has compared with"},
		{`add/replay window (1|31|33|64|255)`, `.*`, ` *SA .* replay=(32|33|64|255) .*`, "a window holds 32 packets at least, and more than 32 where more is asked for"},
		{`update/larval, state LARVAL as racoon says`, ` *SA .* replay=4 .*`, ` *SA .* replay=32 .*`, "a window holds 32 packets at least"},
		{`update/mature, other (keys|algorithm)|update/mature, another algorithm`, accepted, refused,
			"the kernel says that it took other keys, and keeps the old ones"},
		{`update/mature, (other mode|other reqid|other replay window|another source|proxy)`, anything, anything, "the kernel shows the scratch copy: what it says was changed it has not changed, as the GET behind it shows"},

		{`compression/IPComp from GETSPI to DELETE`, ` *X_SA2 mode=1 reqid=0`, ` *X_SA2 mode=1 reqid=4`, "a reqid that GETSPI has said stays where UPDATE says none: policies name SAs by it"},

		// NAT traversal.
		{`natt/(type (alone|and .*)|ports zero)`, `( *X_NAT_T_[SD]PORT 0\n?)+`, `( *X_NAT_T_[SD]PORT 4500\n?)+`, "a port that is not given is 4500 (RFC 3948, Section 2.1): with 0 nothing could be sent"},
		{`natt/(AH|IPComp)`, refused, accepted, "the NAT-T extensions say nothing about AH and IPComp, and are not in the way"},

		// Policies.
		{`policies/type 2 without templates|templates/(IPsec without templates|all but eight octets cut off)`, accepted, refused, "IPsec by no SA at all would be the clear"},
		{`policies/SPDADD, other template`, refused, `.* errno=17`, "level use in an outgoing tunnel is served, and what is there already is there already"},
		{`policies/SPDUPDATE|templates/outgoing tunnel, optional|templates/level 1`, anything, anything, "level use in an outgoing tunnel is served"},
		{`templates/level [45]`, accepted, refused, "there are four levels"},
		{`selectors/(the same network written otherwise|SPDDELETE of bits of hosts)`, anything, anything, "bits of hosts in a network are cleared: one set of packets has one policy"},
	}
}

// hunk is lines that one conversation has where the other has others.
type hunk struct{ kernel, ours []string }

func (h hunk) String() string {
	var b strings.Builder
	for _, l := range h.kernel {
		b.WriteString("- " + l + "\n")
	}
	for _, l := range h.ours {
		b.WriteString("+ " + l + "\n")
	}
	return b.String()
}

// hunks are the differences by a longest common subsequence of lines.
func hunks(kernel, ours string) []hunk {
	k, o := strings.Split(kernel, "\n"), strings.Split(ours, "\n")
	// common[i][j] is the length for k[i:] and o[j:].
	common := make([][]int, len(k)+1)
	for i := range common {
		common[i] = make([]int, len(o)+1)
	}
	for i := len(k) - 1; i >= 0; i-- {
		for j := len(o) - 1; j >= 0; j-- {
			if k[i] == o[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var list []hunk
	var h hunk
	end := func() {
		if len(h.kernel)+len(h.ours) > 0 {
			list = append(list, h)
		}
		h = hunk{}
	}
	for i, j := 0, 0; i < len(k) || j < len(o); {
		switch {
		case i < len(k) && j < len(o) && k[i] == o[j]:
			end()
			i, j = i+1, j+1
		case j == len(o) || i < len(k) && common[i+1][j] >= common[i][j+1]:
			h.kernel = append(h.kernel, k[i])
			i++
		default:
			h.ours = append(h.ours, o[j])
			j++
		}
	}
	end()
	return list
}

// unexplained are the differences of a case that no entry explains. It marks the entries that explained one.
func unexplained(name, kernel, ours string, used []bool) []string {
	var left []string
	for _, h := range hunks(kernel, ours) {
		i := slices.IndexFunc(differences(), func(d meant) bool { return d.explains(name, h) })
		if i < 0 {
			left = append(left, h.String())
			continue
		}
		used[i] = true
	}
	return left
}

func (d meant) explains(name string, h hunk) bool {
	match := func(pattern string, lines []string) bool {
		return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(strings.Join(lines, "\n"))
	}
	return match(d.where, []string{name}) && match(d.kernel, h.kernel) && match(d.ours, h.ours)
}
