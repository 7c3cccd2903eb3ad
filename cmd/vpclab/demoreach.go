package main

import (
	"context"
	"fmt"
	"time"
)

// question is a packet of the demo: who asks whom, and whom the other side must see.
type questionOf struct {
	from, to string // as for 'vpclab reach'
	what     string // to, in words
	sees     string // the answer's "you are …"
	who      string // the answer's "hello from …"
}

// reachability is the chapter of who reaches whom, from pods on two interfaces of one node and a pod on another.
func (d *demo) reachability(ctx context.Context) error {
	d.chapter("Who reaches whom", "vpclab reach FROM URL")
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	web, shop, far := pods["web"], pods["shop"], pods["far"]
	d.check(web.device == 0 && shop.device > 0, "pods stand on two interfaces of node-1: web on eth%d (%s), shop on eth%d (%s)",
		web.device, web.address(), shop.device, shop.address())
	node, err := d.view.node("node-1")
	if err != nil {
		return err
	}
	host, err := d.view.node("vpc-host")
	if err != nil {
		return err
	}
	var all []questionOf
	for _, p := range []podOf{web, shop} {
		me, at := "node-1/"+p.Name, "http://"+p.address()
		port := map[string]string{"web": "8080", "shop": "8081"}[p.Name]
		all = append(all,
			questionOf{"node-2/far", at, p.Name, far.address(), p.Name},
			questionOf{me, "http://" + far.address(), "far on node-2", p.address(), "far"},
			questionOf{me, "udp://" + far.address(), "far, by UDP", p.address(), "far"},
			questionOf{"vpc-host", at, p.Name, host.Address, p.Name},
			questionOf{me, "http://" + host.Address, "vpc-host", p.address(), "vpc-host"},
			questionOf{clientName, at, p.Name + " directly", clientAddress, p.Name},
			questionOf{me, "http://" + internetAddress, "internet, as the node", node.Public, "internet"},
			questionOf{"internet", "http://" + node.Public + ":" + port, "node-1:" + port + " → " + p.Name, internetAddress, p.Name},
			questionOf{me, "http://" + node.Address + ":" + port, "its own host port", "", p.Name},
			questionOf{"node-1", at, p.Name + ", as a probe does", node.Address, p.Name},
		)
	}
	all = append(all,
		questionOf{"node-1/web", "http://" + shop.address(), "shop, same node", web.address(), "shop"},
		questionOf{"node-1/shop", "http://" + web.address(), "web, same node", shop.address(), "web"},
	)
	if err := d.askAll(ctx, all); err != nil {
		return err
	}
	wrong, err := d.wrongSource(ctx)
	d.check(wrong == 0, "the VPC router dropped %d packets for a wrong source", wrong)
	return err
}

func (p podOf) address() string {
	if len(p.Addresses) == 0 {
		return "?"
	}
	return p.Addresses[0]
}

// askAll asks each question once.
func (d *demo) askAll(ctx context.Context, all []questionOf) error {
	for _, q := range all {
		r, err := reach(ctx, d.state, d.view, q.from, q.to, 3*time.Second)
		if err != nil {
			return err
		}
		want := fmt.Sprintf("hello from %s; you are %s", q.who, q.sees)
		ok := r.OK && (r.Said == want || q.sees == "" && len(r.Said) > len(want) && r.Said[:len(want)] == want)
		answer := "“" + r.Said + "”"
		if !r.OK {
			answer = r.Error
		} else if !ok {
			answer += ", want “" + want + "”"
		}
		d.check(ok, "%-12s → %-26s %5.2f ms  %s", q.from, q.what, millis(r.Took), answer)
	}
	return nil
}

// Addresses of the demo's two services; a cluster's service network is nowhere routed.
const (
	iptablesService = "10.100.0.10"
	nftService      = "10.100.0.11"
)

// services puts a service in front of the pod on node-2, in both forms in which kube-proxy writes one.
func (d *demo) services(ctx context.Context) error {
	d.chapter("A ClusterIP as kube-proxy writes it, pod on the other node", "iptables, and nftables")
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	far := pods["far"].address()
	iptables := fmt.Sprintf(`set -e
		iptables -t nat -N KUBE-SERVICES; iptables -t nat -N KUBE-SEP; iptables -t nat -N KUBE-MARK-MASQ; iptables -t nat -N KUBE-POSTROUTING
		iptables -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
		iptables -t nat -A KUBE-SEP -s %[2]s -j KUBE-MARK-MASQ
		iptables -t nat -A KUBE-SEP -p tcp -j DNAT --to-destination %[2]s:80
		iptables -t nat -A KUBE-SERVICES -d %[1]s/32 -p tcp --dport 80 -j KUBE-SEP
		iptables -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
		iptables -t nat -A KUBE-POSTROUTING -j MASQUERADE --random-fully
		iptables -t nat -I PREROUTING -j KUBE-SERVICES; iptables -t nat -I OUTPUT -j KUBE-SERVICES; iptables -t nat -I POSTROUTING -j KUBE-POSTROUTING`,
		iptablesService, far)
	nftables := fmt.Sprintf(`nft -f - <<-X
		table ip kube-proxy {
		  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { %[1]s . tcp . 80 : goto endpoint } }
		  chain endpoint { meta l4proto tcp dnat to %[2]s:80; }
		  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
		  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
		  chain nat-output { type nat hook output priority -100; jump services; }
		}
		X`, nftService, far)
	for _, script := range []string{iptables, nftables} {
		if _, err := d.sh(ctx, "node-1", script); err != nil {
			return err
		}
	}
	var all []questionOf
	for _, from := range []string{"web", "shop"} {
		me := "node-1/" + from
		all = append(all, questionOf{me, "http://" + iptablesService, "ClusterIP by iptables", pods[from].address(), "far"},
			questionOf{me, "http://" + nftService, "ClusterIP by nftables", pods[from].address(), "far"})
	}
	node, err := d.view.node("node-1")
	if err != nil {
		return err
	}
	all = append(all, questionOf{"node-1", "http://" + iptablesService, "ClusterIP by iptables", node.Address, "far"})
	if err := d.askAll(ctx, all); err != nil {
		return err
	}
	wrong, err := d.wrongSource(ctx)
	if err != nil {
		return err
	}
	d.check(wrong == 0, "the VPC router dropped %d packets for a wrong source", wrong)
	_, err = d.sh(ctx, "node-1", `nft delete table ip kube-proxy; for c in PREROUTING OUTPUT; do iptables -t nat -D $c -j KUBE-SERVICES; done
		iptables -t nat -D POSTROUTING -j KUBE-POSTROUTING
		for c in KUBE-SERVICES KUBE-SEP KUBE-MARK-MASQ KUBE-POSTROUTING; do iptables -t nat -F $c; done
		for c in KUBE-SERVICES KUBE-SEP KUBE-MARK-MASQ KUBE-POSTROUTING; do iptables -t nat -X $c; done`)
	return err
}
