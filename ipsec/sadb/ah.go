// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sadb

import (
	"errors"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

var errNoAH = errors.New("protocol: AH is not implemented")

func checkAH(s *SA) error { return errNoAH }

func (s *Sender) makeAH(i suite.ESP, key secret.Key, v6 bool) error { return errNoAH }

func (r *Receiver) makeAH(i suite.ESP, key secret.Key, window int) error { return errNoAH }
