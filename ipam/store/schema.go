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
	schema    = 1
	schemaLow = 1
)

// Buckets. All values are JSON but for the indexes' (empty).
var (
	bucketMeta      = []byte("meta")      // schema, meta
	bucketENIs      = []byte("enis")      // ENI id → ENI
	bucketListed    = []byte("listed")    // ENI id → addresses of the accepted supply
	bucketLinks     = []byte("links")     // MAC → Link, as last seen
	bucketAddresses = []byte("addresses") // address → Address
	bucketFree      = []byte("free")      // ENI id 0 family, freed, address: pick order within an interface
	bucketCooling   = []byte("cooling")   // until, address
	bucketHeld      = []byte("held")      // ENI id 0 address → Held
	bucketLeases    = []byte("leases")    // network 0 container 0 ifname → Lease
	bucketTickets   = []byte("tickets")   // number → Ticket
	bucketOutbox    = []byte("outbox")    // number → Record
	buckets         = [][]byte{bucketMeta, bucketENIs, bucketListed, bucketLinks, bucketAddresses, bucketFree,
		bucketCooling, bucketHeld, bucketLeases, bucketTickets, bucketOutbox}

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

// freePrefix is what all free addresses of one interface and family begin with.
func freePrefix(e ipam.ENIID, f Family) []byte { return append([]byte(e), 0, byte(f)) }

func freeKey(a *Address) []byte {
	k := binary.BigEndian.AppendUint64(freePrefix(a.ENI, FamilyOf(a.Address)), uint64(a.Freed))
	return append(k, addressKey(a.Address)...)
}

func coolingKey(a *Address) []byte {
	return append(number(uint64(a.Until)), addressKey(a.Address)...)
}
