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
// returns the named fields of every packet.
func (c *Capture) Decrypt(keys string, fields ...string) []map[string]string {
	c.lab.Helper()
	b, err := os.ReadFile(keys)
	if err != nil {
		c.lab.Fatalf("key log: %v", err)
	}
	args := []string{"tshark", "-n", "-r", c.Path, "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
		"-T", "fields", "-E", "separator=|", "-e", "frame.number"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			args = append(args, "-o", line)
		}
	}
	env := []string{"WIRESHARK_CONFIG_DIR=" + filepath.Join(c.lab.Dir, "tshark"), "HOME=" + c.lab.Dir}
	out, err := command(commandLimit, env, "", args...)
	if err != nil {
		c.lab.Fatal(err)
	}
	var packets []map[string]string
	for _, line := range strings.Split(out, "\n") {
		// Beside the packets there is what tshark says of being run by root.
		values := strings.Split(line, "|")
		if len(values) != len(fields)+1 {
			continue
		}
		p := map[string]string{}
		for i, f := range fields {
			p[f] = values[i+1]
		}
		packets = append(packets, p)
	}
	return packets
}
