package main

import (
	"net/http"
	"net/netip"

	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/lab/wire"
)

// imds is the metadata service of all instances. It knows who asks by the source address, which the router has checked.
func (h *holder) imds() http.Handler {
	instances := map[string]http.Handler{}
	for _, n := range h.all(roleNode, roleControl, roleHost) {
		instances[n.name] = imds.Handler(h.world, n.instance, wire.RealClock{})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "cannot read the caller's address", http.StatusBadRequest)
			return
		}
		name, _, _ := h.fabric.Owner(from.Addr())
		if instance := instances[name]; instance != nil {
			instance.ServeHTTP(w, r)
			return
		}
		http.Error(w, "no instance has the address "+from.Addr().String(), http.StatusNotFound)
	})
}
