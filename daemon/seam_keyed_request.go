// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Requests of the seam over PF_KEY, and what is done when one has no answer in time. The other side works in order, so that what is said
// behind a request of which nobody knows (a DELETE, an X_SPDDELETE) meets whatever it has made.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/natterjack/natterjack/wire/pfkey"
)

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
	w := make(chan *pfkey.Message, 1)
	k.waiting[m.Seq] = w
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.ctx, keyedLimit)
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
		case a, ok := <-w:
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
	delete(k.waiting, m.Seq)
	k.mu.Unlock()
	return nil, err
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
