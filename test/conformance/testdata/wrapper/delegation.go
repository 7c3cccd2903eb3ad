package main

import (
	"maps"
	"os"
	"slices"
	"strings"
)

func ipamDefects() map[string]func(*run) {
	under := func(r *run, caller string) bool { return r.conf["type"] == caller }
	wanting := func(r *run) bool { return has(r.conf, "runtimeConfig") || has(r.conf, "args") }
	return map[string]func(*run){
		"interface-of-delegate": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 && under(r, "ptp") {
				r.spoilResult(func(o object) { o["interfaces"] = []any{object{"name": "eth7"}} })
			}
		},
		"reads-callers-keys": when(func(r *run) bool { return has(r.conf, "bridge") }, refuse(7, "bridge: unknown key")),
		"no-address": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 && !under(r, "ptp") && !wanting(r) {
				r.spoilResult(func(o object) { delete(o, "ips") })
			}
		},
		"whole-length-under-ptp": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 && under(r, "ptp") {
				r.spoilResult(func(o object) {
					for _, ip := range objects(o, "ips") {
						ip["address"], _, _ = strings.Cut(ip["address"].(string), "/")
						ip["address"] = ip["address"].(string) + "/32"
					}
				})
			}
		},
		"second-add-leaks": func(r *run) {
			seen := "/run/added-" + attachment() + ".lock"
			if _, err := os.Stat(seen); r.verb == "ADD" && err == nil {
				r.let("CNI_IFNAME", "eth9")
			}
			if r.inner(); r.verb == "ADD" && r.exit == 0 {
				_ = os.WriteFile(seen, nil, 0o644)
			}
		},
		"ignores-wanted": func(r *run) {
			r.configure(func(c object) { delete(c, "runtimeConfig") })
			r.inner()
		},
		"environment-first": func(r *run) {
			if i := strings.Index(os.Getenv("CNI_ARGS"), "IP="); i >= 0 {
				r.configure(func(c object) { c["args"] = object{"cni": object{"ips": []any{os.Getenv("CNI_ARGS")[i+3:]}}} })
			}
			r.inner()
		},
		"no-gateway": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 && !under(r, "ptp") {
				r.spoilResult(func(o object) {
					o["routes"] = []any{object{"dst": "0.0.0.0/0"}}
					for _, ip := range objects(o, "ips") {
						delete(ip, "gateway")
					}
				})
			}
		},
		"delegate-del-needs-result": when(func(r *run) bool { return r.verb == "DEL" && under(r, "ptp") && !has(r.conf, "prevResult") }, nothing),
	}
}

func interfaceDefects() map[string]func(*run) {
	all := delegationDefects()
	maps.Copy(all, linkDefects())
	maps.Copy(all, map[string]func(*run){
		"makes-a-second":      func(r *run) { r.configure(forgetInside); r.inner() },
		"check-counts-routes": when(func(r *run) bool { return r.verb == "CHECK" && out(inside()+"rule") != "" }, refuse(100, "routes")),
		"check-counts-mac":    when(func(r *run) bool { return r.verb == "CHECK" && strings.Contains(string(r.stdin), "02:58:00:00:05:05") }, refuse(100, "mac")),
		"keeps-the-trace":     func(r *run) { r.let("TRACEPARENT", ""); r.inner() },
	})
	return all
}

// inside begins a line of ip in the container.
func inside() string { return "ip -n " + os.Getenv("CNI_CONTAINERID") + " " }

// linkDefects are wrong about links, addresses and routes.
func linkDefects() map[string]func(*run) {
	return map[string]func(*run){
		"takes-the-name": func(r *run) {
			if r.verb == "ADD" {
				sh(inside() + "link del " + os.Getenv("CNI_IFNAME"))
			}
			r.inner()
		},
		"other-sandbox": result(func(o object) { spoilLinks(o, "sandbox", func(v any) any { return "/var" + v.(string) }) }),
		"no-mtu":        result(func(o object) { spoilLinks(o, "mtu", func(any) any { return nil }) }),
		"hides-host-end": result(func(o object) {
			links := o["interfaces"].([]any)
			o["interfaces"] = links[len(links)-1:]
			for _, ip := range objects(o, "ips") {
				ip["interface"] = 0
			}
		}),
		"address-of-host-end": result(func(o object) {
			for _, ip := range objects(o, "ips") {
				ip["interface"] = 0
			}
		}),
		"other-address": result(func(o object) {
			for _, ip := range objects(o, "ips") {
				ip["address"] = "10.99." + strings.TrimPrefix(ip["address"].(string), "10.110.")
			}
		}),
		"forgets-a-link-for-gc": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 {
				sh("ip link add " + mark() + " type veth peer name x" + mark())
			}
			if l, ok := r.conf[validKey].([]any); r.verb == "DEL" || r.verb == "GC" && (r.conf[validKey] == nil || ok && len(l) == 0) {
				sh("for l in $(ip -o link show type veth | grep -o '\\bm" + os.Getenv("CNI_CONTAINERID") + "[a-z0-9]*' | sort -u); do ip link del $l; done")
			}
		},
		"sets-it-down": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 {
				sh(inside() + "link set " + os.Getenv("CNI_IFNAME") + " down")
			}
		},
		"drops-earlier-interface": result(func(o object) {
			o["interfaces"] = slices.DeleteFunc(o["interfaces"].([]any), func(v any) bool { return v.(object)["name"] == "earlier0" })
		}),
		"invents-a-route": result(func(o object) { o["routes"] = append(o["routes"].([]any), object{"dst": "203.0.113.0/24"}) }),
	}
}

// delegationDefects call their delegate wrongly, or do not hear it.
func delegationDefects() map[string]func(*run) {
	withoutIPAM := func(verbs ...string) func(*run) {
		return func(r *run) {
			if ipam, ok := r.conf["ipam"].(object); ok && ipam["type"] == "conformance-ipam" && slices.Contains(verbs, r.verb) {
				r.configure(func(c object) { delete(c, "ipam") })
			}
			r.inner()
		}
	}
	return map[string]func(*run){
		"no-delegate-del-after-failure": func(r *run) {
			if r.verb == "ADD" && exists("/run/conformance/ADD.fails") {
				sh("echo ADD >> /run/conformance/calls")
				r.refuse(11, "the delegate fails")
				return
			}
			r.inner()
		},
		"hides-delegates-words": func(r *run) { r.inner(); r.stderr.Reset() },
		"del-keeps-from-ipam":   withoutIPAM("DEL"),
		"gc-keeps-from-ipam":    withoutIPAM("GC"),
		"status-alone":          withoutIPAM("STATUS"),
		"forgives-the-delegate": fault(func(r *run) { r.forgive() }),
	}
}

func (r *run) forgive() {
	if r.verb != "ADD" && r.verb != "STATUS" && strings.Contains(r.stdout.String(), "conformance-ipam") {
		r.stdout.Reset()
		r.exit = 0
	}
}

func spoilLinks(o object, key string, change func(any) any) {
	for _, link := range objects(o, "interfaces") {
		if v, ok := link[key]; ok {
			if link[key] = change(v); link[key] == nil {
				delete(link, key)
			}
		}
	}
}

// forgetInside takes the container's interface out of an ADD's prevResult.
func forgetInside(c object) {
	prev, _ := c["prevResult"].(object)
	if os.Getenv("CNI_COMMAND") != "ADD" || prev == nil {
		return
	}
	links := prev["interfaces"]
	if values, ok := links.([]any); ok {
		prev["interfaces"] = slices.DeleteFunc(values, func(v any) bool { o, ok := v.(object); return ok && has(o, "sandbox") })
	}
}

// out says whether the container has a rule of table 100.
func out(line string) string {
	if sh("test -n \"$(" + line + " | grep 'lookup 100')\" && touch /run/rule.lock"); exists("/run/rule.lock") {
		return "yes"
	}
	return ""
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }
