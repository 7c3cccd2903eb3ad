package floor

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// Numbers of linux/netfilter/nf_tables.h.
const (
	nfnetlink                                 = 12 // NETLINK_NETFILTER
	batchBegin, batchEnd                      = 0x10, 0x11
	nftables                                  = 10 // the subsystem
	newElement, delElement                    = 12, 14
	listTable, listSet, listElements          = 1, 2, 3
	elementKey, elementData, dataValue        = 1, 2, 1
	nested                             uint16 = 0x8000
)

// Ruleset is what the programs expect the node to have, for 'nft -f -'. A pod is an element of the set, and a host port
// one of the map.
const Ruleset = `
table ip floor {
	set pods { type ipv4_addr; }
	map doors { type inet_service : ipv4_addr . inet_service; }
	chain in { type nat hook prerouting priority dstnat; dnat to tcp dport map @doors; }
	chain out { type nat hook postrouting priority srcnat; ip saddr @pods ip daddr != 10.112.0.0/16 masquerade; }
}
`

// Translate has the pod leave as the node, or no more.
func (p *Pod) Translate(b *Batch) {
	if p.Address.IsValid() {
		b.element(p.Add, "pods", four(p.Address), nil)
	}
}

// Open opens the pod's host ports, or closes them.
func (p *Pod) Open(b *Batch) {
	if !p.Address.IsValid() {
		return
	}
	for _, m := range p.Config.RuntimeConfig.PortMappings {
		key := binary.BigEndian.AppendUint16(nil, m.HostPort)
		to := append(four(p.Address), binary.BigEndian.AppendUint16(nil, m.ContainerPort)...)
		b.element(p.Add, "doors", key, append(to, 0, 0)) // of several parts each is padded to 4 bytes
	}
}

// Batch is one transaction of nftables.
type Batch struct{ batch }

// Commit does it; a transaction of nothing opens no socket.
func (b *Batch) Commit() error {
	if b.count == 0 {
		return nil
	}
	changes := b.bytes
	b.bytes, b.count = nil, 0
	b.mark(batchBegin, 0)
	b.bytes = append(b.bytes, changes...)
	b.mark(batchEnd, syscall.NLM_F_ACK) // the one answer that a transaction without a fault gives
	if err := b.send(nfnetlink); err != nil {
		return fmt.Errorf("cannot change the ruleset: %w", err)
	}
	return nil
}

func (b *Batch) mark(kind, flags uint16) {
	b.message(kind, flags, func() { b.raw(syscall.AF_UNSPEC, 0, 0, nftables) })
}

func (b *Batch) element(add bool, set string, key, data []byte) {
	kind, flags := uint16(nftables<<8|delElement), uint16(0)
	if add {
		kind, flags = nftables<<8|newElement, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL
	}
	b.message(kind, flags, func() {
		b.raw(syscall.AF_INET, 0, 0, 0)
		b.text(listTable, "floor")
		b.text(listSet, set)
		b.nest(listElements|nested, func() {
			b.nest(1|nested, func() {
				b.nest(elementKey|nested, func() { b.attribute(dataValue, key...) })
				if data != nil {
					b.nest(elementData|nested, func() { b.attribute(dataValue, data...) })
				}
			})
		})
	})
	b.count++ // of what is to be done
}
