// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// tshark as a second opinion on captures, with the keys of our key log.

package netlab

import (
	"os"
	"path/filepath"
	"strings"
)

// Decrypt reads a finished capture with the keys of a key log, each line of which is a value for tshark's option -o, and
// returns a line for every packet that the display filter lets through.
func (c *Capture) Decrypt(keys, filter string) []string {
	c.lab.Helper()
	b, err := os.ReadFile(keys)
	if err != nil {
		c.lab.Fatalf("key log: %v", err)
	}
	args := []string{"tshark", "-n", "-r", c.Path, "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"}
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			args = append(args, "-o", line)
		}
	}
	env := []string{"WIRESHARK_CONFIG_DIR=" + filepath.Join(c.lab.Dir, "tshark"), "HOME=" + c.lab.Dir}
	out, err := command(commandLimit, env, "", append(args, "-Y", filter)...)
	if err != nil {
		c.lab.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(out, "\n") {
		// As root, tshark warns on standard error; packets begin with their number.
		if f := strings.Fields(line); len(f) > 2 && f[0] != "" && f[0][0] >= '0' && f[0][0] <= '9' {
			lines = append(lines, line)
		}
	}
	return lines
}
