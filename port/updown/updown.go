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
	"slices"
	"strings"
	"time"

	"github.com/natterjack/natterjack/port/store"
)

const (
	// Limit is how long a command may take unless the caller says otherwise.
	Limit = 10 * time.Second
	// outputLimit is how much of what it prints is kept for the log.
	outputLimit = 4 << 10
	// wordLimit bounds the words of a command line.
	wordLimit = 64
	// waitDelay is how long after a command's end its output is waited for.
	waitDelay = 200 * time.Millisecond
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
	return checkOwner(path, st)
}

// Kind is the kind of store.Undo that Undo of this package understands.
const Kind = "updown"

// Command is one run of a configured command.
type Command struct {
	argv []string
	env  []string // PLUTO_* only
	verb string
}

// NewCommand makes the run of argv (from Split) for v.
func NewCommand(argv []string, v Vars) Command {
	return Command{argv: argv, env: v.Environ(), verb: v.Verb()}
}

// Verb is what the command is told has happened.
func (c Command) Verb() string { return c.verb }

// Equal reports whether two runs are of the same command with the same variables.
func (c Command) Equal(o Command) bool {
	return slices.Equal(c.argv, o.argv) && slices.Equal(c.env, o.env)
}

// Undo is the record by which a later process runs this command.
func (c Command) Undo() store.Undo {
	return store.Undo{Kind: Kind, Name: c.argv[0], Args: map[string]string{
		"argv": strings.Join(c.argv, "\x00"), "env": strings.Join(c.env, "\x00"), "verb": c.verb,
	}}
}

// Undo runs the recorded command of a daemon that died before it could. The record is held to what NewCommand makes, and the
// program to what Run demands of it: the journal gives nobody a right that the configuration does not.
func Undo(ctx context.Context, u store.Undo) error {
	if u.Kind != Kind {
		return fmt.Errorf("journal: kind %q is not ours", u.Kind)
	}
	c := Command{argv: strings.Split(u.Args["argv"], "\x00"), env: strings.Split(u.Args["env"], "\x00"), verb: u.Args["verb"]}
	for _, v := range c.env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !strings.HasPrefix(name, "PLUTO_") || harmless(name) != name || harmless(value) != value {
			return fmt.Errorf("journal: variable %.40q is not one of ours", v)
		}
	}
	if _, err := os.Stat(c.argv[0]); errors.Is(err, fs.ErrNotExist) {
		return nil // the operator removed the program, and there is nothing else to call
	}
	_, err := c.Run(ctx, 0)
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return nil // it ran, and would fail the next time as well
	}
	return err
}

// Run runs the command once with its variables and nothing else in its environment but PATH. It returns what the command
// printed, at most outputLimit octets, made safe for one log line. At the deadline (zero: Limit) the command and its
// children are killed.
func (c Command) Run(ctx context.Context, limit time.Duration) (output string, err error) {
	if err := checkWords(c.argv); err != nil {
		return "", err
	}
	if err := checkProgram(c.argv[0]); err != nil {
		return "", err
	}
	if limit <= 0 {
		limit = Limit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	cmd.Dir = string(filepath.Separator)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	// A grandchild that keeps our pipe open does not keep us.
	cmd.WaitDelay = waitDelay
	ownGroup(cmd)
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("updown: %s %s: not done in time, killed", c.argv[0], c.verb)
	case err != nil:
		err = fmt.Errorf("updown: %s %s: %w", c.argv[0], c.verb, err)
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
