package stages

import (
	"slices"
	"strconv"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/plain"
)

// written is JSON under way, byte for byte what encoding/json makes of the same values. A process of two milliseconds
// writes each kind of value once, so encoding/json's plan for its type, made by reflection, would never pay.
type written struct{ text []byte }

// open, key and shut are an object's parts; a list has open, next and shut.
func (w *written) open(bracket byte) { w.text = append(w.text, bracket) }

func (w *written) shut(bracket byte) { w.text = append(w.text, bracket) }

func (w *written) next() {
	if last := w.text[len(w.text)-1]; last != '{' && last != '[' {
		w.text = append(w.text, ',')
	}
}

// key takes names that need no escape: those of our own members.
func (w *written) key(name string) {
	w.next()
	w.text = append(w.text, '"')
	w.text = append(w.text, name...)
	w.text = append(w.text, '"', ':')
}

func (w *written) string(s string) { w.text = plain.Quote(w.text, s) }

func (w *written) integer(n int64) { w.text = strconv.AppendInt(w.text, n, 10) }

// nonempty and nonzero are members with "omitempty".
func (w *written) nonempty(key, value string) {
	if value != "" {
		w.key(key)
		w.string(value)
	}
}

func (w *written) nonzero(key string, n int64) {
	if n != 0 {
		w.key(key)
		w.integer(n)
	}
}

// list is a member; nothing is [].
func list[S ~string](w *written, key string, all []S) {
	w.key(key)
	w.open('[')
	for _, s := range all {
		w.next()
		w.string(string(s))
	}
	w.shut(']')
}

func listed[S ~string](w *written, key string, all []S) {
	if len(all) > 0 {
		list(w, key, all)
	}
}

// flight writes a line of the record.
func (w *written) flight(f Flight) {
	w.open('{')
	w.key("t")
	w.string(f.T)
	w.key("stage")
	w.string(f.Stage)
	w.key("cmd")
	w.string(f.Command)
	w.nonempty("net", f.Network)
	w.nonempty("ctr", f.Container)
	w.nonempty("if", f.IfName)
	w.nonempty("pod", f.Pod)
	w.key("took_us")
	w.integer(f.Took)
	w.key("lock_us")
	w.integer(f.Lock)
	w.nonzero("wait_us", f.Wait)
	w.nonempty("token", string(f.Token))
	w.nonempty("trace", f.Trace)
	w.shut('}')
}

// contract writes a declaration; lists that may not be left out are [] where they are empty: null says nothing.
func (w *written) contract(c contract.Contract) {
	w.open('{')
	w.key("v")
	w.integer(int64(c.V))
	w.nonempty("previous", string(c.Previous))
	list(w, "requires", c.Requires)
	list(w, "adds", c.Adds)
	list(w, "exclusive", c.Exclusive)
	list(w, "capabilities", c.Capabilities)
	w.nonempty("delegates", string(c.Delegates))
	listed(w, "changes", c.Changes)
	listed(w, "checks", c.Checks)
	listed(w, "delFails", c.DelFails)
	listed(w, "delForgets", c.DelForgets)
	listed(w, "verbs", c.Verbs)
	listed(w, "kernel", c.Kernel)
	if len(c.NotUnder) > 0 {
		w.key("notUnder")
		w.words(c.NotUnder)
	}
	w.key("keys")
	w.words(c.Keys)
	if len(c.Stages) > 0 {
		w.key("stages")
		w.open('{')
		for _, name := range sortedKeys(c.Stages) {
			w.next()
			w.string(name)
			w.text = append(w.text, ':')
			w.contract(c.Stages[name])
		}
		w.shut('}')
	}
	w.shut('}')
}

// words writes a map; nil is null.
func (w *written) words(m map[string]string) {
	if m == nil {
		w.text = append(w.text, "null"...)
		return
	}
	w.open('{')
	for _, name := range sortedKeys(m) {
		w.next()
		w.string(name)
		w.text = append(w.text, ':')
		w.string(m[name])
	}
	w.shut('}')
}

// version writes the answer to VERSION.
func (w *written) version(asked string, c contract.Contract) {
	w.text = slices.Grow(w.text, 4<<10)
	w.open('{')
	w.key("cniVersion")
	w.string(asked)
	w.key(contract.Key)
	w.contract(c)
	w.key(ReleaseKey)
	w.string(Release)
	list(w, "supportedVersions", Versions())
	w.shut('}')
}
