// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The stages that read the code without running it: formatting, vet, staticcheck, known vulnerabilities, other systems.

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func gofmt(ctx context.Context, _ *runner) error {
	out, err := output(ctx, nil, "gofmt", "-l", ".")
	if err != nil {
		return fmt.Errorf("gofmt: %w\n%s", err, out)
	}
	if out != "" {
		fmt.Print(out)
		return fmt.Errorf("%d files are not formatted", strings.Count(out, "\n"))
	}
	return nil
}

func vet(ctx context.Context, _ *runner) error {
	if err := loud(ctx, nil, "go", "vet", "./..."); err != nil {
		return err
	}
	return loud(ctx, nil, "go", "vet", "-tags", "lab,bench,soak", "./lab/...")
}

// tool builds one of the tools module's programs and returns its path.
func (r *runner) tool(ctx context.Context, pkg string) (string, error) {
	path := filepath.Join(r.tmp, filepath.Base(pkg))
	return path, quiet(ctx, nil, "go", "-C", "tools", "build", "-o", path, pkg)
}

func staticcheck(ctx context.Context, r *runner) error {
	path, err := r.tool(ctx, "honnef.co/go/tools/cmd/staticcheck")
	if err != nil {
		return err
	}
	return loud(ctx, nil, path, "-tags", "lab,bench,soak", "./...")
}

// govulncheck uses the database in NATTERJACK_VULNDB (a .tgz) where it is set, else the public one where that answers.
func govulncheck(ctx context.Context, r *runner) error {
	args := []string{}
	switch tgz := os.Getenv("NATTERJACK_VULNDB"); {
	case tgz != "":
		dir := filepath.Join(r.tmp, "vulndb")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := quiet(ctx, nil, "tar", "-xzf", tgz, "-C", dir); err != nil {
			return err
		}
		root, err := databaseRoot(dir)
		if err != nil {
			return err
		}
		args = append(args, "-db", "file://"+root)
	case !reachable(ctx, "https://vuln.go.dev/index/db.json"):
		fmt.Println("NOT CHECKED: NATTERJACK_VULNDB is not set and vuln.go.dev does not answer from here")
		return nil
	}
	path, err := r.tool(ctx, "golang.org/x/vuln/cmd/govulncheck")
	if err != nil {
		return err
	}
	return loud(ctx, nil, path, append(args, "./...")...)
}

// databaseRoot finds the folder that holds index/db.json, at most one level down.
func databaseRoot(dir string) (string, error) {
	for _, pattern := range []string{"index/db.json", "*/index/db.json"} {
		if m, _ := filepath.Glob(filepath.Join(dir, pattern)); len(m) > 0 {
			return filepath.Dir(filepath.Dir(m[0])), nil
		}
	}
	return "", fmt.Errorf("NATTERJACK_VULNDB: no index/db.json in it")
}

func reachable(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// cross builds everything, and checks the system-dependent rooms' tests, for each platform of the README.
// cross builds everything but the labs, which are Linux's. Only the analyzers that need nothing of the dependencies run here:
// the others would compile the facts of every package for every system, and stage vet has them.
func cross(ctx context.Context, _ *runner) error {
	packages := []string{"./cmd/...", "./crypt/...", "./daemon/...", "./ike/...", "./ipsec/...", "./port/...", "./wire/..."}
	vet := append([]string{"vet", "-copylocks", "-nilfunc", "-unreachable", "-unsafeptr"}, packages...)
	for _, goos := range []string{"linux", "freebsd", "openbsd", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			env := []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + arch}
			begin := time.Now()
			if err := quiet(ctx, env, "go", append([]string{"build"}, packages...)...); err != nil {
				return fmt.Errorf("%s/%s: %w", goos, arch, err)
			}
			if err := quiet(ctx, env, "go", vet...); err != nil {
				return fmt.Errorf("%s/%s: %w", goos, arch, err)
			}
			fmt.Printf("ok  %s/%s  %.1fs\n", goos, arch, time.Since(begin).Seconds())
		}
	}
	return nil
}
