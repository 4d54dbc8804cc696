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
	out, err := Run(context.Background(), []string{path, "a b;c"}, vars(), 0)
	if err != nil || out != "up-client a b;c none /" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestRunOutputIsBoundedAndClean(t *testing.T) {
	path := script(t, "printf 'a\\033[31mb\\n'; i=0; while [ $i -lt 2000 ]; do echo xxxxxxxxxx; i=$((i+1)); done; exit 3\n", 0o700)
	out, err := Run(context.Background(), []string{path}, vars(), 0)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || len(out) > outputLimit || strings.ContainsAny(out, "\n\x1b") {
		t.Errorf("%d octets, %v", len(out), err)
	}
}

func TestRunHasADeadline(t *testing.T) {
	path := script(t, "sleep 600 & sleep 600\n", 0o700)
	begin := time.Now()
	_, err := Run(context.Background(), []string{path}, vars(), 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "killed") || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestRunRefusesWhatOthersCanWrite(t *testing.T) {
	if _, err := Run(context.Background(), []string{script(t, "true\n", 0o777)}, vars(), 0); err == nil {
		t.Error("a world-writable program was run")
	}
	if _, err := Run(context.Background(), []string{"/"}, vars(), 0); err == nil {
		t.Error("a folder was run")
	}
}
