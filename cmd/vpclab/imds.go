package main

import (
	"net/http"
	"net/netip"
)

// imds is the metadata service: it knows who asks by the source address, which the router has checked.
func (h *holder) imds() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "no address", http.StatusBadRequest)
			return
		}
		name, _, ok := h.fabric.Owner(from.Addr())
		if n := h.byName(name); ok && n != nil {
			http.Error(w, "soon", http.StatusNotImplemented)
			return
		}
		http.Error(w, "no instance has this address", http.StatusNotFound)
	})
}
