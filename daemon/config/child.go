// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The options of one child (swanctl.conf(5), connections.<conn>.children.<child>).

package config

import (
	"math"
	"path/filepath"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/updown"
)

// maxChildren bounds the children of one connection; HOSTILE G21 has at most 64 child SAs of one IKE SA.
const maxChildren = 64

// minReplayWindow and maxReplayWindow are what ipsec/replay can do.
const minReplayWindow, maxReplayWindow = 32, 4096

func (d *decoder) child(name string) *ike.ChildConfig {
	c := &ike.ChildConfig{Name: name}
	d.childRefusals()
	c.Mode = ike.Mode(d.keyword("mode", 0, []string{"tunnel", "pass", "drop", "transport"}, map[string]string{
		"transport_proxy": noProxy, "beet": noBeet,
	}))
	c.Proposals = d.childProposals()
	c.SHA256Short, c.IPComp = d.boolean("sha256_96", false), d.boolean("ipcomp", false)
	c.LocalTS, c.RemoteTS = d.selectors("local_ts"), d.selectors("remote_ts")
	d.lifeTime(c)
	c.RekeyBytes, c.LifeBytes, c.RandBytes = d.volume("bytes", func(key string) (uint64, bool) { return d.bytesNumber(key) })
	c.RekeyPackets, c.LifePackets, c.RandPackets = d.volume("packets", func(key string) (uint64, bool) {
		return d.number(key, 0, 0, math.MaxInt64), d.s.Has(key)
	})
	c.ReplayWindow = d.replayWindow()
	c.Start = ike.StartAction(d.keyword("start_action", 0, []string{"none", "start", "trap", "trap|start"}, nil))
	if line, found := d.text("updown"); found && line != "" {
		words, err := updown.Split(line)
		switch {
		case err != nil:
			d.refuse("updown", "%v", err)
		case len(words) == 0 || words[0] == "" || !filepath.IsAbs(words[0]):
			d.fail("updown", "the absolute path of a command and its arguments", quote(line))
		}
		c.Updown = words
	}
	c.HostAccess = d.boolean("hostaccess", false)
	c.CopyDF, c.CopyECN = d.boolean("copy_df", true), d.boolean("copy_ecn", true)
	c.CopyDSCP = ike.CopyDSCP(d.keyword("copy_dscp", 0, []string{"out", "in", "yes", "no"}, nil))
	if c.Mode.Shunt() {
		d.shunt(c)
	}
	return c
}

// childRefusals takes the options that only one value, or none, is built for.
func (d *decoder) childRefusals() {
	d.only("policies", "yes", "policies are how packets find their SA here")
	d.only("policies_fwd_out", "no", "there are no separate forward policies here")
	d.only("dpd_action", "clear", "only clear is built")
	d.only("close_action", "none", "only none is built")
	d.only("reqid", "0", "reqids are chosen by the daemon")
	d.only("priority", "0", "policies are ordered by how specific they are")
	d.only("tfc_padding", "0", "traffic flow confidentiality is not built yet")
	d.only("hw_offload", "no", "there is no kernel to offload from")
	d.only("label_mode", "system", "security labels are not built")
	d.only("mark_in_sa", "no", noMarks)
	d.only("per_cpu_sas", "no", "SAs per CPU are not built yet")
	if t, _ := d.duration("inactivity"); t != 0 {
		d.refuse("inactivity", "refused: closing an idle child is not built yet")
	}
	d.never("interface", noMarks)
	d.never("label", "security labels are not built")
	for _, key := range []string{"mark_in", "mark_out", "set_mark_in", "set_mark_out"} {
		d.never(key, noMarks)
	}
	for _, key := range []string{"if_id_in", "if_id_out"} {
		d.only(key, "0", noMarks)
	}
}

// shunt refuses what a policy without SAs cannot have.
func (d *decoder) shunt(c *ike.ChildConfig) {
	if c.Start != ike.StartNone {
		d.refuse("start_action", "a child of mode pass or drop has nothing to start: its policy is in force as long as it is loaded")
	}
	for _, key := range []string{"ipcomp", "ah_proposals"} {
		if d.s.Has(key) && d.s.Get(key) != "no" {
			d.refuse(key, "a child of mode pass or drop protects nothing")
		}
	}
	for _, ts := range append(append([]ike.Selector{}, c.LocalTS...), c.RemoteTS...) {
		if ts.Dynamic {
			d.refuse("mode", "a child of mode pass or drop needs local_ts and remote_ts without dynamic")
			return
		}
	}
}

// lifeTime sets the times of a child: life_time is 10 % above rekey_time, rand_time the difference.
func (d *decoder) lifeTime(c *ike.ChildConfig) {
	var found bool
	if c.RekeyTime, found = d.duration("rekey_time"); !found {
		c.RekeyTime = time.Hour
	}
	if c.LifeTime, found = d.duration("life_time"); !found {
		c.LifeTime = c.RekeyTime + c.RekeyTime/10
	}
	if c.RandTime, found = d.duration("rand_time"); !found {
		c.RandTime = min(max(c.LifeTime-c.RekeyTime, 0), c.RekeyTime)
	}
	switch {
	case c.RekeyTime > 0 && c.LifeTime > 0 && c.LifeTime < c.RekeyTime:
		d.fail("life_time", "at least rekey_time ("+c.RekeyTime.String()+"): else the child is closed before it is rekeyed", c.LifeTime.String())
	case c.RekeyTime > 0 && c.RandTime > c.RekeyTime:
		d.fail("rand_time", "at most rekey_time ("+c.RekeyTime.String()+")", c.RandTime.String())
	}
}

// volume decodes rekey_, life_ and rand_ of bytes or packets: the same rules as for times.
func (d *decoder) volume(unit string, read func(string) (uint64, bool)) (rekey, life, random uint64) {
	rekey, _ = read("rekey_" + unit)
	life, found := read("life_" + unit)
	if !found {
		life = rekey + rekey/10
	}
	random, found = read("rand_" + unit)
	if !found && life > rekey {
		random = min(life-rekey, rekey)
	}
	switch {
	case life > 0 && life < rekey:
		d.fail("life_"+unit, "at least rekey_"+unit+": else the child is closed before it is rekeyed", quote(d.s.Get("life_"+unit)))
	case rekey > 0 && random > rekey:
		d.fail("rand_"+unit, "at most rekey_"+unit, quote(d.s.Get("rand_"+unit)))
	}
	return rekey, life, random
}

// replayWindow is the window in packets. Without one, recorded packets could be sent again: refused.
func (d *decoder) replayWindow() int {
	if d.s.Get("replay_window") == "0" {
		d.text("replay_window")
		d.refuse("replay_window", `"0" is refused: without replay protection recorded packets can be sent again`)
		return minReplayWindow
	}
	return int(d.number("replay_window", minReplayWindow, minReplayWindow, maxReplayWindow))
}
