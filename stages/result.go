package stages

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	types040 "github.com/containernetworking/cni/pkg/types/040"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// inside is the version whose types this program uses.
const inside = "1.1.0"

// Versions are the CNI versions that every stage speaks, verbatim as VERSION tells them.
func Versions() []string { return []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} }

// readResult reads a result of any version that we speak. Without a version of its own it has the configuration's;
// one of the other line of types (0.x, 1.x) is refused.
func readResult(raw []byte, version string) (*Result, error) {
	result := &Result{}
	if line(version) != "1" || !resultTable(result).Read(raw) || result.CNIVersion != "" && line(result.CNIVersion) != "1" {
		var err error
		if result, err = decodeResult(raw, version); err != nil {
			return nil, err
		}
	}
	result.CNIVersion = inside
	if err := whole(result.Interfaces, result.IPs, result.Routes); err != nil {
		return nil, err
	}
	return result, sound(result)
}

// decodeResult reads one that is not plain.
func decodeResult(raw []byte, version string) (*Result, error) {
	var own struct {
		CNIVersion *string `json:"cniVersion"`
	}
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, err
	}
	if own.CNIVersion != nil && *own.CNIVersion != "" {
		if line(*own.CNIVersion) != line(version) {
			return nil, fmt.Errorf("it is of cniVersion %s, the configuration of %s", *own.CNIVersion, version)
		}
	}
	if line(version) == "1" {
		result := &Result{}
		return result, json.Unmarshal(raw, result)
	}
	var old types040.Result
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, err
	}
	if err := whole(old.Interfaces, old.IPs, old.Routes); err != nil {
		return nil, err
	}
	old.CNIVersion = "0.4.0"
	converted, err := old.GetAsVersion(inside)
	if err != nil {
		return nil, err
	}
	return converted.(*types100.Result), nil
}

func line(version string) string { major, _, _ := strings.Cut(version, "."); return major }

// whole refuses null inside a list: every reader of a result would have to expect it.
func whole[I, P, R any](interfaces []*I, ips []*P, routes []*R) error {
	for i, v := range interfaces {
		if v == nil {
			return fmt.Errorf("interfaces[%d] is null", i)
		}
	}
	for i, v := range ips {
		if v == nil {
			return fmt.Errorf("ips[%d] is null", i)
		}
	}
	for i, v := range routes {
		if v == nil {
			return fmt.Errorf("routes[%d] is null", i)
		}
	}
	return nil
}

// sound refuses an address that is none and an index that points nowhere.
func sound(r *Result) error {
	for i, ip := range r.IPs {
		if len(ip.Address.IP) == 0 {
			return fmt.Errorf("ips[%d].address is missing", i)
		}
		if n := ip.Interface; n != nil && (*n < 0 || *n >= len(r.Interfaces)) {
			return fmt.Errorf("ips[%d].interface is %d, and there are %d interfaces", i, *n, len(r.Interfaces))
		}
	}
	for i, route := range r.Routes {
		if len(route.Dst.IP) == 0 {
			return fmt.Errorf("routes[%d].dst is missing", i)
		}
	}
	return nil
}

// writable refuses a result that nobody could read.
func writable(r *Result) error {
	if r == nil {
		return errors.New("the stage returned none")
	}
	if err := whole(r.Interfaces, r.IPs, r.Routes); err != nil {
		return err
	}
	return sound(r)
}

// writeResult is a result as one line of JSON in the version that the list speaks.
func writeResult(r *Result, version string) ([]byte, error) {
	if err := writable(r); err != nil {
		return nil, fmt.Errorf("cannot write the result: %w", err)
	}
	if line(version) == "1" {
		current := *r
		current.CNIVersion = version
		text, ok := resultTable(&current).Write()
		if !ok {
			return json.Marshal(&current) // which says why not
		}
		return text, nil
	}
	current := *r
	current.CNIVersion = inside
	old, err := current.GetAsVersion(version)
	if err != nil {
		return nil, fmt.Errorf("cannot write the result as %s: %w", version, err)
	}
	return json.Marshal(old)
}
