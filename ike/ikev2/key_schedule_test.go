// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (k keys) concat() []byte {
	return slices.Concat(k.skD.Bytes(), k.skAi.Bytes(), k.skAr.Bytes(), k.skEi.Bytes(), k.skEr.Bytes(), k.skPi.Bytes(), k.skPr.Bytes())
}

func (k childKeys) concat() []byte {
	return slices.Concat(k.encrI.Bytes(), k.integI.Bytes(), k.encrR.Bytes(), k.integR.Bytes())
}

// The values of the SP 800-135 self test for IKEv2 with SHA2-256 (NIST ACVP, kdf-components-ikev2-1.0; also OpenSSL's
// evpkdf_ikev2.txt): DKM is the whole prf+ output, of which a suite takes what it needs.
const (
	acvpNi     = "3651fef5c9c35e93"
	acvpNr     = "c09a8b90a3f04d59"
	acvpGir    = "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e289cd3f34dad4eb4df1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a36455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c"
	acvpGirNew = "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04750484f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2"
	acvpSKD    = "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42"
	acvpDKM    = "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42010164af2111ebd762f6916ca9a6f0ee05c8b320e4ee27705521de2589adea1878f1a551738af7c88dc4f0bb0c096a3f7d1f1a670fc79f49f678d60d665bb3710c8657f03ba9f62b9a818d7a228968c506e237ae9502aa6db395c61ea6a3e79504f86b7368bfb5423df79e48809bbccd49fd826d024f63d7c2a5566400a12e736aa034510428f5ea008fe2fc16886fa388274ea6c2b4fcfc6141bf04f8207ef8afc224ea1059cb220dc0b23ac0e4ccda495a4e131b1d56e223aba5a48e8ed1f5"
	acvpChild  = "23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa388022b75e27e1e68aa5983028b65282c730c5d49ef7606770376cfdec41f7cc435d816029989bc353d3b67b9fd1168ddcb8978850da9b752aee6a30d0086d2c4d74ec0e03648a0dad334faf5fe88084e67"
	acvpPFS    = "6a919387a5fa2835fe8a8237e4a14845bd2b9930db87eff7adf268f62186004902dba9aa942d0259a0edc4120b932a503865b57ba8fb88117ef5df7b26799cd8ba37aa5438108cb1a4fe117907c9d0597b708c3f11151fefd624d2317202b7c81430600e6fcbb6e1a8df2b4861ef2363d53de1be69057b0cf6634a7e7bfa97b3"
	acvpRekey  = "90722c42bd849e9b72d240fc254174270fa8295de6f0338dafc303a9ec104f12"
)

func TestKeyScheduleACVP(t *testing.T) {
	const spiI, spiR = 0x8e5c3ae507221684, 0xb1f201bb155c3acd
	ni, nr := unhex(t, acvpNi), unhex(t, acvpNr)
	// 32 octets for each of the seven keys: the 224 octets of DKM.
	s := suite.IKE{Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegHMACSHA2256128, PRF: suite.PRFHMACSHA2256, KE: suite.KEMODP2048}
	k := deriveKeys(s, secret.New(unhex(t, acvpGir)), ni, nr, spiI, spiR)
	if got := k.concat(); !bytes.Equal(got, unhex(t, acvpDKM)) {
		t.Errorf("DKM:\n got %x\nwant %s", got, acvpDKM)
	}
	esp := suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegHMACSHA2256128}
	skD := secret.New(unhex(t, acvpSKD))
	if got := deriveChild(s.PRF, skD, esp, secret.Key{}, ni, nr).concat(); !bytes.Equal(got, unhex(t, acvpChild)) {
		t.Errorf("child:\n got %x\nwant %s", got, acvpChild)
	}
	if got := deriveChild(s.PRF, skD, esp, secret.New(unhex(t, acvpGirNew)), ni, nr).concat(); !bytes.Equal(got, unhex(t, acvpPFS)) {
		t.Errorf("child with a key exchange:\n got %x\nwant %s", got, acvpPFS)
	}
	got := deriveRekeyed(s.PRF, skD, s, secret.New(unhex(t, acvpGirNew)), ni, nr, spiI, spiR)
	want := expand(s, secret.New(unhex(t, acvpRekey)), ni, nr, spiI, spiR)
	if !bytes.Equal(got.concat(), want.concat()) {
		t.Error("the successor's keys are not those of the SKEYSEED that the vectors give")
	}
}

// Two handshakes of strongSwan 5.9.8 with itself, recorded with their secrets.
func TestKeyScheduleRecorded(t *testing.T) {
	for _, c := range []struct {
		name                   string
		suite                  suite.IKE
		esp                    suite.ESP
		spiI, spiR             uint64
		ni, nr, gir, ike, want string
	}{
		{
			name: "psk", spiI: 0x92c9f7e19cb99f7d, spiR: 0xb3b2946fc49fb350,
			suite: suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128, PRF: suite.PRFHMACSHA2256, KE: suite.KEECP256},
			esp:   suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128},
			ni:    "eab5fbad84205425e41e911d5e61df3d2a225636d8cc3ac4df3f5fa5682e956d",
			nr:    "1877457a6a52d3c2f794af3c706bbfc0b49d3cefc1d8780f2cdabb93952dec3b",
			gir:   "8ca1be0f67abaac4973d67567aca3c9ea91ddeec7f44df9975fa9c5e1c95678b",
			ike: "3a6657faac733266c828f79df3d307f5c10e675a513a39ab24b6bdebd5c57694" +
				"a0f49fad2deed4bb2b390b31b668bfc5230c5249" + "127116dab2824a0011710b0c85d2813c6bcb5605" +
				"4e3f183090353b40f6e28697c80e25c10de344a39d41c43f3b33b5daf240530a" +
				"495c2ff6fd8513187f662658b023d7d2d2e609bad85680cd10e388f51fef145f",
			want: "dfa9f0325ea80d61eb42a6f170bf9bb59cbbc885" + "7a21a78b07d5b33416dff60614c5c8a372828846",
		},
		{
			name: "cert", spiI: 0xda07332386765b36, spiR: 0xa480ba2a6c4bdd23,
			suite: suite.IKE{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128, PRF: suite.PRFHMACSHA2256, KE: suite.KEMODP2048},
			esp:   suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128},
			ni:    "b2f238132e8fe51ed6977cf161e954226ac497fc9a3bae16104cd59ef7b9ec24",
			nr:    "48f2f47fb19bdc0976331f4f8ae4a022ea2f473b3a0cc44d1f6953ea6983d32e",
			gir:   "8de430a9a9dccf22ffea6381b24d2280d56f46e49beacc0d8bf307b99af2f12cc71094cecca039262a7226e50268874e95103c936e4d62793a019bba34de1d63d54ea4a4905488eff715d518cfef0f6824f366619b60bc1f594f3cd0c3579608532596ad3698df30c6fc83c8bd967447b40da38fb18c546e6c9efae27088ca42c5e03bad78a073171fcc5fb4cfd5bcf0868400a180a5fafc9f009b3888dff075afefa04f9917087445d720973d854094446cf3e1c33c100c061584a06819478e89a67b8158fb22e6f917537771d075acb9cf5e0424174e0b11f3e27717273ceaf7c3c5dea4e4256394e8e7c8c83a877c891818c3f5a59663ebf49fcdb51f0d40",
			ike: "72b8fca0af211b3c8d5d7011ac08f0d63f9f0252f404f3992e3b08cf4fc9fd52" +
				"ff2b91baf75eeaf9529629554cc50a46a6aad93cf0da24518d434fd095b882b1" +
				"39e6d2b8a4afc719a2a6c7fc063f98e5da76a70a685e4e2db6eeb6e5ddac2bf5" +
				"af352b04689c3e379d587d0cb02178f8" + "6807d7cb575b36646eebdf2e47152693" +
				"8c82f64a1c20a354f8c16ff4fcb479fb318fed6c21fba7f9f4d9c6761a831551" +
				"ed5ccef892302cce399c6a233ab0d16c63af7ab1d0927fba783cde897660b6f2",
			want: "83bbc0d2f9ee5c76f9b90e06288e04c2" + "201144e98e78225c0b6fea2504c9f49b0e1964e7dfdcb88c9f97322f339dbff1" +
				"cbabb8b4a70e3e123c893d00e0e99994" + "e7576b1c0c307dba632b59a04e9af9e2999474533fa03b0a4388a5507f797532",
		},
	} {
		ni, nr := unhex(t, c.ni), unhex(t, c.nr)
		k := deriveKeys(c.suite, secret.New(unhex(t, c.gir)), ni, nr, c.spiI, c.spiR)
		if got := hex.EncodeToString(k.concat()); got != c.ike {
			t.Errorf("%s: IKE SA\n got %s\nwant %s", c.name, got, c.ike)
		}
		if got := hex.EncodeToString(deriveChild(c.suite.PRF, k.skD, c.esp, secret.Key{}, ni, nr).concat()); got != c.want {
			t.Errorf("%s: child SA\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestKeysAreWiped(t *testing.T) {
	s := suite.IKE{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196, PRF: suite.PRFHMACSHA2256, KE: suite.KECurve25519}
	k := deriveKeys(s, secret.New(make([]byte, 32)), make([]byte, 16), make([]byte, 16), 1, 2)
	if bytes.Count(k.concat(), []byte{0}) == len(k.concat()) {
		t.Fatal("the keys are zero")
	}
	k.wipe()
	if b := k.concat(); bytes.Count(b, []byte{0}) != len(b) {
		t.Error("octets of the keys are left")
	}
}
