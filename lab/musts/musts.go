// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Command musts makes docs/MUSTS.md: each MUST of RFC 3948, RFC 3947, RFC 7296 Section 2.23 and RFC 4303 Section 3, the line
// of code that does it, and the test that fails without it. Its input is lab/musts/musts.txt and the tree; a requirement
// without a line or without a test is an error, and so is a table that is out of date (musts_test.go).
//
//	go run ./lab/musts
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// must is one requirement.
type must struct {
	line    int // in musts.txt
	rfc     string
	section string
	text    string
	// file and anchor are where it is done: the one line of file that contains anchor.
	file, anchor string
	// dir and test are the test: a function of a _test.go file in dir.
	dir, test string
}

// parse reads musts.txt: groups of "RFC n, Section m: text", "code: file: anchor" and "test: dir.TestName".
func parse(in io.Reader) ([]must, error) {
	var list []must
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		key, rest, found := strings.Cut(text, ": ")
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
		case strings.HasPrefix(text, "RFC ") && found:
			rfc, section, ok := strings.Cut(key, ", Section ")
			if !ok {
				return nil, fmt.Errorf("musts.txt:%d: expected \"RFC n, Section m: …\"", n)
			}
			list = append(list, must{line: n, rfc: rfc, section: section, text: rest})
		case len(list) == 0 || !found:
			return nil, fmt.Errorf("musts.txt:%d: expected a requirement", n)
		case key == "code":
			m := &list[len(list)-1]
			if m.file, m.anchor, found = strings.Cut(rest, ": "); !found {
				return nil, fmt.Errorf("musts.txt:%d: expected \"code: file: text of the line\"", n)
			}
		case key == "test":
			m := &list[len(list)-1]
			if m.dir, m.test, found = strings.Cut(rest, "."); !found {
				return nil, fmt.Errorf("musts.txt:%d: expected \"test: folder.TestName\"", n)
			}
		default:
			return nil, fmt.Errorf("musts.txt:%d: %q is neither code nor test", n, key)
		}
	}
	return list, lines.Err()
}

// where returns the number of the one line of the file that contains the anchor.
func (m must) where(root string) (int, error) {
	if m.file == "" {
		return 0, fmt.Errorf("musts.txt:%d: %s, Section %s: no line of code", m.line, m.rfc, m.section)
	}
	b, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return 0, fmt.Errorf("musts.txt:%d: %w", m.line, err)
	}
	at := 0
	for i, line := range strings.Split(string(b), "\n") {
		if !strings.Contains(line, m.anchor) {
			continue
		}
		if at != 0 {
			return 0, fmt.Errorf("musts.txt:%d: %s: lines %d and %d both contain %q", m.line, m.file, at, i+1, m.anchor)
		}
		at = i + 1
	}
	if at == 0 {
		return 0, fmt.Errorf("musts.txt:%d: %s: no line contains %q", m.line, m.file, m.anchor)
	}
	return at, nil
}

// tested returns the file and line of the test.
func (m must) tested(root string) (string, int, error) {
	if m.test == "" {
		return "", 0, fmt.Errorf("musts.txt:%d: %s, Section %s: no test", m.line, m.rfc, m.section)
	}
	names, err := filepath.Glob(filepath.Join(root, m.dir, "*_test.go"))
	if err != nil {
		return "", 0, err
	}
	for _, name := range names {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return "", 0, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == m.test {
				return m.dir + "/" + filepath.Base(name), fset.Position(fn.Pos()).Line, nil
			}
		}
	}
	return "", 0, fmt.Errorf("musts.txt:%d: no test %s in %s", m.line, m.test, m.dir)
}

const head = `# The MUSTs

Each MUST of RFC 3948, RFC 3947, RFC 7296 Section 2.23 and RFC 4303 Section 3, in our words; the line that does it; the test that
fails without it. Made by ` + "`go run ./lab/musts`" + ` from lab/musts/musts.txt; a MUST without a line or without a test fails CI.
RFC 3947 is about IKEv1, which this version refuses: where a rule of it is one of IKEv2 too, that is what the row shows.
`

// table renders docs/MUSTS.md; problems are what is missing.
func table(root string, list []must) (text string, problems []error) {
	var b strings.Builder
	b.WriteString(head)
	rfc := ""
	for _, m := range list {
		if m.rfc != rfc {
			rfc = m.rfc
			fmt.Fprintf(&b, "\n## %s\n\n| Section | what | code | test |\n|---|---|---|---|\n", rfc)
		}
		line, err := m.where(root)
		if err != nil {
			problems = append(problems, err)
		}
		file, testLine, err := m.tested(root)
		if err != nil {
			problems = append(problems, err)
		}
		fmt.Fprintf(&b, "| %s | %s | [%s:%d](../%s#L%d) | [%s](../%s#L%d) |\n",
			m.section, m.text, m.file, line, m.file, line, m.test, file, testLine)
	}
	return b.String(), problems
}

func load(root string) ([]must, error) {
	f, err := os.Open(filepath.Join(root, "lab", "musts", "musts.txt"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

func main() {
	list, err := load(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	text, problems := table(".", list)
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
	if err := os.WriteFile(filepath.Join("docs", "MUSTS.md"), []byte(text), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
