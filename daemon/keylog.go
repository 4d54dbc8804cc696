// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The key log, for debugging with tshark: every key of every SA, in clear. Each line is a value for tshark's option -o:
// a record of the tables ikev2_decryption_table or esp_sa. It exists only where the operator named a file, the file is for
// its owner alone, and each key that is written is an event in the log.

package daemon

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/store"
)

// keyLogMode: keys are for their owner only.
const keyLogMode = 0o600

// FileKeyLog appends to a file. It is safe for concurrent use.
type FileKeyLog struct {
	mu sync.Mutex // protects w
	w  io.WriteCloser
}

// OpenKeyLog opens or makes the file. One that others can read, that belongs to another user (who could read it whatever its
// mode is), that has a second name, that is reached through a link, or that is no regular file, is refused (HOSTILE T-102).
func OpenKeyLog(path string) (*FileKeyLog, error) {
	f, err := store.OpenPrivate(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("keylog: %w", err)
	}
	info, err := f.Stat()
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // Windows has no such modes
		err = fmt.Errorf("keylog: %s: others may read it (%#o); set its mode to %#o or remove it", path, info.Mode().Perm(), keyLogMode)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &FileKeyLog{w: f}, nil
}

// Write appends the records of one event.
func (l *FileKeyLog) Write(k *ike.Keys, ev ike.Event) error {
	if k == nil {
		return errors.New("keylog: an event without keys")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.w, KeyLogLines(k, ev))
	return err
}

// Close ends the log.
func (l *FileKeyLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Close()
}

// KeyLogLines formats the records of one event. A suite that tshark does not know becomes a comment without keys.
func KeyLogLines(k *ike.Keys, ev ike.Event) string {
	var b strings.Builder
	if !k.SKei.IsZero() {
		encr, integ, ok := tsharkIKE(k.IKE)
		if ok {
			fmt.Fprintf(&b, "uat:ikev2_decryption_table:%016x,%016x,%s,%s,%q,%s,%s,%q\n", ev.SPIi, ev.SPIr,
				keyHex(k.SKei), keyHex(k.SKer), encr, keyHex(k.SKai), keyHex(k.SKar), integ)
		} else {
			fmt.Fprintf(&b, "# IKE SA %016x %016x: tshark does not know %s\n", ev.SPIi, ev.SPIr, k.IKE)
		}
	}
	if k.SPIIn == 0 && k.SPIOut == 0 {
		return b.String()
	}
	encr, integ, ok := tsharkESP(k.ESP)
	if !ok {
		fmt.Fprintf(&b, "# ESP SPIs %08x %08x: tshark does not know %s\n", k.SPIIn, k.SPIOut, k.ESP)
		return b.String()
	}
	family := "IPv4"
	if a := ev.Path.Remote.Addr(); a.Is6() && !a.Is4In6() {
		family = "IPv6"
	}
	for _, sa := range []struct {
		spi         uint32
		encr, integ secret.Key
	}{{k.SPIIn, k.EncrIn, k.IntegIn}, {k.SPIOut, k.EncrOut, k.IntegOut}} {
		// The addresses are wildcards: an SA follows its peer through NATs.
		fmt.Fprintf(&b, "uat:esp_sa:%q,%q,%q,\"0x%08x\",%q,\"0x%s\",%q,%q\n", family, "*", "*", sa.spi, encr, keyHex(sa.encr),
			integ, integHex(sa.integ))
	}
	return b.String()
}

func keyHex(k secret.Key) string { return hex.EncodeToString(k.Bytes()) }

func integHex(k secret.Key) string {
	if k.IsZero() {
		return ""
	}
	return "0x" + keyHex(k)
}

// tsharkIKE gives the names of the table ikev2_decryption_table.
func tsharkIKE(s suite.IKE) (encr, integ string, ok bool) {
	switch s.Encr {
	case suite.EncrAESGCM12, suite.EncrAESGCM16:
		return fmt.Sprintf("AES-GCM-%d with %d octet ICV [RFC5282]", s.EncrBits, s.Encr.ICVLen()), "NONE [RFC4306]", true
	case suite.EncrAESCCM8, suite.EncrAESCCM12, suite.EncrAESCCM16:
		return fmt.Sprintf("AES-CCM-%d with %d octet ICV [RFC5282]", s.EncrBits, s.Encr.ICVLen()), "NONE [RFC4306]", true
	case suite.EncrAESCBC:
		names := map[suite.Integ]string{
			suite.IntegHMACSHA196: "HMAC_SHA1_96 [RFC2404]", suite.IntegHMACSHA2256128: "HMAC_SHA2_256_128 [RFC4868]",
			suite.IntegHMACSHA2384192: "HMAC_SHA2_384_192 [RFC4868]", suite.IntegHMACSHA2512256: "HMAC_SHA2_512_256 [RFC4868]",
		}
		integ, ok = names[s.Integ]
		return fmt.Sprintf("AES-CBC-%d [RFC3602]", s.EncrBits), integ, ok
	}
	return "", "", false
}

// tsharkESP gives the names of the table esp_sa; lab/judge proves them. It has no CCM, GMAC, ChaCha20 and AES MACs.
func tsharkESP(s suite.ESP) (encr, integ string, ok bool) {
	encr = map[suite.Encr]string{
		suite.EncrNULL: "NULL", suite.Encr3DESCBC: "TripleDES-CBC [RFC2451]", suite.EncrAESCBC: "AES-CBC [RFC3602]",
		suite.EncrAESCTR: "AES-CTR [RFC3686]", suite.EncrAESGCM12: "AES-GCM with 12 octet ICV [RFC4106]",
		suite.EncrAESGCM16: "AES-GCM with 16 octet ICV [RFC4106]",
	}[s.Encr]
	integ = map[suite.Integ]string{
		suite.IntegNone: "NULL", suite.IntegHMACMD596: "HMAC-MD5-96 [RFC2403]", suite.IntegHMACSHA196: "HMAC-SHA-1-96 [RFC2404]",
		suite.IntegHMACSHA225696:  "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
		suite.IntegHMACSHA2256128: "HMAC-SHA-256-128 [RFC4868]", suite.IntegHMACSHA2384192: "HMAC-SHA-384-192 [RFC4868]",
		suite.IntegHMACSHA2512256: "HMAC-SHA-512-256 [RFC4868]",
	}[s.Integ]
	return encr, integ, encr != "" && integ != ""
}

// keyWriter writes keys to the operator's log on a goroutine of its own: a disk must not make a shard wait.
type keyWriter struct {
	log  KeyLog
	c    chan ike.Event
	done chan struct{}
	fail func(error)
}

// maxQueuedKeys is how many keys may wait for the disk.
const maxQueuedKeys = 4096

func newKeyWriter(log KeyLog, fail func(error)) *keyWriter {
	w := &keyWriter{log: log, c: make(chan ike.Event, maxQueuedKeys), done: make(chan struct{}), fail: fail}
	go func() {
		defer close(w.done)
		for ev := range w.c {
			if err := w.log.Write(ev.Keys, ev); err != nil {
				w.fail(err)
			}
		}
	}()
	return w
}

// put hands an event with copies of its keys over; the machine may wipe its own at any time.
func (w *keyWriter) put(ev ike.Event) {
	if ev.Keys == nil {
		return
	}
	k := *ev.Keys
	for _, key := range []*secret.Key{&k.SKei, &k.SKer, &k.SKai, &k.SKar, &k.EncrIn, &k.EncrOut, &k.IntegIn, &k.IntegOut} {
		*key = key.Clone()
	}
	ev.Keys = &k
	select {
	case w.c <- ev:
	default:
		w.fail(errors.New("keys were not written: too many wait for the disk"))
	}
}

// close writes what waits.
func (w *keyWriter) close() {
	close(w.c)
	<-w.done
}
