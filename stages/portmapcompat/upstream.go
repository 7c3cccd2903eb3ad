package portmapcompat

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nfnl"
	"github.com/enichain/enichain/stages/internal/nft"
)

// The table of upstream portmap's nftables backend, one per family, and those of its chains that hold rules of containers.
const upstreamTable = "cni_hostport"

var upstreamChains = []string{"hostports", "hostip_hostports", "masquerading"}

// ruleComment is NFTNL_UDATA_RULE_COMMENT.
const ruleComment = 0

// endUpstream removes the rules that upstream's nftables backend made for an attachment, so that a list may change from
// portmap to portmap-compat under running containers. Their comment is the container's id alone: where prevResult tells
// the attachment's addresses, only rules with one of them go, because the container's other network may have some as
// well. Without it they all go if the container's namespace is over, else none.
func (n nat) endUpstream(r *stages.Request, tables inFamilies) error {
	if r.Prev == nil && r.Netns != "" {
		return nil
	}
	var errs error
	for _, f := range families {
		there, err := tables.has(f)
		for range tries {
			if err != nil || !there {
				break
			}
			var doomed []nfnl.Message
			if doomed, err = n.upstreamRules(f, r); err != nil || len(doomed) == 0 {
				break
			}
			err = n.nl.Batch(unix.NFNL_SUBSYS_NFTABLES, 0, doomed)
			if !errors.Is(err, unix.ENOENT) { // else somebody removed one in the meantime
				break
			}
			err = nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// upstreamRules are the deletions of a container's rules.
func (n nat) upstreamRules(f nft.Family, r *stages.Request) ([]nfnl.Message, error) {
	var doomed []nfnl.Message
	for _, chain := range upstreamChains {
		m := nfnl.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: unix.NLM_F_DUMP, Family: uint8(f)}
		m.Attrs.Text(unix.NFTA_RULE_TABLE, upstreamTable)
		m.Attrs.Text(unix.NFTA_RULE_CHAIN, chain)
		var found []nfnl.Message
		var err error
		for range tries {
			found = nil
			err = n.nl.Request(m, func(a nfnl.Answer) error {
				rule, err := nfnl.Parse(a.Attrs)
				if err != nil || rule.Text(unix.NFTA_RULE_TABLE) != upstreamTable || rule.Text(unix.NFTA_RULE_CHAIN) != chain ||
					commentOf(rule[unix.NFTA_RULE_USERDATA]) != r.Container || !names(rule[unix.NFTA_RULE_EXPRESSIONS], r) {
					return err
				}
				d := nfnl.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELRULE, Family: uint8(f)}
				d.Attrs.Text(unix.NFTA_RULE_TABLE, upstreamTable)
				d.Attrs.Text(unix.NFTA_RULE_CHAIN, chain)
				d.Attrs.Uint64(unix.NFTA_RULE_HANDLE, rule.Uint64(unix.NFTA_RULE_HANDLE))
				found = append(found, d)
				return nil
			})
			if !errors.Is(err, nfnl.ErrInterrupted) {
				break
			}
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		doomed = append(doomed, found...)
	}
	return doomed, nil
}

// commentOf reads a rule's user data: type, length, value, one after the other.
func commentOf(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value := data[2 : 2+int(data[1])]
		if data[0] == ruleComment {
			return string(bytes.TrimRight(value, "\x00"))
		}
		data = data[2+int(data[1]):]
	}
	return ""
}

// names says whether a rule has one of the attachment's addresses in it, as a value of its own; any will do where none is
// known.
func names(expressions []byte, r *stages.Request) bool {
	if r.Prev == nil {
		return true
	}
	return slices.ContainsFunc(targets(r), func(p netip.Prefix) bool {
		var value nfnl.Attrs
		value.Bytes(unix.NFTA_DATA_VALUE, p.Addr().AsSlice())
		return bytes.Contains(expressions, value)
	})
}
