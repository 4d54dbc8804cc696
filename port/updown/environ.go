// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The environment of an updown command.

package updown

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// idLimit bounds an identity in the environment.
const idLimit = 1024

// Vars is what a command is told. One run is for one pair of selectors.
type Vars struct {
	Up         bool
	Connection string // the child's name, as charon gives it
	Interface  string
	Reqid      uint32
	Unique     uint64 // of the IKE SA
	// Me and Peer are the outer addresses; PeerPort is the peer's UDP port, zero without encapsulation.
	Me, Peer netip.Addr
	PeerPort uint16
	// MyID and PeerID are identities as text. The peer's was authenticated, but it chose it.
	MyID, PeerID string
	// MyClient and PeerClient are the selectors of this run.
	MyClient, PeerClient       netip.Prefix
	MyProtocol, PeerProtocol   uint8
	MyPort, PeerClientPort     uint16 // 0: any
	MySourceIPs, PeerSourceIPs []netip.Addr
	DNS                        []netip.Addr
	HostAccess                 bool
}

// Verb is up-client, down-client, up-host or down-host, with -v6 for IPv6 selectors. It is "host" where our selector is
// our own address.
func (v Vars) Verb() string {
	verb := "down"
	if v.Up {
		verb = "up"
	}
	if v.MyClient.IsSingleIP() && v.MyClient.Addr() == v.Me {
		verb += "-host"
	} else {
		verb += "-client"
	}
	if v.MyClient.Addr().Is6() {
		verb += "-v6"
	}
	return verb
}

// Environ returns the variables:
//
//	PLUTO_VERSION        1.1
//	PLUTO_VERB           see Verb
//	PLUTO_CONNECTION     name of the child
//	PLUTO_INTERFACE      the TUN device
//	PLUTO_REQID          number that a child keeps across rekeys
//	PLUTO_UNIQUEID       number of the IKE SA
//	PLUTO_PROTO          esp
//	PLUTO_ME, PLUTO_PEER outer addresses
//	PLUTO_MY_ID, PLUTO_PEER_ID   identities; what is not a letter, a digit, a blank or one of .,:@/=+*_%- is a question mark
//	PLUTO_MY_CLIENT, PLUTO_PEER_CLIENT       selectors as prefixes
//	PLUTO_MY_PORT, PLUTO_PEER_PORT           their ports, 0 for any
//	PLUTO_MY_PROTOCOL, PLUTO_PEER_PROTOCOL   their protocols, 0 for any
//	PLUTO_MY_SOURCEIP, PLUTO_MY_SOURCEIP4_1, PLUTO_MY_SOURCEIP6_1 …  virtual addresses of this host
//	PLUTO_PEER_SOURCEIP, PLUTO_PEER_SOURCEIP4_1 …                    virtual addresses of the peer
//	PLUTO_DNS4_1, PLUTO_DNS6_1 …  DNS servers that the peer assigned
//	PLUTO_UDP_ENC        the peer's UDP port, where ESP travels in UDP
//	PLUTO_HOST_ACCESS    1, if hostaccess = yes
func (v Vars) Environ() []string {
	env := []string{
		"PLUTO_VERSION=1.1", "PLUTO_VERB=" + v.Verb(), "PLUTO_CONNECTION=" + harmless(v.Connection),
		"PLUTO_INTERFACE=" + harmless(v.Interface), "PLUTO_REQID=" + strconv.FormatUint(uint64(v.Reqid), 10),
		"PLUTO_UNIQUEID=" + strconv.FormatUint(v.Unique, 10), "PLUTO_PROTO=esp",
		"PLUTO_ME=" + v.Me.String(), "PLUTO_PEER=" + v.Peer.String(),
		"PLUTO_MY_ID=" + harmless(v.MyID), "PLUTO_PEER_ID=" + harmless(v.PeerID),
		"PLUTO_MY_CLIENT=" + v.MyClient.String(), "PLUTO_PEER_CLIENT=" + v.PeerClient.String(),
		number("PLUTO_MY_PORT", v.MyPort), number("PLUTO_PEER_PORT", v.PeerClientPort),
		number("PLUTO_MY_PROTOCOL", uint16(v.MyProtocol)), number("PLUTO_PEER_PROTOCOL", uint16(v.PeerProtocol)),
	}
	env = append(env, addresses("PLUTO_MY_SOURCEIP", v.MySourceIPs, true)...)
	env = append(env, addresses("PLUTO_PEER_SOURCEIP", v.PeerSourceIPs, true)...)
	env = append(env, addresses("PLUTO_DNS", v.DNS, false)...)
	if v.PeerPort != 0 {
		env = append(env, number("PLUTO_UDP_ENC", v.PeerPort))
	}
	if v.HostAccess {
		env = append(env, "PLUTO_HOST_ACCESS=1")
	}
	return env
}

func number(name string, n uint16) string { return name + "=" + strconv.Itoa(int(n)) }

// addresses names each address by family and number; plain also names the first without either.
func addresses(name string, list []netip.Addr, plain bool) []string {
	var env []string
	var count [2]int
	for i, a := range list {
		if plain && i == 0 {
			env = append(env, name+"="+a.String())
		}
		family, n := 4, &count[0]
		if a.Is6() {
			family, n = 6, &count[1]
		}
		*n++
		env = append(env, fmt.Sprintf("%s%d_%d=%s", name, family, *n, a))
	}
	return env
}

// harmless replaces what a careless script could take for more than text. An identity that needed it equals no other.
func harmless(s string) string {
	if len(s) > idLimit {
		s = s[:idLimit]
	}
	b := []byte(s)
	for i, c := range b {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:@/=+*_%-", rune(c)) || c >= 0x80 {
			b[i] = '?'
		}
	}
	return string(b)
}
