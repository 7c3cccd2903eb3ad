package vpc

import (
	"maps"
	"slices"
	"strings"
)

// bear notes who has which tags, so that a list filtered by tag need not walk the account. A tag that was taken away
// stays noted: lagging views still show it, and filters look at what is shown.
func (w *World) bear(n *NetworkInterface) {
	life := w.enis[n.ID]
	for key, value := range n.Tags {
		t := Tag{key, value}
		if w.bearers[t] == nil {
			w.bearers[t] = map[string]bool{}
		}
		if !w.bearers[t][n.ID] {
			w.bearers[t][n.ID] = true
			life.bore = append(life.bore, t)
		}
	}
}

// unbear forgets an interface with all its tags.
func (w *World) unbear(id string) {
	for _, t := range w.enis[id].bore {
		if delete(w.bearers[t], id); len(w.bearers[t]) == 0 {
			delete(w.bearers, t)
		}
	}
}

// candidates are the interfaces, sorted by id, that a list need look at: those named, or the fewest that one of its
// filters leaves, or all.
func (w *World) candidates(r DescribeNetworkInterfaces) []string {
	if len(r.IDs) > 0 {
		return chosen(r.IDs, nil)
	}
	best, narrowed := map[string]bool{}, false
	for _, f := range r.Filters {
		if !isPlain(f.Values) {
			continue
		}
		if found, ok := w.bearing(f); ok && (!narrowed || len(found) < len(best)) {
			best, narrowed = found, true
		}
	}
	if !narrowed || len(best) > len(w.eniIDs)/4 { // sorting them costs more than walking all
		return w.eniIDs
	}
	return slices.Sorted(maps.Keys(best))
}

// isPlain is true of values without wildcards.
func isPlain(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, `*?\`) })
}

// bearing are the interfaces that can pass a filter on plain values, if there is a book of them.
func (w *World) bearing(f Filter) (map[string]bool, bool) {
	found := map[string]bool{}
	if key, ok := strings.CutPrefix(f.Name, "tag:"); ok {
		for _, value := range f.Values {
			bearers := w.bearers[Tag{key, value}]
			if len(f.Values) == 1 {
				return bearers, true
			}
			maps.Copy(found, bearers)
		}
		return found, true
	}
	if f.Name != "attachment.instance-id" {
		return nil, false
	}
	for _, id := range f.Values {
		if i := w.instances[id]; i != nil {
			for _, eni := range i.enis {
				found[eni] = true
			}
		}
	}
	return found, true
}
