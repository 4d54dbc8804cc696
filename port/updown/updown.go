// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package updown runs a child's updown command when its SAs come up and go down. No shell of ours is involved: the
// configured command is split into words, the first is an absolute path, and what the peer had a say in (identities,
// addresses) travels in environment variables only, after validation (HOSTILE T-099). Every run has a deadline, and what
// it prints is bounded.
//
// The variables are the PLUTO_* ones that existing scripts read; Environ documents each.
package updown

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// Limit is how long a command may take unless the caller says otherwise.
	Limit = 10 * time.Second
	// outputLimit is how much of what it prints is kept for the log.
	outputLimit = 4 << 10
	// wordLimit bounds the words of a command line.
	wordLimit = 64
)

// Split splits a command line into words at blanks. Single and double quotes keep a word together; inside double quotes
// and outside of any, a backslash takes the next character as it is. What only a shell would understand is refused, so that
// nobody believes it works.
func Split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, started, escaped := rune(0), false, false
	for _, c := range line {
		switch {
		case c < ' ' && c != '\t':
			return nil, fmt.Errorf("updown: control character %#x", c)
		case escaped:
			word.WriteRune(c)
			escaped = false
		case quote != '\'' && c == '\\':
			escaped, started = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
		case strings.ContainsRune("|&;<>()$`*?[]#~", c):
			return nil, fmt.Errorf("updown: %q needs a shell, and none is started: put it into a script, or in quotes", c)
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("updown: a quote or backslash is left open")
	}
	if started {
		words = append(words, word.String())
	}
	return words, checkWords(words)
}

func checkWords(words []string) error {
	switch {
	case len(words) == 0:
		return errors.New("updown: empty command")
	case len(words) > wordLimit:
		return fmt.Errorf("updown: %d words, at most %d", len(words), wordLimit)
	case !filepath.IsAbs(words[0]):
		return fmt.Errorf("updown: %q is not an absolute path", words[0])
	}
	return nil
}

// checkProgram refuses a program that others than its owner could have written.
func checkProgram(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("updown: %w", err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("updown: %s is not a program", path)
	}
	if hasModes && st.Mode().Perm()&fs.FileMode(0o002) != 0 {
		return fmt.Errorf("updown: everybody can write to %s (mode %04o)", path, st.Mode().Perm())
	}
	return nil
}

// Run runs argv once with the variables of v and nothing else in its environment but PATH. It returns what the command
// printed, at most outputLimit octets, made safe for one log line. At the deadline the command and its children are killed.
func Run(ctx context.Context, argv []string, v Vars, limit time.Duration) (output string, err error) {
	if err := checkWords(argv); err != nil {
		return "", err
	}
	if err := checkProgram(argv[0]); err != nil {
		return "", err
	}
	if limit <= 0 {
		limit = Limit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, v.Environ()...)
	cmd.Dir = string(filepath.Separator)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	// A grandchild that keeps our pipe open does not keep us.
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("updown: %s: not done after %s, killed", argv[0], limit)
	case err != nil:
		err = fmt.Errorf("updown: %s: %w", argv[0], err)
	}
	return clean(out.b.String()), err
}

// tail keeps the first outputLimit octets and takes the rest without keeping it.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p[:min(len(p), outputLimit-t.b.Len())])
	return len(p), nil
}

// clean makes text fit one log line.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return ' '
		}
		return r
	}, s))
}
