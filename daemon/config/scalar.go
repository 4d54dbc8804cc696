// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Booleans, numbers, times and keywords of options, as swanctl.conf(5) writes them.

package config

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// plainText reports whether v is UTF-8 without control characters.
func plainText(v string) bool {
	if !utf8.ValidString(v) {
		return false
	}
	for _, r := range v {
		if r < 0x20 || r == 0x7f {
			return false
		}
	}
	return true
}

// boolean returns an option that is yes or no.
func (d *decoder) boolean(key string, absent bool) bool {
	v, found := d.text(key)
	if !found {
		return absent
	}
	switch strings.ToLower(v) {
	case "yes", "true", "enabled", "1":
		return true
	case "no", "false", "disabled", "0":
		return false
	}
	d.fail(key, "yes or no", quote(v))
	return absent
}

// number returns an option that is a decimal number from low to high.
func (d *decoder) number(key string, absent, low, high uint64) uint64 {
	v, found := d.text(key)
	if !found {
		return absent
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n < low || n > high {
		d.fail(key, "a number from "+strconv.FormatUint(low, 10)+" to "+strconv.FormatUint(high, 10), quote(v))
		return absent
	}
	return n
}

// maxDuration is ten years: more is a mistake, and sums of a few of them do not overflow.
const maxDuration = 10 * 365 * 24 * time.Hour

// duration returns an option that is a time; found is false where it is absent.
func (d *decoder) duration(key string) (t time.Duration, found bool) {
	v, found := d.text(key)
	if !found {
		return 0, false
	}
	t, ok := parseDuration(v)
	if !ok {
		d.fail(key, `a time of at most ten years ("90", "90s", "3m", "4h" or "1d")`, quote(v))
		return 0, false
	}
	return t, true
}

func parseDuration(v string) (time.Duration, bool) {
	unit := time.Second
	digits := v
	if n := len(v); n > 0 {
		switch v[n-1] {
		case 's':
			digits = v[:n-1]
		case 'm':
			unit, digits = time.Minute, v[:n-1]
		case 'h':
			unit, digits = time.Hour, v[:n-1]
		case 'd':
			unit, digits = 24*time.Hour, v[:n-1]
		}
	}
	n, err := strconv.ParseUint(strings.TrimRight(digits, " "), 10, 32)
	if err != nil || n > uint64(maxDuration/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// bytesNumber returns an option that counts octets: with k, m or g for powers of 1024.
func (d *decoder) bytesNumber(key string) (n uint64, found bool) {
	v, found := d.text(key)
	if !found {
		return 0, false
	}
	digits, shift := v, 0
	if l := len(v); l > 0 {
		switch v[l-1] {
		case 'k':
			digits, shift = v[:l-1], 10
		case 'm':
			digits, shift = v[:l-1], 20
		case 'g':
			digits, shift = v[:l-1], 30
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		d.fail(key, `a number of octets ("1000", "500k", "20m" or "1g")`, quote(v))
		return 0, false
	}
	return n << shift, true
}

// keyword returns the index of an option's value in words. Words in not are refused with their reason.
func (d *decoder) keyword(key string, absent int, words []string, not map[string]string) int {
	v, found := d.text(key)
	if !found {
		return absent
	}
	for i, w := range words {
		if v == w {
			return i
		}
	}
	if why := not[v]; why != "" {
		d.refuse(key, "%s is refused: %s", quote(v), why)
		return absent
	}
	d.fail(key, oneOf(words), quote(v))
	return absent
}

// oneOf is `"a", "b" or "c"`.
func oneOf(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = strconv.Quote(w)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " or " + q[len(q)-1]
}

// only takes options that may be absent or have the one value that is built; any other is refused with the reason.
func (d *decoder) only(key, value, reason string) {
	v, found := d.text(key)
	if !found || v == value {
		return
	}
	if value == "no" {
		switch strings.ToLower(v) {
		case "false", "disabled", "0":
			return
		}
	}
	d.refuse(key, "%s is refused: %s (leave it out, or %s)", quote(v), reason, value)
}

// never takes options of any kind that are refused whatever their value.
func (d *decoder) never(key, reason string) {
	d.taken[key] = true
	if d.s.Has(key) {
		d.refuse(key, "refused: %s", reason)
	}
}
