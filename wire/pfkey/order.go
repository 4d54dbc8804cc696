// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// In which order the extensions are written: that of the kernels, which clients were tested with. Linux: as recorded from its 6.1.
// The BSDs: the order of their dumps; DUMP, GET and what is sent to everybody are made alike.

package pfkey

var linuxSA = [...]ExtType{ExtSA, ExtLifetimeHard, ExtLifetimeSoft, ExtLifetimeCurrent, ExtAddressSrc, ExtAddressDst, ExtAddressProxy, ExtKeyAuth, ExtKeyEncrypt,
	ExtIdentitySrc, ExtIdentityDst, ExtSA2, ExtNATType, ExtNATSrcPort, ExtNATDstPort, ExtNATOAi, ExtSecCtx, ExtKMAddress, ExtFilter}

var linuxSPD = [...]ExtType{ExtAddressSrc, ExtAddressDst, ExtLifetimeHard, ExtLifetimeSoft, ExtLifetimeCurrent, ExtPolicy, ExtSecCtx, ExtKMAddress}

var bsdSA = [...]ExtType{ExtSA, ExtSA2, ExtSAReplay, ExtLifetimeHard, ExtLifetimeSoft, ExtLifetimeCurrent, ExtAddressSrc, ExtAddressDst, ExtAddressProxy, ExtKeyAuth,
	ExtKeyEncrypt, ExtIdentitySrc, ExtIdentityDst, ExtSensitivity, ExtNATType, ExtNATSrcPort, ExtNATDstPort, ExtNATOAi, ExtNATOAr, ExtNATFrag,
	ExtNewAddressSrc, ExtNewAddressDst, ExtLifetimeSWOff, ExtLifetimeHWOff, ExtIfHWOffload}

var bsdSPD = [...]ExtType{ExtAddressSrc, ExtAddressDst, ExtPolicy, ExtLifetimeCurrent, ExtLifetimeHard, ExtLifetimeSoft}

// anyMapping is NATT.md, Section 1.6.
var anyMapping = [...]ExtType{ExtSA, ExtAddressSrc, ExtNATSrcPort, ExtAddressDst, ExtNATDstPort}

var anyAcquire = [...]ExtType{ExtAddressSrc, ExtAddressDst, ExtPolicy, ExtIdentitySrc, ExtIdentityDst, ExtProposal, ExtSecCtx}

// order is the kernel's order of a message's extensions. What it does not name follows by number.
func (d Dialect) order(t Type) []ExtType {
	switch {
	case t == TypeNewMapping:
		return anyMapping[:]
	case t == TypeAcquire:
		return anyAcquire[:]
	case t.SPD() && d == Linux:
		return linuxSPD[:]
	case t.SPD():
		return bsdSPD[:]
	case d == Linux:
		return linuxSA[:]
	}
	return bsdSA[:]
}

// The extensions as indices of an array: those of the BSDs by number, then Linux's three.
const (
	bsdExts = 32
	maxExt  = bsdExts + 3
)

func (t ExtType) index() int {
	if t < bsdExts {
		return int(t)
	}
	if i := int(t) - int(ExtSecCtx); i >= 0 && i < maxExt-bsdExts {
		return bsdExts + i
	}
	return -1
}

func (t ExtType) fromIndex() ExtType {
	if t < bsdExts {
		return t
	}
	return ExtSecCtx + t - bsdExts
}
