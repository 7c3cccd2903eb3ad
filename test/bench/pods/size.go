package pods

import (
	"context"
	"fmt"
	"slices"
)

// portCounts and podCounts are the sizes at which growth is looked at.
func (b *bench) portCounts() []int {
	if b.Smoke() {
		return []int{0, 2}
	}
	return []int{0, 1, 5, 50}
}

func (b *bench) podCounts() []int {
	if b.Smoke() {
		return []int{0, 3}
	}
	return []int{0, 100, 700}
}

// byPorts measures pods with more and more host ports.
func (b *bench) byPorts(ctx context.Context) error {
	var all []*node
	var settings []setting
	defer func() { b.close(all) }()
	for _, s := range b.sized() {
		n, err := b.node(ctx, s)
		if err != nil {
			return err
		}
		all = append(all, n)
		for _, ports := range b.portCounts() {
			m := *n // the same node, asked for more
			m.ports = ports
			m.pods = 1000 * ports // its pods have numbers of their own
			settings = append(settings, setting{&m, fmt.Sprintf("-%d-ports", ports)})
		}
	}
	return b.serial(ctx, "host ports", settings, b.Samples(8))
}

// byPods measures a pod that comes to a node with many.
func (b *bench) byPods(ctx context.Context) error {
	var all []*node
	var settings []setting
	defer func() { b.close(all) }()
	for _, s := range b.sized() {
		for _, pods := range b.podCounts() {
			if pods > 100 && s.id == "ptp-nftables" {
				continue // its pods would take a minute to come, and say no more than the first hundred
			}
			n, err := b.node(ctx, s)
			if err != nil {
				return err
			}
			all = append(all, n)
			b.progress("pods present: %d of %s", pods, s.id)
			if err := n.fill(ctx, pods); err != nil {
				return err
			}
			settings = append(settings, setting{n, fmt.Sprintf("-at-%d-pods", pods)})
		}
	}
	return b.serial(ctx, "pods present", settings, b.Samples(24))
}

// sized are the chains whose growth is looked at.
func (b *bench) sized() []subject {
	ids := []string{"ours-1port", "fused-1port", awsPortmap, "ptp-nftables", floorFused}
	return slices.DeleteFunc(slices.Clone(b.subjects), func(s subject) bool { return !slices.Contains(ids, s.id) })
}
