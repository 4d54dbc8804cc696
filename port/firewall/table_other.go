// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux

// Other systems have packet filters (pf, WFP) that we do not set; Open says so.

package firewall

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/natterjack/natterjack/port/store"
)

// Table is never made on this system.
type Table struct{}

// Open returns *Unavailable.
func Open(Options) (*Table, error) {
	return nil, &Unavailable{fmt.Errorf("%s", runtime.GOOS)}
}

var errNone = errors.New("firewall: none on this system")

// The methods exist so that callers read the same everywhere; without Open nobody has a Table.

func (t *Table) Name() string            { return "" }
func (t *Table) Add(...Policy) error     { return errNone }
func (t *Table) Remove(...string) error  { return nil }
func (t *Table) SetPorts([]uint16) error { return errNone }
func (t *Table) Policies() []Policy      { return nil }
func (t *Table) Drops() ([]Drop, error)  { return nil, nil }
func (t *Table) Close() error            { return nil }

// AllowMarked has nothing to do: strict reverse-path filtering by mark is Linux's.
func (t *Table) AllowMarked(string) error { return nil }

// UndoSysctl has nothing to put back on this system.
func UndoSysctl(u store.Undo) error { return fmt.Errorf("journal: sysctl %q is Linux's", u.Name) }

// Undo has nothing to remove on this system.
func Undo(u store.Undo) error { return fmt.Errorf("journal: table %q is Linux's", u.Name) }

// Tables lists none.
func Tables() ([]string, error) { return nil, nil }
