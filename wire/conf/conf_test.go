// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package conf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/wire/vici"
)

// text prints a tree in one line: k=v, k=[a|b], k{…}.
func text(s *vici.Section) string {
	var b strings.Builder
	for i, it := range s.Items {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(it.Key)
		switch it.Kind {
		case vici.KindValue:
			fmt.Fprintf(&b, "=%q", it.Value)
		case vici.KindList:
			fmt.Fprintf(&b, "=[%s]", strings.Join(s.List(it.Key), "|"))
		case vici.KindSection:
			b.WriteString("{" + text(it.Sub) + "}")
		}
	}
	return b.String()
}

// TestGrammar: what stands on the right was recorded from swanctl 5.9.8 for the text on the left.
func TestGrammar(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"# only a comment", ""},
		{"a { version = 2 }\n b { version = 1 # }\n }\n", `a{version="2"} b{version="1"}`},
		{"a { version = 2; x = 3\n y = a=b:c,d.e\n}", `a{version="2; x = 3" y="a=b:c,d.e"}`},
		{"x = a \"b\" c\ny = a\"b\"c\nz = \"\"\nu = \"a\\r\\n\"\ns = a # \"x\nk=a\\nb\nw = a{b",
			`x="a b c" y="a b c" z="" u="a\r\n" s="a" k="a\\nb" w="a{b"`},
		{"id = \"C=CH, O=x, CN=\\\"q\\\"\" # c", `id="C=CH, O=x, CN=\"q\""`},
		{"updown = /bin/x a, b \"c  d\" e\\n", `updown="/bin/x a, b c  d e\\n"`},
		{"x = \"multi\nline\"\nz = \"l1\\\nl2 \\t \\q \\\\\"", `x="multi\nline" z="l1l2 \t q \\"`},
		{"s = \"l1 \\\n   l2\"\nt = \"a\\\r\nb\"", `s="l1    l2" t="ab"`},
		{"x = 1\nx = 2\nsub { x = 1\n}\nsub { y = 2\n}\ny=1", `x="2" y="1" sub{x="1" y="2"}`},
		{"q = 1\nq =\nr = # c\n", ``},
		{"a\n{ q = 1 \n} b{}\n", `a{q="1"} b{}`},
		{"q \n= 1\nk \n:\n x\n,z\n {\n}\nx {\n}\nz { \n }", `q="1" k{} x{} z{}`},
		{"q = {\n", `q="{"`},
		{"cr = a\r\nd { \r\n }\r\n", `cr="a" d{}`},
		{"include = 5\nincludex = 3\n", `include="5" includex="3"`},
		{"connections { a { vips = ,\n pools = \"p,q\" r\n local_addrs = 1.2.3.4 , 5.6.7.8,,%any\n local { groups = a b,  c\n certs=\n}\n} }",
			`connections{a{vips=[] pools=[p|q r] local_addrs=[1.2.3.4|5.6.7.8|%any] local{groups=[a b|c]}}}`},
		{"pools { p {\n addrs = a, b\n dns = 1, 2\n 25=x\n } }\nauthorities { x { crl_uris = a,b\ncacert=c,d\n} }\nsecrets { ike { pools = a,b\n} }",
			`pools{p{addrs="a, b" dns=[1|2] 25=[x]}} authorities{x{crl_uris=[a|b] cacert="c,d"}} secrets{ike{pools="a,b"}}`},
		{"a : x.y, z { q = 1 \n} x { y { q = 2\nr=3\nsub { a = b\n}\n} }\nz { r=4\ns=5\n sub { a = c\nd = e\n}\n}\n",
			`a{q="1" r="3" s="5" sub{a="b" d="e"}} x{y{q="2" r="3" sub{a="b"}}} z{r="4" s="5" sub{a="c" d="e"}}`},
		{"c : tmpl { y =\n }\ntmpl { mode = tunnel\ny = fromtmpl\n}", `c{mode="tunnel"} tmpl{mode="tunnel" y="fromtmpl"}`},
	} {
		tree, err := Parse("t.conf", []byte(c.in), nil)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if diff := cmp.Diff(c.want, text(tree.Section())); diff != "" {
			t.Errorf("%q: %s", c.in, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"}", `t.conf:1: expected a name, found "}"`},
		{"a {\n\n", `t.conf:3: expected "}" for the section "a" of line 1, found the end of the file`},
		{"a b", `t.conf:1: expected "=", ":" or "{" after "a", found "b"`},
		{"a\n\nb = 1", `t.conf:3: expected "=", ":" or "{" after "a", found "b"`},
		{"a", `t.conf:1: expected "=", ":" or "{" after "a", found the end of the file`},
		{"a.b = 1", `t.conf:1: expected "=", ":" or "{" after "a", found "."`},
		{"\"q\" = 1", `t.conf:1: expected a name, found "\""`},
		{"a : {", `t.conf:1: expected the name of a section, found "{"`},
		{"a : b. {", `t.conf:1: expected the name of a section, found " "`},
		{"a : b c {", `t.conf:1: expected "{" after the references of "a", found "c"`},
		{"x = 1\na : b {\n}", `t.conf:2: expected the absolute name of a section, found "b": there is no section "b"`},
		{"a : c.b {\n}\nc {\n}", `t.conf:1: expected the absolute name of a section, found "c.b": there is no section "b"`},
		{"a : b {\n}\nb : a {\n}", `t.conf:3: the section "b" inherits from "a", which it is part of or which inherits from it`},
		{"a {\nb : a {\n}\n}", `t.conf:2: the section "b" inherits from "a", which it is part of or which inherits from it`},
		{"a = 1\nb = x \"un\nend", `t.conf:2: expected the closing quotation mark, found the end of the file`},
		{"a = \"x\\", `t.conf:1: expected the closing quotation mark, found the end of the file`},
		{"a = b \\\n c", `t.conf:1: a line can be continued within quotes only, found "\" at its end`},
		{"a = \"1\n2\n3\"\n=", `t.conf:4: expected a name, found "="`},
		{"a = 1\nb = \xff", `t.conf:2: expected UTF-8 text, found octet 0xff`},
		{"a = 1\n\nb = \x00", `t.conf:3: expected text, found control character 0x00`},
		{"include x", `t.conf:1: include is not possible here`},
		{"include", `t.conf:1: expected a file name or pattern after include, found nothing`},
		{strings.Repeat("a { ", 40), `t.conf:1: sections: nested deeper than 12`},
		{strings.Repeat("k", 256) + " = 1", `t.conf:1: expected a name of at most 255 octets, found 256`},
		{"k = " + strings.Repeat("v", 65536), `t.conf:1: expected a value of at most 65535 octets, found 65536`},
	} {
		_, err := Parse("t.conf", []byte(c.in), nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%.60q:\n got %v\nwant %s", c.in, err, c.want)
		}
	}
}

func TestPositions(t *testing.T) {
	tree, err := Parse("t.conf", []byte("\nconnections {\n a : tmpl {\n  x = \"1\n2\"\n  y = 2\n}\n}\ntmpl {\n z = 1\n}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := tree.Section().Sub("connections")
	for key, want := range map[string]string{"x": "t.conf:4", "y": "t.conf:6", "z": "t.conf:10"} {
		if got := a.Sub("a").Find(key).Pos; got != want {
			t.Errorf("%s: %s, expected %s", key, got, want)
		}
	}
	if a.Find("a").Pos != "t.conf:3" {
		t.Error(a.Find("a").Pos)
	}
}

// TestInclude: settings are added to the section that the statement stands in; what comes later replaces.
func TestInclude(t *testing.T) {
	files := map[string]string{
		"inc":   "# to section-one\nsomevalue = asdf\nsubsection {\n othervalue = yyy\n}\nyetanother = zz\n",
		"other": "section-one {\n subsection {\n  othervalue = xxx\n }\n}\nsection-two {\n x = 12\n}\n",
		"cycle": "include cycle2\n", "cycle2": "\ninclude cycle\n", "broken": "\n\na b\n",
	}
	include := func(pattern, from string) ([]File, error) {
		if pattern == "two" {
			return []File{{"inc", []byte(files["inc"])}, {"other", []byte(files["other"])}}, nil
		}
		if strings.HasPrefix(pattern, "deep") {
			return []File{{pattern, []byte("include " + pattern + "x")}}, nil
		}
		f, ok := files[pattern]
		if !ok {
			return nil, fmt.Errorf("no such file (from %s)", from)
		}
		return []File{{pattern, []byte(f)}}, nil
	}
	tree, err := Parse("main", []byte("a = b\nsection-one {\n somevalue = before include\n include inc\n}\ninclude \"other\" # c\n"), include)
	if err != nil {
		t.Fatal(err)
	}
	want := `a="b" section-one{somevalue="asdf" yetanother="zz" subsection{othervalue="xxx"}} section-two{x="12"}`
	if diff := cmp.Diff(want, text(tree.Section())); diff != "" {
		t.Error(diff)
	}
	if pos := tree.Section().Sub("section-one").Sub("subsection").Find("othervalue").Pos; pos != "other:3" {
		t.Error(pos)
	}
	if _, err := Parse("main", []byte("include two"), include); err != nil {
		t.Error(err)
	}
	for in, want := range map[string]string{
		"include cycle":  `cycle2:2: include "cycle": cycle includes itself`,
		"\ninclude nope": `main:2: include "nope": no such file (from main)`,
		"include broken": `broken:3: expected "=", ":" or "{" after "a", found "b"`,
		"include deep":   `deep` + strings.Repeat("x", maxInclude-2) + `:1: include: nested deeper than 16 files`,
	} {
		if _, err := Parse("main", []byte(in), include); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, expected %s", in, err, want)
		}
	}
	many := func(pattern, from string) ([]File, error) { return make([]File, maxFiles+1), nil }
	if _, err := Parse("main", []byte("include x"), many); err == nil {
		t.Error("any number of files may be included")
	}
}

// TestGrowth: a few lines of inheritance cannot make a tree that fills the memory.
func TestGrowth(t *testing.T) {
	wide := "s0 {\n k = 1\n}\n"
	for i := 1; i < 60; i++ {
		wide += fmt.Sprintf("s%d {\n", i)
		for j := range 10 {
			wide += fmt.Sprintf("c%d : s%d {\n}\n", j, i-1)
		}
		wide += "}\n"
	}
	if _, err := Parse("t.conf", []byte(wide), nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("sections that multiply: %v", err)
	}
	var chain strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&chain, "s%d : s%d {\n}\n", i, i+1)
	}
	chain.WriteString("s5000 {\n}\n")
	if _, err := Parse("t.conf", []byte(chain.String()), nil); err == nil || !strings.Contains(err.Error(), "through more than") {
		t.Errorf("a long chain: %v", err)
	}
	flat := "base {\n" + strings.Repeat("k = 1\n", 10)
	for i := range 2000 {
		flat += fmt.Sprintf("k%d = 1\n", i)
	}
	flat += "}\n"
	for i := range 2000 {
		flat += fmt.Sprintf("s%d : base {\n}\n", i)
	}
	if _, err := Parse("t.conf", []byte(flat), nil); err == nil || !strings.Contains(err.Error(), "inheritance makes") {
		t.Errorf("a large section inherited often: %v", err)
	}
	if _, err := Parse("t.conf", make([]byte, maxFile+1), nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a large file: %v", err)
	}
}

// FuzzParse: no input makes it panic; what is accepted can be sent through VICI and comes back the same.
func FuzzParse(f *testing.F) {
	f.Add("connections {\n a : t {\n local_addrs = 1.2.3.4, \"x y\" # c\n}\n}\nt { b =\n}\ninclude x\n")
	f.Add("a : b.c, d { k = \"v\\\n\\t\" w }\nb { c { } } d { }")
	f.Add("a{b{c=}}")
	f.Fuzz(func(t *testing.T, in string) {
		tree, err := Parse("f", []byte(in), func(pattern, from string) ([]File, error) {
			return []File{{Name: pattern, Text: []byte("x = 1\ny { z = 2\n}\n")}}, nil
		})
		if err != nil {
			if !strings.Contains(err.Error(), ":") {
				t.Fatalf("%q: no position in %q", in, err)
			}
			return
		}
		s := tree.Section()
		b, err := s.Append(nil)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		again, err := vici.Parse(b)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if diff := cmp.Diff(text(s), text(again)); diff != "" {
			t.Fatal(diff)
		}
	})
}
