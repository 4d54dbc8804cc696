// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reading what a call's arguments point to, in the memory of the process that waits in it. Every pointer and length is the
// program's; what is read is bounded before it is read.

package redirect

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxMessage is the longest message that is carried; a policy with the most templates has a few KiB.
	maxMessage = 64 << 10
	// maxVectors is the kernel's own bound of an I/O vector (UIO_MAXIOV).
	maxVectors = 1024
	// iovecSize and msghdrSize are those of 64-bit systems; the vector's address and length are at 16 and 24 of the latter.
	iovecSize, msghdrSize = 16, 56
)

// read fills b from the memory of a thread.
func read(pid uint32, address uint64, b []byte) unix.Errno {
	if len(b) == 0 {
		return 0
	}
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(int(pid), local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(b)}}, 0)
	switch {
	case err != nil:
		if errno, ok := err.(unix.Errno); ok {
			return errno
		}
		return unix.EFAULT
	case n != len(b):
		return unix.EFAULT
	}
	return 0
}

// readMessage is the octets that write, send and sendto name.
func readMessage(pid uint32, address, length uint64) ([]byte, unix.Errno) {
	if length > maxMessage {
		return nil, unix.EMSGSIZE
	}
	b := make([]byte, length)
	return b, read(pid, address, b)
}

// readVector is the octets that writev names.
func readVector(pid uint32, address, count uint64) ([]byte, unix.Errno) {
	if count > maxVectors {
		return nil, unix.EINVAL
	}
	vector := make([]byte, count*iovecSize)
	if errno := read(pid, address, vector); errno != 0 {
		return nil, errno
	}
	var total uint64
	for v := vector; len(v) > 0; v = v[iovecSize:] {
		length := binary.NativeEndian.Uint64(v[8:])
		if length > maxMessage || total+length > maxMessage {
			return nil, unix.EMSGSIZE
		}
		total += length
	}
	b := make([]byte, 0, total)
	for v := vector; len(v) > 0; v = v[iovecSize:] {
		length := binary.NativeEndian.Uint64(v[8:])
		part := b[len(b) : uint64(len(b))+length]
		if errno := read(pid, binary.NativeEndian.Uint64(v), part); errno != 0 {
			return nil, errno
		}
		b = b[:len(b)+len(part)]
	}
	return b, 0
}

// readHeader is the octets that sendmsg names. Its control messages mean nothing to PF_KEY.
func readHeader(pid uint32, address uint64) ([]byte, unix.Errno) {
	var header [msghdrSize]byte
	if errno := read(pid, address, header[:]); errno != 0 {
		return nil, errno
	}
	return readVector(pid, binary.NativeEndian.Uint64(header[16:]), binary.NativeEndian.Uint64(header[24:]))
}

// readInt is an option's value: an int.
func readInt(pid uint32, address, length uint64) (int32, unix.Errno) {
	var v int32
	if length < uint64(unsafe.Sizeof(v)) {
		return 0, unix.EINVAL
	}
	var b [4]byte
	errno := read(pid, address, b[:])
	return int32(binary.NativeEndian.Uint32(b[:])), errno
}
