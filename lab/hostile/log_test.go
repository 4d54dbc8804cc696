// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package hostile

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// recorder is a testing.TB that remembers that it failed.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Errorf(f string, a ...any) { r.said = append(r.said, fmt.Sprintf(f, a...)) }

// TestOracleReadsTheLog: what the oracle forbids in a log fails, each for its own reason; a usual log passes.
func TestOracleReadsTheLog(t *testing.T) {
	key := []byte("0123456789abcdef0123")
	for name, c := range map[string]struct {
		write func(*slog.Logger)
		want  string
	}{
		"nothing wrong": {func(l *slog.Logger) { l.Info("IKE SA gone", "ike_sa", 1, "reason", "x") }, ""},
		"the PSK":       {func(l *slog.Logger) { l.Debug("x", "secret", psk) }, "shared key"},
		"hex":           {func(l *slog.Logger) { l.Debug("x", "k", strings.ToUpper(hex.EncodeToString(key))) }, "a key is in the log"},
		"base64":        {func(l *slog.Logger) { l.Debug("x", "k", base64.StdEncoding.EncodeToString(key)) }, "a key is in the log"},
		"escape":        {func(l *slog.Logger) { l.Info("x\u202e") }, "not harmless"},
		"long":          {func(l *slog.Logger) { l.Info(strings.Repeat("x", 2000)) }, "octets"},
		"flood": {func(l *slog.Logger) {
			l.Info("datagram dropped", "reason", "syntax")
			l.Info("datagram dropped", "reason", "syntax")
		}, "too many"},
		"flood of a login": {func(l *slog.Logger) {
			l.Info("IKE SA gone", "ike_sa", 1)
			l.Info("IKE SA gone", "ike_sa", 2)
		}, "too many"},
		"two classes": {func(l *slog.Logger) {
			l.Info("datagram dropped", "reason", "syntax")
			l.Info("datagram dropped", "reason", "limit")
		}, ""},
		"authenticated": {func(l *slog.Logger) {
			for range 5 {
				l.Info("peer authenticated", "ike_sa", 7)
				l.Info("child SA installed", "ike_sa", 7)
			}
		}, ""},
	} {
		log := newLog()
		c.write(slog.New(log))
		r := &recorder{TB: t}
		log.check(r, [][]byte{key})
		if said := strings.Join(r.said, "; "); (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: the oracle said %q, expected %q", name, said, c.want)
		}
	}
}

// TestOracleSeesLeaks: what a case leaves behind fails it, and so does a tunnel that lost a ping.
func TestOracleSeesLeaks(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	r := &recorder{TB: t}
	w.t = r
	w.life = -restLimit + 200*time.Millisecond
	w.rest(Options{})
	w.t, w.life = t, halfOpenLife
	if len(r.said) == 0 || !strings.Contains(r.said[0], "2 IKE SAs (was 1), 2 children (was 1)") {
		t.Errorf("an IKE SA that stayed was not seen: %q", r.said)
	}
	w.Leave(p)
	dead := w.peer(nil)
	if err := dead.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := dead.DeleteChild(dead.Child()); err != nil {
		t.Fatal(err)
	}
	g := &pinger{quit: make(chan struct{})}
	g.one(dead, 100*time.Millisecond)
	if g.sent != 1 || g.lost != 1 {
		t.Errorf("a ping into nothing: %d sent, %d lost", g.sent, g.lost)
	}
	w.Leave(dead)
}
