// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The gateway's other side: it begins IKE SAs with a bogus responder.

package hostile

import (
	"context"
	"fmt"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

const outConf = `
connections {
  %[1]s {
    remote_addrs = 127.0.0.1
    remote_port = %[2]d
    remote_port_nat_t = %[3]d
    encap = yes
    keyingtries = 1
    proposals = aes128gcm16-prfsha256-x25519-ecp256
    %[5]s
    local { auth = psk
            id = gw.example }
    remote { auth = psk
             id = %[1]s.example }
    children { net { local_ts = 10.20.0.0/24
                     remote_ts = 10.77.%[4]d.0/24
                     esp_proposals = aes128gcm16 } }
  }
}
`

// Out is a connection that the daemon begins, and the responder at its end.
type Out struct {
	*bogus.Peer
	w    *World
	name string
}

// Out loads the n-th connection to a responder of its own. options are more lines of the connection.
func (w *World) Out(n int, options string, change func(*bogus.Config)) *Out {
	w.t.Helper()
	name := fmt.Sprintf("out%d", n)
	c := bogus.Config{
		ID: bogus.FQDN(name + ".example"), PSK: []byte(psk), Responder: true, Remote: w.IKE, RemoteNATT: w.NATT,
	}
	if change != nil {
		change(&c)
	}
	p, err := bogus.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	o := &Out{Peer: p, w: w, name: name}
	text := fmt.Sprintf(outConf, name, p.IKEAddr().Port(), p.NATTAddr().Port(), n, options)
	if err := w.D.LoadConnection(Load(w.t, text).Connections[0]); err != nil {
		w.t.Fatal(err)
	}
	w.outs[o] = struct{}{}
	return o
}

// close takes the connection out and ends both its ends.
func (o *Out) close() {
	delete(o.w.outs, o)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	o.w.D.UnloadConnection(o.name)
	o.w.D.Terminate(ctx, daemon.Target{IKE: o.name}, daemon.Command{})
	o.w.learn(o.Peer)
	o.Close()
}

// Initiate has the daemon begin.
func (o *Out) Initiate() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := o.w.D.Initiate(ctx, o.name, "net", daemon.Command{})
	return err
}

// Gone reports whether the daemon has no IKE SA of this connection.
func (o *Out) Gone() bool {
	for _, sa := range o.w.D.Status() {
		if sa.Connection == o.name {
			return false
		}
	}
	return true
}
