package live

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Counts are a pool's addresses of one family by state.
type Counts struct{ Pending, Free, Leased, Cooling, Fenced, Held int }

// Pool is what 'enichainctl pool' says of a pool of a node; the flat counts are IPv4.
type Pool struct {
	Pool    string
	Counts  Counts
	IPv6    Counts
	Waiting int
	ENIs    []struct {
		ENI, Link string
		Prefixes  []string
		Addresses []struct{ Address, State string }
	}
}

// Prefixes are the delegated prefixes of the pool.
func (p Pool) Prefixes() (all []string) {
	for _, e := range p.ENIs {
		all = append(all, e.Prefixes...)
	}
	return all
}

// Pools are a node's, by name.
func (l *Lab) Pools(node string) (map[string]Pool, error) {
	var list []Pool
	if err := l.read(&list, "exec", node, "--", "enichainctl", "pool", "--format", "json"); err != nil {
		return nil, err
	}
	all := map[string]Pool{}
	for _, p := range list {
		all[p.Pool] = p
	}
	return all, nil
}

// Pool waits until a node's pool is as wanted.
func (l *Lab) Pool(node, name, what string, is func(Pool) bool) Pool {
	l.t.Helper()
	var p Pool
	l.Eventually(Patience, "pool "+name+" of "+node+": "+what, func() (bool, string) {
		all, err := l.Pools(node)
		p = all[name]
		return err == nil && is(p), fmt.Sprintf("it has %+v, IPv6 %+v, prefixes %v, %d waiting, %v", p.Counts, p.IPv6, p.Prefixes(), p.Waiting, err)
	})
	return p
}

// Interface is a network interface as EC2 has it.
type Interface struct {
	ID, Subnet, Primary        string
	Secondary, Prefixes        []string
	IPv6, IPv6Prefixes, Groups []string
	Tags                       map[string]string
	Attachment                 *struct {
		Instance string
		Device   int
	}
}

// dump is the lab's view of EC2.
type dump struct {
	View struct {
		Nodes   []struct{ Name, Instance string }
		Subnets []struct{ Name, ID string }
	}
	Interfaces []Interface
	Counts     []Calls
	Dropped    map[string]int
}

// Calls is what EC2 was asked, by whom.
type Calls struct {
	Action, Caller               string
	Accepted, Throttled, Refused int
}

func (l *Lab) dump() dump {
	l.t.Helper()
	var d dump
	if err := l.read(&d, "--format", "json", "dump"); err != nil {
		l.t.Fatal(err)
	}
	return d
}

// Interfaces are those of a node, the primary one first.
func (l *Lab) Interfaces(node string) (of []Interface) {
	l.t.Helper()
	d := l.dump()
	for _, n := range d.View.Nodes {
		for _, i := range d.Interfaces {
			if n.Name == node && i.Attachment != nil && i.Attachment.Instance == n.Instance {
				of = append(of, i)
			}
		}
	}
	slices.SortFunc(of, func(a, b Interface) int { return a.Attachment.Device - b.Attachment.Device })
	return of
}

// Subnet is the id of a subnet by the lab file's name.
func (l *Lab) Subnet(name string) string {
	l.t.Helper()
	for _, s := range l.dump().View.Subnets {
		if s.Name == name {
			return s.ID
		}
	}
	l.t.Fatalf("there is no subnet %s", name)
	return ""
}

// Calls are all that EC2 was asked so far.
func (l *Lab) Calls() []Calls {
	l.t.Helper()
	return l.dump().Counts
}

// Dropped are the packets that the VPC's router dropped, by reason.
func (l *Lab) Dropped() map[string]int {
	l.t.Helper()
	return l.dump().Dropped
}

// Changes counts what the reconciler changed in EC2 so far: every call but Describe….
func (l *Lab) Changes() (n int) {
	l.t.Helper()
	for _, c := range l.dump().Counts {
		if !strings.HasPrefix(c.Action, "Describe") && c.Caller == "LABRECONCILER" {
			n += c.Accepted + c.Refused + c.Throttled
		}
	}
	return n
}

// Configure changes the daemon's configuration on a machine, as an editor does: by a new file in the old one's place.
func (l *Lab) Configure(machine string, change func(config map[string]any)) {
	l.t.Helper()
	const file = "/etc/enichain/enichaind.yaml"
	var config map[string]any
	if err := yaml.Unmarshal([]byte(l.On(machine, "cat "+file)), &config); err != nil {
		l.t.Fatal(err)
	}
	change(config)
	text, err := json.Marshal(config) // which YAML 1.2 contains
	if err != nil {
		l.t.Fatal(err)
	}
	l.On(machine, "cp "+l.File("enichaind.yaml", string(text))+" "+file+".new; mv "+file+".new "+file)
}
