// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The two filters. The seccomp filter chooses the calls that the supervisor is asked about: it sees numbers and arguments,
// never what a descriptor is or what a pointer points to. The socket filter on a port of the program's leaves it what
// Linux would hand up.

package redirect

import (
	"errors"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/natt"
)

const (
	afKey      = 15 // AF_KEY
	pfKeyV2    = 2  // PF_KEY_V2, RFC 2367, Section 1.1
	ipPolicy   = 16 // IP_IPSEC_POLICY
	ipv6Policy = 34 // IPV6_IPSEC_POLICY

	// struct seccomp_data: the number, the ABI, and six arguments whose low half comes first on the systems there are.
	offNumber, offABI, offArgs, argSize = 0, 4, 16, 8

	// udpHeader is RFC 768's; espHeader the SPI and the sequence number (RFC 4303, Section 2).
	udpHeader, espHeader = 8, 8
)

var errProcessor = errors.New("seccomp: this processor is not supported, only amd64 and arm64 are")

// argIs wants a 32-bit half of an argument to have a value: its low half is 0, its high half 1.
type argIs struct{ arg, half, value uint32 }

// rule asks about a call whose arguments are so. Its jumps end behind it.
func rule(number uint32, args ...argIs) []bpf.Instruction {
	block := []bpf.Instruction{bpf.LoadAbsolute{Off: offNumber, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: number}}
	for _, a := range args {
		block = append(block, bpf.LoadAbsolute{Off: offArgs + argSize*a.arg + 4*a.half, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: a.value})
	}
	block = append(block, bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF})
	for i, in := range block {
		if j, ok := in.(bpf.JumpIf); ok {
			j.SkipFalse = uint8(len(block) - 1 - i)
			block[i] = j
		}
	}
	return block
}

// callFilter is the seccomp filter. Calls of other ABIs (32-bit programs) go on untouched, as does sendto with an address,
// which a PF_KEY socket never has: what an IKE daemon sends costs nothing.
func callFilter() ([]unix.SockFilter, error) {
	if abi == 0 {
		return nil, errProcessor
	}
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offABI, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: abi, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	}
	for _, block := range [][]bpf.Instruction{
		rule(unix.SYS_WRITE), rule(unix.SYS_WRITEV), rule(unix.SYS_SENDMSG),
		rule(unix.SYS_SENDTO, argIs{4, 0, 0}, argIs{4, 1, 0}),
		rule(unix.SYS_SOCKET, argIs{0, 0, afKey}),
		rule(unix.SYS_SETSOCKOPT, argIs{1, 0, unix.IPPROTO_IP}, argIs{2, 0, ipPolicy}),
		rule(unix.SYS_SETSOCKOPT, argIs{1, 0, unix.IPPROTO_IPV6}, argIs{2, 0, ipv6Policy}),
		rule(unix.SYS_SETSOCKOPT, argIs{1, 0, unix.IPPROTO_UDP}, argIs{2, 0, unix.UDP_ENCAP}),
	} {
		p = append(p, block...)
	}
	return assemble(append(p, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
}

// portFilter is the socket filter that leaves a port of the program's what Linux hands up: no keepalive, no ESP, IKE with its
// marker in place, and what is too short for ESP. The filter of a UDP socket sees the header first.
func portFilter(m natt.Mode) ([]unix.SockFilter, error) {
	const drop, keep = 0, 0xffff
	p := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: udpHeader + 1, SkipFalse: 3},
		bpf.LoadAbsolute{Off: udpHeader, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: natt.KeepaliveOctet, SkipFalse: 1},
		bpf.RetConstant{Val: drop},
		bpf.LoadExtension{Num: bpf.ExtLen},
	}
	switch m {
	case natt.NonESP:
		p = append(p, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: udpHeader + espHeader, SkipFalse: 3},
			bpf.LoadAbsolute{Off: udpHeader, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
			bpf.RetConstant{Val: drop})
	case natt.NonIKE:
		p = append(p, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: udpHeader + natt.NonIKEMarkerLen + espHeader, SkipFalse: 5},
			bpf.LoadAbsolute{Off: udpHeader, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: 3},
			bpf.LoadAbsolute{Off: udpHeader + 4, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: 1},
			bpf.RetConstant{Val: drop})
	default:
		return nil, errors.New("mode: " + m.String() + ", expected a marker")
	}
	return assemble(append(p, bpf.RetConstant{Val: keep}))
}

func assemble(p []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(p)
	if err != nil {
		return nil, err
	}
	f := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		f[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return f, nil
}
