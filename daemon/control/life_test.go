// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// tunnelEnds are two bare daemons that are loaded through their control sockets only.
func tunnelEnds(t *testing.T) (client, gateway *bare) {
	t.Helper()
	client, gateway = start(t, nil), start(t, nil)
	psk := vici.New().Set("type", "IKE").Set("data", "correct horse battery staple")
	for _, b := range []*bare{client, gateway} {
		b.call("load-shared", psk)
	}
	gateway.call("load-pool", vici.New().SetSub("p", vici.New().Set("addrs", "10.30.0.0/24")))
	g := vici.New().SetList("pools", "p")
	g.Add("local").Set("auth", "psk").Set("id", "gw.example.org")
	g.Add("remote").Set("auth", "psk").Set("id", "*@example.org")
	g.Add("children").Add("net").SetList("local_ts", "10.20.0.0/24")
	gateway.call("load-conn", vici.New().SetSub("laptops", g))
	ikePort, nattPort := gateway.d.Ports(netip.MustParseAddr("127.0.0.1"))
	c := vici.New().SetList("remote_addrs", "127.0.0.1").Set("remote_port", fmt.Sprint(ikePort)).Set("remote_port_nat_t", fmt.Sprint(nattPort))
	c.SetList("vips", "0.0.0.0")
	c.Add("local").Set("auth", "psk").Set("id", "alice@example.org")
	c.Add("remote").Set("auth", "psk").Set("id", "gw.example.org")
	c.Add("children").Add("net").SetList("remote_ts", "10.20.0.0/24")
	client.call("load-conn", vici.New().SetSub("office", c))
	return client, gateway
}

// brief is what an event tells, in a line.
func brief(e port.Event) string {
	text := e.Name
	if e.Message.Bool("up") {
		text += " up"
	}
	for _, it := range e.Message.Items {
		if it.Kind != vici.KindSection {
			continue
		}
		text += " " + it.Key
		if old := it.Sub.Sub("old"); old != nil {
			text += " " + old.Get("state") + ">" + it.Sub.Sub("new").Get("state")
			continue
		}
		text += " " + it.Sub.Get("state")
		if children := it.Sub.Sub("child-sas"); children != nil {
			ch := children.Items[0]
			if old := ch.Sub.Sub("old"); old != nil {
				text += fmt.Sprintf(" %s %s>%s", ch.Sub.Sub("new").Get("name"), old.Get("state"), ch.Sub.Sub("new").Get("state"))
				continue
			}
			text += " " + ch.Sub.Get("name") + " " + ch.Sub.Get("state")
		}
	}
	return text
}

// TestLife: a tunnel from its beginning to its end, as the control socket tells of it.
func TestLife(t *testing.T) {
	client, gateway := tunnelEnds(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	watcher, err := port.Dial(ctx, client.path)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	if err := watcher.Subscribe(ctx, eventIKEUpdown, eventChildUpdown, eventIKERekey, eventChildRekey); err != nil {
		t.Fatal(err)
	}

	log := client.stream("initiate", eventControlLog, parse(t, "ike=office child=net timeout=10000"))
	for _, want := range []string{
		"group=ENC level=1 ikesa-name=office ikesa-uniqueid=1 msg=generating IKE_SA_INIT req 0 {",
		"msg=sending packet: from 127.0.0.1[", "msg=received packet: from 127.0.0.1[", "group=IKE level=1 ikesa-name=office ikesa-uniqueid=1 msg=authentication of 'gw.example.org' with pre-shared key successful",
		"group=IKE level=0 ikesa-name=office ikesa-uniqueid=1 msg=IKE_SA office[1] established between 127.0.0.1[alice@example.org]...127.0.0.1[gw.example.org]",
		"msg=CHILD_SA net{1} established with SPIs ",
	} {
		if !strings.Contains(strings.Join(log, "\n"), want) {
			t.Errorf("control-log lacks %q: %s", want, strings.Join(log, "\n"))
		}
	}
	sas := client.stream("list-sas", "list-sa", nil)
	if len(sas) != 1 || !strings.HasPrefix(sas[0], "office {uniqueid=1 version=2 state=ESTABLISHED ") || !strings.Contains(sas[0], "local-vips=[10.30.0.1] child-sas {net-1 {name=net") {
		t.Errorf("list-sas: %v", sas)
	}
	for args, want := range map[string]int{"ike=office": 1, "ike=nope": 0, "child=net": 1, "child=nope": 0, "child-id=1": 1, "child-id=9": 0, "ike-id=1": 1, "ike-id=9": 0} {
		if got := client.stream("list-sas", "list-sa", parse(t, args)); len(got) != want {
			t.Errorf("list-sas %s: %d, want %d", args, len(got), want)
		}
	}
	if got := raw(gateway.call("get-pools", parse(t, "leases=yes"))); got != "p {base=10.30.0.0 size=254 online=1 offline=0 leases {0 {address=10.30.0.1 identity=alice@example.org status=online}}}" {
		t.Error(got)
	}
	gateway.refused("unload-pool", parse(t, "name=p"), "used")

	if got := raw(client.call("rekey", parse(t, "child=net"))); got != "success=yes matches=1" {
		t.Errorf("rekey of the child: %s", got)
	}
	if got := raw(client.call("rekey", parse(t, "ike=office"))); got != "success=yes matches=1" {
		t.Errorf("rekey of the IKE SA: %s", got)
	}
	if got := raw(client.call("terminate", parse(t, "ike=office timeout=5000"))); got != "success=yes matches=1 terminated=1" {
		t.Errorf("terminate: %s", got)
	}
	for _, want := range []string{
		"ike-updown up office ESTABLISHED", "child-updown up office ESTABLISHED net INSTALLED", "child-rekey office ESTABLISHED net REKEYED>INSTALLED",
		"ike-rekey office REKEYED>ESTABLISHED", "child-updown office DELETING net INSTALLED", "ike-updown office DELETING",
	} {
		e, err := watcher.Next(ctx)
		if err != nil {
			t.Fatalf("%v in place of %s", err, want)
		}
		if diff := cmp.Diff(want, brief(e)); diff != "" {
			t.Error(diff, raw(e.Message))
		}
	}
	// Whoever counts reads the same events.
	n := client.call("get-counters", nil).Sub("counters").Sub(totalName)
	if n.Get("ike-init-out-req") != "1" || n.Get("ike-init-in-resp") != "1" || n.Get("child-rekey") != "1" || n.Get("ike-rekey-init") != "1" {
		t.Errorf("counters: %s", raw(n))
	}
	if n := client.call("get-counters", parse(t, "name=office")).Sub("counters").Sub("office"); n.Get("ike-auth-out-req") != "1" {
		t.Errorf("counters of the connection: %s", raw(n))
	}
}

// TestNoAnswer: what is not up in time is told apart from what failed, and goes on until it is terminated.
func TestNoAnswer(t *testing.T) {
	b := start(t, nil)
	c := conn("office")
	c.Sub("office").SetList("remote_addrs", "127.0.0.1").Set("remote_port", "9")
	b.call("load-conn", c)
	reply, err := b.c.Call(t.Context(), "initiate", parse(t, "child=net timeout=50"))
	if err != nil || reply.Get("reason") != "timeout" || port.Failure(reply) == nil {
		t.Errorf("%v %v", reply, err)
	}
	if got := b.call("initiate", parse(t, "child=net timeout=-1")); raw(got) != "success=yes" {
		t.Errorf("without waiting: %s", raw(got))
	}
	b.call("terminate", parse(t, "ike=office force=yes timeout=5000"))
	if got := b.stream("list-sas", "list-sa", nil); got != nil {
		t.Errorf("after terminate: %v", got)
	}
}

// TestLog: the event log has every line, for everybody who registered it.
func TestLog(t *testing.T) {
	client, gateway := tunnelEnds(t)
	if err := gateway.c.Subscribe(t.Context(), eventLog); err != nil {
		t.Fatal(err)
	}
	client.call("initiate", parse(t, "child=net timeout=10000"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		e, err := gateway.c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Message.Get("msg"), "CHILD_SA net{1} established") {
			if diff := cmp.Diff([]string{"group", "level", "thread", "ikesa-name", "ikesa-uniqueid", "msg"}, keysOf(e.Message)); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
}

// TestLostEnds: an IKE SA whose end was lost on the way is forgotten all the same.
func TestLostEnds(t *testing.T) {
	b := start(t, nil)
	c := New(Options{Daemon: b.d, Log: slog.New(slog.DiscardHandler), Version: "test"})
	server := port.NewServer(c, slog.New(slog.DiscardHandler))
	defer server.Close()
	f := &follower{c: c, server: server, known: map[uint64]*knownSA{99: {}}}
	f.prune(time.Now())
	if len(f.known) != 0 {
		t.Errorf("%d IKE SAs are remembered that are not there", len(f.known))
	}
}
