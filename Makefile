# Natterjack. `make run` shows it at work; `make test` proves it. Both need nothing but Go (tests against real peers also
# need root and Debian's packages, which the install stage fetches).

GO ?= go
export CGO_ENABLED ?= 0

.PHONY: all run test bench soak fuzz cross lint clean

all: bin/natterjack

bin/natterjack: FORCE
	$(GO) build -trimpath -o $@ ./cmd/natterjack
.PHONY: FORCE
FORCE:

# A gateway, a NAT and a client on loopback: the tunnel comes up, the NAT forgets the mapping, nobody notices.
run: bin/natterjack
	bin/natterjack demo

# Every stage, with a table of their times at the end. `go run ./lab/ci -h` lists them.
test:
	$(GO) run ./lab/ci

# TCP through the NAT, ours and strongSwan's interleaved, as a ratio. Needs root.
bench:
	$(GO) run ./lab/ci install bench

# Hours of rekeys, rebindings and loss. Needs root.
soak:
	$(GO) run ./lab/ci install soak

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	$(GO) run ./lab/ci -fuzztime $(FUZZTIME) fuzz

cross:
	$(GO) run ./lab/ci cross

lint:
	$(GO) run ./lab/ci gofmt vet staticcheck govulncheck

clean:
	rm -rf bin
