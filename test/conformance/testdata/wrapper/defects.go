package main

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"time"
)

// defects are the ways in which a plugin can be wrong, by name.
func defects() map[string]func(*run) {
	all := map[string]func(*run){"none": (*run).inner}
	for _, more := range []map[string]func(*run){processDefects(), inputDefects(), resultDefects(), lifeDefects(), checkDefects(), gcDefects(), ipamDefects(), interfaceDefects()} {
		maps.Copy(all, more)
	}
	return all
}

// fault spoils an error object.
func fault(change func(r *run)) func(*run) {
	return func(r *run) {
		if r.inner(); r.exit != 0 {
			change(r)
		}
	}
}

// result spoils the result of ADD.
func result(change func(o object)) func(*run) {
	return func(r *run) {
		if r.inner(); r.verb == "ADD" && r.exit == 0 {
			r.spoilResult(change)
		}
	}
}

// when does something instead of the inner plugin, or before it if more is true, where a condition holds.
func when(holds func(r *run) bool, instead func(r *run)) func(*run) {
	return func(r *run) {
		if holds(r) {
			instead(r)
			return
		}
		r.inner()
	}
}

func verb(v string) func(*run) bool { return func(r *run) bool { return r.verb == v } }

func env(name, word string) func(*run) bool {
	return func(*run) bool { return word != "" && strings.Contains(os.Getenv(name), word) }
}

func refuse(code int, msg string) func(*run) { return func(r *run) { r.refuse(code, msg) } }

func nothing(*run) {}

func has(conf object, key string) bool { _, ok := conf[key]; return ok }

func crash(r *run) { r.stderr.WriteString("panic: as it was told\n"); r.exit = 2 }

func processDefects() map[string]func(*run) {
	return map[string]func(*run){
		"exit-0-on-failure":       fault(func(r *run) { r.exit = 0 }),
		"error-twice":             fault(func(r *run) { r.stdout.Write(r.stdout.Bytes()) }),
		"error-without-version":   fault(func(r *run) { r.answer(func(o object) { delete(o, "cniVersion") }) }),
		"error-on-stderr-only":    fault(func(r *run) { r.stderr.Write(r.stdout.Bytes()); r.stdout.Reset() }),
		"crashes-on-odd-config":   when(func(r *run) bool { return r.conf["args"] == 7.0 }, crash),
		"version-refuses-foreign": when(func(r *run) bool { return r.verb == "VERSION" && r.conf["cniVersion"] == "9.9.9" }, refuse(1, "no")),
		"version-needs-path":      when(func(r *run) bool { return r.verb == "VERSION" && os.Getenv("CNI_PATH") == "dummy" }, refuse(4, "CNI_PATH")),
		"version-not-echoed":      func(r *run) { r.inner(); r.fixVersion() },
		"reads-stdin-on-version":  (*run).inner,
		"silent-by-hand":          when(func(r *run) bool { return r.verb == "" }, nothing),
		"result-twice": func(r *run) {
			if r.inner(); r.verb == "ADD" && r.exit == 0 {
				r.stdout.Write(r.stdout.Bytes())
			}
		},
		"chatty-del": func(r *run) {
			if r.inner(); r.verb == "DEL" && r.exit == 0 {
				r.stdout.WriteString("deleted\n")
			}
		},
		"version-listed-twice": func(r *run) {
			r.inner()
			if r.verb == "VERSION" {
				r.answer(func(o object) { o["supportedVersions"] = append(o["supportedVersions"].([]any), "1.1.0") })
			}
		},
	}
}

func (r *run) fixVersion() {
	if r.verb == "VERSION" {
		r.answer(func(o object) { o["cniVersion"] = "1.1.0" })
	}
}

func inputDefects() map[string]func(*run) {
	own := env("CNI_NETNS", "/proc/self/ns/net")
	return map[string]func(*run){
		"accepts-any-version": func(r *run) {
			r.configure(func(c object) {
				if c["cniVersion"] == "99.0.0" {
					c["cniVersion"] = "1.0.0"
				}
			})
			r.inner()
		},
		"wrong-code-for-variables": fault(func(r *run) {
			if os.Getenv("CNI_CONTAINERID") == "" {
				r.answer(func(o object) { o["code"] = 7 })
			}
		}),
		"unknown-command-ignored": when(verb("NONE"), nothing),
		"accepts-odd-id": func(r *run) {
			if os.Getenv("CNI_CONTAINERID") == "-a" {
				r.let("CNI_CONTAINERID", "a")
			}
			r.inner()
		},
		"wrong-code-for-json": fault(func(r *run) {
			if !json.Valid(r.stdin) {
				r.answer(func(o object) { o["code"] = 7 })
			}
		}),
		"reserved-code":    when(env("CNI_NETNS", "/run/netns/none"), refuse(42, "no such namespace")),
		"refuses-args":     when(func(r *run) bool { args, ok := r.conf["args"].(object); return ok && has(args, "other") }, refuse(7, "args")),
		"refuses-pod-args": when(env("CNI_ARGS", "K8S_POD_UID"), refuse(4, "CNI_ARGS")),
		"odd-args-unnamed": when(env("CNI_ARGS", "oops"), refuse(4, "CNI_ARGS are wrong")),
		"refuses-trace":    when(func(*run) bool { return os.Getenv("BAGGAGE") != "" }, refuse(4, "BAGGAGE")),
		"effect-before-refusing": func(r *run) {
			if own(r) {
				sh("ip link add early0 type veth peer name early1")
			}
			r.inner()
		},
		"unnamed-variable": fault(func(r *run) {
			if os.Getenv("CNI_CONTAINERID") != "" && os.Getenv("CNI_IFNAME") != "" && r.verb == "ADD" {
				r.answer(func(o object) {
					if o["code"] == 4.0 && !own(r) {
						o["msg"] = "a variable is wrong"
					}
				})
			}
		}),
		"accepts-invalid-values": func(r *run) {
			r.configure(func(c object) { delete(c, "markMasqBit") })
			r.inner()
		},
		"truncates-ifname": func(r *run) {
			if name := os.Getenv("CNI_IFNAME"); len(name) > 15 {
				r.let("CNI_IFNAME", name[:15])
			}
			r.inner()
		},
	}
}

func resultDefects() map[string]func(*run) {
	return map[string]func(*run){
		"add-fails":     when(verb("ADD"), refuse(7, "CNI_CONTAINERID CNI_NETNS CNI_IFNAME oops =z X=y=z")),
		"wrong-version": result(func(o object) { o["cniVersion"] = "1.0.0" }),
		"ip-version": result(func(o object) {
			for _, ip := range objects(o, "ips") {
				ip["version"] = "4"
			}
		}),
		"small-letters-only": func(r *run) {
			r.configure(func(c object) {
				arguments, _ := c["runtimeConfig"].(object)
				for _, m := range objects(arguments, "portMappings") {
					if has(m, "HostPort") {
						delete(arguments, "portMappings")
					}
				}
			})
			r.inner()
		},
		"index-out-of-range": result(func(o object) {
			for _, ip := range objects(o, "ips") {
				ip["interface"] = 9
			}
		}),
		"ip-twice": result(func(o object) { ips := o["ips"].([]any); o["ips"] = append(ips, ips[0]) }),
		"drops-previous": func(r *run) {
			if r.verb == "ADD" {
				r.configure(func(c object) { delete(c, "prevResult") })
			}
			r.inner()
		},
		"drops-dns":                  result(func(o object) { delete(o, "dns") }),
		"drops-route-mtu":            result(func(o object) { dropFromRoutes(o, "mtu") }),
		"refuses-unversioned-result": when(unversioned, refuse(6, "prevResult")),
		"crashes-without-previous": when(func(r *run) bool {
			return r.verb == "ADD" && r.conf != nil && !has(r.conf, "prevResult") && r.conf["args"] == nil
		}, crash),
	}
}

func dropFromRoutes(o object, key string) {
	for _, route := range objects(o, "routes") {
		delete(route, key)
	}
}

func unversioned(r *run) bool {
	prev, ok := r.conf["prevResult"].(object)
	return ok && r.verb == "ADD" && len(prev) > 1 && !has(prev, "cniVersion")
}

func lifeDefects() map[string]func(*run) {
	bare := func(r *run) bool { return r.verb == "DEL" && os.Getenv("CNI_NETNS") == "" }
	return map[string]func(*run){
		"one-at-a-time": func(r *run) {
			if r.verb != "ADD" {
				r.inner()
				return
			}
			if os.Mkdir("/run/alone.lock", 0o755) != nil {
				r.refuse(11, "somebody else is here")
				return
			}
			r.inner()
			_ = os.Remove("/run/alone.lock")
		},
		"leaves-a-link": func(r *run) {
			if r.inner(); r.verb == "DEL" && has(r.conf, "prevResult") && has(r.conf, "runtimeConfig") {
				sh("ip link add " + mark() + " type veth peer name x" + mark())
			}
		},
		"second-del-fails": func(r *run) {
			seen := "/run/deleted-" + attachment() + ".lock"
			if r.verb == "DEL" && has(r.conf, "prevResult") {
				if _, err := os.Stat(seen); err == nil {
					r.refuse(7, "deleted already")
					return
				}
				_ = os.WriteFile(seen, nil, 0o644)
			}
			r.inner()
		},
		"bare-del-fails":   when(bare, refuse(4, "CNI_NETNS is missing")),
		"bare-del-forgets": when(bare, nothing),
		"del-needs-arguments": when(func(r *run) bool {
			return r.verb == "DEL" && has(r.conf, "prevResult") && !has(r.conf, "runtimeConfig")
		}, nothing),
		"forgets-the-ifname": func(r *run) {
			if r.inner(); r.verb == "DEL" && os.Getenv("CNI_IFNAME") == "net1" {
				r.let("CNI_IFNAME", "eth0")
				r.inner()
			}
		},
		"killed-add-leaks":        func(r *run) { r.slowAdd("GC") },
		"gc-forgets-a-killed-add": func(r *run) { r.slowAdd("DEL") },
	}
}

// slowAdd makes a link, waits, and takes it away again, so that a killed ADD leaves it; one verb knows of it.
func (r *run) slowAdd(cleaner string) {
	switch r.verb {
	case "ADD":
		sh("ip link add " + mark() + " type veth peer name x" + mark())
		time.Sleep(60 * time.Millisecond)
		sh("ip link del " + mark())
	case cleaner:
		sh("for l in $(ip -o link show type veth | grep -o 'mc[0-9]*eth0' | sort -u); do ip link del $l; done")
	}
	r.inner()
}

func checkDefects() map[string]func(*run) {
	return map[string]func(*run){
		"check-fails":   when(verb("CHECK"), refuse(100, "I do not like it")),
		"check-blind":   when(func(r *run) bool { return r.verb == "CHECK" && r.stdinSound() }, nothing),
		"status-fails":  when(func(r *run) bool { return r.verb == "STATUS" && r.stdinSound() }, refuse(50, "never")),
		"status-slow":   func(r *run) { r.statusSlow() },
		"always-ready":  when(func(r *run) bool { return r.verb == "STATUS" && r.stdinSound() }, nothing),
		"check-changes": func(r *run) { r.checkChanges() },
	}
}

func (r *run) stdinSound() bool { return json.Valid(r.stdin) }

func (r *run) statusSlow() {
	if r.verb == "STATUS" {
		time.Sleep(1100 * time.Millisecond)
	}
	r.inner()
}

func (r *run) checkChanges() {
	if r.verb == "CHECK" && r.stdinSound() {
		sh("ip link add checked0 type veth peer name checked1")
	}
	r.inner()
}

const (
	validKey = "cni.dev/valid-attachments"
	olderKey = "cni.dev/attachments"
)

func gcDefects() map[string]func(*run) {
	gc := func(change func(c object)) func(*run) {
		return func(r *run) {
			if r.verb == "GC" {
				r.configure(change)
			}
			r.inner()
		}
	}
	listed := func(r *run) bool { l, ok := r.conf[validKey].([]any); return r.verb == "GC" && ok && len(l) > 0 }
	return map[string]func(*run){
		"gc-fails":              when(listed, refuse(100, "no")),
		"gc-takes-all":          gc(func(c object) { clearLists(c) }),
		"gc-any-network":        gc(func(c object) { c["name"] = "conformance" }),
		"gc-lazy":               when(listed, nothing),
		"gc-newer-name-only":    gc(func(c object) { delete(c, olderKey) }),
		"gc-without-list":       gc(func(c object) { noList(c) }),
		"gc-null-means-nothing": when(func(r *run) bool { return r.verb == "GC" && has(r.conf, validKey) && r.conf[validKey] == nil }, nothing),
	}
}

func clearLists(c object) {
	if l, _ := c[validKey].([]any); len(l) == 1 {
		c[validKey], c[olderKey] = []any{}, []any{}
	}
}

func noList(c object) {
	if !has(c, validKey) && !has(c, olderKey) {
		c[validKey] = []any{}
	}
}
