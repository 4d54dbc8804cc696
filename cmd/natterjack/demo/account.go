// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The account: every inner packet that one daemon sealed was delivered by the other, or the NAT says that it dropped it while
// the mapping was gone. TCP hides loss, so nothing here comes from the stream.

package demo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
)

// side is one direction of the tunnel.
type side struct {
	name              string
	sealed, delivered uint64
	nat               nat.Counters
}

// dropped is what the NAT says it dropped because nobody inside had a mapping.
func (s side) dropped() uint64 { return s.nat.ESP[nat.NoMapping] + s.nat.ESP[nat.Filtered] }

// lost is what is missing, less that. A duplicate cannot hide a loss: the replay window delivers a packet once.
func (s side) lost() int64 { return int64(s.sealed) - int64(s.delivered) - int64(s.dropped()) }

// sides reads the counters of both daemons and of the NAT.
func (s *story) sides() [2]side {
	g, c := s.w.gateway.d.Stats().Engine, s.w.client.d.Stats().Engine
	return [2]side{
		{"gateway -> client", g.Sealed, c.Delivered, s.w.nat.Counters(nat.In)},
		{"client -> gateway", c.Sealed, g.Delivered, s.w.nat.Counters(nat.Out)},
	}
}

// account prints the summary and fails if a packet is missing.
func (s *story) account() error {
	sides := s.settled()
	seconds := s.down.took.Seconds()
	s.n.say("summary: %s in %.1f s, %.0f Mbit/s", mib(s.down.octets.Load()), seconds, float64(s.down.octets.Load())*8/seconds/1e6)
	var missing []string
	for _, d := range sides {
		s.n.say("%s: %d inner packets sealed, %d delivered, %d dropped by the NAT without a mapping, %d lost; %s on the wire",
			d.name, d.sealed, d.delivered, d.dropped(), d.lost(), mib(int64(d.nat.Octets)))
		if d.lost() != 0 {
			missing = append(missing, fmt.Sprintf("%s: %d packets lost of %d", d.name, d.lost(), d.sealed))
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// settled waits until nothing is under way any more: the numbers stay the same for a moment.
func (s *story) settled() [2]side {
	const pause, tries = 50 * time.Millisecond, 40
	last := s.sides()
	for range tries {
		time.Sleep(pause)
		now := s.sides()
		if now == last && now[0].lost() == 0 && now[1].lost() == 0 {
			return now
		}
		last = now
	}
	return last
}
