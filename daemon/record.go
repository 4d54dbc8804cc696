// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Events as JSON records: for `natterjack demo --json` and whoever reads along. Strings that a peer chose are escaped; keys
// are never part of a record.

package daemon

import (
	"fmt"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// EventRecord is an event as JSON. Fields that an event does not have are absent.
type EventRecord struct {
	Event      string    `json:"event"`
	At         time.Time `json:"at"`
	IKESA      uint64    `json:"ike_sa,omitempty"`
	Connection string    `json:"connection,omitempty"`
	SPIi       string    `json:"spi_i,omitempty"`
	SPIr       string    `json:"spi_r,omitempty"`
	Initiator  bool      `json:"initiator,omitempty"`
	Local      string    `json:"local,omitempty"`
	Peer       string    `json:"peer,omitempty"`
	From       string    `json:"from,omitempty"`
	NATLocal   bool      `json:"nat_local,omitempty"`
	NATRemote  bool      `json:"nat_remote,omitempty"`
	LocalID    string    `json:"local_id,omitempty"`
	PeerID     string    `json:"peer_id,omitempty"`
	Method     string    `json:"method,omitempty"`
	Suite      string    `json:"suite,omitempty"`
	Child      string    `json:"child_sa,omitempty"`
	ChildID    uint64    `json:"child_id,omitempty"`
	SPIIn      string    `json:"spi_in,omitempty"`
	SPIOut     string    `json:"spi_out,omitempty"`
	Encap      bool      `json:"encap,omitempty"`
	TSLocal    string    `json:"ts_local,omitempty"`
	TSRemote   string    `json:"ts_remote,omitempty"`
	Rekey      bool      `json:"rekey,omitempty"`
	Addresses  []string  `json:"addresses,omitempty"`
	DNS        []string  `json:"dns,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Notify     string    `json:"notify,omitempty"`
	Offered    string    `json:"offered,omitempty"`
	Got        string    `json:"got,omitempty"`
	Sent       bool      `json:"sent,omitempty"`
	Again      bool      `json:"retransmitted,omitempty"`
	Message    string    `json:"message,omitempty"`
	Octets     int       `json:"octets,omitempty"`
	BytesIn    uint64    `json:"bytes_in,omitempty"`
	BytesOut   uint64    `json:"bytes_out,omitempty"`
	Error      string    `json:"error,omitempty"`
	Detail     string    `json:"detail,omitempty"`
}

// RecordOf makes the record of an event.
func RecordOf(ev ike.Event) EventRecord {
	r := EventRecord{
		Event: EventName(ev.Kind), At: ev.At, IKESA: ev.Unique, Connection: Clean(ev.Connection), SPIi: hex64(ev.SPIi), SPIr: hex64(ev.SPIr),
		Initiator: ev.Initiator, NATLocal: ev.NATLocal, NATRemote: ev.NATRemote, Method: ev.Scheme, ChildID: ev.ChildID, Rekey: ev.Rekey,
		Offered: Clean(ev.Offered), Got: Clean(ev.Got), Sent: ev.Sent, Again: ev.Retransmit, Message: Clean(ev.Summary), Octets: ev.Size,
		BytesIn: ev.Usage.BytesIn, BytesOut: ev.Usage.BytesOut, Error: Clean(ev.Err), Detail: Clean(ev.Detail),
	}
	if ev.Path.Remote.IsValid() {
		r.Local, r.Peer = ev.Path.Local.String(), ev.Path.Remote.String()
	}
	if ev.From.IsValid() {
		r.From = ev.From.String()
	}
	if ev.Identity.Type != 0 {
		r.PeerID = Clean(ev.Identity.String())
	}
	if ev.LocalIdentity.Type != 0 {
		r.LocalID = Clean(ev.LocalIdentity.String())
	}
	if ev.Suite.Encr != 0 {
		r.Suite = ev.Suite.String()
	}
	if ev.Notify != 0 {
		r.Notify = ikev2msg.NotifyType(ev.Notify).String()
	}
	switch ev.Kind {
	case ike.EventIKEDown:
		r.Reason = ReasonText(ev.Reason)
	case ike.EventDropped:
		r.Reason = DropText(ev.Drop)
	}
	r.Addresses, r.DNS = AddrTexts(ev.Addrs), AddrTexts(ev.DNS)
	r.child(ev.Child)
	return r
}

func (r *EventRecord) child(c *ike.ChildSA) {
	if c == nil {
		return
	}
	r.Child, r.ChildID, r.Encap = Clean(c.Name), c.ChildID, c.Encap
	r.SPIIn, r.SPIOut = fmt.Sprintf("%08x", c.SPIIn), fmt.Sprintf("%08x", c.SPIOut)
	r.Suite = c.Suite.String()
	r.TSLocal, r.TSRemote = SelectorsText(c.TSLocal), SelectorsText(c.TSRemote)
}

func hex64(v uint64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", v)
}

// EventName is the name of a kind of event.
func EventName(k ike.EventKind) string {
	switch k {
	case ike.EventMessage:
		return "message"
	case ike.EventNAT:
		return "nat"
	case ike.EventFloat:
		return "float"
	case ike.EventAuthenticated:
		return "authenticated"
	case ike.EventIKEUp:
		return "ike-up"
	case ike.EventIKERekeyed:
		return "ike-rekeyed"
	case ike.EventIKEDown:
		return "ike-down"
	case ike.EventChildUp:
		return "child-up"
	case ike.EventChildDown:
		return "child-down"
	case ike.EventAddresses:
		return "addresses"
	case ike.EventMoved:
		return "moved"
	case ike.EventKeepalive:
		return "keepalive"
	case ike.EventDropped:
		return "dropped"
	case ike.EventRefused:
		return "refused"
	case ike.EventFailed:
		return "failed"
	case ike.EventCommandDone:
		return "command-done"
	case ike.EventKeys:
		return "keys"
	case ike.EventRetry:
		return "retry"
	}
	return fmt.Sprintf("kind-%d", k)
}
