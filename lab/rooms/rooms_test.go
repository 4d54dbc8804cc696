// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package rooms

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const tree = "../.."

type listed struct {
	ImportPath, Dir string
	Error           *struct{ Err string }
}

// packages lists the module's packages. It needs no network: the list is of folders, dependencies are not resolved.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-find", "-json=ImportPath,Dir,Error", "./...")
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "GOPROXY=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// files parses all Go files of a package, of every system and tag. Tests are held to the rule of direction only.
func files(t *testing.T, fset *token.FileSet, dir string, tests bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var list []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		list = append(list, f)
	}
	return list
}

func imports(f *ast.File) []string {
	var paths []string
	for _, i := range f.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func TestImportsGoDown(t *testing.T) {
	fset := token.NewFileSet()
	for _, p := range packages(t) {
		if _, ok := roomOf(p.ImportPath); !ok {
			t.Errorf("%s: in no room; docs/ARCHITECTURE.md says which there are", p.ImportPath)
			continue
		}
		for _, f := range files(t, fset, p.Dir, false) {
			for _, to := range imports(f) {
				why := ""
				if to == module || strings.HasPrefix(to, module+"/") {
					why = refuse(p.ImportPath, to)
				} else {
					why = refuseOutside(p.ImportPath, to)
				}
				if why != "" {
					t.Errorf("%s imports %s: %s", fset.Position(f.Pos()), to, why)
				}
			}
		}
		for _, f := range files(t, fset, p.Dir, true) {
			for _, to := range imports(f) {
				if r, _ := roomOf(p.ImportPath); strings.HasPrefix(to, module+"/") && r.name != "lab" && refuse(p.ImportPath, to) != "" {
					t.Errorf("%s imports %s: %s (a test that needs more than its room belongs in lab)", fset.Position(f.Pos()), to, refuse(p.ImportPath, to))
				}
			}
		}
	}
}

func TestPureRoomsArePure(t *testing.T) {
	for _, p := range packages(t) {
		if r, _ := roomOf(p.ImportPath); !r.pure {
			continue
		}
		fset := token.NewFileSet()
		for _, what := range impurities(fset, files(t, fset, p.Dir, false)) {
			t.Error(what)
		}
	}
}

func TestEveryFileNamesItsLicence(t *testing.T) {
	const line = "// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.\n\n"
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != tree:
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && !strings.HasPrefix(string(b), line) {
			t.Errorf("%s: must begin with the copyright line and an empty line", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"daemon", "ike/ikev2", true},
		{"ike/ikev2", "wire/ikev2msg", true},
		{"ike/ikev2", "ipsec/sadb", false},
		{"wire/natt", "ike", false},
		{"port/udp", "daemon", false},
		{"daemon", "lab/netlab", false},
		{"ike/mux", "ike/ikev1", true},
		{"ike/ikev2", "ike/ikev1", false},
		{"daemon", "ike/ikev1", false},
		{"ike/ikev1", "wire/ikev1msg", true},
		{"ike/mux", "wire/ikev1msg", true},
		{"lab/scripts", "wire/ikev1msg", true},
		{"ike/ikev2", "wire/ikev1msg", false},
		{"daemon", "wire/ikev1msg", false},
		{"wire/natt", "wire/ikev1msg", false},
		{"util", "wire", false},
	} {
		if got := refuse(module+"/"+c.from, module+"/"+c.to); (got == "") != c.ok {
			t.Errorf("%s -> %s: %q", c.from, c.to, got)
		}
	}
	for _, c := range []struct {
		from, path string
		ok         bool
	}{
		{"ike", "net/netip", true}, {"ike", "net", false}, {"crypt/secret", "log/slog", true}, {"wire", "log/slog", false},
		{"ipsec/esp", "sync", true}, {"ike/mux", "sync", false}, {"port/udp", "net", true}, {"port/udp", "math/rand/v2", false},
		{"lab/simnet", "math/rand/v2", true}, {"port/natbox/nat", "math/rand/v2", true}, {"port/natboxes", "math/rand/v2", false},
		{"daemon", "gvisor.dev/gvisor/pkg/tcpip", false}, {"port/netstack", "gvisor.dev/gvisor/pkg/tcpip", true},
	} {
		if got := refuseOutside(module+"/"+c.from, c.path); (got == "") != c.ok {
			t.Errorf("%s -> %s: %q", c.from, c.path, got)
		}
	}
}

func TestImpuritiesAreFound(t *testing.T) {
	const src = `package p
import ("errors"; "time")
var ErrX = errors.New("x")
var _ error = ErrX
var table = [...]int{1, 2}
var cache = map[int]int{}
var Exported = [2]int{}
var sum [2]int
func init() {}
func f(c chan int) { go f(c); c <- 1; _ = time.Now(); sum[0]++; ErrX = nil }
func g() { table := []int{}; table[0] = 1; var cache int; cache++; _ = cache }
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(impurities(fset, []*ast.File{f}), "\n")
	for _, want := range []string{
		"p.go:6:5: package variable cache", "p.go:7:5: package variable Exported", "p.go:9:1: init()", "p.go:10:10: channel",
		"p.go:10:22: go statement", "p.go:10:31: channel", "time.Now", "variable sum is changed", "variable ErrX is changed",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not found: %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 9 {
		t.Errorf("%d findings, want 9:\n%s", n, got)
	}
}
