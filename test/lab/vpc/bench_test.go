package vpc_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// A fleet's list, as the reconciler pages it: 5,000 nodes with three interfaces of ten addresses.
func BenchmarkFleetList(b *testing.B) {
	w := vpc.New(vpc.Config{Quotas: vpc.Quotas{NetworkInterfaces: 1e6, AddressUsage: 1e7}}, rand.New(rand.NewPCG(1, 1)))
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
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
		for device := 1; device < 3; device++ {
			r, refusal := w.Call(now, "c", vpc.CreateNetworkInterface{SubnetID: subnets[n%4].ID, SecondaryCount: 9})
			if refusal != nil {
				b.Fatal(refusal)
			}
			eni := r.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
			if _, refusal = w.Call(now, "c", vpc.AttachNetworkInterface{ID: eni, InstanceID: i.ID, Device: device}); refusal != nil {
				b.Fatal(refusal)
			}
		}
	}
	b.Logf("filled in %v", time.Since(start))
	for b.Loop() {
		r := vpc.DescribeNetworkInterfaces{Page: vpc.Page{MaxResults: 1000}, Filters: []vpc.Filter{{Name: "vpc-id", Values: []string{v.ID}}}}
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
		if seen != 15000 {
			b.Fatal(seen)
		}
	}
}
