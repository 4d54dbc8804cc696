// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The log that the oracle reads: every record of the daemon, as it would be written, with the time and the class.

package hostile

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLines bounds what a case may have the daemon log.
	maxLines = 100_000
	// maxLine is the longest line in octets (T-103); the JSON of a line escapes once more.
	maxLine = 1024
	// linePause is the catalogue's second, less what a scheduler adds to one of two instants.
	linePause = 900 * time.Millisecond
)

// line is one record.
type line struct {
	at    time.Time
	level slog.Level
	text  string // as slog's text handler writes it
	json  string
	// class is the message with its reason; sa is the IKE SA's number, empty where there is none.
	class, message, sa string
	// ours: of a connection that this host began, whose lines are its operator's.
	ours bool
}

// Log is a slog.Handler that keeps everything.
type Log struct {
	mu    sync.Mutex // protects lines
	lines []line
}

func newLog() *Log { return &Log{} }

// Enabled implements slog.Handler: every level.
func (l *Log) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler. The daemon's loggers have no attributes of their own.
func (l *Log) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *Log) WithGroup(string) slog.Handler { return l }

// Handle implements slog.Handler.
func (l *Log) Handle(ctx context.Context, r slog.Record) error {
	var text, object bytes.Buffer
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	if err := slog.NewTextHandler(&text, all).Handle(ctx, r); err != nil {
		return err
	}
	if err := slog.NewJSONHandler(&object, all).Handle(ctx, r); err != nil {
		return err
	}
	n := line{at: r.Time, level: r.Level, text: text.String(), json: object.String(), class: r.Message, message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "reason", "notify":
			n.class += " " + a.Value.String()
		case "ike_sa":
			n.sa = a.Value.String()
		case "connection":
			n.ours = strings.HasPrefix(a.Value.String(), "out")
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < maxLines {
		l.lines = append(l.lines, n)
	}
	return nil
}

// Lines returns the text of every line so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, n := range l.lines {
		list = append(list, n.text)
	}
	return list
}

// check holds the log to the catalogue.
func (l *Log) check(t testing.TB, keys [][]byte) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= maxLines {
		t.Errorf("oracle: %d lines of log", len(l.lines))
	}
	l.secrets(t, keys)
	l.shape(t)
	l.rate(t)
}

// secrets looks for keys in every spelling. Keys are octets that no line can hold as they are (shape), so that only runs of
// letters that are long enough to spell one are looked through.
func (l *Log) secrets(t testing.TB, keys [][]byte) {
	t.Helper()
	hexRun, baseRun := regexp.MustCompile(`[0-9A-Fa-f]{24,}`), regexp.MustCompile(`[0-9A-Za-z+/_-]{22,}`)
	var inHex, inBase strings.Builder
	for _, n := range l.lines {
		if strings.Contains(n.text, psk) {
			t.Errorf("oracle: the shared key is in the log")
		}
		inHex.WriteString(strings.ToLower(strings.Join(hexRun.FindAllString(n.text, -1), " ")) + " ")
		inBase.WriteString(strings.Join(baseRun.FindAllString(n.text, -1), " ") + " ")
	}
	for _, k := range append(keys, []byte(psk)) {
		if len(k) < 12 {
			continue
		}
		spelled := strings.Contains(inHex.String(), hex.EncodeToString(k[:12]))
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			spelled = spelled || strings.Contains(inBase.String(), e.EncodeToString(k[:12]))
		}
		if spelled {
			t.Errorf("oracle: a key is in the log")
		}
	}
}

// shape: a record is one line, has nothing in it that moves a terminal, is bounded, and its JSON is JSON (T-103).
func (l *Log) shape(t testing.TB) {
	t.Helper()
	for _, n := range l.lines {
		body := strings.TrimSuffix(n.text, "\n")
		bad := strings.ContainsFunc(body+strings.TrimSuffix(n.json, "\n"), func(r rune) bool {
			return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf)
		})
		switch {
		case bad:
			t.Errorf("oracle: a line of log is not harmless: %q", body)
		case n.level >= slog.LevelInfo && len(body) > maxLine:
			t.Errorf("oracle: a line of %d octets: %.200s", len(body), body)
		case !json.Valid([]byte(n.json)):
			t.Errorf("oracle: not JSON: %q", n.json)
		}
	}
}

// rate: what nobody has authenticated causes at most one line a class and second. Lines of debugging are not limited.
func (l *Log) rate(t testing.TB) {
	t.Helper()
	proved := map[string]bool{}
	for _, n := range l.lines {
		if n.message == "peer authenticated" {
			proved[n.sa] = true
		}
	}
	last := map[string]line{}
	over := map[string]int{}
	for _, n := range l.lines {
		if n.level < slog.LevelInfo || n.ours || proved[n.sa] && n.message != "refused a request" {
			continue
		}
		if before, ok := last[n.class]; ok && n.at.Sub(before.at) < linePause {
			over[n.class]++
		}
		last[n.class] = n
	}
	for class, count := range over {
		t.Errorf("oracle: %d lines too many of class %q, at most one a second may be caused by strangers", count, class)
	}
}
