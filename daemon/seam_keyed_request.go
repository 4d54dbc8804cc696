// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Requests of the seam over PF_KEY, and what is done when one has no answer in time. The other side works in order, so that what is said
// behind a request of which nobody knows (a DELETE, an X_SPDDELETE) meets whatever it has made.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// waiter is a request that has no answer yet. The message is not changed meanwhile.
type waiter struct {
	request *pfkey.Message
	answer  chan *pfkey.Message // capacity 1; closed when the other side is away
}

// answers reports whether a message is the answer to a request. All clients hear of each other's requests, and in containers all daemons
// have one PID: an answer is also of the request's type, about its SA or its selectors. An error is told to the requester alone and has
// nothing but a header.
func answers(q, a *pfkey.Message) bool {
	switch {
	case a.Seq != q.Seq || a.PID != q.PID || a.Type != q.Type || a.SAType != q.SAType:
		return false
	case a.Errno != pfkey.OK:
		return true
	case q.SA != nil && (a.SA == nil || a.SA.SPI != q.SA.SPI):
		return false
	}
	return sameAddress(q.Src, q.NewSrc, a.Src) && sameAddress(q.Dst, q.NewDst, a.Dst)
}

// sameAddress reports whether an answer has an address of the request, the old or the new one. Prefixes are compared without the bits that they
// leave open: a policy's are said as who said it last wrote them.
func sameAddress(old, moved, got *pfkey.Address) bool {
	if old == nil {
		return true
	}
	same := func(a *pfkey.Address) bool {
		n := int(a.PrefixLen)
		return netip.PrefixFrom(got.Addr, n).Masked() == netip.PrefixFrom(a.Addr, n).Masked()
	}
	return got != nil && (same(old) || moved != nil && same(moved))
}

// request sends a message and waits for its answer.
func (k *keyed) request(m *pfkey.Message) (*pfkey.Message, error) {
	k.mu.Lock()
	conn := k.conn
	if conn == nil {
		k.mu.Unlock()
		return nil, errNoService
	}
	k.seq = max(k.seq+1, 1<<31) // below are the numbers of ACQUIREs, which nothing here must answer by accident
	m.Seq, m.PID = k.seq, uint32(os.Getpid())
	w := waiter{request: m, answer: make(chan *pfkey.Message, 1)}
	k.waiting[m.Seq] = w
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.ctx, k.opts.limit)
	defer cancel()
	err := conn.Send(ctx, m)
	// Where nothing was said nobody repeats it, and all begins anew; but not for what cannot be said: a peer has its say in that.
	if unsaid, ok := errors.AsType[*pfkey.Error](err); err != nil && !ok && k.ctx.Err() == nil {
		k.reset()
	} else if ok {
		err = fmt.Errorf("%w: %w", errNotSaid, unsaid)
	}
	if err == nil {
		select {
		case a, ok := <-w.answer:
			switch {
			case !ok:
				return nil, errNoService
			case a.Errno != pfkey.OK:
				return nil, fmt.Errorf("PF_KEY %s: %w", m.Type, a.Errno)
			}
			return a, nil
		case <-ctx.Done():
			err = errNoService
		}
	}
	k.mu.Lock()
	delete(k.waiting, m.Seq) // an answer that comes after it is nobody's
	k.mu.Unlock()
	return nil, err
}

// refused is the answer to an Install that failed. A name that is taken is this peer's second choice's next time: the other client of its
// address has it, and one more try draws another.
func refused(err error) ike.Answer {
	f := installed(err).(ike.Failed)
	if errors.Is(err, pfkey.EEXIST) || errors.Is(err, errTaken) {
		f.Refusal = ike.RefusalTemporary
	}
	return f
}

// moved is the answer to a Move. What cannot go where its peer is now (transport mode; another client of that address has the name of its
// SA) is replaced by what has its own place and name from the start.
func moved(err error) ike.Answer {
	a := installed(err)
	if f, ok := a.(ike.Failed); ok && errors.Is(err, errTaken) {
		f.Refusal = ike.RefusalTemporary
		return f
	}
	if f, ok := a.(ike.Failed); ok && (errors.Is(err, errStays) || errors.Is(err, pfkey.EEXIST)) {
		f.Refusal = ike.RefusalUnsupported
		return f
	}
	return a
}

// notInForce is why a policy could not be had.
func notInForce(x keyedPolicy, err error) error {
	if errors.Is(err, pfkey.ErrnoHost) {
		return fmt.Errorf("the host of the PF_KEY service does not put the policy %s === %s in force, its log says why: %w", x.local, x.remote, err)
	}
	return err
}

// removeLeftLater does it once more: the other side may have heard of the new connection before the end of the old one.
func (k *keyed) removeLeftLater() {
	if sleep(k.ctx, keyedLimit) {
		k.removeLeft()
	}
}

// removeLeft has the other side remove what this side had before.
func (k *keyed) removeLeft() {
	k.mu.Lock()
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister}, KMPrivate: k.codec.Private(pfkey.PrivateFresh)}
	k.mu.Unlock()
	if _, err := k.request(m); err != nil && k.ctx.Err() == nil {
		k.opts.Log.Warn("what an earlier connection left may be there still", "reason", err.Error())
	}
}

// reset ends the connection: the reader takes it that all SAs are gone, and the next registration removes what was left.
func (k *keyed) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn != nil {
		k.conn.Close()
	}
}

// tell sends a message that has no answer.
func (k *keyed) tell(m *pfkey.Message) {
	k.mu.Lock()
	conn := k.conn
	k.mu.Unlock()
	if conn == nil {
		return
	}
	m.PID = uint32(os.Getpid())
	ctx, cancel := context.WithTimeout(k.ctx, keyedLimit)
	defer cancel()
	if err := conn.Send(ctx, m); err != nil && k.ctx.Err() == nil {
		k.opts.Log.Warn("a message to the PF_KEY service was lost", "type", m.Type.String(), "reason", err.Error())
	}
}
