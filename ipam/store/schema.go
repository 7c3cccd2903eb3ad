package store

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/enichain/enichain/ipam"
)

// The schema of the file. A program reads its own and the one before; new facts go into new buckets, so that an older
// program of the same schema can go on.
const (
	schema    = 2 // 2: delegated prefixes have records and an order
	schemaLow = 1
)

// Buckets. All values are JSON but for the indexes' (empty).
var (
	bucketMeta      = []byte("meta")      // schema, meta
	bucketENIs      = []byte("enis")      // ENI id → ENI
	bucketListed    = []byte("listed")    // ENI id → listing: addresses and prefixes of the accepted supply
	bucketLinks     = []byte("links")     // MAC → Link, as last seen
	bucketAddresses = []byte("addresses") // address → Address
	bucketPrefixes  = []byte("prefixes")  // ENI id 0 first address → delegated
	bucketOrder     = []byte("order")     // ENI id 0 family, rank, leases from above, first address of a prefix
	bucketFree      = []byte("free")      // ENI id 0 family, 0 or 1 and a prefix's first address, freed, address: pick order
	bucketFenced    = []byte("fenced")    // fenced single addresses
	bucketCooling   = []byte("cooling")   // until, address
	bucketHeld      = []byte("held")      // ENI id 0 address → Held
	bucketLeases    = []byte("leases")    // network 0 container 0 ifname → Lease
	bucketTickets   = []byte("tickets")   // number → Ticket
	bucketOutbox    = []byte("outbox")    // number → Record
	buckets         = [][]byte{bucketMeta, bucketENIs, bucketListed, bucketLinks, bucketAddresses, bucketPrefixes, bucketOrder,
		bucketFree, bucketFenced, bucketCooling, bucketHeld, bucketLeases, bucketTickets, bucketOutbox}

	newBuckets = [][]byte{bucketPrefixes, bucketOrder, bucketFenced} // since schema 2

	keySchema = []byte("schema")
	keyMeta   = []byte("meta")
)

func checkSchema(path string, value []byte) error {
	found, err := strconv.Atoi(string(value))
	if err != nil {
		return &DamagedError{Path: path, Cause: fmt.Sprintf("its schema is %q", value)}
	}
	if found < schemaLow || found > schema {
		return &SchemaError{Path: path, Found: found, Low: schemaLow, High: schema}
	}
	return nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func addressKey(a netip.Addr) []byte { return a.Unmap().AsSlice() }

func leaseKey(a ipam.Attachment) []byte {
	return []byte(a.Network + "\x00" + a.Container + "\x00" + a.IfName)
}

func heldKey(e ipam.ENIID, a netip.Addr) []byte {
	return append([]byte(string(e)+"\x00"), addressKey(a)...)
}

// heldBlockKey is longer than that of an address by one byte.
func heldBlockKey(e ipam.ENIID, p netip.Prefix) []byte {
	return append(heldKey(e, p.Addr()), byte(p.Bits()))
}

func (l Life) heldKey() []byte {
	if l.Prefix.IsValid() {
		return heldBlockKey(l.ENI, l.Prefix)
	}
	return heldKey(l.ENI, l.Address)
}

// freePrefix is what all free addresses of one interface and family begin with.
func freePrefix(e ipam.ENIID, f Family) []byte { return append([]byte(e), 0, byte(f)) }

// freeGroup is what the free single addresses of an interface and family begin with, or those of one of its prefixes.
func freeGroup(e ipam.ENIID, f Family, p netip.Prefix) []byte {
	k := freePrefix(e, f)
	if !p.IsValid() {
		return append(k, 0)
	}
	return append(append(k, 1), addressKey(p.Addr())...)
}

// freeKey puts the first host address of a prefix last: as long as it is nobody's, the prefix can become a bridge's subnet.
func freeKey(a *Address) []byte {
	freed := uint64(a.Freed)
	if a.Prefix.IsValid() && a.Address == PrefixGateway(a.Prefix) {
		freed |= 1 << 63
	}
	k := binary.BigEndian.AppendUint64(freeGroup(a.ENI, FamilyOf(a.Address), a.Prefix), freed)
	return append(k, addressKey(a.Address)...)
}

func coolingKey(a *Address) []byte {
	return append(number(uint64(a.Until)), addressKey(a.Address)...)
}
