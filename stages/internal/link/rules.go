package link

import (
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Rule chooses a table for packets that match. Rules of equal priority are asked in the order they were made.
type Rule struct {
	Family   uint8 // AF_INET or AF_INET6
	Priority uint32
	From     netip.Prefix // unset: all
	Mark     uint32
	Mask     uint32 // 0: the mark is not looked at
	Table    int
	Protocol uint8
	Other    bool // it also looks at something that this type does not carry, or does not look up a table
}

// String reads like ip's line.
func (r Rule) String() string {
	text := strconv.Itoa(int(r.Priority)) + ": from "
	switch {
	case !r.From.IsValid():
		text += "all"
	case r.From.IsSingleIP():
		text += r.From.Addr().String()
	default:
		text += r.From.String()
	}
	if r.Mask != 0 {
		text += fmt.Sprintf(" fwmark %#x/%#x", r.Mark, r.Mask)
	}
	return text + " lookup " + strconv.Itoa(r.Table)
}

// AddRule makes the rule unless it is there.
func AddRule(r Rule) Message {
	return Message{
		typ: unix.RTM_NEWRULE, flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, body: ruleBody(r),
		fine: []unix.Errno{unix.EEXIST},
		what: func() string { return "add rule " + r.String() },
	}
}

// DelRule deletes one rule that agrees with r, protocol included.
func DelRule(r Rule) Message {
	return Message{
		typ: unix.RTM_DELRULE, body: ruleBody(r), fine: []unix.Errno{unix.ENOENT},
		what: func() string { return "delete rule " + r.String() },
	}
}

// ruleBody is struct fib_rule_hdr, which is laid out as struct rtmsg, and its attributes.
func ruleBody(r Rule) []byte {
	b := make([]byte, unix.SizeofRtMsg, 96)
	b[0] = r.Family
	b[7] = unix.FR_ACT_TO_TBL
	if r.From.IsValid() {
		b[2] = uint8(r.From.Bits())
		b = putAddress(b, unix.FRA_SRC, r.From.Addr())
	}
	b = put32(b, unix.FRA_PRIORITY, r.Priority)
	b = put32(b, unix.FRA_TABLE, uint32(r.Table))
	if r.Table < 256 {
		b[4] = uint8(r.Table)
	}
	if r.Mask != 0 {
		b = put32(b, unix.FRA_FWMARK, r.Mark)
		b = put32(b, unix.FRA_FWMASK, r.Mask)
	}
	return put8(b, unix.FRA_PROTOCOL, r.Protocol)
}

// Rules lists all rules of a family. On a node with aws-cni there may be thousands: never on ADD or DEL.
func (c *Conn) Rules(family uint8) ([]Rule, error) {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = family
	list := Message{typ: unix.RTM_GETRULE, body: b, what: func() string { return "list rules" }}
	var all []Rule
	err := c.dump(list, func() { all = all[:0] }, func(b []byte) error {
		r, err := parseRule(b)
		all = append(all, r)
		return err
	})
	return all, err
}

func parseRule(b []byte) (Rule, error) {
	if len(b) < unix.SizeofRtMsg {
		return Rule{}, errCut
	}
	r := Rule{Family: b[0], Table: int(b[4]), Other: b[7] != unix.FR_ACT_TO_TBL || b[1] != 0 || b[8]&fibRuleInvert != 0}
	bits := int(b[2])
	err := attributes(b[unix.SizeofRtMsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.FRA_PRIORITY:
			r.Priority = get32(value)
		case unix.FRA_SRC:
			r.From = netip.PrefixFrom(address(value), bits)
		case unix.FRA_FWMARK:
			r.Mark = get32(value)
		case unix.FRA_FWMASK:
			r.Mask = get32(value)
		case unix.FRA_TABLE:
			r.Table = int(get32(value))
		case unix.FRA_PROTOCOL:
			if len(value) > 0 {
				r.Protocol = value[0]
			}
		case unix.FRA_IIFNAME, unix.FRA_OIFNAME, unix.FRA_L3MDEV, unix.FRA_UID_RANGE, unix.FRA_IP_PROTO,
			unix.FRA_SPORT_RANGE, unix.FRA_DPORT_RANGE, unix.FRA_TUN_ID:
			r.Other = r.Other || len(value) != 1 || value[0] != 0
		}
	})
	return r, err
}

// fibRuleInvert is FIB_RULE_INVERT (linux/fib_rules.h): the rule holds for what does not match.
const fibRuleInvert = 2
