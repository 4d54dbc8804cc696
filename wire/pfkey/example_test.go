// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey_test

import (
	"fmt"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// Example appends one message in two dialects, and parses it again.
func Example() {
	m := &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeSPDGet, Seq: 1, PID: 4242},
		Policy: &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, ID: 8, Requests: []pfkey.Request{
			{Proto: 50, Mode: pfkey.ModeTransport, Level: pfkey.LevelUnique, Reqid: 7},
		}},
	}
	for _, d := range []pfkey.Dialect{pfkey.FreeBSD, pfkey.Linux} {
		codec := pfkey.Codec{Dialect: d}
		b, err := codec.Append(nil, m)
		if err != nil {
			fmt.Println(err)
			return
		}
		parsed, err := codec.Parse(b)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(b), "octets in", d)
		fmt.Println(parsed.Policy)
	}
	_, err := pfkey.Codec{Dialect: pfkey.Linux}.Parse([]byte{2, 5, 0, 3, 9, 0})
	fmt.Println(err, "is", pfkey.ErrnoOf(err))
	// Output:
	// 40 octets in freebsd
	// out ipsec esp/transport//unique:7 id=8 priority=0
	// 48 octets in linux
	// out ipsec esp/transport//unique:7 id=8 priority=0
	// message: 6 octets, expected at least 16 is EMSGSIZE (wrong length)
}
