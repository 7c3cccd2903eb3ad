package nft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// dumps is how often a dump that the kernel calls inconsistent is begun anew.
const dumps = 8

// Generation is the number of the ruleset as it is now, over all tables of the namespace; every commit raises it.
func (c *Conn) Generation() (uint32, error) { return answer(c, AskGeneration()) }

// AskGeneration is Generation together with other questions.
func AskGeneration() *Answer[uint32] {
	return question("the generation", unix.NFT_MSG_GETGEN, nil, func(m nfnl.Map) (uint32, error) {
		return m.Uint32(unix.NFTA_GEN_ID), nil
	})
}

// HasTable says whether a table of the family inet is there.
func (c *Conn) HasTable(table string) (bool, error) {
	there, err := answer(c, AskTable(table))
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	return there, err
}

// AskTable is the question whether a table is there; ErrNotExist when it is not.
func AskTable(table string) *Answer[bool] {
	var a nfnl.Attrs
	a.Text(unix.NFTA_TABLE_NAME, table)
	return question("table "+table, unix.NFT_MSG_GETTABLE, a, func(nfnl.Map) (bool, error) { return true, nil })
}

// ChainState is a chain as the kernel has it, without its rules.
type ChainState struct {
	Name    string
	Hook    Hook
	Comment string
	Use     uint32 // its rules plus the jumps to it: a cheap look whether somebody flushed it
}

// Chain reads one chain by name; ErrNotExist when it or the table is not there.
func (c *Conn) Chain(table, name string) (ChainState, error) { return answer(c, AskChain(table, name)) }

// AskChain is Chain together with other questions.
func AskChain(table, name string) *Answer[ChainState] {
	b := Batch{Table: table}
	return question("chain "+name+" in table "+table, unix.NFT_MSG_GETCHAIN,
		b.attrs(unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME, name), func(m nfnl.Map) (ChainState, error) {
			hook, err := m.Nest(unix.NFTA_CHAIN_HOOK)
			s := ChainState{
				Name: m.Text(unix.NFTA_CHAIN_NAME), Comment: comment(m[chainUserdata], commentOther),
				Use: m.Uint32(unix.NFTA_CHAIN_USE),
			}
			if len(hook) > 0 {
				s.Hook = Hook{
					Type:     m.Text(unix.NFTA_CHAIN_TYPE),
					Point:    Point(hook.Uint32(unix.NFTA_HOOK_HOOKNUM)),
					Priority: int32(hook.Uint32(unix.NFTA_HOOK_PRIORITY)),
				}
			}
			return s, err
		})
}

// SetState is a set as the kernel has it, without its elements.
type SetState struct {
	Name                string
	Comment             string
	flags               uint32
	keyType, keyLength  uint32
	dataType, dataBytes uint32
}

// Set reads one set by name; ErrNotExist when it or the table is not there.
func (c *Conn) Set(table, name string) (SetState, error) { return answer(c, AskSet(table, name)) }

// AskSet is Set together with other questions.
func AskSet(table, name string) *Answer[SetState] {
	b := Batch{Table: table}
	return question("set "+name+" in table "+table, unix.NFT_MSG_GETSET,
		b.attrs(unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME, name), func(m nfnl.Map) (SetState, error) {
			return SetState{
				Name: m.Text(unix.NFTA_SET_NAME), Comment: comment(m[unix.NFTA_SET_USERDATA], commentSet),
				flags:   m.Uint32(unix.NFTA_SET_FLAGS),
				keyType: m.Uint32(unix.NFTA_SET_KEY_TYPE), keyLength: m.Uint32(unix.NFTA_SET_KEY_LEN),
				dataType: m.Uint32(unix.NFTA_SET_DATA_TYPE), dataBytes: m.Uint32(unix.NFTA_SET_DATA_LEN),
			}, nil
		})
}

// Sets are the names of all sets and maps of a table; none when the table is not there.
func (c *Conn) Sets(table string) ([]string, error) {
	var a nfnl.Attrs
	a.Text(unix.NFTA_SET_TABLE, table)
	var all []string
	err := c.dump("sets of table "+table, unix.NFT_MSG_GETSET, a, func() { all = nil }, func(m nfnl.Map) error {
		if m.Text(unix.NFTA_SET_TABLE) == table && m.Uint32(unix.NFTA_SET_FLAGS)&unix.NFT_SET_ANONYMOUS == 0 {
			all = append(all, m.Text(unix.NFTA_SET_NAME))
		}
		return nil
	})
	if errors.Is(err, ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// Element reads the element with this key; ErrNotExist when it, the set or the table is not there.
func (c *Conn) Element(table, set string, key []byte) (Element, error) {
	return answer(c, AskElement(table, set, key))
}

// AskElement is Element together with other questions.
func AskElement(table, set string, key []byte) *Answer[Element] {
	b := Batch{Table: table}
	a := b.attrs(unix.NFTA_SET_ELEM_LIST_TABLE, unix.NFTA_SET_ELEM_LIST_SET, set)
	var list nfnl.Attrs
	list.Nest(unix.NFTA_LIST_ELEM, Element{Key: key}.encode())
	a.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list)
	return question("element of set "+set+" in table "+table, unix.NFT_MSG_GETSETELEM, a, func(m nfnl.Map) (e Element, err error) {
		err = nfnl.Each(m[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, v []byte) error {
			e, err = decodeElement(v)
			return err
		})
		return e, err
	})
}

// Elements reads all elements of one set; ErrNotExist when the set or the table is not there.
func (c *Conn) Elements(table, set string) ([]Element, error) {
	b := Batch{Table: table}
	var all []Element
	err := c.dump("set "+set+" in table "+table, unix.NFT_MSG_GETSETELEM,
		b.attrs(unix.NFTA_SET_ELEM_LIST_TABLE, unix.NFTA_SET_ELEM_LIST_SET, set), func() { all = nil },
		func(m nfnl.Map) error {
			return nfnl.Each(m[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, v []byte) error {
				e, err := decodeElement(v)
				all = append(all, e)
				return err
			})
		})
	return all, err
}

// Rules reads the rules of one chain in order; none when the chain is not there.
func (c *Conn) Rules(table, chain string) ([]Rule, error) {
	b := Batch{Table: table}
	var all []Rule
	err := c.dump("rules of chain "+chain+" in table "+table, unix.NFT_MSG_GETRULE,
		b.attrs(unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, chain), func() { all = nil },
		func(m nfnl.Map) error {
			if m.Text(unix.NFTA_RULE_TABLE) == table && m.Text(unix.NFTA_RULE_CHAIN) == chain {
				all = append(all, Rule{
					Expr: slices.Clone(m[unix.NFTA_RULE_EXPRESSIONS]), Handle: m.Uint64(unix.NFTA_RULE_HANDLE),
					Comment: comment(m[unix.NFTA_RULE_USERDATA], commentOther),
				})
			}
			return nil
		})
	return all, err
}

// Drift compares a table with what it shall be, elements aside: "" or what is missing or different, in words.
func (c *Conn) Drift(t Table) (string, error) {
	var ask []Question
	var sets []*Answer[SetState]
	var chains []*Answer[ChainState]
	for _, want := range t.Sets {
		sets = append(sets, AskSet(t.Name, want.Name))
		ask = append(ask, sets[len(sets)-1])
	}
	for _, want := range t.Chains {
		chains = append(chains, AskChain(t.Name, want.Name))
		ask = append(ask, chains[len(chains)-1])
	}
	if err := c.Ask(ask...); err != nil {
		return "", err
	}
	for i, want := range t.Sets {
		have := sets[i]
		if errors.Is(have.Err, ErrNotExist) {
			return "set " + want.Name + " is missing from table " + t.Name, nil
		} else if have.Err != nil {
			return "", have.Err
		}
		if !have.Value.is(want) {
			return "set " + want.Name + " in table " + t.Name + " is of another type", nil
		}
	}
	for i, want := range t.Chains {
		have := chains[i]
		if errors.Is(have.Err, ErrNotExist) {
			return "chain " + want.Name + " is missing from table " + t.Name, nil
		} else if have.Err != nil {
			return "", have.Err
		}
		if have.Value.Hook != want.Hook {
			return "chain " + want.Name + " in table " + t.Name + " stands at another hook", nil
		}
		if drift, err := c.driftOfRules(t.Name, want); drift != "" || err != nil {
			return drift, err
		}
	}
	return "", nil
}

func (c *Conn) driftOfRules(table string, want Chain) (string, error) {
	rules, err := c.Rules(table, want.Name)
	if err != nil {
		return "", err
	}
	if len(rules) != len(want.Rules) {
		return fmt.Sprintf("chain %s in table %s has %d rules, not %d", want.Name, table, len(rules), len(want.Rules)), nil
	}
	for i := range rules {
		if !sameExpr(want.Rules[i].Expr, rules[i].Expr) {
			return fmt.Sprintf("rule %d of chain %s in table %s says something else", i+1, want.Name, table), nil
		}
	}
	return "", nil
}

func (s SetState) is(want Set) bool {
	id, length := concat(want.Key)
	if s.keyType != id || s.keyLength != length || s.flags&want.flags() != want.flags() {
		return false
	}
	if len(want.Data) == 0 {
		return s.dataType == 0
	}
	id, length = concat(want.Data)
	return s.dataType == id && (want.Data[0] == Verdict || s.dataBytes == length)
}

// sameExpr says whether the kernel has what we sent: expression by expression, every attribute of ours with our value.
// It may have more of them: later kernels tell more.
func sameExpr(want, have Expr) bool {
	wanted, err1 := expressions(want)
	had, err2 := expressions(have)
	return err1 == nil && err2 == nil && slices.EqualFunc(wanted, had, func(w, h kernelExpr) bool {
		if w.name != h.name {
			return false
		}
		for t, v := range w.data {
			if h.name == "nat" && t == unix.NFTA_NAT_FLAGS {
				if w.data.Uint32(t)&^h.data.Uint32(t) != 0 { // the kernel adds what follows from the other attributes
					return false
				}
			} else if !bytes.Equal(v, h.data[t]) {
				return false
			}
		}
		return true
	})
}

type kernelExpr struct {
	name string
	data nfnl.Map
}

func expressions(list Expr) ([]kernelExpr, error) {
	var all []kernelExpr
	err := nfnl.Each(list, func(_ uint16, v []byte) error {
		m, err := nfnl.Parse(v)
		if err != nil {
			return err
		}
		data, err := m.Nest(unix.NFTA_EXPR_DATA)
		all = append(all, kernelExpr{m.Text(unix.NFTA_EXPR_NAME), data})
		return err
	})
	return all, err
}
