package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// elementBytes is where a message of elements is ended and the next begun; an attribute holds 64 KiB.
const elementBytes = 32 << 10

// Batch collects the changes of one transaction on one table of the family inet. The zero value with Table is ready.
type Batch struct {
	Table string

	generation uint32
	messages   []nfnl.Message
	what       []string // per message, for errors
	sets       uint32   // transaction-wide ids given to new sets
}

// At binds the batch: it is refused with ErrGeneration when the ruleset is not at generation gen any more.
func (b *Batch) At(gen uint32) { b.generation = gen }

// Len is how many changes the batch holds.
func (b *Batch) Len() int { return len(b.messages) }

func (b *Batch) push(what string, command, flags uint16, attrs nfnl.Attrs) {
	b.messages = append(b.messages, nfnl.Message{
		Type: unix.NFNL_SUBSYS_NFTABLES<<8 | command, Flags: flags, Family: unix.NFPROTO_INET, Attrs: attrs,
	})
	b.what = append(b.what, what)
}

// AddTable makes the table where it is not there; an existing one keeps its comment.
func (b *Batch) AddTable(comment string) {
	var a nfnl.Attrs
	a.Text(unix.NFTA_TABLE_NAME, b.Table)
	if comment != "" {
		a.Bytes(tableUserdata, userdata(comment, commentOther))
	}
	b.push("add table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, a)
}

// DeleteTable removes the table with all in it.
func (b *Batch) DeleteTable() {
	var a nfnl.Attrs
	a.Text(unix.NFTA_TABLE_NAME, b.Table)
	b.push("delete table", unix.NFT_MSG_DELTABLE, 0, a)
}

// AddChain makes a chain, without its rules, where it is not there; an existing one keeps its comment.
func (b *Batch) AddChain(c Chain) {
	a := b.attrs(unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != (Hook{}) {
		var hook nfnl.Attrs
		hook.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(c.Hook.Point))
		hook.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
		a.Nest(unix.NFTA_CHAIN_HOOK, hook)
		a.Text(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	}
	if c.Comment != "" {
		a.Bytes(chainUserdata, userdata(c.Comment, commentOther))
	}
	b.push("add chain "+c.Name, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, a)
}

// DeleteChain removes a chain; its rules must have been flushed, and no rule may jump to it.
func (b *Batch) DeleteChain(name string) {
	b.push("delete chain "+name, unix.NFT_MSG_DELCHAIN, 0, b.attrs(unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME, name))
}

// FlushChain removes all rules of a chain.
func (b *Batch) FlushChain(name string) {
	b.push("flush chain "+name, unix.NFT_MSG_DELRULE, 0, b.attrs(unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, name))
}

// AddRule appends a rule to a chain.
func (b *Batch) AddRule(chain string, r Rule) {
	a := b.attrs(unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, chain)
	a.Nest(unix.NFTA_RULE_EXPRESSIONS, nfnl.Attrs(r.Expr))
	if r.Comment != "" {
		a.Bytes(unix.NFTA_RULE_USERDATA, userdata(r.Comment, commentOther))
	}
	b.push("add rule to chain "+chain, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, a)
}

// DeleteRule removes the rule that Rules gave this handle.
func (b *Batch) DeleteRule(chain string, handle uint64) {
	a := b.attrs(unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, chain)
	a.Uint64(unix.NFTA_RULE_HANDLE, handle)
	b.push(fmt.Sprintf("delete rule %d of chain %s", handle, chain), unix.NFT_MSG_DELRULE, 0, a)
}

// AddSet makes a set or map, empty, where it is not there.
func (b *Batch) AddSet(s Set) {
	b.sets++
	a := b.attrs(unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME, s.Name)
	a.Uint32(unix.NFTA_SET_FLAGS, s.flags())
	id, length := concat(s.Key)
	a.Uint32(unix.NFTA_SET_KEY_TYPE, id)
	a.Uint32(unix.NFTA_SET_KEY_LEN, length)
	if len(s.Data) > 0 {
		id, length = concat(s.Data)
		a.Uint32(unix.NFTA_SET_DATA_TYPE, id)
		if s.Data[0] != Verdict {
			a.Uint32(unix.NFTA_SET_DATA_LEN, length)
		}
	}
	if s.Size > 0 {
		var description nfnl.Attrs
		description.Uint32(unix.NFTA_SET_DESC_SIZE, uint32(s.Size))
		a.Nest(unix.NFTA_SET_DESC, description)
	}
	a.Uint32(unix.NFTA_SET_ID, b.sets)
	a.Bytes(unix.NFTA_SET_USERDATA, s.userdata())
	b.push("add set "+s.Name, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, a)
}

// DeleteSet removes a set that no rule names.
func (b *Batch) DeleteSet(name string) {
	b.push("delete set "+name, unix.NFT_MSG_DELSET, 0, b.attrs(unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME, name))
}

// FlushSet removes all elements of a set.
func (b *Batch) FlushSet(name string) {
	a := b.attrs(unix.NFTA_SET_ELEM_LIST_TABLE, unix.NFTA_SET_ELEM_LIST_SET, name)
	b.push("flush set "+name, unix.NFT_MSG_DELSETELEM, 0, a)
}

// Add adds elements; one that is there already stays as it is, comment and all, unless its data differ (ErrExist).
func (b *Batch) Add(set string, elements ...Element) {
	b.elements("add", set, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, elements)
}

// Create adds elements; one that is there already refuses the whole batch with ErrExist.
func (b *Batch) Create(set string, elements ...Element) {
	b.elements("create", set, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, elements)
}

// Delete removes elements by their keys, whoever owns them (bind the batch by At to be sure); one that is not there
// refuses the whole batch with ErrNotExist.
func (b *Batch) Delete(set string, elements ...Element) {
	keys := make([]Element, len(elements))
	for i, e := range elements {
		keys[i] = Element{Key: e.Key, End: e.End}
	}
	b.elements("delete", set, unix.NFT_MSG_DELSETELEM, 0, keys)
}

func (b *Batch) elements(verb, set string, command, flags uint16, elements []Element) {
	var list nfnl.Attrs
	send := func() {
		if len(list) == 0 {
			return
		}
		a := b.attrs(unix.NFTA_SET_ELEM_LIST_TABLE, unix.NFTA_SET_ELEM_LIST_SET, set)
		a.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list)
		b.push(verb+" element of set "+set, command, flags, a)
		list = nil
	}
	for _, e := range elements {
		list.Nest(unix.NFTA_LIST_ELEM, e.encode())
		if len(list) > elementBytes {
			send()
		}
	}
	send()
}

// attrs begins a message that names our table and one thing in it.
func (b *Batch) attrs(tableAttr, nameAttr uint16, name string) nfnl.Attrs {
	var a nfnl.Attrs
	a.Text(tableAttr, b.Table)
	a.Text(nameAttr, name)
	return a
}
