// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package natbox is a NAT of our own for the demo and the labs: the logic of natbox/nat between UDP sockets on loopback,
// or between the networks of a namespace through a TUN interface. It forgets, rebinds, loses, duplicates, reorders and
// delays on command and counts what it drops and why. What passes is not trusted and is only rewritten.
package natbox

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
)

const (
	// soon is the delay that is not worth a timer.
	soon = 100 * time.Microsecond
	// maxDelayed bounds the packets held back; more are lost.
	maxDelayed = 16384
)

// Box is what every form of the NAT can be told while packets pass. Its methods are safe for concurrent use.
type Box struct {
	mu  sync.Mutex // protects nat; never held while a packet is sent
	nat *nat.Box

	delayMu sync.Mutex // protects delayed, order and stopped
	delayed delayed
	order   uint64
	stopped bool
	kick    chan struct{}
	done    chan struct{}
	loops   sync.WaitGroup
	once    sync.Once
}

func newBox(cfg nat.Config) (*Box, error) {
	n, err := nat.New(cfg)
	if err != nil {
		return nil, err
	}
	b := &Box{nat: n, kick: make(chan struct{}, 1), done: make(chan struct{})}
	b.loops.Add(1)
	go b.release()
	return b, nil
}

// Forget drops every mapping; the next packet from inside gets another external port.
func (b *Box) Forget() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nat.Forget()
}

// SetLink replaces a direction's impairments.
func (b *Box) SetLink(dir nat.Direction, l nat.Link) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nat.SetLink(dir, l)
}

// Counters returns the totals of a direction.
func (b *Box) Counters(dir nat.Direction) nat.Counters {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nat.Counters(dir)
}

// Mappings returns the mappings that are alive.
func (b *Box) Mappings() []nat.Mapping {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nat.Mappings(time.Now())
}

// rebind is under its own name because the loopback form has sockets to open.
func (b *Box) rebind(addr netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nat.Rebind(addr)
}

// item is a packet that leaves later.
type item struct {
	at    time.Time
	order uint64 // packets of one instant keep their order
	send  func()
}

type delayed []item

func (d delayed) Len() int { return len(d) }
func (d delayed) Less(i, j int) bool {
	if d[i].at.Equal(d[j].at) {
		return d[i].order < d[j].order
	}
	return d[i].at.Before(d[j].at)
}
func (d delayed) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *delayed) Push(x any)   { *d = append(*d, x.(item)) }
func (d *delayed) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = item{}
	*d = old[:len(old)-1]
	return x
}

// later runs send at the given time.
func (b *Box) later(at time.Time, send func()) {
	b.delayMu.Lock()
	if !b.stopped && len(b.delayed) < maxDelayed {
		b.order++
		heap.Push(&b.delayed, item{at, b.order, send})
	}
	b.delayMu.Unlock()
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// release sends what was held back, until stop.
func (b *Box) release() {
	defer b.loops.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		for {
			b.delayMu.Lock()
			if len(b.delayed) == 0 {
				b.delayMu.Unlock()
				break
			}
			if left := time.Until(b.delayed[0].at); left > soon {
				wait = left
				b.delayMu.Unlock()
				break
			}
			send := heap.Pop(&b.delayed).(item).send
			b.delayMu.Unlock()
			send()
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-b.kick:
		case <-b.done:
			return
		}
	}
}

// stop ends the release loop; what is held back is lost.
func (b *Box) stop() {
	b.once.Do(func() {
		b.delayMu.Lock()
		b.stopped = true
		b.delayed = nil
		b.delayMu.Unlock()
		close(b.done)
	})
}
