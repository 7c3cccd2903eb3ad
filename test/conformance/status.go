package conformance

import "time"

// statusSuite is about STATUS.
func statusSuite() []Assertion {
	const unavailable = "If the plugin knows that it is not able to service ADD requests, it must exit with a non-zero return code: 50, or 51 where existing containers suffer, too."
	return []Assertion{
		{"S1", every, Must, "Section 2, STATUS", "A plugin must exit with a zero return code if it is ready to service ADD requests.", ready},
		{"S2", every, Convention, "containerd, CRI Status", "STATUS answers within a second: kubelet asks every few seconds, and the runtime waits.", quickStatus},
		{"S3", wires, Must, "Section 2, STATUS", unavailable, unready},
		{"I7", ipamOnly, Must, "Section 2, STATUS", unavailable, unready},
		{"M8", chainOnly, Must, "Section 2, STATUS", unavailable, unready},
	}
}

func ready(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	t.added(a)
	got := t.call("STATUS", a).run()
	t.expect(!got.refused, "success, since ADD works", "%s", got.says())
}

// quickStatus asks up to three times: a busy machine is slow, too.
func quickStatus(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	var took time.Duration
	for range 3 {
		if took = t.call("STATUS", a).run().took; took < time.Second {
			return
		}
	}
	t.expect(false, "an answer within a second", "it took %s", took.Round(10*time.Millisecond))
}

// unready makes the plugin unable to serve an ADD in each of the profile's ways, sees that it is, and asks for its status.
func unready(t *trial) {
	t.at("1.1.0")
	if len(t.p.Unavailable) == 0 {
		t.skip("the profile says no way to make ADD impossible")
	}
	for _, way := range t.p.Unavailable {
		way.unready(t)
	}
}

func (b Broken) unready(t *trial) {
	configured := func(c *call) *call {
		c.over(b.Config)
		for name, value := range b.Env {
			c.let(name, value)
		}
		return c
	}
	for range b.Attachments {
		t.ran(configured(t.call("ADD", t.attach())))
	}
	for _, line := range b.Node {
		t.sh(line)
	}
	a := t.attach()
	if got := configured(t.call("ADD", a)).run(); !got.refused {
		t.skip("ADD works all the same: the profile's way does not break the plugin")
	}
	got := configured(t.call("STATUS", a)).run()
	t.expect(got.refused, "an error, since ADD fails", "%s", got.says())
	if got.stdout != "" {
		t.expect(got.fault.code == 50 || got.fault.code == 51, "code 50 or 51", "%s", got.says())
	}
}
