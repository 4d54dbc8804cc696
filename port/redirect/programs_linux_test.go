// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The programs of the tests are this binary again, run under the filter: a Go program is static, has many threads, and is sent signals by
// its own runtime.

package redirect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

var programs = map[string]func([]string) error{
	"calls": programCalls, "rounds": programRounds, "hostile": programHostile, "travel": programTravel, "child": programChild,
	"restart": programRestart, "ports": programPorts, "background": programBackground, "cost": programCost, "late": programLate,
	"linger": programLinger, "unread": programUnread,
}

func message(kind byte, seq uint32, extra int) []byte {
	b := make([]byte, 16+8*extra)
	b[0], b[1], b[3] = pfKeyV2, kind, 3
	binary.NativeEndian.PutUint16(b[4:], uint16(len(b)/8))
	binary.NativeEndian.PutUint32(b[8:], seq)
	binary.NativeEndian.PutUint32(b[12:], uint32(os.Getpid()))
	return b
}

// answered reads the answer, which must be there.
func answered(fd int, want []byte) error {
	buf := make([]byte, maxMessage)
	n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	switch {
	case err != nil:
		return fmt.Errorf("no answer when the call returned: %w", err)
	case !bytes.Equal(buf[:n], want):
		return fmt.Errorf("answer % x, expected % x", buf[:n], want)
	}
	return nil
}

func programCalls([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_CLOEXEC, pfKeyV2)
	if err != nil {
		return err
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("close-on-exec: %d %v", flags, err)
	}
	big := message(3, 5, 1000)
	for i, call := range []func() (int, error){
		func() (int, error) { return unix.Write(fd, message(1, 1, 3)) },
		func() (int, error) { m := message(1, 2, 3); return unix.Writev(fd, [][]byte{m[:16], nil, m[16:]}) },
		func() (int, error) { return len(message(1, 3, 0)), unix.Send(fd, message(1, 3, 0), 0) },
		func() (int, error) { return unix.SendmsgN(fd, message(1, 4, 3), nil, nil, 0) },
		func() (int, error) { return unix.Write(fd, big) },
	} {
		want := message(1, uint32(i+1), 3)
		if i == 2 {
			want = message(1, 3, 0)
		} else if i == 4 {
			want = big
		}
		if n, err := call(); err != nil || n != len(want) {
			return fmt.Errorf("call %d: %d, %w", i, n, err)
		}
		if err := answered(fd, want); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	nb, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_NONBLOCK, pfKeyV2)
	if err != nil {
		return err
	}
	if _, _, err := unix.Recvfrom(nb, make([]byte, 8), 0); err != unix.EAGAIN {
		return fmt.Errorf("SOCK_NONBLOCK: %w", err)
	}
	return nil
}

func programRounds([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	begin := time.Now()
	for i := range 1000 {
		m := message(1, uint32(i), 3)
		if _, err := unix.Write(fd, m); err != nil {
			return err
		}
		if err := answered(fd, m); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	fmt.Println("a round takes", time.Since(begin)/1000)
	return nil
}

func programHostile([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	sys := func(nr uintptr, args ...uintptr) unix.Errno {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		return errno
	}
	f, huge := uintptr(fd), ^uintptr(0)
	short, unknown, old := message(1, 1, 0), message(99, 1, 0), message(1, 1, 0)
	short[4], old[0] = 9, 1
	u, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	pipe := make([]int, 2)
	if err := unix.Pipe(pipe); err != nil {
		return err
	}
	for i, c := range []struct{ got, want error }{
		{sys(unix.SYS_WRITE, f, 1, 100), unix.EFAULT},
		{sys(unix.SYS_WRITE, f, 1, huge), unix.EMSGSIZE},
		{sys(unix.SYS_WRITE, f, 1, 0), unix.EMSGSIZE},
		{sys(unix.SYS_WRITEV, f, 1, 4), unix.EFAULT},
		{sys(unix.SYS_WRITEV, f, 1, huge), unix.EINVAL},
		{sys(unix.SYS_SENDMSG, f, 0, 0), unix.EFAULT},
		{sys(unix.SYS_SENDMSG, f, huge, 0), unix.EFAULT},
		{second(unix.Write(fd, short)), unix.EMSGSIZE},
		{second(unix.Write(fd, old)), unix.EINVAL},
		{second(unix.Write(fd, unknown)), unix.EINVAL},
		{second(unix.Socket(afKey, unix.SOCK_DGRAM, pfKeyV2)), unix.ESOCKTNOSUPPORT},
		{second(unix.Socket(afKey, unix.SOCK_RAW, 0)), unix.EPROTONOSUPPORT},
		{second(unix.Socket(afKey, unix.SOCK_RAW|1<<20, pfKeyV2)), unix.EINVAL},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_IP, ipPolicy, 1, 16), unix.EFAULT},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_IP, ipPolicy, 1, 3), unix.EINVAL},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_UDP, unix.UDP_ENCAP, 1, 4), unix.EFAULT},
		{sys(unix.SYS_SETSOCKOPT, huge, unix.IPPROTO_UDP, unix.UDP_ENCAP, 1, 0), unix.EINVAL},
		{unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2), unix.ENOPROTOOPT},
		{unix.SetsockoptInt(12345, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2), unix.EBADF},
		// What is not for PF_KEY is the kernel's.
		{second(unix.Write(12345, short)), unix.EBADF},
		{second(unix.Write(-1, short)), unix.EBADF},
		{second(unix.Write(pipe[1], short)), nil},
		{unix.SetsockoptInt(u, unix.IPPROTO_UDP, unix.UDP_ENCAP, 99), unix.ENOPROTOOPT},
	} {
		if e, ok := c.got.(unix.Errno); ok && e == 0 {
			c.got = nil
		}
		if !errors.Is(c.got, c.want) {
			return fmt.Errorf("call %d: %v, expected %v", i, c.got, c.want)
		}
	}
	bypass, protect := make([]byte, policySize), make([]byte, policySize)
	bypass[offPolicyType], protect[offPolicyType] = policyBypassKAME, 2
	if err := unix.SetsockoptString(u, unix.IPPROTO_IP, ipPolicy, string(bypass)); err != nil {
		return fmt.Errorf("IP_IPSEC_POLICY: %w", err)
	}
	if err := unix.SetsockoptString(u, unix.IPPROTO_IPV6, ipv6Policy, string(bypass)); err != nil {
		return fmt.Errorf("IPV6_IPSEC_POLICY: %w", err)
	}
	if err := unix.SetsockoptString(u, unix.IPPROTO_IP, ipPolicy, string(protect)); err != unix.EOPNOTSUPP {
		return fmt.Errorf("a socket that is to be protected: %w", err)
	}
	// And it works still.
	m := message(1, 7, 0)
	if _, err := unix.Write(fd, m); err != nil {
		return err
	}
	return answered(fd, m)
}

func second(_ int, err error) error { return err }

func programTravel([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_CLOEXEC, pfKeyV2)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	unix.Close(fd)
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "child"},
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(uintptr(pair[1]), "pair")}})
	if err != nil {
		return err
	}
	st, err := p.Wait()
	if err != nil || !st.Success() {
		return fmt.Errorf("child: %v %w", st, err)
	}
	return nil
}

func programChild([]string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(unix.Chroot(os.TempDir()), unix.Setgid(65534), unix.Setuid(65534)); err != nil {
			return err
		}
	}
	fd, err := receive(3)
	if err != nil {
		return err
	}
	m := message(1, 1, 0)
	if _, err := unix.Write(fd, m); err != nil {
		return err
	}
	return errors.Join(answered(fd, m), gaveUp())
}

func programRestart([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	register := message(typeRegister, 1, 0)
	if _, err := unix.Write(fd, register); err != nil {
		return err
	}
	if err := answered(fd, register); err != nil {
		return err
	}
	if _, err := unix.Write(fd, message(1, 2, 0)); err != nil {
		return err
	}
	if err := answered(fd, message(1, 2, 0)); err != nil {
		return err
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 30); n != 0 || err != nil {
		return fmt.Errorf("poll while the server is away: %d %v", n, err)
	}
	if _, err := unix.Write(fd, message(typeGet, 3, 5)); err != nil {
		return fmt.Errorf("after the restart: %w", err)
	}
	want := message(typeGet, 3, 0)
	want[2] = byte(unix.ESRCH)
	return answered(fd, want)
}

func programPorts([]string) error {
	for _, local := range []unix.Sockaddr{&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}} {
		for _, value := range []int{2, 1} {
			if err := onePort(local, value); err != nil {
				return fmt.Errorf("%T, value %d: %w", local, value, err)
			}
		}
	}
	return nil
}

func onePort(local unix.Sockaddr, value int) error {
	family := unix.AF_INET
	if _, ok := local.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, local); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, value); err != nil {
		return err
	}
	to, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	zero8 := make([]byte, 8)
	ike := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 20)...)
	keep, drop := [][]byte{append(zero8[:4:4], ike...), {1, 2, 3}, {0xfe}}, [][]byte{{0xff}, ike}
	if value == 1 {
		keep, drop = [][]byte{ike, zero8, {0xfe}}, [][]byte{{0xff}, append(zero8[:8:8], ike...)}
	}
	for _, b := range append(append([][]byte{}, drop...), keep...) {
		if err := unix.Sendto(fd, b, 0, to); err != nil {
			return err
		}
	}
	buf := make([]byte, 100)
	for i, want := range keep {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || !bytes.Equal(buf[:n], want) {
			return fmt.Errorf("datagram %d: % x %v, expected % x", i, buf[:n], err, want)
		}
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 0)
}

func programLate([]string) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{}); err != nil {
		return err
	}
	time.Sleep(5 * boundPoll)
	unix.Close(fd)
	time.Sleep(goneCheck + goneCheck/2)
	return nil
}

func programBackground(args []string) error {
	if len(args) == 0 {
		_, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "background", "second"},
			&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		return err
	}
	time.Sleep(300 * time.Millisecond)
	if err := programCalls(nil); err != nil {
		return err
	}
	fmt.Println("second done")
	return nil
}

func programLinger(args []string) error {
	if len(args) == 0 {
		if _, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "linger", "second"},
			&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}); err != nil {
			return err
		}
	}
	fmt.Println("lingering", os.Getpid())
	time.Sleep(time.Minute)
	return nil
}

func programCost([]string) error {
	if fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2); err == nil {
		defer unix.Close(fd)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	const rounds = 2000
	begin := time.Now()
	for range rounds {
		if _, err := io.WriteString(null, "x"); err != nil {
			return err
		}
	}
	fmt.Println("a write to another descriptor:", time.Since(begin)/rounds)
	return nil
}
