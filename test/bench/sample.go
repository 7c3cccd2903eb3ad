package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

// sample is what one verb of one pod cost.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system time of all children waited for (getrusage RUSAGE_CHILDREN)
}

// measure runs f and takes the difference. The kernel's accounting is exact in the sum of user and system time.
func measure(f func() error) (sample, error) {
	before, started := childrenCPU(), time.Now()
	err := f()
	return sample{wall: time.Since(started), cpu: childrenCPU() - before}, err
}

func childrenCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		panic(err) // only a wrong argument can cause it
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// quartiles of durations: first, median, third.
func quartiles(all []time.Duration) (first, median, third time.Duration) {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/4], sorted[len(sorted)/2], sorted[len(sorted)*3/4]
}

// print writes the table in Markdown: medians, their spread, and the ratio to the first chain.
func print(nodes []*node) {
	fmt.Println("| chain | ADD wall ms | ADD CPU ms | ratio | DEL wall ms | DEL CPU ms | ratio |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	base := nodes[0]
	for _, n := range nodes {
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s |\n", n.chain.name,
			cell(n.adds, wall), cell(n.adds, cpu), ratio(n.adds, base.adds),
			cell(n.dels, wall), cell(n.dels, cpu), ratio(n.dels, base.dels))
	}
	fmt.Printf("\nMedians of %d pods a chain with one TCP host port, in one interleaved run; in brackets the quartiles. Ratios are of CPU, to %s.\n", len(base.adds), base.chain.name)
}

func wall(s sample) time.Duration { return s.wall }
func cpu(s sample) time.Duration  { return s.cpu }

func column(samples []sample, of func(sample) time.Duration) []time.Duration {
	var all []time.Duration
	for _, s := range samples {
		all = append(all, of(s))
	}
	return all
}

func cell(samples []sample, of func(sample) time.Duration) string {
	first, median, third := quartiles(column(samples, of))
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return fmt.Sprintf("%.1f (%.1f–%.1f)", ms(median), ms(first), ms(third))
}

func ratio(of, to []sample) string {
	_, a, _ := quartiles(column(of, cpu))
	_, b, _ := quartiles(column(to, cpu))
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}
