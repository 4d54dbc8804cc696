// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets that others made: draft-mcgrew-gcm-test-01 (Section 4), RFC 7634 (Appendix A), and strongSwan (testdata).

package esp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	for _, v := range []struct {
		name                  string
		s                     suite.ESP
		spi                   uint32
		top                   uint64 // what the receiver has seen before
		key, packet, expected string
		next                  uint8
	}{
		{
			"draft-mcgrew-gcm-test-01, case 1: AES-128, extended sequence number 0x8765432100000000",
			suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128, ESN: true}, 0x4321, 0x8765432100000000 - 1,
			"4c80cdefbb5d10da906ac73c3613a634 2e443b68",
			"00004321 00000000 4956ed7e3b244cfe" +
				"fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff62" +
				"47aeabb786b93bce61bc17d768fd9732 459018148f6cbe722fd04796562dfdb4",
			"45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000" +
				"00000000045f736970045f756470037369700963796265726369747902646b000021 0001",
			1,
		}, {
			"draft-mcgrew-gcm-test-01: AES-192",
			suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 192}, 0xa5f8, 0,
			"feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe",
			"0000a5f8 0000000a facedbaddecaf888" +
				"a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77 95457b9652037f5318027b5b4cd7a636",
			"45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d07568",
			1,
		}, {
			"draft-mcgrew-gcm-test-01: AES-256",
			suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 256}, 0x4a2cbfe3, 0,
			"abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
			"4a2cbfe3 00000002 0102030405060708" +
				"ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8e" +
				"b335f4eecfdbf831824b4c4915956c96",
			"4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402",
			1,
		}, {
			"RFC 7634, Appendix A",
			suite.ESP{Encr: suite.EncrChaCha20Poly1305}, 0x01020304, 0,
			"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3",
			"01020304 00000005 1011121314151617" +
				"24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9" +
				"befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0 76aaa8266b7fb0f7b11b369907e1ad43",
			"45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f1011121314151617" +
				"18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
			4,
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			o, err := NewOpener(v.spi, v.s, secret.New(unhex(t, v.key)), secret.Key{}, 64)
			if err != nil {
				t.Fatal(err)
			}
			o.window.Commit(v.top)
			got, err := o.Open(unhex(t, v.packet))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Payload, unhex(t, v.expected)) || got.Next != v.next || !got.Newest {
				t.Errorf("payload %x, next %d", got.Payload, got.Next)
			}
		})
	}
}

// TestStrongSwan opens what strongSwan sealed, and checks that the Sealer makes packets of the same shape.
func TestStrongSwan(t *testing.T) {
	replayed(t, "testdata/strongswan.txt", 72, 6)
}

// TestVPNC likewise: what IKEv1 peers sealed, one of which, vpnc, has an ESP of its own.
func TestVPNC(t *testing.T) {
	replayed(t, "testdata/ikev1.txt", 48, 6)
}

// replayed opens the packets of a recording: so many of so many SAs.
func replayed(t *testing.T, path string, packets, associations int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var o *Opener
	var s *Sealer
	opened, sas := 0, 0
	for in := bufio.NewScanner(f); in.Scan(); {
		line := in.Text()
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "sa "):
			var name, keyE, keyA string
			var spi uint32
			var e suite.ESP
			if _, err := fmt.Sscanf(line, "sa %s %x %d %d %d %s %s", &name, &spi, &e.Encr, &e.EncrBits, &e.Integ, &keyE, &keyA); err != nil {
				t.Fatal(err)
			}
			a := secret.Key{}
			if keyA != "-" {
				a = secret.New(unhex(t, keyA))
			}
			if o, err = NewOpener(spi, e, secret.New(unhex(t, keyE)), a, 64); err != nil {
				t.Fatal(name, err)
			}
			if s, err = NewSealer(spi, e, secret.New(unhex(t, keyE)), a, zeros{}); err != nil {
				t.Fatal(name, err)
			}
			sas++
		default:
			pkt := unhex(t, line)
			size := len(pkt)
			got, err := o.Open(pkt)
			if err != nil {
				t.Fatalf("packet %d of SA %d: %v", opened, sas, err)
			}
			// vpnc calls the IPv6 router solicitation of its TUN IPv4 too.
			ok4 := len(got.Payload) >= 20 && got.Payload[0] == 0x45 && int(got.Payload[2])<<8|int(got.Payload[3]) == len(got.Payload)
			ok6 := len(got.Payload) >= 40 && got.Payload[0] == 0x60 && int(got.Payload[4])<<8|int(got.Payload[5]) == len(got.Payload)-40
			if got.Next != NextHeaderIPv4 || !ok4 && !ok6 {
				t.Errorf("payload %x", got.Payload)
			}
			if s.Size(len(got.Payload)) != size {
				t.Errorf("payload of %d octets: %d octets of strongSwan's, %d of ours", len(got.Payload), size, s.Size(len(got.Payload)))
			}
			opened++
		}
	}
	if opened != packets || sas != associations {
		t.Errorf("%d packets of %d SAs opened", opened, sas)
	}
}

// zeros is a seed for tests.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
