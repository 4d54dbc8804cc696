// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package tun is the network interface of the operating system through which inner packets enter and leave the daemon:
// a thin layer over wireguard/tun, which is imported only here. Packets that are read were made by this host or routed
// to it, and are untrusted; this package looks at none of them. It guarantees that Read and Write return after Close,
// and that a failed Open says in one sentence what is missing.
package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	wgtun "golang.zx2c4.com/wireguard/tun"
)

const (
	// DefaultName is the interface's name unless the configuration says another.
	DefaultName = "ipsec0"
	// DefaultMTU leaves room for IPv6, UDP and ESP around a packet on an Ethernet of 1500 octets.
	DefaultMTU = 1400
	// Headroom is how many octets must be free in front of a packet given to Write, for the virtio header.
	Headroom = 16
	// minMTU is the smallest MTU that IPv4 allows (RFC 791, Section 3.2); maxMTU the largest packet there is.
	minMTU, maxMTU = 576, 65535
)

// ErrNoDevice means that the system has no TUN device at all, for example because a module is not loaded.
var ErrNoDevice = errors.New("no TUN device on this system")

// ErrPrivilege means that this process may not make an interface.
var ErrPrivilege = errors.New("no privilege to make a TUN interface")

// ErrName means that another process has an interface of this name.
var ErrName = errors.New("the interface name is taken")

// Device carries inner IP packets in batches. One goroutine may read while others write.
type Device interface {
	// Read fills bufs[i][offset:] and sizes[i] and returns how many packets there are, at least one. A buffer must
	// hold offset+65535 octets where the system joins segments, offset+MTU otherwise; bufs should be BatchSize long.
	Read(bufs [][]byte, sizes []int, offset int) (int, error)
	// Write sends bufs[i][offset:]; offset is at least Headroom. The octets in front of a packet and those of a run
	// of one flow may be overwritten: a buffer's capacity may be used to join the packets that follow it.
	Write(bufs [][]byte, offset int) (int, error)
	Name() string
	MTU() int
	BatchSize() int
	Close() error
}

// native is an interface of the operating system.
type native struct {
	wgtun.Device
	name string
	mtu  atomic.Int64
}

var _ Device = (*native)(nil)

// Open makes the interface name ("": DefaultName) with the given MTU (0: DefaultMTU). Addresses, routes and bringing it
// up are port/route's.
func Open(name string, mtu int) (Device, error) {
	if name == "" {
		name = systemName
	}
	if mtu == 0 {
		mtu = DefaultMTU
	}
	if mtu < minMTU || mtu > maxMTU {
		return nil, fmt.Errorf("mtu: %d, expected %d to %d", mtu, minMTU, maxMTU)
	}
	dev, err := wgtun.CreateTUN(name, mtu)
	if err != nil {
		return nil, explain(name, err)
	}
	real, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("interface %s: name: %w", name, err)
	}
	n := &native{Device: dev, name: real}
	n.mtu.Store(int64(mtu))
	go n.follow()
	return n, nil
}

// follow empties the device's events, which would block it otherwise, and keeps its MTU current. It ends with Close.
func (n *native) follow() {
	for ev := range n.Device.Events() {
		if ev&wgtun.EventMTUUpdate == 0 {
			continue
		}
		if mtu, err := n.Device.MTU(); err == nil && mtu > 0 {
			n.mtu.Store(int64(mtu))
		}
	}
}

// Read hides the errors that cost a packet and not the device: the segments of a batch that did not fit.
func (n *native) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		got, err := n.Device.Read(bufs, sizes, offset)
		if err != nil && !errors.Is(err, wgtun.ErrTooManySegments) {
			return got, err
		}
		if got > 0 {
			return got, nil
		}
	}
}

func (n *native) Name() string { return n.name }

func (n *native) MTU() int { return int(n.mtu.Load()) }

// explain turns what the system answered into what a person can act on.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("interface %s: %w: %s", name, ErrPrivilege, privilegeHint)
	case errors.Is(err, os.ErrNotExist) || isNoDevice(err):
		return fmt.Errorf("interface %s: %w: %s", name, ErrNoDevice, deviceHint)
	case isBusy(err):
		return fmt.Errorf("interface %s: %w: another process holds it; stop that process or set another name", name, ErrName)
	}
	return fmt.Errorf("interface %s: %w", name, err)
}
