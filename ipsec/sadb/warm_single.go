// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Warm for single SAs and the policies of PF_KEY: see there. What is sealed goes from its address's policy by its first template to the SA
// that seals now; what is opened goes from its SPI to the SA, and on to the policy that let in what came by it last. Only what is atomic or
// does not change is read.

package sadb

// warmSingles is the part of Warm's memory for them.
type warmSingles struct {
	hosts    [MaxWarm]*host
	rules    [MaxWarm]*rule
	sets     [MaxWarm]*set
	sas      [MaxWarm]*Single
	policies [MaxWarm]*policy
}

// sealing is for packets that are going to be sealed.
func (w *warmSingles) sealing(r *root, list []Remote) (sum uint64) {
	if r.single[classEntry] == 0 {
		return 0
	}
	for i := range list {
		w.hosts[i] = r.hosts.bucket(&hostKey{addr: list[i].Addr, v6: list[i].V6, class: classEntry}).Load()
	}
	sum = touchHosts(w.hosts[:len(list)])
	n := 0
	for i := range list {
		x := w.hosts[i]
		for x != nil && (x.key.addr != list[i].Addr || x.key.class != classEntry) {
			x = x.next.Load()
		}
		if x == nil {
			continue
		}
		if l := x.leaf.Load(); l != nil {
			w.rules[n] = l.one
			n++
		}
	}
	n, more := w.towards(w.rules[:n])
	sum += more
	for i, st := range w.sets[:n] {
		w.sas[i] = st.best[Tunnel-Transport].Load()
		sum += st.key.dst.Lo
	}
	return sum + w.senders(w.sas[:n])
}

// towards goes from rules to the sets of their templates, and returns how many.
func (w *warmSingles) towards(rules []*rule) (n int, sum uint64) {
	for _, r := range rules {
		p := r.p
		sum += r.local.to.Lo + uint64(r.remote.lo)
		if p.entry == nil || len(p.entry.templates) == 0 {
			continue
		}
		sum += uint64(p.entry.used.Load())
		if w.sets[n] = p.entry.templates[0].set; w.sets[n] != nil {
			n++
		}
	}
	return n, sum
}

// senders goes on with the SAs that seal.
func (w *warmSingles) senders(list []*Single) (sum uint64) {
	for _, s := range list {
		if s != nil {
			sum += s.touch()
		}
	}
	for _, s := range list {
		if s == nil {
			continue
		}
		if x := s.sender.Load(); x != nil {
			sum += x.touch()
		}
	}
	for _, s := range list {
		if s == nil {
			continue
		}
		if x := s.sender.Load(); x != nil {
			sum += x.sealer.Touch()
		}
	}
	return sum
}

// touch reads one word of each line that a packet needs of an SA. Its limits change, and those and its endpoint are written when it gets
// its keys: the endpoint is read where it is published, and the limits are on the lines that are read for it.
func (s *Single) touch() uint64 {
	n := uint64(s.spi) + uint64(s.state.Load())
	if s.single != nil { // behind its endpoint: an SA need not begin at a line
		n++
	}
	if pl := s.endpoint.Load(); pl != nil {
		n += uint64(pl.Local.Port()) + uint64(pl.Encap)
	}
	return n
}

// opening is for ESP packets that are going to be opened.
func (w *warmSingles) opening(db *DB, spis []uint32) (sum uint64) {
	t := &db.sad
	for i, spi := range spis {
		w.sas[i] = t.chain(t.hashOf(saKey{spi, ProtoESP})).Load()
	}
	for _, s := range w.sas[:len(spis)] {
		if s != nil {
			sum += uint64(s.spi)
		}
	}
	n := 0
	for i, spi := range spis {
		s := w.sas[i]
		for s != nil && s.spi != spi {
			s = s.next.Load()
		}
		if s != nil {
			w.sas[n] = s
			n++
		}
	}
	policies := 0
	for _, s := range w.sas[:n] {
		sum += s.touch() + uint64(s.sa.Load().reqid)
		if x := s.receiver.Load(); x != nil {
			sum += x.touch()
		}
		if w.policies[policies] = s.met.Load(); w.policies[policies] != nil {
			policies++
		}
	}
	for _, s := range w.sas[:n] {
		if x := s.receiver.Load(); x != nil {
			sum += x.opn.Touch()
		}
	}
	return sum + admitting(db.spd.Load(), w.policies[:policies], &w.hosts)
}

// admitting goes on with the policies of what was opened, and the chains that they will be found in.
func admitting(r *root, list []*policy, heads *[MaxWarm]*host) (sum uint64) {
	for _, p := range list {
		e, d := p.entry, p.lies
		if d != nil {
			sum += uint64(d.rule.bits) + uint64(d.leaf.len()) + d.rule.local.to.Lo
		}
		for i := range e.templates {
			sum += uint64(e.templates[i].Reqid)
		}
	}
	n := 0
	for _, p := range list {
		if d := p.lies; d != nil {
			heads[n] = r.hosts.bucket(&d.host.key).Load()
			n++
		}
	}
	return sum + touchHosts(heads[:n])
}
