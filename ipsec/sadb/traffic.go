// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Selectors of a single SA's own (RFC 4301, Section 4.4.2.1), as a pair of IKE's has them: several peers at one address may share a policy
// (RFC 3948, Section 5.2), and each sends, and is sent, what was granted to itself alone. The owner of the SA says them; packets are anybody's.

package sadb

// Traffic is what a single SA carries of what policies would have it carry. Immutable.
type Traffic struct{ local, remote []span }

// NewTraffic checks and compiles selectors. ErrSelectors.
func NewTraffic(local, remote []Selector) (*Traffic, error) {
	l, err := compileSelectors(local)
	if err != nil {
		return nil, err
	}
	r, err := compileSelectors(remote)
	if err != nil {
		return nil, err
	}
	return &Traffic{l, r}, nil
}

// carries reports whether a packet is of a single SA's traffic. What is not seen of a fragment is not.
func (s *Single) carries(f *Flow) bool {
	r := s.sa.Load().rare
	if r == nil || r.traffic == nil {
		return true
	}
	return best(r.traffic.local, f, (*span).local) == inside && best(r.traffic.remote, f, (*span).remote) == inside
}

// carried reports whether a packet is of the traffic of all SAs that it came by.
func carried(layers []Layer, f *Flow) bool {
	for i := range layers {
		if r := layers[i].SA; r != nil && r.bounded && !r.single.carries(f) {
			return false
		}
	}
	return true
}
