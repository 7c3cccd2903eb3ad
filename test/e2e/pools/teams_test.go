package pools_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/e2e/live"
)

const teams = `
vpc: 10.110.0.0/16
groups:
  - { name: payments, tags: { team: payments } }
  - { name: audit }
  - { name: batch, tags: { team: batch } }
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
  - { name: subnet-b, cidr: 10.110.20.0/24, zone: lab-1a, tags: { team: payments } }
  - { name: subnet-c, cidr: 10.110.30.0/24, zone: lab-1a, tags: { team: batch } }
nodes:
  - { name: node-1, type: m5.xlarge, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
enichaind:
  reconciler:
    resync: 10s
    demand: { file: /etc/enichain/demand.json }
  pools:
    - name: default
      mode: secondary
      warm: { free: 2 }
      cooldown: 1s
    - name: payments
      mode: secondary
      usePrimary: false
      subnets: { tags: { team: payments } }
      securityGroups: { tags: { team: payments } }
      warm: { free: 2 }
      cooldown: 1s
    - name: batch
      mode: secondary
      usePrimary: false
      subnets: { tags: { team: batch } }
      securityGroups: { tags: { team: batch } }
      warm: { free: 0 }
      cooldown: 1s
`

// group is the id of a security group.
func group(l *live.Lab, name string) string {
	return l.AWS("describe-security-groups", "--filters", "Name=group-name,Values="+name, "--query", "SecurityGroups[].GroupId")
}

// ofPool is the network interface that a pool has made, as EC2 shows it.
func ofPool(l *live.Lab, pool string) (i live.Interface) {
	for _, i := range l.Interfaces("node-1") {
		if i.Tags["enichain.io/pool"] == pool {
			return i
		}
	}
	return live.Interface{}
}

// TestPoolsOfTeams: a pod gets its address from the pool that the list chooses by namespace or by an annotation that it
// allows; the pool's interfaces are in the pool's subnets and have the pool's security groups, also when those change.
func TestPoolsOfTeams(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "teams", teams)
	list := l.List("teams.conflist", nil)
	for _, pool := range []string{"default", "payments"} {
		l.Pool("node-1", pool, "two free addresses", func(p live.Pool) bool { return p.Counts.Free == 2 })
	}
	l.Pool("node-1", "batch", "nothing before its first pod", func(p live.Pool) bool { return p.Pool == "batch" && len(p.ENIs) == 0 })

	web := l.Start("web", "--node", "node-1", "--conflist", list)[0]
	pay := l.Start("payments-eu/pay", "--node", "node-1", "--conflist", list)[0]
	l.On("node-1", "cp "+list+" /etc/cni/net.d/90-teams.conflist; ip netns add job; ip netns add thief")
	job := annotated(l, "add", "job", "batch")
	for _, p := range []struct{ name, address, network string }{
		{"web", web.Addresses[0], "10.110.10.0/24"}, {"payments-eu/pay", pay.Addresses[0], "10.110.20.0/24"}, {"job", addressIn(job.Out), "10.110.30.0/24"},
	} {
		if !within(p.address, []string{p.network}) {
			t.Errorf("%s has %s, which is not in %s: %s", p.name, p.address, p.network, job.Err)
		}
	}
	for _, p := range []live.Pod{web, pay} {
		l.Reach("vpc-host", "http://"+p.Addresses[0], "hello from "+p.Name)
	}
	if got := annotated(l, "add", "thief", "payments"); got.Code == 0 || !strings.Contains(got.Err, "select[1] allows batch") {
		t.Errorf("an annotation that the list does not allow: exit %d, %s", got.Code, got.Err)
	}

	for _, pool := range []string{"payments", "batch"} {
		if i, want := ofPool(l, pool), group(l, pool); len(i.Groups) != 1 || i.Groups[0] != want {
			t.Errorf("the interface of %s has the security groups %v, want %s alone", pool, i.Groups, want)
		}
	}
	l.AWS("create-tags", "--resources", group(l, "audit"), "--tags", "Key=team,Value=payments")
	both := []string{group(l, "payments"), group(l, "audit")}
	l.Eventually(live.Patience, "a further security group by its tag", func() (bool, string) {
		got := ofPool(l, "payments").Groups
		return same(got, both), fmt.Sprint(got)
	})
	annotated(l, "del", "job", "batch")
}

// annotated runs cnitool as a runtime that knows a pod's annotations.
func annotated(l *live.Lab, verb, netns, pool string) live.Said {
	return l.Run("exec", "node-1", "--", "sh", "-c", `CNI_PATH=$(dirname $(command -v cnitool)) NETCONFPATH=/etc/cni/net.d `+
		`CAP_ARGS='{"io.kubernetes.cri.pod-annotations":{"enichain.io/pool":"`+pool+`"}}' cnitool `+verb+` teams /run/netns/`+netns)
}

// addressIn is the address in a result.
func addressIn(result string) string {
	_, rest, _ := strings.Cut(result, `"address": "`)
	address, _, found := strings.Cut(rest, "/")
	if !found {
		return "::"
	}
	return address
}

// TestUnmanagedInterface: what others attach to a node counts and is otherwise left alone; so is one of ours that
// somebody tags so.
func TestUnmanagedInterface(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "unmanaged", live.OneNode("t3.medium", "    - name: default\n      mode: secondary\n"+hurry+"  reconciler: { resync: 5s }\n"))
	l.Pool("node-1", "default", "four free addresses", func(p live.Pool) bool { return p.Counts.Free >= 4 })
	made := l.Must("eni", "create", "subnet-a", "--addresses", "3")
	l.AWS("create-tags", "--resources", made, "--tags", "Key=node.k8s.amazonaws.com/no_manage,Value=true")
	l.Must("eni", "attach", made, "node-1")
	theirs := func() (i live.Interface) {
		for _, i = range l.Interfaces("node-1") {
			if i.ID == made {
				return i
			}
		}
		return i
	}
	before := theirs()
	l.Start("p", "--count", "10", "--node", "node-1")
	p := l.Pool("node-1", "default", "all ten places of the other two interfaces leased", func(p live.Pool) bool { return p.Counts.Leased == 10 })
	l.Told(`.*; t3\.medium holds 3 network interfaces of 5 addresses for pods; 1 of 3 interfaces is not ours \(`+made+`\), the others are full.*`,
		"late", "--node", "node-1", "--conflist", l.List("05-enichain.conflist", map[string]any{"wait": "2s"}))
	for _, e := range p.ENIs {
		if e.ENI == made {
			t.Errorf("pods have addresses of %s", made)
		}
	}
	l.End("--all")
	l.Pool("node-1", "default", "our second interface given back", func(live.Pool) bool { return len(l.Interfaces("node-1")) == 2 })
	if after := theirs(); after.ID != made || !same(after.Secondary, before.Secondary) || !same(after.Groups, before.Groups) || len(after.Tags) != len(before.Tags) {
		t.Errorf("the interface that is nobody's business became %+v, it was %+v", after, before)
	}
}

// TestDemandByFile: pods that are bound to a node are counted before they ask for an address.
func TestDemandByFile(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "demand", teams)
	l.Pool("node-1", "payments", "two free addresses", func(p live.Pool) bool { return p.Counts.Free == 2 })
	instance := l.AWS("describe-instances", "--filters", "Name=tag:Name,Values=node-1", "--query", "Reservations[].Instances[].InstanceId")
	say := func(pods int) {
		l.On("node-1", fmt.Sprintf(`echo '{"%s": {"payments": %d}}' > /etc/enichain/demand.new; mv /etc/enichain/demand.new /etc/enichain/demand.json`, instance, pods))
	}
	say(9)
	l.Pool("node-1", "payments", "addresses for those to come, and the two", func(p live.Pool) bool { return p.Counts.Free >= 11 })
	l.Start("payments-eu/p", "--count", "9", "--node", "node-1", "--conflist", l.List("teams.conflist", nil))
	l.Eventually(live.Patience, "nine pods came", func() (bool, string) {
		came := l.On("node-1", "enichainctl events --type pod.added")
		return strings.Count(came, "payments-eu/p-") == 9, came
	})
	if waited := l.On("node-1", "enichainctl events --type pod.waiting"); waited != "" {
		t.Errorf("pods had to wait:\n%s", waited)
	}
	say(0)
}
