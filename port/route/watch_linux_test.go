// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package route

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// notice is one message as rtnetlink sends it.
func notice(kind uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, unix.SizeofNlMsghdr-len(b))...)
	b = append(b, body...)
	return append(b, make([]byte, -len(b)&3)...)
}

func addrNotice(index uint32) []byte {
	return notice(unix.RTM_NEWADDR, binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 24, 0, 0}, index))
}

func routeNotice(table byte, attr uint32) []byte {
	body := make([]byte, unix.SizeofRtMsg)
	body[4] = table
	if attr != 0 {
		body = binary.NativeEndian.AppendUint16(body, 8)
		body = binary.NativeEndian.AppendUint16(body, unix.RTA_TABLE)
		body = binary.NativeEndian.AppendUint32(body, attr)
	}
	return notice(unix.RTM_DELROUTE, body)
}

func TestConcerns(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"another interface's address", addrNotice(2), true},
		{"our device's", addrNotice(7), false},
		{"ours and another's", append(addrNotice(7), addrNotice(2)...), true},
		{"main table", routeNotice(unix.RT_TABLE_MAIN, unix.RT_TABLE_MAIN), true},
		{"main table without attribute", routeNotice(unix.RT_TABLE_MAIN, 0), true},
		{"local table", routeNotice(unix.RT_TABLE_LOCAL, 0), false},
		{"a table of ours", routeNotice(unix.RT_TABLE_COMPAT, baseTable+17), false},
		{"a large table of another's", routeNotice(unix.RT_TABLE_COMPAT, baseTable+indexMask+1), true},
		{"another kind", notice(unix.RTM_NEWLINK, make([]byte, 16)), false},
		{"nothing", nil, false},
	} {
		if got := concerns(c.b, 7); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Whatever the kernel may send one day, it is read within its bounds.
func FuzzConcerns(f *testing.F) {
	f.Add(append(addrNotice(7), routeNotice(unix.RT_TABLE_COMPAT, 9)...))
	f.Add(routeNotice(unix.RT_TABLE_MAIN, 0)[:20])
	f.Fuzz(func(_ *testing.T, b []byte) { concerns(b, 7) })
}

// A dozen notices of one change are one.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		seen, out := make(chan struct{}, 1), make(chan struct{}, 1)
		go calm(ctx, seen, out)
		for range 12 {
			select {
			case seen <- struct{}{}:
			default:
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * settle)
		n := 0
		for len(out) > 0 {
			<-out
			n++
		}
		if n != 1 {
			t.Errorf("%d sends", n)
		}
		cancel()
		close(seen)
		if _, ok := <-out; ok {
			t.Error("not closed")
		}
	})
}
