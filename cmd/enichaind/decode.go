package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/enichain/enichain/chain/spelling"
)

// Faults are all that is wrong with a configuration, each with its path and line.
type Faults []string

// Error lists them, one a line.
func (f Faults) Error() string {
	return fmt.Sprintf("%d fault(s) in the configuration:\n  %s", len(f), strings.Join(f, "\n  "))
}

// Parse reads a configuration over the defaults. The error is Faults, or says that the text is no YAML.
func Parse(text []byte) (Config, error) { return parse(text, func(*Config) {}) }

// parse lays what over gives on top, before all is judged.
func parse(text []byte, over func(*Config)) (Config, error) {
	var c Config
	var faults Faults
	for _, layer := range [][]byte{defaultYAML, text} {
		var doc yaml.Node
		if err := yaml.Unmarshal(layer, &doc); err != nil {
			return Config{}, fmt.Errorf("the configuration is no YAML: %w", err)
		}
		if len(doc.Content) == 1 {
			faults = append(faults, decode(doc.Content[0], reflect.ValueOf(&c).Elem(), "")...)
		}
	}
	over(&c)
	faults = append(faults, c.validate()...)
	if len(faults) > 0 {
		return Config{}, faults
	}
	return c, nil
}

// decode sets v from the node and goes on after a fault, so that all are found at once.
func decode(n *yaml.Node, v reflect.Value, path string) Faults {
	switch v.Interface().(type) {
	case Duration:
		d, err := time.ParseDuration(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode {
			return fault(n, path, "a duration with its unit, such as 30s or 10m")
		}
		v.SetInt(int64(d))
		return nil
	case Bytes:
		b, ok := parseBytes(n.Value)
		if !ok {
			return fault(n, path, "a size with its unit, such as 8MiB")
		}
		v.SetInt(b)
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(n, v, path)
	case reflect.Slice:
		return decodeSlice(n, v, path)
	case reflect.Map:
		return decodeMap(n, v, path)
	}
	if n.Kind != yaml.ScalarNode || n.Decode(v.Addr().Interface()) != nil {
		return fault(n, path, map[reflect.Kind]string{
			reflect.Bool: "true or false", reflect.Int: "an integer", reflect.Float64: "a number", reflect.String: "a text",
		}[v.Kind()])
	}
	return nil
}

func decodeStruct(n *yaml.Node, v reflect.Value, path string) Faults {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // a section with nothing in it keeps its defaults
	}
	if n.Kind != yaml.MappingNode {
		return fault(n, path, "a section of keys")
	}
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	var faults Faults
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		field, known := fields[key.Value]
		switch {
		case !known:
			faults = append(faults, fmt.Sprintf("line %d: %s is no key here; %s", key.Line, at, instead(key.Value, fields)))
		case seen[key.Value]:
			faults = append(faults, fmt.Sprintf("line %d: %s stands twice", key.Line, at))
		default:
			faults = append(faults, decode(n.Content[i+1], field, at)...)
		}
		seen[key.Value] = true
	}
	if warm, ok := v.Addr().Interface().(*Warm); ok && (seen["enis"] || seen["prefixes"]) && !seen["free"] {
		warm.Free = 0 // who counts in interfaces or prefixes does not also want the default number of addresses
	}
	return faults
}

// decodeMap fills a new map, so that pools that started from one another share none.
func decodeMap(n *yaml.Node, v reflect.Value, path string) Faults {
	if n.Kind != yaml.MappingNode {
		return fault(n, path, "a section of keys")
	}
	var faults Faults
	made := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		at := path + "." + key.Value
		if made.MapIndex(reflect.ValueOf(key.Value)).IsValid() {
			faults = append(faults, fmt.Sprintf("line %d: %s stands twice", key.Line, at))
			continue
		}
		faults = append(faults, decode(n.Content[i+1], value, at)...)
		made.SetMapIndex(reflect.ValueOf(key.Value), value)
	}
	v.Set(made)
	return faults
}

func decodeSlice(n *yaml.Node, v reflect.Value, path string) Faults {
	if n.Kind != yaml.SequenceNode {
		return fault(n, path, "a list")
	}
	var faults Faults
	defaults := reflect.ValueOf(v.Interface())
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if defaults.Len() > 0 && list.Index(i).Kind() == reflect.Struct {
			list.Index(i).Set(defaults.Index(0)) // every pool starts from the default one
		}
		faults = append(faults, decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
	}
	v.Set(list)
	return faults
}

func fault(n *yaml.Node, path, wanted string) Faults {
	given := n.Value
	if n.Kind != yaml.ScalarNode {
		given = map[yaml.Kind]string{yaml.MappingNode: "a section", yaml.SequenceNode: "a list", yaml.AliasNode: "an alias"}[n.Kind]
	}
	return Faults{fmt.Sprintf("line %d: %s is %q, but must be %s", n.Line, path, given, wanted)}
}

func parseBytes(s string) (int64, bool) {
	for unit, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			return n * factor, err == nil && n > 0
		}
	}
	return 0, false
}

// instead says which key was meant, or which ones there are.
func instead(given string, fields map[string]reflect.Value) string {
	names := slices.Sorted(maps.Keys(fields))
	if near := spelling.Nearest(given, names); near != "" {
		return fmt.Sprintf("the nearest is %q", near)
	}
	return "known are " + strings.Join(names, ", ")
}
