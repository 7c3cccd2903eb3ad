package vpc_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// fleet is 5,000 nodes with three interfaces of ten addresses, each tagged with its node.
func fleet(b *testing.B) (w *vpc.World, now time.Time, instances, enis []string) {
	b.Helper()
	w = vpc.New(vpc.Config{Quotas: vpc.Quotas{NetworkInterfaces: 1e6, AddressUsage: 1e7}}, rand.New(rand.NewPCG(1, 1)))
	now = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	v := must(w.AddVPC(vpc.VPC{CIDRs: prefixes("10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")}))(b)
	var subnets []vpc.Subnet
	for n := range 4 {
		cidr := netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", n))
		subnets = append(subnets, must(w.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: cidr}))(b))
	}
	start := time.Now()
	for n := range 5000 {
		i, _, err := w.AddInstance(now, vpc.Launch{Type: "m5.large", Subnet: subnets[n%4].ID, Secondary: 9})
		if err != nil {
			b.Fatal(err)
		}
		instances = append(instances, i.ID)
		for device := 1; device < 3; device++ {
			r, refusal := w.Call(now, "c", vpc.CreateNetworkInterface{SubnetID: subnets[n%4].ID, SecondaryCount: 8,
				TagSpecification: []vpc.TagSpecification{{ResourceType: "network-interface", Tags: []vpc.Tag{
					{Key: "cluster", Value: "c"}, {Key: "node", Value: i.ID}}}}})
			if refusal != nil {
				b.Fatal(refusal)
			}
			eni := r.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
			if _, refusal = w.Call(now, "c", vpc.AttachNetworkInterface{ID: eni, InstanceID: i.ID, Device: device}); refusal != nil {
				b.Fatal(refusal)
			}
			enis = append(enis, eni)
		}
	}
	w.Advance(now)
	b.Logf("filled in %v", time.Since(start))
	return w, now, instances, enis
}

// What a fleet of 15,000 interfaces asks: each call of one interface or node must cost microseconds.
func BenchmarkFleet(b *testing.B) {
	w, now, instances, enis := fleet(b)
	list := func(b *testing.B, r vpc.DescribeNetworkInterfaces, want int) {
		seen := 0
		for {
			response, refusal := w.Call(now, "c", r)
			if refusal != nil {
				b.Fatal(refusal)
			}
			out := response.Output.(vpc.DescribeNetworkInterfacesOutput)
			seen += len(out.NetworkInterfaces)
			if r.NextToken = out.NextToken; r.NextToken == "" {
				break
			}
		}
		if seen != want {
			b.Fatal(seen)
		}
	}
	page := vpc.Page{MaxResults: 1000}
	for _, bench := range []struct {
		name string
		do   func(b *testing.B, n int)
	}{
		{"list all, in pages", func(b *testing.B, _ int) { list(b, vpc.DescribeNetworkInterfaces{Page: page}, 15000) }},
		{"list a cluster, in pages", func(b *testing.B, _ int) {
			list(b, vpc.DescribeNetworkInterfaces{Page: page, Filters: []vpc.Filter{{Name: "tag:cluster", Values: []string{"c"}}}}, 10000)
		}},
		{"list 200 nodes by tag", func(b *testing.B, _ int) {
			list(b, vpc.DescribeNetworkInterfaces{Page: page, Filters: []vpc.Filter{{Name: "tag:node", Values: instances[:200]}}}, 400)
		}},
		{"list a node", func(b *testing.B, n int) {
			list(b, vpc.DescribeNetworkInterfaces{Filters: []vpc.Filter{{Name: "attachment.instance-id", Values: instances[n%5000 : n%5000+1]}}}, 3)
		}},
		{"describe a node", func(b *testing.B, n int) {
			if _, err := w.Call(now, "c", vpc.DescribeInstances{IDs: instances[n%5000 : n%5000+1]}); err != nil {
				b.Fatal(err)
			}
		}},
		{"describe 200 nodes by filter", func(b *testing.B, _ int) {
			r, err := w.Call(now, "c", vpc.DescribeInstances{Page: page, Filters: []vpc.Filter{{Name: "instance-id", Values: instances[:200]}}})
			if err != nil || len(r.Output.(vpc.DescribeInstancesOutput).Instances) != 200 {
				b.Fatal(err)
			}
		}},
		{"describe all nodes", func(b *testing.B, _ int) {
			if _, err := w.Call(now, "c", vpc.DescribeInstances{}); err != nil {
				b.Fatal(err)
			}
		}},
		{"assign and unassign", func(b *testing.B, n int) {
			r, err := w.Call(now, "c", vpc.AssignPrivateIpAddresses{ID: enis[n%10000], Count: 1})
			if err != nil {
				b.Fatal(err)
			}
			got := r.Output.(vpc.AssignPrivateIpAddressesOutput).Addresses
			if _, err := w.Call(now, "c", vpc.UnassignPrivateIpAddresses{ID: enis[n%10000], Addresses: got}); err != nil {
				b.Fatal(err)
			}
		}},
		{"truth of a node", func(b *testing.B, n int) {
			if len(w.Attached(now, instances[n%5000])) != 3 {
				b.Fatal("not three interfaces")
			}
		}},
		{"truth of an interface", func(b *testing.B, n int) {
			if _, ok := w.NetworkInterface(now, enis[n%10000]); !ok {
				b.Fatal("gone")
			}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				bench.do(b, n)
			}
		})
	}
}

// Prefixes of a /16: looking for whole blocks must not walk them all each time.
func BenchmarkPrefixes(b *testing.B) {
	w := vpc.New(vpc.Config{Quotas: vpc.Quotas{NetworkInterfaces: 1e6, AddressUsage: 1e7}}, rand.New(rand.NewPCG(1, 1)))
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	v := must(w.AddVPC(vpc.VPC{CIDRs: prefixes("10.0.0.0/16")}))(b)
	s := must(w.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.0.0.0/16")}))(b)
	for n := 0; b.Loop(); n++ {
		r, err := w.Call(now, "c", vpc.CreateNetworkInterface{SubnetID: s.ID, PrefixCount: 4})
		if err != nil {
			b.Fatal(err)
		}
		id := r.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
		if _, err := w.Call(now, "c", vpc.DeleteNetworkInterface{ID: id}); err != nil {
			b.Fatal(err)
		}
	}
}
