// Awscni answers as amazon-vpc-cni-k8s's daemon does, at once and from a list: what its plugin costs is measured
// without what its daemon would. Each pod gets an address of the second network interface, as most pods of a node do.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"

	"github.com/aws/amazon-vpc-cni-k8s/rpc"
)

// The network interface that addresses are of, and its route table, as the daemon numbers them.
const device, table = 1, 2

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: awscni SOCKET (the plugin dials /var/run/aws-node/ipamd.sock)")
		os.Exit(2)
	}
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot listen:", err)
		os.Exit(1)
	}
	s := grpc.NewServer()
	rpc.RegisterCNIBackendServer(s, &daemon{taken: map[string]string{}, free: addresses()})
	fmt.Println("ready")
	if err := s.Serve(l); err != nil {
		fmt.Fprintln(os.Stderr, "cannot serve:", err)
		os.Exit(1)
	}
}

func addresses() (all []string) {
	for i := range 4000 {
		all = append(all, fmt.Sprintf("10.111.%d.%d", i/200, 10+i%200))
	}
	return all
}

type daemon struct {
	rpc.UnimplementedCNIBackendServer

	sync.Mutex                   // guards what follows
	taken      map[string]string // container: address
	free       []string          // the longest free is first
}

func (d *daemon) AddNetwork(_ context.Context, r *rpc.AddNetworkRequest) (*rpc.AddNetworkReply, error) {
	d.Lock()
	defer d.Unlock()
	if len(d.free) == 0 {
		return &rpc.AddNetworkReply{}, nil
	}
	d.taken[r.ContainerID] = d.free[0]
	d.free = d.free[1:]
	return &rpc.AddNetworkReply{Success: true, VPCv4CIDRs: []string{"10.111.0.0/16"},
		IPAllocationMetadata: metadata(d.taken[r.ContainerID])}, nil
}

func (d *daemon) DelNetwork(_ context.Context, r *rpc.DelNetworkRequest) (*rpc.DelNetworkReply, error) {
	d.Lock()
	defer d.Unlock()
	address, ok := d.taken[r.ContainerID]
	if !ok {
		return nil, fmt.Errorf("datastore: unknown pod")
	}
	delete(d.taken, r.ContainerID)
	d.free = append(d.free, address)
	return &rpc.DelNetworkReply{Success: true, IPAllocationMetadata: metadata(address)}, nil
}

func metadata(address string) []*rpc.IPAllocationMetadata {
	return []*rpc.IPAllocationMetadata{{IPv4Addr: address, DeviceNumber: device, RouteTableId: table}}
}
