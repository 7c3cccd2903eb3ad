package containerd

import "testing"

// swapped goes to upstream's portmap, with one of its backends, and back while pods live: each keeps its port until it
// ends, and takes it with it whichever list is in force by then.
func swapped(backend string) func(*testing.T, *daemon, int) []*pod {
	return func(_ *testing.T, d *daemon, _ int) []*pod {
		one, two := d.pod("one", 8101), d.pod("two", 8102)
		d.apply(list(append(wire(), portmap(backend))...))
		three, four := d.pod("three", 8103), d.pod("four", 8104)
		d.sound(one, two, three, four)
		d.end(one) // made by portmap-compat, ended by portmap
		d.apply(list(append(wire(), portmapCompat)...))
		five := d.pod("five", 8105)
		d.sound(two, three, four, five)
		d.end(three) // made by portmap, ended by portmap-compat
		d.end(two)
		d.end(four)
		d.sound(five)
		return []*pod{one, two, three, four, five}
	}
}

// end removes a pod and wants no trace of it, while others live.
func (d *daemon) end(p *pod) {
	d.t.Helper()
	if err := d.remove(p.id); err != nil {
		d.t.Error(err)
	}
	eventually(d.t, "nothing names "+p.name, func() string { return d.traces(p) })
	d.silent(p.hostPort)
}
