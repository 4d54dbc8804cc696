// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package scripts runs exchange scripts: text files of commands with the transcript that they gave when they were recorded.
// Two real machines talk over a list of packets in virtual time; the diff of a transcript is what a reviewer reads.
// `go test ./lab/scripts -update` records anew.
//
// Each block of a file is commands, a line "----" and the transcript. Commands:
//
//	begin a b [option=value ...]      a new world; a initiates to b; nothing is delivered yet
//	establish a b [option=value ...]  the same, with everything delivered and nothing said
//	do a rekey|delete child N|ike     an order of a's operator; children count from 1, oldest first
//	do a create NAME                  likewise; do a liveness, do a kill (no word to the peer)
//	deliver [N]                       the next N packets arrive; without N all, and all that follow from them
//	drop [N], dup, swap, corrupt      of the next packets: lost, delivered twice, in the other order, one bit changed
//	hold, late                        the next packet is set aside; the held ones come back
//	advance D, run D                  time passes, without or with packets arriving
//	ping a NAME                       one inner packet of a's child
//	expire a N soft|hard              the data plane reports a lifetime
//	fail a reserve|install            the next such question of a fails
//	slow a QUESTION, release a        answers of that kind are held back until release
//	cookies b                         b asks for cookies
//	fill a                            a asks for all its children at once
//	dump, count                       what both hosts have, or how much
package scripts
