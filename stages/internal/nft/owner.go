package nft

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/enichain/enichain/stages/internal/sha"
)

// MaxOwner is the most bytes of an owner in a comment; longer ones are hashed.
const MaxOwner = 128

// maxNetwork is the most bytes of a network's name in an owner; longer ones are hashed.
const maxNetwork = 64

// Owner is the comment that says whose an element is: network/container/ifname. Past MaxOwner bytes container and
// interface are hashed, the network apart from them, so that a network's elements are always found by Owned. A '~'
// stands before a hash; no CNI name may hold one, nor a '/'.
func Owner(network, container, ifname string) string {
	whole := ownerNetwork(network) + container + "/" + ifname
	if len(whole) <= MaxOwner {
		return whole
	}
	return ownerNetwork(network) + hashed(container+"/"+ifname)
}

// Owned says whether a comment is an owner of this network.
func Owned(comment, network string) bool { return strings.HasPrefix(comment, ownerNetwork(network)) }

func ownerNetwork(network string) string {
	if len(network) > maxNetwork {
		network = hashed(network)
	}
	return network + "/"
}

func hashed(s string) string {
	sum := sha.Sum1([]byte(s))
	return "~" + hex.EncodeToString(sum[:])
}

// transactTries bounds how often Transact begins anew. Each new try means that somebody else's change went through:
// a node that starts fifty pods at once, with kube-proxy rewriting its own, needs a dozen.
const transactTries = 200

// Transact is compare-and-swap: build reads what is there and puts what follows from it into a batch that is bound to
// the ruleset as it was at its first question; when anything changed meanwhile, it is called again with an empty batch. An
// empty batch is success.
func (c *Conn) Transact(table string, build func(*Batch) error) error {
	var err error
	for range transactTries {
		b := &Batch{Table: table}
		c.unbound = b
		err = build(b)
		c.unbound = nil
		if err != nil || b.Len() == 0 {
			return err
		}
		if err = c.Commit(b); !errors.Is(err, ErrGeneration) {
			return err
		}
	}
	return err
}

// Steady repeats a look that found drift until nothing changed while it was looking: what it took for drift may have
// been another process's change between two of its questions.
func (c *Conn) Steady(look func() (drift string, err error)) (string, error) {
	drift, err := look()
	for range transactTries {
		if err != nil || drift == "" {
			break
		}
		var before, after uint32
		if before, err = c.Generation(); err != nil {
			return "", err
		}
		if drift, err = look(); err != nil || drift == "" {
			break
		}
		if after, err = c.Generation(); err != nil || after == before {
			break
		}
	}
	return drift, err
}
