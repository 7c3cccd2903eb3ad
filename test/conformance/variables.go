package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// vars are the variables of an attachment, for the profile's shell lines and configuration.
func (a attachment) vars() []string {
	n := strconv.Itoa(a.n)
	return []string{
		"N=" + n, "N100=" + strconv.Itoa(a.n+100), "NS=" + a.container, "NETNS=" + a.netns, "IFNAME=" + a.ifname, "CONTAINERID=" + a.container,
		"HOST=h" + n, "MAC=02:58:00:00:02:" + fmt.Sprintf("%02x", a.n), "HOSTMAC=02:58:00:00:01:" + fmt.Sprintf("%02x", a.n),
		"IP=10.88." + n + ".2", "GATEWAY=10.88." + n + ".1", "IP6=fd88:0:0:" + n + "::2", "GATEWAY6=fd88:0:0:" + n + "::1",
		"NETWORK=" + network,
	}
}

// number is a string that stands for a number of its own in each attachment: "${N+8000}".
var number = regexp.MustCompile(`^\$\{N\+(\d+)\}$`)

// expand fills the variables into a copy of a profile's object.
func expand(o object, a attachment) object {
	if o == nil {
		return object{}
	}
	return expanded(o, a).(object)
}

func expanded(v any, a attachment) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, x := range v {
			out[k] = expanded(x, a)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = expanded(x, a)
		}
		return out
	case string:
		if m := number.FindStringSubmatch(v); m != nil {
			base, _ := strconv.Atoi(m[1]) // the pattern has digits only
			return base + a.n
		}
		return expandLine(v, a.vars())
	}
	return v
}

// expandLine fills variables into a line; what is no variable of ours stays, for the shell.
func expandLine(line string, vars []string) string {
	return os.Expand(line, func(name string) string {
		for _, v := range vars {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return "${" + name + "}"
	})
}

// list are the objects of an array in a result.
func list(o object, key string) []object {
	values, _ := o[key].([]any)
	var out []object
	for _, v := range values {
		if o, ok := v.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

// older says whether version a came before b; versions are three numbers.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int) {
	for i, s := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(s)
	}
	return n
}

// jsonOf is a value as JSON, with sorted keys.
func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// plain is a value as it comes out of JSON, so that two can be compared; what says nothing (null, {}, []) is nil.
func plain(v any) any {
	var out any
	if err := json.Unmarshal([]byte(jsonOf(v)), &out); err != nil {
		return err
	}
	switch o := out.(type) {
	case object:
		if len(o) == 0 {
			return nil
		}
	case []any:
		if len(o) == 0 {
			return nil
		}
	}
	return out
}
