package stages

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/chain/plain"
)

// Validator is a configuration that judges itself after decoding. It reports every fault by the path of its field
// ("excludeNetworks[1]") and what would be right.
type Validator interface {
	Validate(report func(path, fault string))
}

// runtimeKeys are the members of a network configuration that the runtime, libcni or the specification put there.
var runtimeKeys = []string{
	"cniVersion", "cniVersions", "name", "type", "prevResult", "runtimeConfig", "args", "capabilities",
	"disableCheck", "disableGC", "loadOnlyInlinedPlugins",
}

func runtimeKey(key string) bool {
	for _, k := range runtimeKeys {
		if k == key {
			return true
		}
	}
	return strings.HasPrefix(key, "cni.dev/") || strings.HasPrefix(key, "io.kubernetes.")
}

// Decode reads the stage's own keys over the defaults that *into, a struct, holds already. Keys that neither the
// struct nor the runtime knows are faults, named with the nearest known one; durations are strings ("30s"). All faults
// come at once, in one *Error with the token CONFIG; a member at fault keeps its default. If into is a Validator it is
// asked in the same round.
//
// The member "ipam" is known when the stage declares that it delegates.
func (r *Request) Decode(into any) error {
	if err := r.split(); err != nil {
		return Errorf(Config, "standard input is not a network configuration: %w", err).WithCode(6)
	}
	known := func(key string) bool { return runtimeKey(key) || r.delegates && key == "ipam" }
	return decodeAll("", r.members, into, known)
}

// DecodeMember reads one member, an object, the way Decode reads the whole configuration; its own "type" is known.
// found is false when there is no such member.
func (r *Request) DecodeMember(key string, into any) (found bool, err error) {
	raw, ok := r.Member(key)
	if !ok {
		return false, nil
	}
	members, objErr := objectMembers(raw)
	if objErr != nil {
		return true, Errorf(Config, "%s: want an object, got %s", key, brief(raw))
	}
	return true, decodeAll(key, members, into, func(k string) bool { return k == "type" })
}

// RuntimeConfig reads what the runtime supplies for a capability (CNI conventions, "Dynamic plugin fields"). Letter
// case of the members does not matter (go-cni sends HostPort for hostPort) and unknown ones are the runtime's affair.
func (r *Request) RuntimeConfig(key string, into any) (found bool, err error) {
	raw, ok := r.Member("runtimeConfig")
	if !ok || isNull(raw) {
		return false, nil
	}
	members, objErr := objectMembers(raw)
	if objErr != nil {
		return true, Errorf(Config, "runtimeConfig: want an object, got %s", brief(raw))
	}
	value, ok := members[key]
	if !ok || isNull(value) {
		return false, nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return true, Errorf(Config, "runtimeConfig.%s: %s", key, unmarshalFault(value, nil, err))
	}
	return true, nil
}

func decodeAll(path string, members map[string]json.RawMessage, into any, known func(string) bool) error {
	d := &decoder{}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return Errorf(Bug, "cannot decode a configuration into %T: want a pointer to a struct", into)
	}
	d.structure(path, members, v.Elem(), known)
	if judge, ok := into.(Validator); ok {
		judge.Validate(func(p, fault string) { d.report(join(path, p), fault) })
	}
	if len(d.faults) == 0 {
		return nil
	}
	return Errorf(Config, "%s", strings.Join(d.faults, "; "))
}

// decoder walks a struct and its JSON side by side and collects the faults. encoding/json stops at the first.
type decoder struct{ faults []string }

func (d *decoder) report(path, fault string) { d.faults = append(d.faults, path+": "+fault) }

func (d *decoder) structure(path string, members map[string]json.RawMessage, v reflect.Value, known func(string) bool) {
	fields := map[string]reflect.Value{}
	collectFields(v, fields)
	for _, key := range sortedKeys(members) {
		field, ok := fields[key]
		switch {
		case ok:
			d.value(join(path, key), members[key], field)
		case known != nil && known(key):
		default:
			d.report(join(path, shorten(key)), "unknown key"+suggest(key, fields, known))
		}
	}
}

func collectFields(v reflect.Value, into map[string]reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			collectFields(v.Field(i), into)
		case !f.IsExported() || name == "-" || name == "":
		default:
			into[name] = v.Field(i)
		}
	}
}

// value decodes one member. null leaves the default, as encoding/json does.
func (d *decoder) value(path string, raw json.RawMessage, v reflect.Value) {
	if isNull(raw) {
		return
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		before := len(d.faults)
		d.value(path, raw, fresh.Elem())
		if len(d.faults) == before {
			v.Set(fresh)
		}
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *time.Duration:
		d.duration(path, raw, into)
		return
	case *json.RawMessage:
		*into = raw
		return
	}
	if decodesItself(v) {
		d.plain(path, raw, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		members, err := objectMembers(raw)
		if err != nil {
			d.report(path, "want an object, got "+brief(raw))
			return
		}
		d.structure(path, members, v, nil)
	case reflect.Slice:
		d.slice(path, raw, v)
	case reflect.Map:
		d.mapping(path, raw, v)
	case reflect.String:
		if text, ok := plain.Simple(raw); ok {
			v.SetString(text)
			return
		}
		d.plain(path, raw, v)
	default:
		d.plain(path, raw, v)
	}
}

func (d *decoder) slice(path string, raw json.RawMessage, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		d.plain(path, raw, v)
		return
	}
	items, ok := plain.Items(raw)
	if !ok && json.Unmarshal(raw, &items) != nil {
		d.report(path, "want a list, got "+brief(raw))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	before := len(d.faults)
	for i, item := range items {
		d.value(path+"["+strconv.Itoa(i)+"]", item, list.Index(i))
	}
	if len(d.faults) == before {
		v.Set(list)
	}
}

func (d *decoder) mapping(path string, raw json.RawMessage, v reflect.Value) {
	members, err := objectMembers(raw)
	if err != nil || v.Type().Key().Kind() != reflect.String {
		d.report(path, "want an object, got "+brief(raw))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(members))
	before := len(d.faults)
	for _, key := range sortedKeys(members) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, key), members[key], item)
		out.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
	}
	if len(d.faults) == before {
		v.Set(out)
	}
}

func (d *decoder) duration(path string, raw json.RawMessage, into *time.Duration) {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		d.report(path, `want a duration such as "30s", got `+brief(raw))
		return
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		d.report(path, `want a duration such as "30s", got `+quote(s))
		return
	}
	*into = parsed
}

func (d *decoder) plain(path string, raw json.RawMessage, v reflect.Value) {
	fresh := reflect.New(v.Type())
	if err := json.Unmarshal(raw, fresh.Interface()); err != nil {
		d.report(path, unmarshalFault(raw, v.Interface(), err))
		return
	}
	v.Set(fresh.Elem())
}

func decodesItself(v reflect.Value) bool {
	switch v.Addr().Interface().(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return v.Kind() == reflect.Interface
}

// unmarshalFault says in words what encoding/json and net/netip say in Go.
func unmarshalFault(raw []byte, wanted any, err error) string {
	switch wanted.(type) {
	case netip.Prefix:
		return "want a network such as 10.0.0.0/16, got " + brief(raw)
	case netip.Addr:
		return "want an address such as 10.0.0.1, got " + brief(raw)
	}
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return brief(raw) + ": " + err.Error()
	}
	where := ""
	if mismatch.Field != "" {
		where = mismatch.Field + ": "
	}
	return where + "want " + kindWords(mismatch.Type) + ", got " + brief(raw)
}

func kindWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "an integer" + bitsWords(t.Bits(), true)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer from 0" + bitsWords(t.Bits(), false)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "an object"
}

func bitsWords(bits int, signed bool) string {
	switch {
	case bits >= 32:
		return ""
	case signed:
		return " of at most " + strconv.Itoa(1<<(bits-1)-1)
	}
	return " to " + strconv.Itoa(1<<bits-1)
}

// objectMembers takes a JSON object apart. Nothing may stand after it.
func objectMembers(raw []byte) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, errors.New("it is empty")
	}
	members, ok := plain.Split(raw)
	if ok {
		return members, nil
	}
	members = nil
	if err := json.Unmarshal(raw, &members); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			return nil, errors.New("want an object, got " + brief(raw))
		}
		return nil, err
	}
	if members == nil {
		return nil, errors.New("want an object, got null")
	}
	return members, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func join(path, key string) string {
	switch {
	case path == "":
		return key
	case key == "":
		return path
	}
	return path + "." + key
}

// decodeString is json.Unmarshal for a string.
func decodeString(raw []byte, into *string) error {
	text, ok := plain.Simple(raw)
	if !ok {
		return json.Unmarshal(raw, into)
	}
	*into = text
	return nil
}
