// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Commands that somebody waits for. A machine hands the number of a request back when it is done; the shard that performs
// its actions adds how its IKE SA fared and resolves the waiter, which is never lost for want of room.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/natterjack/natterjack/ike"
)

// outcome is how a command ended.
type outcome struct {
	done   ike.Event  // EventCommandDone
	failed *ike.Event // the last EventFailed of the IKE SA, if any
	down   *ike.Event // EventIKEDown, if the IKE SA is gone
}

// request is one command that somebody waits for.
type request struct {
	number uint64
	done   chan struct{} // closed when out is final
	out    outcome
}

// requests numbers commands and hands their outcomes over. It is safe for concurrent use.
type requests struct {
	mu   sync.Mutex // protects next, open, over, and out until done is closed
	next uint64
	open map[uint64]*request
	over bool // the daemon has ended: nothing is done any more
}

func newRequests() *requests { return &requests{open: map[uint64]*request{}} }

// begin numbers a command.
func (r *requests) begin() *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	q := &request{number: r.next, done: make(chan struct{})}
	if r.over {
		q.out = goneOutcome(q.number)
		close(q.done)
		return q
	}
	r.open[q.number] = q
	return q
}

// close ends all waiting: the shards have ended.
func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for n, q := range r.open {
		q.out = goneOutcome(n)
		close(q.done)
	}
	clear(r.open)
}

// resolve hands an outcome over. Requests that nobody waits for any more are ignored.
func (r *requests) resolve(n uint64, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.open[n]; q != nil {
		delete(r.open, n)
		q.out = o
		close(q.done)
	}
}

// forget ends the waiting for a request.
func (r *requests) forget(n uint64) {
	r.mu.Lock()
	delete(r.open, n)
	r.mu.Unlock()
}

// matches reports whether the target means this IKE SA, or children of it.
func (t Target) matches(st ike.Status) bool {
	return (t.IKE == "" || t.IKE == st.Connection) && (t.IKEID == 0 || t.IKEID == st.Unique)
}

func (t Target) matchesChild(c ike.ChildStatus) bool {
	return (t.Child == "" || t.Child == c.Name) && (t.ChildID == 0 || t.ChildID == c.ChildID)
}

func (t Target) String() string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	if t.IKE != "" {
		add("connection %q", t.IKE)
	}
	if t.IKEID != 0 {
		add("IKE SA #%d", t.IKEID)
	}
	if t.Child != "" {
		add("child %q", t.Child)
	}
	if t.ChildID != 0 {
		add("child SA #%d", t.ChildID)
	}
	return text
}

// object is one SA that a command is for; childID zero: the IKE SA.
type object struct{ unique, childID uint64 }

// find lists what a target means now. Children that are on their way out are left alone.
func (d *Daemon) find(t Target) []object {
	var list []object
	for _, sa := range d.Status() {
		if !t.matches(sa.Status) {
			continue
		}
		if !t.Children() {
			list = append(list, object{unique: sa.Unique})
			continue
		}
		for _, c := range sa.Children {
			if t.matchesChild(c) && c.State != "REKEYED" && c.State != "DELETING" && c.State != "DELETED" {
				list = append(list, object{sa.Unique, c.ChildID})
			}
		}
	}
	return list
}

// each gives every matching SA a command, all at once, and waits for all of them.
func (d *Daemon) each(ctx context.Context, t Target, c Command, name string, order func(request, childID uint64) ike.Command) (Matches, error) {
	objects := d.find(t)
	m := Matches{Matched: len(objects)}
	if name == "terminate" {
		// What start_action or an operator still tries to bring up is terminated as well.
		if n := d.starter.giveUp(t); n > 0 && m.Matched == 0 {
			return Matches{Matched: n, Done: n}, nil
		}
	}
	if m.Matched == 0 {
		return m, &NotFoundError{Kind: "SA", Name: t.String()}
	}
	watch := d.watchEvents(c.Progress, objects)
	defer watch.close()
	asked := make([]*request, len(objects))
	for i, o := range objects {
		asked[i] = d.requests.begin()
		d.command(o.unique, order(asked[i].number, o.childID))
	}
	var first error
	for i, q := range asked {
		err := d.await(ctx, watch, q, c, name)
		if err == nil {
			m.Done++
			continue
		}
		if failed, ok := errors.AsType[*CommandError](err); ok {
			failed.IKEID, failed.ChildID = objects[i].unique, objects[i].childID
		}
		if first == nil {
			first = err
		}
	}
	return m, first
}

// await waits for one command. An SA that is gone is what terminate wants, however it went.
func (d *Daemon) await(ctx context.Context, watch *progress, q *request, c Command, name string) error {
	defer d.requests.forget(q.number)
	if c.NoWait {
		return nil
	}
	if !watch.until(ctx, q.done) {
		return ctx.Err()
	}
	if q.out.done.Err != "" && !(name == "terminate" && q.out.down != nil) {
		return &CommandError{Command: name, Detail: q.out.done.Err}
	}
	return nil
}

// progress forwards the events of some IKE SAs while somebody waits.
type progress struct {
	sub     *Subscription // nil: nobody wants them
	tell    func(ike.Event)
	uniques map[uint64]bool
	also    func(unique uint64) bool // nil: none
}

func (d *Daemon) watchEvents(tell func(ike.Event), objects []object) *progress {
	p := &progress{tell: tell, uniques: map[uint64]bool{}}
	for _, o := range objects {
		p.uniques[o.unique] = true
	}
	if tell != nil {
		p.sub = d.hub.subscribe()
	}
	return p
}

func (p *progress) close() {
	if p.sub != nil {
		p.sub.Close()
	}
}

// until waits for done to be closed, telling events meanwhile; false: ctx ended first. Events that were published before
// the end are told before.
func (p *progress) until(ctx context.Context, done <-chan struct{}) bool {
	var events <-chan ike.Event
	if p.sub != nil {
		events = p.sub.C
	}
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			p.forward(ev)
		case <-done:
			p.drain(events)
			return true
		case <-ctx.Done():
			return false
		}
	}
}

func (p *progress) drain(events <-chan ike.Event) {
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return
			}
			p.forward(ev)
		default:
			return
		}
	}
}

func (p *progress) forward(ev ike.Event) {
	if p.uniques[ev.Unique] || p.also != nil && p.also(ev.Unique) {
		p.tell(ev)
	}
}
