package ipam

import "testing"

// BenchmarkPlan is the plan of the widest node that has nothing to do: 15 interfaces of 49 prefixes each.
func BenchmarkPlan(b *testing.B) {
	l := types("r5.24xlarge")
	n := Node{Grow: true, Pools: []NodePool{{Name: "default", Warm: true, Target: Target{Warm: 4, Mode: ModePrefix}}}}
	for device := range l.ENIs {
		e := NodeENI{ENI: ENIID("eni-" + Slot{Device: device}.String()), Attachment: "at", Device: device, Primary: device == 0,
			State: ENIUsed, Pool: "default", PodsOK: true, Named: true, Leased: 780, Free: 4}
		for k := range l.PerENI() {
			e.Delegated = append(e.Delegated, PrefixSummary{Prefix: prefixOn(IPv4, e.slot(), k)})
		}
		n.ENIs = append(n.ENIs, e)
	}
	for b.Loop() {
		if plan := Plan(n, l); len(plan) > 0 {
			b.Fatal(write(plan))
		}
	}
}
