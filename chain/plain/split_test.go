package plain_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/enichain/enichain/chain/plain"
)

// What is taken apart is what encoding/json would take apart.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{`{"a":1,"b" : { "c" : [ true , null,"\\\"" ] } }`, ` { } `, `[]`, `[1, -2 ,[ ],{}]`, `{"a":1,"a":2}`, `{"a":01}`, `{"a":-}`, `{"a":1.5}`,
		`{"a":1e5}`, `{"a":tru}`, `{"a":"\u0041"}`, `{"a":"\x"}`, `{"\u0041":1}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}", "{\"a\":\"\n\"}", `{"a":1}x`, `{"a":1,}`, `[1,]`, `{"a"}`, "",
		"null", `{"a":truefalse}`, "{}\x00", `"a"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, ok := plain.Split(text); ok {
			var want map[string]json.RawMessage
			if err := json.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Split(%q) = %q, want %q (%v)", text, got, want, err)
			}
		}
		if got, ok := plain.Items(text); ok {
			var want []json.RawMessage
			if err := json.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Items(%q) = %q, want %q (%v)", text, got, want, err)
			}
		}
		if got, ok := plain.Simple(text); ok {
			var want string
			if err := json.Unmarshal(text, &want); err != nil || got != want {
				t.Errorf("Simple(%q) = %q, want %q (%v)", text, got, want, err)
			}
		}
	})
}

func TestSplitUsual(t *testing.T) {
	const text = `{"cniVersion":"1.0.0","prevResult":{"ips":[{"address":"10.0.0.1/32","interface":0}],"dns":{}},"name":"a","mtu":9001,"on":true}`
	members, ok := plain.Split([]byte(text))
	if !ok || len(members) != 5 || string(members["mtu"]) != "9001" {
		t.Errorf("Split(%s) = %q, %t", text, members, ok)
	}
}

// What is quoted is what encoding/json quotes.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "eth0", `"\`, "<a&b>", "\x00\x1f\x7f", "ü\u2028\u2029", "\xff\xc3", "~ !'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain.Quote(nil, s); string(got) != string(want) {
			t.Errorf("wrote\n%s, encoding/json\n%s", got, want)
		}
	})
}

// A map that is read is what encoding/json reads, and it is written as encoding/json writes it.
func FuzzMap(f *testing.F) {
	type record struct {
		M map[string]int `json:"m"`
	}
	table := func(r *record) plain.Table {
		return func(m *plain.Members) { plain.Map(m, "m", &r.M, false, plain.NumberOf) }
	}
	for _, text := range []string{`{"m":null}`, `{"m":{}}`, `{"m":{"a":1,"b":-2}}`, `{"m":{"b":1,"a":2}}`, `{"m":{"a":1,"a":2}}`, `{"m":{"a":1,}}`, `{"m":{,}}`,
		`{"m":{"\u00fc":1}}`, `{"m":{"a" :1}}`, `{"m":{"a"}}`, `{"m":{"a":{}}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want record
		if !table(&got).Read(text) {
			return
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s was read; encoding/json: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: read %+v, encoding/json %+v", text, got, want)
		}
		wrote, ok := table(&got).Write()
		if again, err := json.Marshal(want); err != nil || !ok || string(wrote) != string(again) {
			t.Fatalf("wrote %s, encoding/json %s (%v)", wrote, again, err)
		}
	})
}
