// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What happened to packets, counted: one counter for every reason there is to drop one.

package dataplane

// Counter is a row of Counters.
type Counter uint8

// What is counted. Out… are packets from the inner side, In… datagrams from the outer side.
const (
	OutSealed        Counter = iota // inner packets sealed
	OutSealedOctets                 // their octets
	OutDatagrams                    // datagrams made, runs counted one by one
	OutDummies                      // dummy packets sealed
	OutBypassed                     // handed out in clear by policy
	OutFragmented                   // packets fragmented before they were sealed
	OutClamped                      // TCP MSS options lowered
	OutHeld                         // packets held for an Acquire
	OutTooBig                       // dropped: larger than the path and not to be fragmented; ICMP was made
	OutTooBigQuiet                  // dropped likewise, but ICMP was not allowed (about ICMP, fragments; rate)
	OutMalformed                    // dropped: no IP packet, or one that must not be forwarded
	OutNoPolicy                     // dropped: no policy
	OutDiscarded                    // dropped by policy
	OutFragmentPorts                // dropped: a fragment without ports that only ports would have decided
	OutSelectors                    // dropped: outside of the selectors of the SA that its policy has
	OutNoSA                         // dropped: no SA and no room to hold it, or held too long
	OutExhausted                    // dropped: sequence numbers or a hard limit are used up
	OutLoop                         // dropped: the tunnel's own datagrams, routed into it
	OutFragment                     // dropped: a fragment, in transport mode (RFC 4303, Section 3.3.4)
	OutOptions                      // dropped: IPv4 options or IPv6 extension headers, which transport mode cannot carry here
	OutNoPort                       // dropped: to a client behind a NAT that cannot be told from others, or is gone
	OutBundle                       // dropped: a bundle of SAs that cannot be: see served
	OutNoRoom                       // dropped: more than one batch can carry

	InOpened        // inner packets delivered
	InOpenedOctets  // their octets
	InDummies       // dummy packets, authenticated
	InKeepalives    // NAT keepalives
	InIKE           // IKE messages
	InClamped       // TCP MSS options lowered
	InTrimmed       // packets with traffic flow padding, which was cut off
	InNotESP        // dropped: neither ESP nor IKE nor keepalive
	InShort         // dropped: shorter than an ESP packet of its SA can be
	InUnknownSPI    // dropped: no such SA
	InReplay        // dropped: seen already, or left of the window
	InICV           // dropped: not authentic
	InExpired       // dropped: the SA has reached a hard limit
	InPadding       // dropped: padding that is not 1, 2, 3, …, or longer than the packet
	InNextHeader    // dropped: a next header that the SA's mode does not have, or a layer where none can be
	InDepth         // dropped: more layers than a policy can have
	InMalformed     // dropped: no IP packet, or one that must not be forwarded
	InTruncated     // dropped: the inner length says more than there is
	InSelectors     // dropped: outside of its SA's selectors (RFC 4301, Section 5.2)
	InFragmentPorts // dropped: a fragment without ports on an SA that has some
	InNoPort        // dropped: from a client behind a NAT that no port could tell from others
	InCompression   // dropped: IPComp that does not decompress to a packet, or that nobody agreed on
	InECN           // dropped: congestion experienced and not ECN-capable inside (RFC 6040)
	InNoRoom        // dropped: more than one batch can carry
	NumCounters     // how many there are
)

// Counters are totals by Counter.
type Counters [NumCounters]uint64
