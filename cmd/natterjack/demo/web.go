// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The small web server behind the gateway. It sends octets nobody can guess or compress until the story is told, and their
// SHA-256 in a trailer; the client counts and hashes what arrives.

package demo

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	chunk = 32 << 10
	// digestTrailer carries the SHA-256 of the body.
	digestTrailer = "Content-Sha256"
	// stallLimit is how long not one octet may arrive before the download is given up: longer than the keepalive interval
	// plus TCP's next retransmission, after which a working tunnel delivers again.
	stallLimit = 8 * time.Second
)

// web is the server. enough is set when the story is told and at least that many octets are out.
type web struct {
	server *http.Server
	addr   netip.AddrPort
	least  int64
	enough atomic.Bool
	done   chan struct{}
}

func newWeb(least int64) (*web, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("web server: %w", err)
	}
	w := &web{least: least, addr: l.Addr().(*net.TCPAddr).AddrPort(), done: make(chan struct{})}
	w.server = &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(w.done)
		_ = w.server.Serve(l) // ErrServerClosed
	}()
	return w, nil
}

func (w *web) close() {
	w.server.Close()
	<-w.done
}

// ServeHTTP sends the stream.
func (w *web) ServeHTTP(out http.ResponseWriter, _ *http.Request) {
	out.Header().Set("Trailer", digestTrailer)
	out.Header().Set("Content-Type", "application/octet-stream")
	source := octets()
	sum := sha256.New()
	buf := make([]byte, chunk)
	for sent := int64(0); sent < w.least || !w.enough.Load(); sent += chunk {
		source.XORKeyStream(buf, buf)
		sum.Write(buf)
		if _, err := out.Write(buf); err != nil {
			return
		}
	}
	out.Header().Set(digestTrailer, hex.EncodeToString(sum.Sum(nil)))
}

// octets is a stream that cannot be compressed and is the same every time; nothing of it is secret.
func octets() cipher.Stream {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err) // 16 octets are a key
	}
	return cipher.NewCTR(block, make([]byte, aes.BlockSize))
}

// download is one request whose progress others may watch.
type download struct {
	octets atomic.Int64
	result chan error
	sum    hash.Hash
	took   time.Duration
	digest string
}

// dialer is the TCP of the inner network.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// start begins to download url.
func startDownload(ctx context.Context, dial dialer, url string) *download {
	d := &download{result: make(chan error, 1), sum: sha256.New()}
	go func() { d.result <- d.run(ctx, dial, url) }()
	return d
}

func (d *download) run(ctx context.Context, dial dialer, url string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	stalled := time.AfterFunc(stallLimit, func() {
		cancel(fmt.Errorf("not one octet arrived for %s, after %s", stallLimit, mib(d.octets.Load())))
	})
	defer stalled.Stop()
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	buf := make([]byte, chunk)
	for {
		n, err := resp.Body.Read(buf)
		d.sum.Write(buf[:n])
		d.octets.Add(int64(n))
		stalled.Reset(stallLimit)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cause(ctx, err)
		}
	}
	d.took = time.Since(begin)
	d.digest = hex.EncodeToString(d.sum.Sum(nil))
	if want := resp.Trailer.Get(digestTrailer); want != d.digest {
		return fmt.Errorf("SHA-256 of what arrived is %s, of what was sent %s", d.digest, want)
	}
	return nil
}

// cause prefers why the request was cancelled to the fact that it was.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

func mib(octets int64) string { return fmt.Sprintf("%.1f MiB", float64(octets)/(1<<20)) }
