// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package updown

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "updown")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DAEMON", "x")
	path := script(t, "echo \"$PLUTO_VERB $1 ${SECRET_OF_THE_DAEMON-none}\"; pwd\n", 0o700)
	out, err := NewCommand([]string{path, "a b;c"}, vars()).Run(context.Background(), 0)
	if err != nil || out != "up-client a b;c none /" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestRunOutputIsBoundedAndClean(t *testing.T) {
	path := script(t, "printf 'a\\033[31mb\\n'; i=0; while [ $i -lt 2000 ]; do echo xxxxxxxxxx; i=$((i+1)); done; exit 3\n", 0o700)
	out, err := NewCommand([]string{path}, vars()).Run(context.Background(), 0)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || len(out) > outputLimit || strings.ContainsAny(out, "\n\x1b") {
		t.Errorf("%d octets, %v", len(out), err)
	}
}

func TestRunHasADeadline(t *testing.T) {
	path := script(t, "sleep 600 & sleep 600\n", 0o700)
	begin := time.Now()
	_, err := NewCommand([]string{path}, vars()).Run(context.Background(), 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "killed") || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestRunRefusesWhatOthersCanWrite(t *testing.T) {
	if _, err := NewCommand([]string{script(t, "true\n", 0o777)}, vars()).Run(context.Background(), 0); err == nil {
		t.Error("a world-writable program was run")
	}
	if _, err := NewCommand([]string{"/"}, vars()).Run(context.Background(), 0); err == nil {
		t.Error("a folder was run")
	}
}

// A crash left an up without a down: the record runs it, and only what could have been recorded.
func TestUndo(t *testing.T) {
	dir := t.TempDir()
	path := script(t, "echo \"$PLUTO_VERB $1\" > \"$2\"\n", 0o700)
	v := vars()
	v.Up = false
	u := NewCommand([]string{path, "a b", filepath.Join(dir, "out")}, v).Undo()
	if err := Undo(context.Background(), u); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "out")); string(b) != "down-client a b\n" {
		t.Errorf("%q", b)
	}
	for _, env := range []string{"LD_PRELOAD=x", "PLUTO_X=$(x)", "PLUTO_X", "PLUTO_X=a\nb", "", "PLUTO_;=a"} {
		bad := u
		bad.Args = map[string]string{"argv": u.Args["argv"], "env": env}
		if Undo(context.Background(), bad) == nil {
			t.Errorf("%q was run", env)
		}
	}
	u.Args["argv"] = "relative"
	u.Args["env"] = "PLUTO_VERB=down"
	t.Chdir(dir)
	os.WriteFile(filepath.Join(dir, "relative"), nil, 0o700)
	if Undo(context.Background(), u) == nil {
		t.Error("a relative path was run")
	}
}

func TestRunRefusesAnothersProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := script(t, "true\n", 0o755)
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCommand([]string{path}, vars()).Run(context.Background(), 0); err == nil || !strings.Contains(err.Error(), "12345") {
		t.Errorf("%v", err)
	}
}
