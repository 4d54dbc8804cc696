// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the daemon is and does: version, stats, get-algorithms. Beside charon's keys, stats has a section natterjack, which
// clients of charon ignore: the data plane, its counters and what this host could not be given.

package control

import (
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/daemon"
	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// sinceLayout is how charon prints an instant.
const sinceLayout = "Jan 02 15:04:05 2006"

func (c *Control) version(*call) *vici.Section {
	sys := port.System()
	return vici.New().Set("daemon", "natterjack").Set("version", c.opts.Version).Set("sysname", sys.Name).
		Set("release", sys.Release).Set("machine", sys.Machine)
}

func (c *Control) stats(*call) *vici.Section {
	st := c.d.Stats()
	s := vici.New()
	s.Add("uptime").Set("running", ago(time.Since(st.Started))).Set("since", st.Started.Format(sinceLayout))
	// Workers are not told apart by priority here; one that a queued question waits for is not idle.
	s.Add("workers").Set("total", number(st.Workers)).Set("idle", number(max(0, st.Workers-st.WorkersQueued))).
		SetSub("active", priorities(min(st.Workers, st.WorkersQueued)))
	s.SetSub("queues", priorities(st.WorkersQueued))
	s.Set("scheduled", number(st.IKESAs))
	s.Add("ikesas").Set("total", number(st.IKESAs)).Set("half-open", number(st.HalfOpen))
	s.SetList("plugins", "ikev2", "userspace-esp", st.DataPlane, "vici")
	s.SetSub("mallinfo", memory())
	return s.SetSub("natterjack", ownStats(st))
}

func priorities(medium int) *vici.Section {
	return vici.New().Set("critical", "0").Set("high", "0").Set("medium", number(medium)).Set("low", "0")
}

// memory maps Go's heap to what charon has of malloc.
func memory() *vici.Section {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return vici.New().Set("sbrk", number(m.HeapSys)).Set("mmap", "0").Set("used", number(m.HeapAlloc)).Set("free", number(m.HeapIdle))
}

func ownStats(st daemon.Stats) *vici.Section {
	s := vici.New().Set("data-plane", st.DataPlane).Set("device", st.Device).Set("child-sas", number(st.Children))
	s.Set("ike-in", number(st.IKEIn)).Set("ike-out", number(st.IKEOut)).Set("ike-dropped", number(st.IKEDropped))
	s.Set("keepalives-in", number(st.KeepalivesIn)).Set("keepalives-out", number(st.KeepalivesOut))
	e := st.Engine
	s.Add("engine").Set("sealed", number(e.Sealed)).Set("sealed-octets", number(e.SealedOctets)).Set("delivered", number(e.Delivered)).
		Set("delivered-octets", number(e.DeliveredOctets)).Set("datagrams", number(e.Datagrams)).Set("dummies-in", number(e.DummiesIn)).
		Set("dummies-out", number(e.DummiesOut)).Set("bypassed", number(e.Bypassed)).Set("fragmented", number(e.Fragmented))
	drops := vici.New()
	for _, name := range slices.Sorted(maps.Keys(e.Drops)) {
		drops.Set(name, number(e.Drops[name]))
	}
	s.SetSub("drops", drops)
	sockets := vici.New()
	for _, k := range st.Sockets {
		so := vici.New().SetBool("gso", k.GSO)
		if k.NoGSO != "" {
			so.Set("no-gso", k.NoGSO)
		}
		so.Set("in", number(k.In)).Set("in-octets", number(k.InOctets)).Set("out", number(k.Out)).Set("out-octets", number(k.OutOctets))
		so.Set("truncated", number(k.Truncated)).Set("refused", number(k.Refused)).Set("overflow", number(k.Overflow))
		sockets.SetSub(k.Name, so)
	}
	return s.SetSub("sockets", sockets).SetList("warnings", st.Warnings...)
}

// getAlgorithms lists what can be negotiated; charon names the plugin of each, which here is Go's library or our own.
func (c *Control) getAlgorithms(*call) *vici.Section {
	s := vici.New()
	list := func(name string, algs ...interface{ String() string }) {
		sec := vici.New()
		for _, a := range algs {
			sec.Set(a.String(), "natterjack")
		}
		s.SetSub(name, sec)
	}
	list("encryption", suite.EncrAESCBC, suite.EncrAESCTR, suite.EncrNULL)
	list("integrity", suite.IntegHMACSHA196, suite.IntegHMACSHA2256128, suite.IntegHMACSHA225696, suite.IntegHMACSHA2384192,
		suite.IntegHMACSHA2512256, suite.IntegAESXCBC96, suite.IntegAESCMAC96)
	list("aead", suite.EncrAESGCM16, suite.EncrAESGCM12, suite.EncrAESCCM16, suite.EncrAESCCM12, suite.EncrAESCCM8,
		suite.EncrChaCha20Poly1305, suite.EncrNullAESGMAC)
	list("hasher", word("HASH_SHA1"), word("HASH_SHA2_256"), word("HASH_SHA2_384"), word("HASH_SHA2_512"), word("HASH_IDENTITY"))
	list("prf", suite.PRFHMACSHA1, suite.PRFHMACSHA2256, suite.PRFHMACSHA2384, suite.PRFHMACSHA2512)
	list("xof")
	list("kdf", word("KDF_PRF"), word("KDF_PRF_PLUS"))
	list("drbg")
	list("dh", suite.KEMODP2048, suite.KEMODP3072, suite.KEMODP4096, suite.KEECP256, suite.KEECP384, suite.KEECP521, suite.KECurve25519)
	list("rng", word("RNG_STRONG"), word("RNG_TRUE"))
	list("nonce-gen", word("NONCE_GEN"))
	return s
}

// word is a name.
type word string

func (w word) String() string { return string(w) }
