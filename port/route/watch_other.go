// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux

// Changes of addresses where the system has no rtnetlink: the list is looked at again and again.

package route

import (
	"context"
	"net"
	"slices"
	"time"
)

// pollInterval is how late a change of addresses may be seen.
const pollInterval = 5 * time.Second

// Watch sends after the host's addresses changed, except for those on the device. One send stands for everything since
// the last. The channel is closed when ctx ends.
func Watch(ctx context.Context, device string) (<-chan struct{}, error) {
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for last := addressList(device); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := addressList(device)
			if slices.Equal(now, last) {
				continue
			}
			last = now
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out, nil
}

// addressList is every address of an interface that is up, except for the device's.
func addressList(device string) []string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var list []string
	for _, ifi := range interfaces {
		if ifi.Name == device || ifi.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := ifi.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			list = append(list, ifi.Name+" "+a.String())
		}
	}
	slices.Sort(list)
	return list
}
