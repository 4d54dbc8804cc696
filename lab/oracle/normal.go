// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What may differ between two systems, or between two runs of one, without either being wrong. These are all the rules:
//
//  1. a time of day in a CURRENT lifetime is "now";
//  2. an SPI that the system drew (the answer to GETSPI) is $spiN, here and wherever it returns;
//  3. the number that the system gave to a policy is $polN;
//  4. the sequence number of an ACQUIRE that the system made is $acqN;
//  5. a reqid that the system drew for level unique is $reqN;
//  6. a HARD lifetime that is the system's for larval SAs is $larval, in cases that shorten it;
//  7. a sequence number and a process id that are the last request's are not printed.
//
// N counts from 1 in each case in the order of first appearance.

package oracle

import "fmt"

// names are the names of one case.
type names struct {
	larval int // seconds; 0 where the case has not asked
	given  map[string]map[uint32]string
}

func newNames() *names { return &names{given: map[string]map[uint32]string{}} }

// call gives v the next name of the kind, unless it has one.
func (n *names) call(kind string, v uint32) string {
	m := n.given[kind]
	if m == nil {
		m = map[uint32]string{}
		n.given[kind] = m
	}
	if m[v] == "" {
		m[v] = fmt.Sprintf("$%s%d", kind, len(m)+1)
	}
	return m[v]
}

// spi names what GETSPI answered; request says that the message is one of ours.
func (n *names) spi(typ uint8, v uint32) string {
	if s := n.given["spi"][v]; s != "" {
		return s
	}
	if typ == getSPI && v != 0 {
		return n.call("spi", v)
	}
	return fmt.Sprintf("0x%x", v)
}

func (n *names) policyID(v uint32) string {
	if v == 0 || v >= unknownPolicy {
		return fmt.Sprint(v)
	}
	return n.call("pol", v)
}

func (n *names) seq(typ uint8, v uint32) string {
	if s := n.given["acq"][v]; s != "" {
		return s
	}
	if typ == acquire && v != 0 && v < fixedSeq {
		return n.call("acq", v)
	}
	return fmt.Sprint(v)
}

const (
	// unknownPolicy and what is above are ids that cases ask for and no system gave.
	unknownPolicy = 0x70000000
	// drawnReqid is the first reqid that Linux draws; cases ask for smaller ones.
	drawnReqid = 0x4000
	// fixedSeq and what is above are sequence numbers that cases chose.
	fixedSeq = 0x70000000
)

func (n *names) reqid(v uint32) string {
	if v < drawnReqid || v >= unknownPolicy {
		return fmt.Sprint(v)
	}
	return n.call("req", v)
}

// moment prints a time; only CURRENT's are times of day.
func (n *names) moment(kind uint16, v uint64) string {
	if kind == extCurrent && v != 0 {
		return "now"
	}
	if kind == extHard && v != 0 && v == uint64(n.larval) {
		return "$larval"
	}
	return fmt.Sprint(v)
}
