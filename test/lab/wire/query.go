package wire

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/test/lab/vpc"
)

// node is a parameter of the query protocol: flat names such as Filter.1.Value.2 are a tree.
type node struct {
	name     string // the whole name
	value    *string
	children map[string]*node
	used     bool
}

// Limits of what a query may be, so that nonsense stays cheap. EC2's own are not published.
const (
	mostParameters = 10000
	deepest        = 8
)

// parse makes a tree of a form's parameters.
func parse(form url.Values) (*node, *vpc.Error) {
	root := &node{}
	if len(form) > mostParameters {
		return nil, vpc.Refuse("MalformedQueryString", "there are %d parameters; at most %d are allowed",
			len(form), mostParameters)
	}
	for name, values := range form {
		if len(values) != 1 {
			return nil, vpc.Refuse("MalformedQueryString", "the parameter %s is given %d times", name, len(values))
		}
		segments := strings.Split(name, ".")
		if len(segments) > deepest {
			return nil, unknown(name)
		}
		n := root
		for i, s := range segments {
			if s == "" {
				return nil, unknown(name)
			}
			child := n.children[s]
			if child == nil {
				child = &node{name: strings.Join(segments[:i+1], ".")}
				if n.children == nil {
					n.children = map[string]*node{}
				}
				n.children[s] = child
			}
			n = child
		}
		n.value = &values[0]
	}
	return root, nil
}

func unknown(name string) *vpc.Error {
	return vpc.Refuse(vpc.CodeUnknownParameter, "The parameter %s is not recognized", name)
}

// take returns a parameter and remembers that somebody wanted it.
func (n *node) take(name string) *node {
	child := n.children[name]
	if child != nil {
		child.used = true
	}
	return child
}

// leftover is the first parameter, by name, that nobody took.
func (n *node) leftover() *node {
	for _, name := range sortedKeys(n.children) {
		child := n.children[name]
		if !child.used {
			return child.firstLeaf()
		}
	}
	return nil
}

func (n *node) firstLeaf() *node {
	if n.value != nil || len(n.children) == 0 {
		return n
	}
	return n.children[sortedKeys(n.children)[0]].firstLeaf()
}

func sortedKeys(m map[string]*node) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fill sets a request struct's fields from the parameters that their tags name. Embedded structs count as if their
// fields stood there.
func fill(n *node, into reflect.Value) *vpc.Error {
	for i := range into.NumField() {
		field, value := into.Type().Field(i), into.Field(i)
		if field.Anonymous {
			if err := fill(n, value); err != nil {
				return err
			}
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("query"), ",")
		child := n.take(name)
		if child == nil || child.empty() && field.Type != reflect.TypeFor[*string]() {
			if option == "required" {
				return vpc.Refuse(vpc.CodeMissingParameter, "The request must contain the parameter %s", full(n, name))
			}
			continue
		}
		if err := set(child, value); err != nil {
			return err
		}
		if option == "positive" && value.Int() < 1 {
			return badValue(child, "a number of at least 1")
		}
	}
	return nil
}

// empty is true of a parameter without a value: EC2 takes it as absent. Where an empty text differs from none, the
// request's field is a pointer.
func (n *node) empty() bool { return n.value != nil && *n.value == "" && len(n.children) == 0 }

func full(n *node, name string) string {
	if n.name == "" {
		return name
	}
	return n.name + "." + name
}

// set fills one field from a parameter.
func set(n *node, into reflect.Value) *vpc.Error {
	switch into.Interface().(type) {
	case netip.Addr, netip.Prefix:
		return scalar(n, into)
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return set(n, into.Elem())
	case reflect.Struct:
		if n.value != nil {
			return badValue(n, "a structure")
		}
		if err := fill(n, into); err != nil {
			return err
		}
		if left := n.leftover(); left != nil {
			return unknown(left.name)
		}
		return nil
	case reflect.Slice:
		return setList(n, into)
	}
	return scalar(n, into)
}

// setList fills a list from Name.1, Name.2, …; gaps are allowed and close up.
func setList(n *node, into reflect.Value) *vpc.Error {
	if n.value != nil {
		return badValue(n, "a list: "+n.name+".1, …")
	}
	indexes := make([]int, 0, len(n.children))
	for key := range n.children {
		index, err := strconv.Atoi(key)
		if err != nil || index < 1 || strconv.Itoa(index) != key {
			return unknown(n.children[key].firstLeaf().name)
		}
		indexes = append(indexes, index)
	}
	slices.Sort(indexes)
	list := reflect.MakeSlice(into.Type(), len(indexes), len(indexes))
	for i, index := range indexes {
		if err := set(n.children[strconv.Itoa(index)], list.Index(i)); err != nil {
			return err
		}
	}
	into.Set(list)
	return nil
}

// scalar fills a field that has one value.
func scalar(n *node, into reflect.Value) *vpc.Error {
	if n.value == nil || len(n.children) > 0 {
		return badValue(n, "a single value")
	}
	text := *n.value
	switch into.Interface().(type) {
	case netip.Addr:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return vpc.Refuse(vpc.CodeInvalidParameter, "invalid value for parameter address: [%s]", text)
		}
		into.Set(reflect.ValueOf(a))
		return nil
	case netip.Prefix:
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return badValue(n, "an address prefix such as 10.0.0.16/28")
		}
		into.Set(reflect.ValueOf(p))
		return nil
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true":
			into.SetBool(true)
		case "false":
			into.SetBool(false)
		default:
			return badValue(n, "true or false")
		}
	case reflect.Int:
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return badValue(n, "a number")
		}
		into.SetInt(number)
	default:
		panic(fmt.Sprintf("no parameter can be a %s", into.Type()))
	}
	return nil
}

func badValue(n *node, want string) *vpc.Error {
	given := "a structure"
	if n.value != nil {
		given = *n.value
	}
	return vpc.Refuse(vpc.CodeInvalidParameter, "Value (%s) for parameter %s is invalid; it is %s", given, n.name, want)
}
