// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The status as the daemon's control socket gives it, with types and names that do not change: what --json prints.

package main

import (
	"context"
	"net"
	"strconv"
	"strings"

	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// status is everything that `natterjack status` shows. Times are seconds: since, or from now.
type status struct {
	Daemon      daemonStatus       `json:"daemon"`
	IKESAs      []ikeStatus        `json:"ike_sas"`
	Connections []connectionStatus `json:"connections"`
}

type daemonStatus struct {
	Version   string            `json:"version"`
	Running   string            `json:"running"`
	Since     string            `json:"since"`
	DataPlane string            `json:"data_plane"`
	Device    string            `json:"device"`
	IKESAs    uint64            `json:"ike_sas"`
	HalfOpen  uint64            `json:"half_open"`
	Sealed    uint64            `json:"packets_sealed"`
	Delivered uint64            `json:"packets_delivered"`
	Drops     map[string]uint64 `json:"drops"`
	Warnings  []string          `json:"warnings"`
}

type connectionStatus struct {
	Name     string   `json:"name"`
	Remote   []string `json:"remote_addrs"`
	Children []string `json:"children"`
}

type ikeStatus struct {
	Connection  string        `json:"connection"`
	ID          uint64        `json:"id"`
	State       string        `json:"state"`
	Initiator   bool          `json:"initiator"`
	Local       string        `json:"local"`
	LocalID     string        `json:"local_id"`
	Remote      string        `json:"remote"`
	RemoteID    string        `json:"remote_id"`
	SPIi        string        `json:"spi_i"`
	SPIr        string        `json:"spi_r"`
	NATLocal    bool          `json:"nat_local"`
	NATRemote   bool          `json:"nat_remote"`
	Suite       string        `json:"suite"`
	Established uint64        `json:"established"`
	RekeyIn     uint64        `json:"rekey_in,omitempty"`
	LocalVIPs   []string      `json:"local_vips,omitempty"`
	RemoteVIPs  []string      `json:"remote_vips,omitempty"`
	Children    []childStatus `json:"children"`
}

type childStatus struct {
	Name       string   `json:"name"`
	ID         uint64   `json:"id"`
	State      string   `json:"state"`
	Encap      bool     `json:"encap"`
	SPIIn      string   `json:"spi_in"`
	SPIOut     string   `json:"spi_out"`
	Suite      string   `json:"suite"`
	LocalTS    []string `json:"local_ts"`
	RemoteTS   []string `json:"remote_ts"`
	BytesIn    uint64   `json:"bytes_in"`
	PacketsIn  uint64   `json:"packets_in"`
	BytesOut   uint64   `json:"bytes_out"`
	PacketsOut uint64   `json:"packets_out"`
	Installed  uint64   `json:"installed"`
	RekeyIn    uint64   `json:"rekey_in,omitempty"`
}

func readStatus(ctx context.Context, c *port.Client) (*status, error) {
	st := &status{IKESAs: []ikeStatus{}, Connections: []connectionStatus{}}
	v, err := ask(ctx, c, "version", nil)
	if err != nil {
		return nil, err
	}
	stats, err := ask(ctx, c, "stats", nil)
	if err != nil {
		return nil, err
	}
	sas, err := list(ctx, c, "list-sas", "list-sa")
	if err != nil {
		return nil, err
	}
	conns, err := list(ctx, c, "list-conns", "list-conn")
	if err != nil {
		return nil, err
	}
	st.Daemon = daemonOf(v, stats)
	for _, it := range sas {
		st.IKESAs = append(st.IKESAs, saOf(it))
	}
	for _, it := range conns {
		st.Connections = append(st.Connections, connectionStatus{Name: it.Key, Remote: it.Sub.List("remote_addrs"), Children: tunnels(it.Sub)})
	}
	return st, nil
}

// count is a number of a section; absent is 0.
func count(s *vici.Section, key string) uint64 {
	n, _ := strconv.ParseUint(s.Get(key), 10, 64)
	return n
}

func daemonOf(v, stats *vici.Section) daemonStatus {
	own := stats.Sub("natterjack")
	d := daemonStatus{
		Version: v.Get("version"), Running: stats.Sub("uptime").Get("running"), Since: stats.Sub("uptime").Get("since"),
		DataPlane: own.Get("data-plane"), Device: own.Get("device"), IKESAs: count(stats.Sub("ikesas"), "total"),
		HalfOpen: count(stats.Sub("ikesas"), "half-open"), Sealed: count(own.Sub("engine"), "sealed"),
		Delivered: count(own.Sub("engine"), "delivered"), Drops: map[string]uint64{}, Warnings: []string{},
	}
	d.Warnings = append(d.Warnings, own.List("warnings")...)
	if drops := own.Sub("drops"); drops != nil {
		for _, it := range drops.Items {
			d.Drops[it.Key] = count(drops, it.Key)
		}
	}
	return d
}

func saOf(it vici.Item) ikeStatus {
	s := it.Sub
	sa := ikeStatus{
		Connection: it.Key, ID: count(s, "uniqueid"), State: s.Get("state"), Initiator: s.Bool("initiator"),
		Local: net.JoinHostPort(s.Get("local-host"), s.Get("local-port")), LocalID: s.Get("local-id"),
		Remote: net.JoinHostPort(s.Get("remote-host"), s.Get("remote-port")), RemoteID: s.Get("remote-id"),
		SPIi: s.Get("initiator-spi"), SPIr: s.Get("responder-spi"), NATLocal: s.Bool("nat-local"), NATRemote: s.Bool("nat-remote"),
		Suite: suiteText(s), Established: count(s, "established"), RekeyIn: count(s, "rekey-time"),
		LocalVIPs: s.List("local-vips"), RemoteVIPs: s.List("remote-vips"), Children: []childStatus{},
	}
	if children := s.Sub("child-sas"); children != nil {
		for _, ch := range children.Items {
			sa.Children = append(sa.Children, childOf(ch.Sub))
		}
	}
	return sa
}

func childOf(s *vici.Section) childStatus {
	return childStatus{
		Name: s.Get("name"), ID: count(s, "uniqueid"), State: s.Get("state"), Encap: s.Bool("encap"), SPIIn: s.Get("spi-in"), SPIOut: s.Get("spi-out"),
		Suite: suiteText(s), LocalTS: s.List("local-ts"), RemoteTS: s.List("remote-ts"), BytesIn: count(s, "bytes-in"),
		PacketsIn: count(s, "packets-in"), BytesOut: count(s, "bytes-out"), PacketsOut: count(s, "packets-out"),
		Installed: count(s, "install-time"), RekeyIn: count(s, "rekey-time"),
	}
}

// suiteText joins the algorithms of a section.
func suiteText(s *vici.Section) string {
	var parts []string
	for _, key := range []string{"encr-alg", "integ-alg", "prf-alg", "dh-group"} {
		v := s.Get(key)
		if v == "" {
			continue
		}
		if bits := s.Get("encr-keysize"); key == "encr-alg" && bits != "" {
			v += "_" + bits
		}
		parts = append(parts, v)
	}
	return strings.Join(parts, "/")
}
