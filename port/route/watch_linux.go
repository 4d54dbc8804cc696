// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Notices of the kernel about addresses and routes (rtnetlink multicast groups). The messages come from the kernel only:
// the socket takes no other sender's.

package route

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// watchBuffer holds one read of notices; a notice is some hundred octets.
	watchBuffer = 32 << 10
	// settle is how long after a notice others are taken for the same change: a new network brings a dozen.
	settle = 200 * time.Millisecond
)

// Watch sends after the host's addresses or routes changed, except for those on the device and those in our daemons'
// tables. One send stands for everything since the last; some are for nothing (an IPv6 router repeats itself). The channel
// is closed when ctx ends.
func Watch(ctx context.Context, device string) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := uint32(0)
	for _, g := range []uint{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	own := 0
	if ifi, err := net.InterfaceByName(device); err == nil {
		own = ifi.Index
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	out, seen := make(chan struct{}, 1), make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer close(seen)
		defer stop()
		defer f.Close()
		listen(conn, own, seen)
	}()
	go calm(ctx, seen, out)
	return out, nil
}

// listen reads notices until the socket is closed.
func listen(conn syscall.RawConn, own int, seen chan<- struct{}) {
	buf := make([]byte, watchBuffer)
	for {
		n, from := 0, unix.Sockaddr(nil)
		var rerr error
		err := conn.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		lost := errors.Is(rerr, unix.ENOBUFS) // some were lost: they may have been ours
		if rerr != nil && !lost && !errors.Is(rerr, unix.EINTR) {
			return
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !lost && (!ok || sa.Pid != 0) {
			continue
		}
		if lost || concerns(buf[:n], own) {
			select {
			case seen <- struct{}{}:
			default:
			}
		}
	}
}

// calm passes one send on for all that come within settle. It ends, and closes out, with seen.
func calm(ctx context.Context, seen <-chan struct{}, out chan<- struct{}) {
	defer close(out)
	for range seen {
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return
		}
		select {
		case out <- struct{}{}:
		default:
		}
	}
}

// concerns reports whether a buffer of notices holds one that is not about our own device or tables.
func concerns(b []byte, own int) bool {
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch kind {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if len(body) >= unix.SizeofIfAddrmsg && int(binary.NativeEndian.Uint32(body[4:])) != own {
				return true
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if table, ok := tableOf(body); ok && !ourTable(table) && table != unix.RT_TABLE_LOCAL {
				return true
			}
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return false
}

func ourTable(table uint32) bool { return table >= baseTable && table <= baseTable+indexMask }

// tableOf is the table of an rtmsg: its attribute RTA_TABLE, else the octet in its header.
func tableOf(body []byte) (uint32, bool) {
	if len(body) < unix.SizeofRtMsg {
		return 0, false
	}
	table := uint32(body[4])
	for a := body[unix.SizeofRtMsg:]; len(a) >= unix.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(a)), binary.NativeEndian.Uint16(a[2:])
		if size < unix.SizeofRtAttr || size > len(a) {
			break
		}
		if kind == unix.RTA_TABLE && size >= unix.SizeofRtAttr+4 {
			table = binary.NativeEndian.Uint32(a[unix.SizeofRtAttr:])
		}
		a = a[min(len(a), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return table, true
}
