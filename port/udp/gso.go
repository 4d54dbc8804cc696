// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Whether this kernel may be trusted with UDP segmentation offload. The only input is the kernel's own release string.

package udp

import (
	"fmt"
	"strconv"
	"strings"
)

// version is major, minor and patch of a kernel.
type version [3]int

func (v version) less(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}

// badKernels are the kernels whose UDP segmentation corrupts datagrams; it cannot be seen at run time. The range is
// half open. 7.0 to 7.1.4 have the bug itself, fixed in 7.1.5; distributors' 6.17 kernels carry it as a backport.
var badKernels = [...]struct {
	from, to version
	why      string
}{
	{version{6, 17, 0}, version{6, 18, 0}, "Linux 6.17 guests were seen to corrupt segmented UDP"},
	{version{7, 0, 0}, version{7, 1, 5}, "Linux 7.0 to 7.1.4 corrupts segmented UDP, fixed in 7.1.5"},
}

// parseRelease reads "6.18.44-vendor" as 6, 18, 44. What follows the numbers is ignored.
func parseRelease(release string) (version, bool) {
	var v version
	rest := release
	for i := range v {
		digits := 0
		for digits < len(rest) && digits < 6 && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 {
			return v, i > 1
		}
		v[i], _ = strconv.Atoi(rest[:digits])
		rest = rest[digits:]
		if i == len(v)-1 || !strings.HasPrefix(rest, ".") {
			return v, i > 0
		}
		rest = rest[1:]
	}
	return v, true
}

// GSOVerdict says whether mode ("auto", "on", "off") uses segmentation offload on a Linux kernel of this release, and
// why not if not.
func GSOVerdict(mode, release string) (bool, string, error) {
	switch mode {
	case "on":
		return true, "", nil
	case "off":
		return false, "switched off by configuration", nil
	case "", "auto":
	default:
		return false, "", fmt.Errorf("gso: %q, expected auto, on or off", mode)
	}
	v, ok := parseRelease(release)
	if !ok {
		return false, fmt.Sprintf("kernel release %q is not understood", release), nil
	}
	if v.less(version{5, 0, 0}) { // UDP_GRO came with 5.0
		return false, "Linux " + release + " is older than 5.0", nil
	}
	for _, bad := range badKernels {
		if !v.less(bad.from) && v.less(bad.to) {
			return false, bad.why + " (this is " + release + ")", nil
		}
	}
	return true, "", nil
}
