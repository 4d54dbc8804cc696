// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"strings"
	"testing"
)

func TestGSOVerdict(t *testing.T) {
	for _, c := range []struct {
		mode, release string
		want          bool
	}{
		{"auto", "6.18.44-fc", true}, {"", "6.1.0-13-amd64", true}, {"auto", "6.16.12", true},
		{"auto", "6.17.0-8-generic", false}, {"auto", "6.17.13", false}, {"auto", "6.18", true},
		{"auto", "7.0.0-14-generic", false}, {"auto", "7.1.4", false}, {"auto", "7.1.5", true}, {"auto", "7.2.0", true},
		{"auto", "4.19.0", false}, {"auto", "nonsense", false}, {"auto", "", false},
		{"on", "7.0.1", true}, {"off", "6.18.0", false},
	} {
		got, why, err := GSOVerdict(c.mode, c.release)
		if err != nil || got != c.want || !got && why == "" {
			t.Errorf("%s on %q: %v %q %v, want %v", c.mode, c.release, got, why, err, c.want)
		}
	}
	if _, _, err := GSOVerdict("maybe", "6.18.0"); err == nil || !strings.Contains(err.Error(), "auto, on or off") {
		t.Errorf("mode maybe: %v", err)
	}
}

func TestSegment(t *testing.T) {
	m := Message{Buf: []byte("aaabbbc....."), N: 7, SegSize: 3}
	var got []string
	for i := 0; m.Segment(i) != nil; i++ {
		got = append(got, string(m.Segment(i)))
	}
	if strings.Join(got, " ") != "aaa bbb c" {
		t.Errorf("segments: %q", got)
	}
	m.SegSize = 0
	if string(m.Segment(0)) != "aaabbbc" || m.Segment(1) != nil {
		t.Error("a single datagram is its own only segment")
	}
	m.N = 0
	if m.Segment(0) != nil {
		t.Error("an empty message has no segment")
	}
}
