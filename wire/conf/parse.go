// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The grammar of swanctl.conf (strongswan.conf(5), "FILE SYNTAX"): statements, values, sections, include. Input is the text
// of files. The parser reads octets in order, once, and never backs up over a line.

package conf

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// state is what the files of one configuration share.
type state struct {
	include Include
	stack   []string // names of the files that are being read
	files   int
	total   int
	items   int
}

// file parses one file into a section.
func (s *state) file(f File, into *section, depth int) error {
	p := &parser{state: s, name: f.Name, text: f.Text, line: 1}
	if s.files++; s.files > maxFiles {
		return p.fail("more than %d files are included", maxFiles)
	}
	if s.total += len(f.Text); len(f.Text) > maxFile || s.total > maxTotal {
		return p.fail("too large: expected at most %d octets in one file and %d in all", maxFile, maxTotal)
	}
	if err := p.checkText(); err != nil {
		return err
	}
	s.stack = append(s.stack, f.Name)
	defer func() { s.stack = s.stack[:len(s.stack)-1] }()
	return p.statements(into, depth, nil)
}

// parser is the state of one file.
type parser struct {
	*state
	name string
	text []byte
	off  int
	line int
}

func (p *parser) pos() Pos { return Pos{File: p.name, Line: p.line} }

func (p *parser) fail(format string, args ...any) error { return failAt(p.pos(), format, args...) }

func failAt(pos Pos, format string, args ...any) error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

// checkText refuses what is not UTF-8 text, naming the line.
func (p *parser) checkText() error {
	for i := 0; i < len(p.text); {
		r, n := utf8.DecodeRune(p.text[i:])
		line := func() Pos { return Pos{File: p.name, Line: 1 + bytes.Count(p.text[:i], []byte("\n"))} }
		switch {
		case r == utf8.RuneError && n <= 1:
			return failAt(line(), "expected UTF-8 text, found octet 0x%02x", p.text[i])
		case r < 0x20 && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return failAt(line(), "expected text, found control character 0x%02x", r)
		}
		i += n
	}
	return nil
}

// peek returns the next octet; ok is false at the end of the file.
func (p *parser) peek() (c byte, ok bool) {
	if p.off < len(p.text) {
		return p.text[p.off], true
	}
	return 0, false
}

// found describes what stands where something else was expected.
func (p *parser) found() string {
	c, ok := p.peek()
	switch {
	case !ok:
		return "the end of the file"
	case c == '\n':
		return "the end of the line"
	case isName(c):
		return fmt.Sprintf("%.40q", p.word())
	}
	return fmt.Sprintf("%q", string(rune(c)))
}

// word reads name octets without consuming them.
func (p *parser) word() string {
	n := p.off
	for n < len(p.text) && isName(p.text[n]) {
		n++
	}
	return string(p.text[p.off:n])
}

// isName reports whether c may stand in a name.
func isName(c byte) bool { return !strings.ContainsRune("#{}:.,=\" \t\r\n", rune(c)) }

// skip passes blanks and, with lines, also line ends and comments.
func (p *parser) skip(lines bool) {
	for {
		c, ok := p.peek()
		switch {
		case !ok:
			return
		case c == ' ' || c == '\t' || c == '\r':
			p.off++
		case lines && c == '\n':
			p.off++
			p.line++
		case lines && c == '#':
			p.comment()
		default:
			return
		}
	}
}

// comment passes the rest of the line, without its end.
func (p *parser) comment() {
	if n := bytes.IndexByte(p.text[p.off:], '\n'); n >= 0 {
		p.off += n
		return
	}
	p.off = len(p.text)
}

// statements parses the body of a section up to its "}", or of a file where open is nil.
func (p *parser) statements(into *section, depth int, open *Pos) error {
	for {
		p.skip(true)
		c, ok := p.peek()
		switch {
		case !ok && open == nil:
			return nil
		case !ok:
			return p.fail("expected \"}\" for the section %q of line %d, found the end of the file", into.name, open.Line)
		case c == '}' && open != nil:
			p.off++
			return nil
		case !isName(c):
			return p.fail("expected a name, found %s", p.found())
		}
		if err := p.statement(into, depth); err != nil {
			return err
		}
	}
}

// statement parses an assignment, a section or an include.
func (p *parser) statement(into *section, depth int) error {
	pos, name := p.pos(), p.word()
	p.off += len(name)
	if len(name) > maxName {
		return failAt(pos, "expected a name of at most %d octets, found %d", maxName, len(name))
	}
	if p.items++; p.items > maxItems {
		return failAt(pos, "too many values and sections: at most %d", maxItems)
	}
	if name == "include" {
		if p.skip(false); p.off >= len(p.text) || !strings.ContainsRune("=:{", rune(p.text[p.off])) {
			return p.includes(into, depth)
		}
	}
	p.skip(true)
	switch c, _ := p.peek(); c {
	case '=':
		p.off++
		text, some, err := p.value()
		if err != nil {
			return err
		}
		into.set(value{key: name, text: text, unset: !some, pos: pos})
		return nil
	case ':', '{':
		return p.section(into, name, pos, depth)
	}
	return p.fail("expected \"=\", \":\" or \"{\" after %q, found %s", name, p.found())
}

// section parses "name : ref, ref { … }" from after the name. A section that is there already is extended.
func (p *parser) section(into *section, name string, pos Pos, depth int) error {
	if depth >= maxDepth {
		return failAt(pos, "sections: nested deeper than %d", maxDepth)
	}
	sub := into.find(name)
	if sub == nil {
		sub = newSection(name, pos)
		into.add(sub)
	}
	if c, _ := p.peek(); c == ':' {
		if err := p.references(sub); err != nil {
			return err
		}
	}
	if c, _ := p.peek(); c != '{' {
		return p.fail("expected \"{\" after the references of %q, found %s", name, p.found())
	}
	p.off++
	return p.statements(sub, depth+1, &pos)
}

// references parses ": a.b, c" up to what follows.
func (p *parser) references(sub *section) error {
	for {
		p.off++ // the colon, or the comma
		p.skip(true)
		r := ref{pos: p.pos()}
		for {
			w := p.word()
			if w == "" {
				return p.fail("expected the name of a section, found %s", p.found())
			}
			p.off += len(w)
			r.path += w
			if c, _ := p.peek(); c != '.' {
				break
			}
			p.off++
			r.path += "."
		}
		if p.items++; p.items > maxItems {
			return p.fail("too many references: at most %d", maxItems)
		}
		sub.refs = append(sub.refs, r)
		p.skip(true)
		if c, _ := p.peek(); c != ',' {
			return nil
		}
	}
}

// value parses what follows "=": words, quoted or not, up to the end of the line, a comment or "}". some is false where
// there is no word at all.
func (p *parser) value() (text string, some bool, err error) {
	var b strings.Builder
	pos := p.pos()
	for {
		p.skip(false)
		c, ok := p.peek()
		if !ok || c == '\n' || c == '#' || c == '}' {
			break
		}
		if some {
			b.WriteByte(' ')
		}
		some = true
		if c == '"' {
			if err := p.quoted(&b); err != nil {
				return "", false, err
			}
			continue
		}
		start := p.off
		for p.off < len(p.text) && !strings.ContainsRune(" \t\r\n#}\"", rune(p.text[p.off])) {
			p.off++
		}
		if b.Write(p.text[start:p.off]); bytes.HasSuffix(p.text[start:p.off], []byte(`\`)) && p.lineEnds() {
			return "", false, p.fail("a line can be continued within quotes only, found \"\\\" at its end")
		}
	}
	if b.Len() > maxValue {
		return "", false, failAt(pos, "expected a value of at most %d octets, found %d", maxValue, b.Len())
	}
	return b.String(), some, nil
}

// lineEnds reports whether the next octet ends the line.
func (p *parser) lineEnds() bool {
	c, ok := p.peek()
	return ok && (c == '\n' || c == '\r')
}

// quoted parses a quoted text, which may go over several lines; a backslash at a line's end joins it to the next.
func (p *parser) quoted(b *strings.Builder) error {
	open := p.pos()
	for p.off++; p.off < len(p.text); p.off++ {
		c := p.text[p.off]
		switch c {
		case '"':
			p.off++
			return nil
		case '\n':
			p.line++
		case '\\':
			if p.off++; p.off == len(p.text) {
				return failAt(open, "expected the closing quotation mark, found the end of the file")
			}
			switch c = p.text[p.off]; c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case '\r':
				if p.off+1 < len(p.text) && p.text[p.off+1] == '\n' {
					p.off++
					p.line++
				}
				continue
			case '\n':
				p.line++
				continue
			}
		}
		b.WriteByte(c)
	}
	return failAt(open, "expected the closing quotation mark, found the end of the file")
}

// includes parses the pattern of an include statement and reads the files into the section it stands in.
func (p *parser) includes(into *section, depth int) error {
	pos := p.pos()
	pattern, some, err := p.value()
	switch {
	case err != nil:
		return err
	case !some || pattern == "":
		return failAt(pos, "expected a file name or pattern after include, found nothing")
	case p.include == nil:
		return failAt(pos, "include is not possible here")
	case len(p.stack) >= maxInclude:
		return failAt(pos, "include: nested deeper than %d files", maxInclude)
	}
	files, err := p.include(pattern, p.name)
	if err != nil {
		return failAt(pos, "include %.200q: %v", pattern, err)
	}
	for _, f := range files {
		for _, name := range p.stack {
			if name == f.Name {
				return failAt(pos, "include %.200q: %s includes itself", pattern, f.Name)
			}
		}
		if err := p.file(f, into, depth); err != nil {
			return err
		}
	}
	return nil
}
