package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
)

// kinds are new records of each kind that has a table.
func kinds() []any {
	return []any{new(Meta), new(ENI), new(Address), new(Lease), new(delegated), new(ipam.Record)}
}

// A table knows every field of its struct, or the two texts would differ.
func TestTablesWriteAsEncodingJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		for _, value := range kinds() {
			if i > 0 { // the first is zero
				fill(random, reflect.ValueOf(value).Elem())
			}
			want, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := table(value).Write()
			if diff := cmp.Diff(string(want), string(got)); !ok || diff != "" {
				t.Fatalf("%T (-want +got):\n%s", value, diff)
			}
			read := reflect.New(reflect.TypeOf(value).Elem()).Interface()
			if !table(read).Read(got) {
				t.Fatalf("encoding/json has to read %s", got)
			}
			sameAsDecoded(t, got, read)
		}
	}
}

func FuzzTablesReadAsEncodingJSON(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for i, value := range kinds() {
		for range 5 {
			fill(random, reflect.ValueOf(value).Elem())
			text, err := json.Marshal(value)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(i, text)
		}
	}
	for _, text := range []string{"", "null", "{}", "[]", " {}", "{} ", `{"N":01}`, `{"N":-0}`, `{"N":1.0}`, `{"N":1,}`, `{"n":1}`, `{"N":1,"N":2}`,
		`{"Boot":"\ud800"}`, "{\"Boot\":\"\xff\"}", `{"Boot":null}`, `{"VPC":[]}`, `{"VPC":[null]}`, `{"Served":["a",]}`, `{"Address":"fe80::1%<"}`,
		`{"Until":9223372036854775808}`, `{"Owner":null}`, `{"Address":"10.0.0.1","State":"free"}{}`} {
		for i := range kinds() {
			f.Add(i, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, kind int, text []byte) {
		all := kinds()
		value := all[uint(kind)%uint(len(all))]
		plain := table(value).Read(text)
		if plain {
			sameAsDecoded(t, text, value)
		}
		value = kinds()[uint(kind)%uint(len(all))]
		err := read(text, value)
		want := reflect.New(reflect.TypeOf(value).Elem()).Interface()
		if wantErr := json.Unmarshal(text, want); fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%q: error %v, encoding/json's is %v", text, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(value, want) {
			t.Fatalf("%q: %+v, encoding/json reads %+v", text, value, want)
		}
	})
}

func sameAsDecoded(t *testing.T, text []byte, got any) {
	t.Helper()
	want := reflect.New(reflect.TypeOf(got).Elem()).Interface()
	if err := json.Unmarshal(text, want); err != nil {
		t.Fatalf("%s was read, and encoding/json says %v", text, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(delegated{}), cmp.AllowUnexported(netip.Prefix{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Fatalf("%s (-encoding/json +table):\n%s", text, diff)
	}
}

// fill gives each exported field something, now and then nothing.
func fill(random *rand.Rand, v reflect.Value) {
	if random.IntN(5) == 0 {
		v.SetZero()
		return
	}
	switch at := v.Addr().Interface().(type) {
	case *netip.Addr:
		*at = []netip.Addr{netip.MustParseAddr("10.110.1.7"), netip.MustParseAddr("fe80::1%eth0")}[random.IntN(2)]
		return
	case *netip.Prefix:
		*at = []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16"), netip.MustParsePrefix("2001:db8::/80")}[random.IntN(2)]
		return
	case *time.Time:
		*at = time.Unix(random.Int64N(1<<33), random.Int64N(1e9)).In(time.FixedZone("", 3600*random.IntN(3)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Tag.Get("json") != "-" {
				fill(random, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(3), 3))
		for i := range v.Len() {
			fill(random, v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(random, v.Elem())
	case reflect.String:
		v.SetString([]string{"x", "pod.added", "<a> & \"b\"\\", "späte\u2028r", "\xff\x00\x7f"}[random.IntN(5)])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(random.Uint64())
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(random.Uint64()))
	default:
		panic("a record has a field of a new kind: " + v.Type().String())
	}
}
