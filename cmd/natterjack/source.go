// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where the configuration comes from: the flags --config and --swanctl, which run and config check have alike.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/wire/vici"
)

// defaultFolder is read where no flag names a configuration; it need not be there.
const defaultFolder = "/etc/natterjack"

// source is what the flags say.
type source struct {
	file, folder string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "config", "", "read one `FILE` in the language of swanctl.conf, with the files that it names")
	cmd.Flags().StringVar(&s.folder, "swanctl", "", "read the folder `DIR`: swanctl.conf with its folders x509, x509ca, private … (default "+defaultFolder+", if it is there)")
	_ = cmd.MarkFlagFilename("config", "conf")
	_ = cmd.MarkFlagDirname("swanctl")
}

// load reads the configuration. name is what was read; empty: nothing was named and the default folder is not there, so that
// the configuration is empty.
func (s *source) load() (c *config.Config, name string, err error) {
	switch {
	case s.file != "" && s.folder != "":
		return nil, "", usagef("--config and --swanctl exclude each other: name one")
	case s.file != "":
		c, err = config.LoadFile(s.file)
		return c, s.file, err
	case s.folder != "":
		c, err = config.LoadDir(s.folder)
		return c, s.folder, err
	}
	if _, err := os.Stat(defaultFolder); errors.Is(err, fs.ErrNotExist) {
		c, _, err := config.Decode(vici.New(), nil)
		return c, "", err
	}
	c, err = config.LoadDir(defaultFolder)
	return c, defaultFolder, err
}

// counts says what a configuration has.
func counts(c *config.Config) string {
	return fmt.Sprintf("%s, %s, %s, %s, %s", plural(len(c.Connections), "connection"), plural(len(c.Pools), "pool"),
		plural(len(c.Shared), "shared secret"), plural(len(c.Keys), "private key"), plural(len(c.Certs), "certificate"))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
