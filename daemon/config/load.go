// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reading a configuration from files: one swanctl.conf, or a folder with swanctl.conf and the folders of certificates and
// keys beside it. Files are read once, are regular, and bounded in size. A file that holds secrets and can be read by
// everybody is refused (HOSTILE T-104), and so is one that others can write.

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/wire/conf"
	"github.com/natterjack/natterjack/wire/vici"
)

const (
	// fileName is the configuration in a folder.
	fileName = "swanctl.conf"
	// maxConfFile is the parser's limit and one, so that it is the parser that refuses.
	maxConfFile = 16<<20 + 1
	// maxFolder bounds the files of one folder.
	maxFolder = 10000
)

// LoadFile reads one swanctl.conf with what it includes and names. Certificates and keys are looked for in the folders
// beside the file (x509, x509ca, private, …), then beside the file itself.
func LoadFile(path string) (*Config, error) { return load(path, false) }

// LoadDir reads DIR/swanctl.conf and, as swanctl --load-all does, everything in DIR/x509, x509ca, private, rsa, ecdsa and
// pkcs8. Without swanctl.conf the configuration is empty.
func LoadDir(dir string) (*Config, error) { return load(filepath.Join(dir, fileName), true) }

// loader is the state of one load.
type loader struct {
	dir      string
	files    []string
	open     map[string]bool // files that everybody can read
	warnings []string
}

func load(path string, folders bool) (*Config, error) {
	l := &loader{dir: filepath.Dir(path), open: map[string]bool{}}
	text, err := l.read(path, maxConfFile)
	if folders && errors.Is(err, fs.ErrNotExist) {
		if _, dirErr := os.Stat(l.dir); dirErr != nil {
			return nil, dirErr
		}
		text, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	parsed, err := conf.Parse(path, text, l.include)
	if err != nil {
		return nil, err
	}
	tree, written := parsed.Section(), parsed.Section()
	if err := l.inline(tree); err != nil {
		return nil, err
	}
	c, keys, err := Decode(tree, parsed.Templates())
	if err != nil {
		return nil, err
	}
	if err := l.checkSecrets(tree.Sub("secrets")); err != nil {
		return nil, err
	}
	if err := l.keys(c, keys, folders); err != nil {
		return nil, err
	}
	if folders {
		if err := l.certFolders(c); err != nil {
			return nil, err
		}
	}
	c.Tree, c.Files, c.Warnings = written, l.files, append(l.warnings, c.withoutKey()...)
	return c, nil
}

// read returns the contents of a regular file.
func (l *loader) read(path string, limit int64) ([]byte, error) {
	// Asked before opening, for opening a FIFO would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: expected a regular file, found %s", path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := l.checkMode(path, info.Mode()); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d octets", path, limit)
	}
	l.files = append(l.files, path)
	return b, nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// checkMode refuses what everybody can change, and remembers what everybody can read. Windows has no such modes.
func (l *loader) checkMode(path string, m fs.FileMode) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if m.Perm()&0o002 != 0 {
		return fmt.Errorf("%s: everybody can write it (mode %#o); chmod o-w", path, m.Perm())
	}
	if m.Perm()&0o020 != 0 {
		l.warnings = append(l.warnings, fmt.Sprintf("%s: its group can write it (mode %#o)", path, m.Perm()))
	}
	l.open[path] = m.Perm()&0o004 != 0
	return nil
}

// checkSecrets refuses a configuration file that everybody can read and that holds a secret.
func (l *loader) checkSecrets(secrets *vici.Section) error {
	if secrets == nil {
		return nil
	}
	for _, it := range secrets.Items {
		s := it.Sub.Find("secret")
		if s == nil {
			continue
		}
		file := s.Pos[:max(strings.LastIndexByte(s.Pos, ':'), 0)]
		if l.open[file] {
			return &Error{Pos: s.Pos, Key: "secrets." + it.Key + ".secret", Reason: "everybody can read this file; chmod 0600 it, or include the secrets from a file of their own"}
		}
	}
	return nil
}

// include reads the files of an include statement: in order of their names, as a shell expands the pattern.
func (l *loader) include(pattern, fromFile string) ([]conf.File, error) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(fromFile), pattern)
	}
	names := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if names, err = filepath.Glob(pattern); err != nil {
			return nil, err
		}
	}
	if len(names) > maxFolder {
		return nil, fmt.Errorf("%d files, at most %d", len(names), maxFolder)
	}
	var files []conf.File
	for _, name := range names {
		text, err := l.read(name, maxConfFile)
		if err != nil {
			return nil, err
		}
		files = append(files, conf.File{Name: name, Text: text})
	}
	return files, nil
}

// inline replaces the names of certificate files in the tree by the files' contents, as swanctl does before it sends them.
func (l *loader) inline(tree *vici.Section) error {
	if conns := tree.Sub("connections"); conns != nil {
		for _, conn := range conns.Items {
			if conn.Kind != vici.KindSection {
				continue
			}
			for _, side := range conn.Sub.Items {
				if side.Kind != vici.KindSection || !strings.HasPrefix(side.Key, "local") && !strings.HasPrefix(side.Key, "remote") {
					continue
				}
				path := "connections." + conn.Key + "." + side.Key
				if err := l.inlineList(side.Sub, path, "certs", "x509"); err != nil {
					return err
				}
				if err := l.inlineList(side.Sub, path, "cacerts", "x509ca"); err != nil {
					return err
				}
			}
		}
	}
	if auths := tree.Sub("authorities"); auths != nil {
		for _, a := range auths.Items {
			it := a.Sub.Find("cacert")
			if it == nil || it.Kind != vici.KindValue {
				continue
			}
			b, _, err := l.find(string(it.Value), "x509ca", 2*maxCert)
			if err != nil {
				return &Error{Pos: it.Pos, Key: "authorities." + a.Key + ".cacert", Expected: "a certificate file", Found: err.Error()}
			}
			it.Value = b
		}
	}
	return nil
}

func (l *loader) inlineList(s *vici.Section, path, key, folder string) error {
	it := s.Find(key)
	if it == nil || it.Kind != vici.KindList {
		return nil
	}
	for i, name := range it.List {
		b, _, err := l.find(string(name), folder, 2*maxCert)
		if err != nil {
			return &Error{Pos: it.Pos, Key: path + "." + key, Expected: "certificate files", Found: err.Error()}
		}
		it.List[i] = b
	}
	return nil
}

// find reads a file that the configuration names: absolute, in its folder, or beside swanctl.conf.
func (l *loader) find(name, folder string, limit int64) (b []byte, path string, err error) {
	if filepath.IsAbs(name) {
		b, err = l.read(name, limit)
		return b, name, err
	}
	path = filepath.Join(l.dir, folder, name)
	if b, err = l.read(path, limit); errors.Is(err, fs.ErrNotExist) {
		beside := filepath.Join(l.dir, name)
		if b, besideErr := l.read(beside, limit); !errors.Is(besideErr, fs.ErrNotExist) {
			return b, beside, besideErr
		}
	}
	return b, path, err
}

// keys reads the private keys that the configuration names and, with folders, all that lie in the key folders.
func (l *loader) keys(c *Config, named []KeyFile, folders bool) error {
	seen := map[string]bool{}
	for _, k := range named {
		b, path, err := l.find(k.File, k.Kind, maxKey)
		if err == nil && !seen[path] {
			seen[path] = true
			err = l.key(c, b, path, k.Passphrase)
		}
		k.Passphrase.Wipe()
		if err != nil {
			return &Error{Pos: k.Pos, Key: k.Key, Expected: "a private key", Found: err.Error()}
		}
	}
	if !folders {
		return nil
	}
	for _, kind := range []string{"private", "rsa", "ecdsa", "pkcs8"} {
		err := l.folder(kind, maxKey, func(path string, b []byte) error {
			if seen[path] {
				return nil
			}
			err := l.key(c, b, path, secret.Key{})
			if errors.Is(err, errEncrypted) {
				return fmt.Errorf("%s: expected secrets.%s.file = %s with its secret, found none for %w", path, kind, filepath.Base(path), err)
			}
			if err != nil {
				return fmt.Errorf("%s: expected a private key, found %w", path, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// key adds one private key.
func (l *loader) key(c *Config, b []byte, path string, passphrase secret.Key) error {
	defer clear(b)
	if l.open[path] {
		return fmt.Errorf("%s, which everybody can read; chmod 0600 it", path)
	}
	k, err := parseKey(b, passphrase)
	if err != nil {
		return err
	}
	k.Source = path
	c.Keys = append(c.Keys, k)
	return nil
}

// certFolders adds the certificates of the folders x509 and x509ca. Of the folders whose contents are not built, those that
// are not empty are named in a warning.
func (l *loader) certFolders(c *Config) error {
	for _, f := range []struct {
		name string
		ca   bool
	}{{"x509", false}, {"x509ca", true}} {
		err := l.folder(f.name, 2*maxCert, func(path string, b []byte) error {
			der, err := parseCert(b)
			if err != nil {
				return fmt.Errorf("%s: expected a certificate, found %w", path, err)
			}
			c.Certs = append(c.Certs, Cert{DER: der, CA: f.ca, Source: path})
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range []string{"x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "pkcs12", "bliss"} {
		if list, err := os.ReadDir(filepath.Join(l.dir, name)); err == nil && len(list) > 0 {
			l.warnings = append(l.warnings, fmt.Sprintf("%s: its files are not used: not built yet", filepath.Join(l.dir, name)))
		}
	}
	return nil
}

// folder gives every file of a folder, by name, to f. A folder that is not there has no files. Hidden files are left out.
func (l *loader) folder(name string, limit int64, f func(path string, b []byte) error) error {
	dir := filepath.Join(l.dir, name)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(list) > maxFolder {
		return fmt.Errorf("%s: %d files, at most %d", dir, len(list), maxFolder)
	}
	for _, e := range list {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := l.read(path, limit)
		if err != nil {
			return err
		}
		if err := f(path, b); err != nil {
			return err
		}
	}
	return nil
}
