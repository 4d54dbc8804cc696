// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transcripts in files: each case has a line "=== name" and its conversation behind it.

package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const caseMark = "=== "

// path is where a transcript of Linux lies.
func (g Group) path() string { return filepath.Join("testdata", "linux", g.Name+".txt") }

// readTranscript reads the conversations of a file by the names of their cases. A missing file has none.
func readTranscript(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for part := range strings.SplitSeq("\n"+string(b), "\n"+caseMark) {
		title, text, _ := strings.Cut(part, "\n")
		if title = strings.TrimSpace(title); title == "" {
			continue
		}
		if _, twice := all[title]; twice {
			return nil, fmt.Errorf("%s: case %q: twice", path, title)
		}
		all[title] = strings.TrimRight(text, "\n") + "\n"
	}
	return all, nil
}

// format is the file of a group.
func format(cases []Case, text func(Case) string) []byte {
	var b strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&b, "%s%s\n%s\n", caseMark, c.Name, text(c))
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}

// difference is the first line in which two conversations differ, with what is around it.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i < len(w) && i < len(g) && w[i] == g[i] {
			continue
		}
		from := max(0, i-3)
		part := func(list []string) string {
			return strings.Join(list[min(from, len(list)):min(i+8, len(list))], "\n\t")
		}
		return fmt.Sprintf("line %d\n   kernel:\n\t%s\n   other:\n\t%s", i+1, part(w), part(g))
	}
	return ""
}
