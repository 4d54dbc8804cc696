// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// AF_KEY sockets of the guest's kernel: octets in, octets out, nothing interpreted.

package agent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pfKeyV2 is the protocol number of AF_KEY sockets (RFC 2367, Section 1.3).
	pfKeyV2 = 2
	// keyBuffer is of a receive buffer that holds every answer of a scenario.
	keyBuffer = 4 << 20
	// keyMessage is longer than every message.
	keyMessage = 1 << 17
	// resetSocket is no name of a caller's.
	resetSocket = "reset"
)

// KeyWrite is a message to write to an AF_KEY socket, which is opened by its name at first use; without octets nothing is written.
type KeyWrite struct {
	Socket string
	Octets []byte
	// Wait is for what comes by itself afterwards, such as an EXPIRE.
	Wait time.Duration
}

// KeyRead is the write's errno, and what every open socket received until nothing more came.
type KeyRead struct {
	Errno    int
	Received map[string][][]byte
}

// KeyOpen opens an AF_KEY socket under a name.
func (a *Agent) KeyOpen(name string, _ *struct{}) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.key(name)
	return err
}

// key opens a socket unless it is open. Its caller holds the lock.
func (a *Agent) key(name string) (int, error) {
	if fd, ok := a.keys[name]; ok {
		return fd, nil
	}
	fd, err := unix.Socket(unix.AF_KEY, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, pfKeyV2)
	if err != nil {
		return 0, fmt.Errorf("AF_KEY: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, keyBuffer); err != nil {
		return 0, err
	}
	a.keys[name] = fd
	return fd, nil
}

// KeyStep writes a message and reads all sockets. The kernel has queued its answers before a write returns.
func (a *Agent) KeyStep(w KeyWrite, r *KeyRead) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(w.Octets) > 0 {
		fd, err := a.key(w.Socket)
		if err != nil {
			return err
		}
		var errno unix.Errno
		if _, err := unix.Write(fd, w.Octets); errors.As(err, &errno) {
			r.Errno = int(errno)
		}
	}
	if w.Wait > 0 {
		time.Sleep(w.Wait)
	}
	r.Received = map[string][][]byte{}
	buf := make([]byte, keyMessage)
	for name, fd := range a.keys {
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				break
			}
			if name == resetSocket {
				continue
			}
			r.Received[name] = append(r.Received[name], slices.Clone(buf[:n]))
		}
	}
	return nil
}

// KeyClose closes a socket.
func (a *Agent) KeyClose(name string, _ *struct{}) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	fd, ok := a.keys[name]
	if !ok {
		return fmt.Errorf("AF_KEY socket %q: not open", name)
	}
	delete(a.keys, name)
	return unix.Close(fd)
}

// KeyReset closes all sockets and writes the messages, which are to flush the tables, to one that stays open for the next reset. A closing
// socket leaves the kernel's list at once but waits for a grace period, which nobody else has to.
func (a *Agent) KeyReset(messages [][]byte, _ *struct{}) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, fd := range a.keys {
		if name != resetSocket {
			delete(a.keys, name)
			go unix.Close(fd)
		}
	}
	fd, err := a.key(resetSocket)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if _, err := unix.Write(fd, m); err != nil {
			return err
		}
	}
	return nil
}
