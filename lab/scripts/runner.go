// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package scripts

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
)

// runner carries out the commands of one file.
type runner struct {
	w     *simnet.World
	hosts map[string]*simnet.Host
	conns map[string]*ike.Connection
	held  []*simnet.Packet
	lines []string
}

// say adds a line to the transcript; the notifies that every IKE_SA_INIT has are shortened.
func (r *runner) say(line string) {
	for _, long := range [...][2]string{
		{"NAT_DETECTION_SOURCE_IP", "NATD_S"}, {"NAT_DETECTION_DESTINATION_IP", "NATD_D"},
		{"IKEV2_FRAGMENTATION_SUPPORTED", "FRAG"}, {"SIGNATURE_HASH_ALGORITHMS", "HASH_ALG"},
	} {
		line = strings.ReplaceAll(line, long[0], long[1])
	}
	r.lines = append(r.lines, line)
}

func (r *runner) command(f []string) error {
	if f[0] != "begin" && f[0] != "establish" && r.w == nil {
		return fmt.Errorf("there is no world yet")
	}
	switch f[0] {
	case "begin":
		return r.begin(f[1:])
	case "establish":
		lines := r.lines
		if err := r.begin(f[1:]); err != nil {
			return err
		}
		r.w.Settle()
		r.lines = lines // the scripts of IKE_SA_INIT and IKE_AUTH show them
		return nil
	case "deliver", "drop", "dup", "swap", "corrupt", "hold", "late":
		return r.packets(f)
	case "advance", "run":
		return r.pass(f)
	case "dump":
		r.dump()
		return nil
	case "count":
		for _, h := range r.w.Hosts {
			r.say(fmt.Sprintf("%s: %d children, %d SPIs reserved", h.Name, len(h.SAs()), h.Reservations()))
		}
		return nil
	}
	if len(f) < 2 || r.hosts[f[1]] == nil {
		return fmt.Errorf("expected a host")
	}
	return r.onHost(f[0], r.hosts[f[1]], f[2:])
}

// begin makes two hosts that fit each other. Options are those of simnet.Set; "b.option" is for b alone.
func (r *runner) begin(f []string) error {
	if len(f) < 2 {
		return fmt.Errorf("expected two hosts")
	}
	options := map[string]string{}
	for _, o := range f[2:] {
		k, v, _ := strings.Cut(o, "=")
		options[k] = v
	}
	seed, _ := strconv.Atoi(options["seed"])
	children := 1
	if n, err := strconv.Atoi(options["children"]); err == nil {
		children = n
	}
	r.w, r.held = simnet.New(), nil
	r.w.Say = r.say
	a, b := r.w.Host(f[0], "192.0.2.1", byte(seed)), r.w.Host(f[1], "198.51.100.2", byte(seed))
	r.hosts = map[string]*simnet.Host{f[0]: a, f[1]: b}
	r.conns = map[string]*ike.Connection{f[0]: simnet.Pair(a, b, children), f[1]: simnet.Pair(b, a, children)}
	for _, o := range f[2:] {
		k, v, _ := strings.Cut(o, "=")
		if err := r.option(a, b, k, v); err != nil {
			return err
		}
	}
	a.Conns, b.Conns = []*ike.Connection{r.conns[a.Name]}, []*ike.Connection{r.conns[b.Name]}
	a.Initiate(r.conns[a.Name], r.behind(a, b, options["nat"]))
	return nil
}

// behind puts a static NAT before the hosts that it names ("a", "b" or "both"), and returns where b is found.
func (r *runner) behind(a, b *simnet.Host, which string) netip.Addr {
	if which == "" {
		return b.Addrs[0]
	}
	net, to := &simnet.Internet{}, b.Addrs[0]
	if which == a.Name || which == "both" {
		net.Statics = append(net.Statics, simnet.Static{Inside: a.Addrs[0], Outside: netip.MustParseAddr("203.0.113.1")})
	}
	if which == b.Name || which == "both" {
		to = netip.MustParseAddr("203.0.113.2")
		net.Statics = append(net.Statics, simnet.Static{Inside: b.Addrs[0], Outside: to})
	}
	r.w.Net = net
	return to
}

func (r *runner) option(a, b *simnet.Host, k, v string) error {
	host, key, one := strings.Cut(k, ".")
	hosts := []*simnet.Host{a, b}
	if one {
		k, hosts = key, []*simnet.Host{r.hosts[host]}
	}
	for _, h := range hosts {
		switch k {
		case "seed", "children", "nat":
		case "cookies":
			h.Mux.Strict(true)
		case "fragment":
			h.Env.FragmentSize, _ = strconv.Atoi(v)
		case "raw":
			h.Env.RawESP = v == "yes"
		case "verbose":
			h.Verbose = true
		case "psk":
			h.PSK = secret.New([]byte(v))
		default:
			if err := simnet.Set(r.conns[h.Name], k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// packets decides about what is under way.
func (r *runner) packets(f []string) error {
	n, count := 1, false
	if len(f) > 1 {
		v, err := strconv.Atoi(f[1])
		if err != nil {
			return err
		}
		n, count = v, true
	}
	if f[0] == "deliver" && !count {
		r.w.Settle()
		return nil
	}
	if f[0] == "late" {
		r.w.Flight, r.held = append(r.w.Flight, r.held...), nil
		return nil
	}
	for range n {
		if len(r.w.Flight) == 0 {
			r.say("nothing is under way")
			return nil
		}
		if err := r.packet(f[0]); err != nil {
			return err
		}
	}
	return nil
}

// packet does one thing with the next packet.
func (r *runner) packet(verb string) error {
	p := r.w.Flight[0]
	switch verb {
	case "deliver":
		r.w.Deliver(0)
	case "drop":
		r.w.Flight = r.w.Flight[1:]
		r.say("lost: " + p.What)
	case "hold":
		r.w.Flight, r.held = r.w.Flight[1:], append(r.held, p)
		r.say("held: " + p.What)
	case "dup":
		again := *p
		r.w.Deliver(0)
		r.w.Flight = slices.Insert(r.w.Flight, 0, &again)
		r.say("twice: " + p.What)
		r.w.Deliver(0)
	case "swap":
		if len(r.w.Flight) < 2 {
			return fmt.Errorf("only one packet is under way")
		}
		r.w.Flight[0], r.w.Flight[1] = r.w.Flight[1], r.w.Flight[0]
	case "corrupt":
		bad := *p
		bad.IKE = slices.Clone(p.IKE)
		bad.IKE[len(bad.IKE)-1] ^= 1
		r.w.Flight[0] = &bad
		r.say("changed: " + p.What)
	}
	return nil
}

func (r *runner) pass(f []string) error {
	if len(f) != 2 {
		return fmt.Errorf("expected a duration")
	}
	d, err := time.ParseDuration(f[1])
	if err != nil {
		return err
	}
	if f[0] == "run" {
		r.w.Run(d)
	} else {
		r.w.Advance(d)
	}
	return nil
}

// onHost is a command for one host.
func (r *runner) onHost(verb string, h *simnet.Host, f []string) error {
	arg := strings.Join(f, " ")
	switch verb {
	case "do":
		return r.do(h, f)
	case "ping":
		if !h.Ping(arg) {
			r.say(h.Name + ": no SA to send on")
		}
	case "expire":
		n, err := child(h, f[0])
		if err != nil {
			return err
		}
		h.Expire(h.SAs()[n].SPIIn, f[len(f)-1] == "hard")
	case "fail":
		if arg == "reserve" {
			h.FailReserve++
		} else {
			h.FailInstall++
		}
	case "fill":
		for _, c := range r.conns[h.Name].Children[1:] {
			h.Do(ike.Initiate{Child: c})
		}
	case "slow":
		h.Slow = arg
	case "release":
		h.Release()
	case "cookies":
		h.Mux.Strict(true)
	default:
		return fmt.Errorf("command %q is not known", verb)
	}
	return nil
}

// child is the index of the SA that a script calls N.
func child(h *simnet.Host, n string) (int, error) {
	i, err := strconv.Atoi(n)
	if err != nil || i < 1 || i > len(h.SAs()) {
		return 0, fmt.Errorf("%s has no child %s", h.Name, n)
	}
	return i - 1, nil
}

func (r *runner) do(h *simnet.Host, f []string) error {
	var id uint64
	if len(f) == 3 && f[1] == "child" {
		i, err := child(h, f[2])
		if err != nil {
			return err
		}
		id = h.SAs()[i].ChildID
	}
	switch f[0] {
	case "rekey":
		h.Do(ike.Rekey{Request: h.NextRequest(), ChildID: id})
	case "delete":
		h.Do(ike.Terminate{Request: h.NextRequest(), ChildID: id})
	case "kill":
		h.Do(ike.Terminate{Force: true, Reason: ike.ClosePeerDead})
	case "liveness":
		h.Do(ike.CheckLiveness{})
	case "create":
		for _, c := range r.conns[h.Name].Children {
			if c.Name == f[1] {
				h.Do(ike.Initiate{Request: h.NextRequest(), Child: c})
				return nil
			}
		}
		return fmt.Errorf("child %q is not configured", f[1])
	default:
		return fmt.Errorf("order %q is not known", f[0])
	}
	return nil
}

// dump says what both hosts have.
func (r *runner) dump() {
	for _, h := range r.w.Hosts {
		if len(h.Status()) == 0 {
			r.say(h.Name + ": nothing")
		}
		for _, st := range h.Status() {
			r.say(fmt.Sprintf("%s: IKE SA %s %016x %016x", h.Name, st.State, st.SPIi, st.SPIr))
			for _, c := range st.Children {
				r.say(fmt.Sprintf("%s:   %s %s %08x/%08x", h.Name, c.Name, c.State, c.SPIIn, c.SPIOut))
			}
		}
		if h.Delivered > 0 {
			r.say(fmt.Sprintf("%s: %d inner packets arrived", h.Name, h.Delivered))
		}
		if n := h.Reservations(); n > 0 {
			r.say(fmt.Sprintf("%s: %d SPIs are reserved", h.Name, n))
		}
	}
}

// broken reports a promise that a host did not keep.
func (r *runner) broken() error {
	if r.w == nil {
		return nil
	}
	for _, h := range r.w.Hosts {
		if b := h.Broken(); len(b) > 0 {
			return fmt.Errorf("%s: %s", h.Name, strings.Join(b, "; "))
		}
	}
	return nil
}
