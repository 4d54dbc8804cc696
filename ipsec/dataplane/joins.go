// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Room for joining. A device may append to a packet those that follow it in its flow (port/tun.Device.Write), into the capacity
// behind the packet. Behind an opened packet lies the next datagram of the same buffer, which a peer could have overwritten
// with a payload of his choice after it was checked; so no packet's capacity reaches beyond its own datagram, and the first of
// a run is moved to memory of its own, with room for the rest. Everything here is the peer's, and only costs speed.

package dataplane

import "github.com/natterjack/natterjack/ipsec/sadb"

const (
	// joinRooms is how many runs of a batch get room.
	joinRooms = 32
	joinSlots = 64
	// joinLeast is the smallest packet worth joining.
	joinLeast = 256
)

// run is the packets of one flow in this batch.
type run struct {
	flow  sadb.Flow
	epoch uint64
	first int  // among the packets
	moved bool // the first has room
	n     int  // octets
}

// joins finds runs.
type joins struct {
	epoch uint64
	slots [joinSlots]run
	rooms [joinRooms][]byte
	used  int
}

func (j *joins) begin() {
	j.epoch++
	j.used = 0
}

// see is told of the newest packet.
func (j *joins) see(packets [][]byte, in *inner) {
	f := &in.flow
	if in.n < joinLeast || f.Proto != protoTCP && f.Proto != protoUDP || in.fragment {
		return
	}
	at := len(packets) - 1
	r := &j.slots[hash(f)%joinSlots]
	if r.epoch != j.epoch || r.flow != *f || r.n+in.n > maxPacket {
		*r = run{flow: *f, epoch: j.epoch, first: at, n: in.n}
		return
	}
	r.n += in.n
	if r.moved || j.used == joinRooms {
		return
	}
	if j.rooms[j.used] == nil { // once
		j.rooms[j.used] = make([]byte, Headroom+maxPacket)
	}
	room := j.rooms[j.used]
	j.used++
	r.moved = true
	n := copy(room, packets[r.first])
	packets[r.first] = room[:n]
}
