// Command pod-hosts tells the node's resolver who a pod is: a file per attachment, of the form of /etc/hosts, in a
// folder that dnsmasq reads by itself whenever a file comes or goes (its option --hostsdir).
package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

// podHosts is the stage, and its configuration: what a list says is laid over the defaults in it.
type podHosts struct {
	Dir string `json:"dir"`
}

func main() { stages.Main("pod-hosts", podHosts{Dir: "/run/pod-hosts"}) }

func (podHosts) Contract() contract.Contract {
	return contract.Contract{V: contract.V, Previous: contract.Needs, Requires: []contract.Fact{contract.IPs},
		Keys: map[string]string{"dir": "string (a folder)"}}
}

// on does a verb's work on the attachment's own file, whose name says the owner: none of the three can hold a colon.
func (s podHosts) on(r *stages.Request, work func(file string) error) error {
	if err := r.Decode(&s); err != nil {
		return err
	}
	return work(filepath.Join(s.Dir, r.Network+":"+r.Container+":"+r.IfName))
}

// lines are what the file says: one for each address.
func lines(r *stages.Request) (text string) {
	for _, ip := range r.Prev.IPs {
		text += ip.Address.IP.String() + " " + cmp.Or(strings.Trim(r.Pod.Name+"."+r.Pod.Namespace, "."), r.Container) + "\n"
	}
	return text
}

func (s podHosts) Add(_ context.Context, r *stages.Request) (*stages.Result, error) {
	return r.Prev, s.on(r, func(file string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(lines(r)), 0o644))
	})
}

func (s podHosts) Check(_ context.Context, r *stages.Request) error {
	return s.on(r, func(file string) error {
		if got, _ := os.ReadFile(file); string(got) != lines(r) {
			return stages.Errorf(stages.Drift, "%s: %s says %q instead of %q", r.Attachment, file, got, lines(r))
		}
		return nil
	})
}

func (s podHosts) Del(_ context.Context, r *stages.Request) error { return s.on(r, os.RemoveAll) }

func (s podHosts) GC(_ context.Context, r *stages.Request) error {
	return s.on(r, func(file string) error {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*:*:*"))
		for _, f := range files {
			if o := strings.Split(filepath.Base(f), ":"); r.Stale(stages.Attachment{Network: o[0], Container: o[1], IfName: o[2]}) {
				err = errors.Join(err, os.Remove(f))
			}
		}
		return err
	})
}

func (s podHosts) Status(_ context.Context, r *stages.Request) error {
	return s.on(r, func(file string) error { return os.MkdirAll(filepath.Dir(file), 0o755) })
}
