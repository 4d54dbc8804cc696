// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The world of a case: a gateway with its inner network, an open tunnel that is pinged all the time, and peers.

package hostile

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/bogus"
	"github.com/natterjack/natterjack/port/netstack"
)

const (
	// psk is what legitimate peers share with the gateway. The oracle looks for it in the log.
	psk = "correct horse battery staple 4711"
	// halfOpenLife is short, so that a case can wait for the end of what it began.
	halfOpenLife = time.Second
	gatewayConf  = `
connections {
  other {
    remote_addrs = 192.0.2.1
    local { auth = psk
            id = other.example }
    remote { auth = psk }
    children { net { local_ts = 10.99.0.0/24 } }
  }
  gw {
    encap = yes
    pools = inner
    proposals = aes128gcm16-aes256gcm16-prfsha256-x25519-ecp256-modp2048, aes128-aes256-sha256-x25519-ecp256, default
    %s
    local { auth = psk
            id = gw.example }
    remote { auth = psk }
    children { net { local_ts = 10.20.0.0/24
                     esp_proposals = aes128gcm16-aes256gcm16, aes128-aes256-sha256, aes128gcm16-x25519
                     %s } }
  }
}
pools { inner { addrs = 10.30.0.0/16
                dns = 10.20.0.1 } }
secrets { ike-1 { secret = "` + psk + `" } }
`
)

// inner is the gateway's inner host.
func inner() netip.Addr { return netip.MustParseAddr("10.20.0.1") }

func loopback() netip.Addr { return netip.MustParseAddr("127.0.0.1") }

// World is a gateway under attack.
type World struct {
	D     *daemon.Daemon
	Stack *netstack.Stack
	Log   *Log
	// IKE and NATT are the gateway's two ports.
	IKE, NATT netip.AddrPort
	// Tunnel is the legitimate peer whose tunnel is open all the time.
	Tunnel *bogus.Peer

	t     testing.TB
	pings *pinger
	base  baseline
	life  time.Duration // of a half-open IKE SA
	mu    sync.Mutex    // protects keys
	keys  [][]byte
	// peers and outs are what is left to close.
	peers map[*bogus.Peer]struct{}
	outs  map[*Out]struct{}
}

// Options change a world.
type Options struct {
	Connection, Child string // more options of the connection and its child
	// Daemon changes how the daemon is started.
	Daemon func(*daemon.Options)
	// Drift is how many octets of memory a case may keep; 0: defaultDrift.
	Drift int64
	// NoPings leaves the tunnel alone, for a case that floods for long.
	NoPings bool
}

// Open starts a gateway and a tunnel through it. When the test ends the oracle is asked.
func Open(t testing.TB, o Options) *World {
	t.Helper()
	w := &World{t: t, Log: newLog(), peers: map[*bogus.Peer]struct{}{}, outs: map[*Out]struct{}{}}
	var err error
	if w.Stack, err = netstack.New([]netip.Addr{inner()}, 0); err != nil {
		t.Fatal(err)
	}
	opts := daemon.Options{
		Device: w.Stack, DataPlane: "netstack", Listen: loopback(), AnyPort: true, NoRawESP: true, Keepalive: -1, GSO: "off",
		Log: slog.New(w.Log), HalfOpenLife: halfOpenLife,
		Retransmit: ike.Retransmit{Initial: 100 * time.Millisecond, Base: 1.5, Tries: 2},
	}
	if o.Daemon != nil {
		o.Daemon(&opts)
	}
	w.life = opts.HalfOpenLife
	if w.D, err = daemon.New(opts); err != nil {
		w.Stack.Close()
		t.Fatal(err)
	}
	if _, err := w.D.Apply(Load(t, fmt.Sprintf(gatewayConf, o.Connection, o.Child))); err != nil {
		w.D.Close()
		t.Fatal(err)
	}
	ikePort, nattPort := w.D.Ports(loopback())
	w.IKE, w.NATT = netip.AddrPortFrom(loopback(), ikePort), netip.AddrPortFrom(loopback(), nattPort)
	w.Tunnel = w.peer(func(c *bogus.Config) { c.ID = bogus.FQDN("tunnel.example") })
	if err := w.Tunnel.Connect(); err != nil {
		w.D.Close()
		t.Fatalf("the legitimate tunnel: %v", err)
	}
	w.learn(w.Tunnel)
	if !o.NoPings {
		w.pings = ping(w.Tunnel)
	}
	w.base = w.measure()
	t.Cleanup(func() { w.end(o) })
	return w
}

// Load reads a configuration.
func Load(t testing.TB, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "swanctl.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// peer makes a bogus peer of this gateway that nothing closes.
func (w *World) peer(change func(*bogus.Config)) *bogus.Peer {
	c := bogus.Config{
		Remote: w.IKE, RemoteNATT: w.NATT, ID: bogus.FQDN("peer.example"), PSK: []byte(psk), AskAddress: true,
		TSi: []bogus.Selector{bogus.Net("0.0.0.0/0")}, TSr: []bogus.Selector{bogus.Net("10.20.0.0/24")},
	}
	if change != nil {
		change(&c)
	}
	p, err := bogus.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// Peer makes a bogus peer that ends with the test, before the oracle looks.
func (w *World) Peer(change func(*bogus.Config)) *bogus.Peer {
	p := w.peer(change)
	w.peers[p] = struct{}{}
	return p
}

// Leave has a peer delete its IKE SA, if it has one, and ends it.
func (w *World) Leave(p *bogus.Peer) {
	delete(w.peers, p)
	w.learn(p)
	p.SetBugs(bogus.Bugs{})
	if sa := p.Current(); sa != nil && sa.Up {
		p.DeleteIKE()
	}
	p.Close()
}

// Connect makes a peer with an IKE SA and a child.
func (w *World) Connect(change func(*bogus.Config)) *bogus.Peer {
	w.t.Helper()
	p := w.Peer(change)
	if err := p.Connect(); err != nil {
		w.t.Fatalf("connect: %v", err)
	}
	w.learn(p)
	return p
}

// learn notes a peer's keys, which must not be in the log.
func (w *World) learn(p *bogus.Peer) {
	sa := p.Current()
	if sa == nil || sa.Keys == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := sa.Keys
	w.keys = append(w.keys, k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr)
}

// Settle waits until the daemon has taken everything that was sent to it, and has answered.
func (w *World) Settle() {
	w.t.Helper()
	var last uint64
	end := time.Now().Add(20 * time.Second)
	for same := 0; same < 3; {
		time.Sleep(4 * time.Millisecond)
		st := w.D.Stats() // asks every shard, behind what waits for it
		n := st.IKEIn + st.IKEOut + st.Stray + st.KeepalivesIn
		for _, s := range st.Sockets {
			if w.pings == nil {
				n += s.In
			}
		}
		if n == last && st.WorkersQueued == 0 {
			same++
		} else {
			same = 0
		}
		last = n
		if time.Now().After(end) {
			w.t.Fatal("the daemon does not come to rest")
		}
	}
}

// Silence fails the test where the peer got an IKE message since the last call of Seen.
func (w *World) Silence(p *bogus.Peer, what string) {
	w.t.Helper()
	w.Settle()
	if got := p.Seen(); len(got) > 0 {
		w.t.Errorf("%s: answered with %v", what, got)
	}
}

// Stranger is a socket that belongs to nobody.
type Stranger struct {
	*net.UDPConn
	t testing.TB
}

// Stranger opens a socket at a loopback address.
func (w *World) Stranger(local string) *Stranger {
	w.t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(local), 0)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &Stranger{c, w.t}
}

// Send sends octets as they are.
func (s *Stranger) Send(to netip.AddrPort, b []byte) {
	s.t.Helper()
	if _, err := s.WriteToUDPAddrPort(b, to); err != nil {
		s.t.Fatal(err)
	}
}

// Answers reads what is there after the daemon came to rest.
func (s *Stranger) Answers() [][]byte {
	var list [][]byte
	buf := make([]byte, 65536)
	for {
		s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, _, err := s.ReadFromUDPAddrPort(buf)
		if err != nil {
			return list
		}
		list = append(list, append([]byte(nil), buf[:n]...))
	}
}

// Forget ends half-open IKE SAs, so that the oracle need not wait for their whole life.
func (w *World) Forget() {
	for _, sa := range w.D.Status() {
		if sa.HalfOpen {
			w.D.Terminate(context.Background(), daemon.Target{IKEID: sa.Unique}, daemon.Command{Force: true, NoWait: true})
		}
	}
}
