package bus

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/enichain/enichain/ipam"
)

// Names in a users file that are no instance ids.
const (
	userReconciler = "reconciler" // a reconciler outside the hub's process: everything of enichain's
	userObserver   = "observer"   // hears everything, says nothing
)

// readUsers reads a hub's file: a name and a public nkey per line, '#' begins a comment. A name is an instance id,
// "reconciler" or "observer". All faults come at once.
func readUsers(path string) ([]*server.NkeyUser, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the users of the bus: %w", err)
	}
	var users []*server.NkeyUser
	var faults []error
	keys := map[string]int{}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%s:%d: "+format, append([]any{path, i + 1}, args...)...))
		}
		if len(fields) != 2 {
			fault("want an instance id and a public key, got %d words", len(fields))
			continue
		}
		name, key := fields[0], fields[1]
		if err := checkInstance(ipam.InstanceID(name)); err != nil {
			fault("%w", err)
		}
		if !nkeys.IsValidPublicUserKey(key) {
			fault("%q is no public user key: want 56 characters that begin with U", key)
		}
		if before, ok := keys[key]; ok {
			fault("the key of line %d again: every node needs its own", before)
		}
		keys[key] = i + 1
		users = append(users, &server.NkeyUser{Nkey: key, Permissions: permissions(name)})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return users, nil
}

// permissions come from the name alone. Lists of what is allowed, never of what is denied (nats advisory 2026-18), and
// no node is allowed $JS: publishing into a stream needs only the subject and the node's own inbox for the answer.
func permissions(name string) *server.Permissions {
	allow := func(subjects ...string) *server.SubjectPermission {
		return &server.SubjectPermission{Allow: subjects}
	}
	switch name {
	case userReconciler:
		return &server.Permissions{
			Publish:   allow(root+">", "$JS.API.>", "$KV."+BucketLeases+".>", "$JS.ACK.>", "$JS.FC.>"),
			Subscribe: allow(root+">", inboxPrefix(name)+".>"),
		}
	case userObserver:
		return &server.Permissions{
			Publish: allow("$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.CREATE.*",
				"$JS.API.CONSUMER.CREATE.*.>", "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.DELETE.*.*",
				"$JS.API.CONSUMER.MSG.NEXT.*.*"),
			Subscribe: allow(root+">", inboxPrefix(name)+".>"),
		}
	}
	node := ipam.InstanceID(name)
	return &server.Permissions{
		Publish:   allow(SnapshotSubject(node), root+"node."+name+".evt.>"),
		Subscribe: allow(SupplySubject(node), inboxPrefix(name)+".>"),
	}
}

// inboxPrefix is where answers for one user arrive; nobody else may listen there.
func inboxPrefix(name string) string { return "_INBOX_" + name }
