// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The end of the wire: gVisor's link endpoint on one side, tun.Device on the other. Packets given to Write come out of
// the tunnel, from an authenticated peer whose contents are still anybody's; gVisor parses them. Packets that wait to be
// read are bounded, the newest are dropped when nobody reads, and nothing waits for the reader.

package netstack

import (
	"os"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// queueSize is how many packets may wait to be read: above the send buffers of a TCP connection, so that the
	// tunnel and not this queue is what a sender feels.
	queueSize = 8192
	// batchSize is how many packets one Read returns at most.
	batchSize = 128
)

// link is a stack.LinkEndpoint whose outbound packets wait in a ring.
type link struct {
	mtu        atomic.Uint32
	dispatcher atomic.Pointer[stack.NetworkDispatcher]

	mu      sync.Mutex // protects the rest
	ring    [queueSize]*stack.PacketBuffer
	head, n int
	closed  bool
	onClose func()
	ready   chan struct{} // one slot: there is something to read
	done    chan struct{} // closed with the link
	dropped atomic.Uint64
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

func newLink(mtu int) *link {
	l := &link{ready: make(chan struct{}, 1), done: make(chan struct{})}
	l.mtu.Store(uint32(mtu))
	return l
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	pkts := list.AsSlice()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, &tcpip.ErrClosedForSend{}
	}
	took := min(len(pkts), queueSize-l.n)
	for _, p := range pkts[:took] {
		l.ring[(l.head+l.n)%queueSize] = p.IncRef()
		l.n++
	}
	l.mu.Unlock()
	if took < len(pkts) {
		l.dropped.Add(uint64(len(pkts) - took))
	}
	l.wake()
	if took == 0 {
		return 0, &tcpip.ErrNoBufferSpace{}
	}
	return took, nil
}

func (l *link) wake() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// read waits for packets and copies up to len(bufs) of them.
func (l *link) read(bufs [][]byte, sizes []int, offset int) (int, error) {
	var batch [batchSize]*stack.PacketBuffer
	for {
		n, more, closed := l.pop(batch[:min(len(bufs), len(sizes), batchSize)])
		if closed {
			return 0, os.ErrClosed
		}
		if more {
			l.wake() // for another reader
		}
		out := 0
		for _, p := range batch[:n] {
			if size := copyPacket(bufs[out][offset:], p); size > 0 {
				sizes[out] = size
				out++
			}
			p.DecRef()
		}
		if out > 0 {
			return out, nil
		}
		select {
		case <-l.ready:
		case <-l.done:
		}
	}
}

func (l *link) pop(batch []*stack.PacketBuffer) (n int, more, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n < len(batch) && l.n > 0 {
		batch[n], l.ring[l.head] = l.ring[l.head], nil
		l.head = (l.head + 1) % queueSize
		l.n--
		n++
	}
	return n, l.n > 0, l.closed
}

// copyPacket returns the packet's size, zero if dst is too small for it.
func copyPacket(dst []byte, p *stack.PacketBuffer) int {
	if p.Size() > len(dst) {
		return 0
	}
	views, skip := p.AsViewList()
	n := 0
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		n += copy(dst[n:], b[skip:])
		skip = 0
	}
	return n
}

// write hands the packets to the stack.
func (l *link) write(bufs [][]byte, offset int) (int, error) {
	select {
	case <-l.done:
		return 0, os.ErrClosed
	default:
	}
	d := l.dispatcher.Load()
	if d == nil {
		return 0, os.ErrClosed
	}
	for _, b := range bufs {
		if len(b) <= offset {
			continue
		}
		proto := header.IPv4ProtocolNumber
		switch b[offset] >> 4 {
		case 4:
		case 6:
			proto = header.IPv6ProtocolNumber
		default:
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b[offset:])})
		(*d).DeliverNetworkPacket(proto, p)
		p.DecRef()
	}
	return len(bufs), nil
}

// Close implements stack.LinkEndpoint; readers wake and what waits is dropped.
func (l *link) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	for ; l.n > 0; l.n-- {
		l.ring[l.head].DecRef()
		l.ring[l.head] = nil
		l.head = (l.head + 1) % queueSize
	}
	close(l.done)
	f := l.onClose
	l.mu.Unlock()
	if f != nil {
		f()
	}
}

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
		return
	}
	l.dispatcher.Store(&d)
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool { return l.dispatcher.Load() != nil }

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements stack.LinkEndpoint.
func (l *link) SetMTU(mtu uint32) { l.mtu.Store(mtu) }

// SetOnCloseAction implements stack.LinkEndpoint.
func (l *link) SetOnCloseAction(f func()) {
	l.mu.Lock()
	l.onClose = f
	l.mu.Unlock()
}

// SupportedGSO implements stack.GSOEndpoint: TCP hands down runs of segments, which the stack itself splits.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.GVisorGSOSupported }

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return stack.GVisorGSOMaxSize }

// The rest of stack.LinkEndpoint: there is no link layer.

func (l *link) MaxHeaderLength() uint16                      { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress               { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *link) Wait()                                        {}
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool         { return true }
