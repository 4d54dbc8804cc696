// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The vendor IDs of NAT-T and what each stands for: RFC 3947, every draft before it, and their ancestors. A row is used when
// both sides have sent its vendor ID; vendor IDs are not authenticated, so that nothing secret may depend on the choice.

package ikev1msg

import (
	"bytes"
	"encoding/hex"

	"github.com/natterjack/natterjack/wire/natt"
)

// NATT is one version of NAT-T.
type NATT struct {
	Name     string // of the document
	Hashed   string // the text whose MD5 the vendor ID is
	VendorID string // in hex; ID has the octets
	// Active is false of a version that is recognised and never used, whose other fields say nothing.
	Active bool

	NATD, NATOA       PayloadType // NATOA is TypeNone where none are sent
	Tunnel, Transport EncapMode   // the encapsulation modes in UDP
	// Addresses is how many NAT-OA payloads each side sends for transport mode: two, the initiator's address and the
	// responder's; or one, the sender's own; or none.
	Addresses int
	// SourceFirst is true where the first NAT-D payload is of the sender's address and port: everywhere else it is of the
	// receiver's, and those that follow are of the sender's (RFC 3947, Section 3.2).
	SourceFirst bool
	// Floats is true where IKE goes to port 4500 when there is a NAT (RFC 3947, Section 4).
	Floats bool
	// Encap says which marker tells ESP and IKE apart on the port where both travel.
	Encap natt.Mode
}

// ID is the vendor ID.
func (n NATT) ID() []byte { return unhex(n.VendorID) }

// unhex decodes the tables of this package, which are hex: their tests read every row.
func unhex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

// NATTs are the versions that may be used, the best first.
func NATTs() []NATT {
	var list []NATT
	for _, n := range nattRows {
		if n.Active {
			list = append(list, n)
		}
	}
	return list
}

// FindNATT is the version of a vendor ID.
func FindNATT(id []byte) (NATT, bool) {
	for _, n := range nattRows {
		if bytes.Equal(n.ID(), id) {
			return n, true
		}
	}
	return NATT{}, false
}

// ChooseNATT is the best version whose vendor ID is among those that were sent and those that were received. It is false if
// there is none: what the peer did not hear of is not used, nor what we did not offer.
func ChooseNATT(sent, received [][]byte) (NATT, bool) {
	for _, n := range nattRows {
		if n.Active && has(sent, n.ID()) && has(received, n.ID()) {
			return n, true
		}
	}
	return NATT{}, false
}

func has(ids [][]byte, id []byte) bool {
	for _, other := range ids {
		if bytes.Equal(other, id) {
			return true
		}
	}
	return false
}

// rfc3947, late and early are what the rows below share.
func rfc3947(name, hashed, id string) NATT {
	return NATT{Name: name, Hashed: hashed, VendorID: id, Active: true, NATD: TypeNATD, NATOA: TypeNATOA,
		Tunnel: EncapUDPTunnel, Transport: EncapUDPTransport, Addresses: 2, Floats: true, Encap: natt.NonESP}
}

// late is drafts 04 to 08.
//
// Deviation: the text of draft 04 still has one NAT-OA payload, the sender's own address, and that of draft 05 two. No peer is
// known that has 04 and not 05, so that 04 has two here; a receiver takes either number of them.
func late(name, hashed, id string) NATT {
	n := rfc3947(name, hashed, id)
	n.NATD, n.NATOA = TypeNATD15, TypeNATOA16
	return n
}

// apple is what Mac OS X sent before RFC 3947.
func apple(name, hashed, id string) NATT {
	n := late(name, hashed, id)
	n.NATOA, n.Addresses, n.SourceFirst = TypeNone, 0, true
	return n
}

// early is drafts 02 and 03.
func early(name, hashed, id string) NATT {
	n := rfc3947(name, hashed, id)
	n.NATD, n.NATOA, n.Addresses = TypeNATD130, TypeNATOA131, 1
	n.Tunnel, n.Transport = EncapUDPTunnelDraft, EncapUDPTransportDraft
	return n
}

// first is drafts 00 and 01: IKE stays on port 500, and ESP comes there behind eight zero octets.
func first(name, hashed, id string) NATT {
	n := early(name, hashed, id)
	n.Floats, n.Encap = false, natt.NonIKE
	return n
}

func recognised(hashed, id string) NATT { return NATT{Name: hashed, Hashed: hashed, VendorID: id} }

// nattRows has the best version first. Draft 02 is hashed with and without the newline that it prints, and drafts 04 to 08
// have a vendor ID of "RFC XXXX" in their text beside the ones that were used. Draft 01 prints the vendor ID of 00.
var nattRows = [...]NATT{
	rfc3947("RFC 3947", "RFC 3947", "4a131c81070358455c5728f20e95452f"),
	rfc3947("draft 09", "draft-ietf-ipsec-nat-t-ike-09", "42ea5b6f898d9773a575df26e7dd19e1"),
	late("draft 08", "draft-ietf-ipsec-nat-t-ike-08", "8f8d83826d246b6fc7a8a6a428c11de8"),
	late("draft 07", "draft-ietf-ipsec-nat-t-ike-07", "439b59f8ba676c4c7737ae22eab8f582"),
	late("draft 06", "draft-ietf-ipsec-nat-t-ike-06", "4d1e0e136deafa34c4f3ea9f02ec7285"),
	late("draft 05", "draft-ietf-ipsec-nat-t-ike-05", "80d0bb3def54565ee84645d4c85ce3ee"),
	late("draft 04", "draft-ietf-ipsec-nat-t-ike-04", "9909b64eed937c6573de52ace952fa6b"),
	late("RFC XXXX", "RFC XXXX", "810fa565f8ab14369105d706fbd57279"),
	apple("Apple", "draft-ietf-ipsec-nat-t-ike", "4df37928e9fc4fd1b3262170d515c662"),
	early("draft 03", "draft-ietf-ipsec-nat-t-ike-03", "7d9419a65310ca6f2c179d9215529d56"),
	early("draft 02, newline", "draft-ietf-ipsec-nat-t-ike-02\n", "90cb80913ebb696e086381b5ec427b1f"),
	early("draft 02", "draft-ietf-ipsec-nat-t-ike-02", "cd60464335df21f87cfdb2fc68b6a448"),
	first("draft 01", "draft-ietf-ipsec-nat-t-ike-01", "16f6ca16e4a4066d83821a0f0aeaa862"),
	first("draft 00", "draft-ietf-ipsec-nat-t-ike-00", "4485152d18b6bbcd0be8a8469579ddcc"),
	recognised("Testing NAT-T RFC", "c40fee00d5d39ddb1fc762e09b7cfea7"),
	recognised("draft-stenberg-ipsec-nat-traversal-01", "27bab5dc01ea0760ea4e3190ac27c0d0"),
	recognised("draft-stenberg-ipsec-nat-traversal-02", "6105c422e76847e43f9684801292aecd"),
	recognised("draft-huttunen-ipsec-esp-in-udp-00.txt", "6a7434c19d7e36348090a02334c9c805"),
	recognised("ESPThruNAT", "50760f624c63e5c53eea386c685ca083"),
}
