package vpc

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// tagsFor reads the tags that a new resource of a type is made with.
func (w *World) tagsFor(resourceType string, specs []TagSpecification) (map[string]string, *Error) {
	var tags map[string]string
	for _, s := range specs {
		if s.ResourceType != resourceType {
			return nil, invalid("'%s' is not a valid taggable resource type for this operation.", s.ResourceType)
		}
		if tags != nil {
			return nil, invalid("Tag specification resource type '%s' is given more than once", s.ResourceType)
		}
		tags = map[string]string{}
		for _, t := range s.Tags {
			if _, twice := tags[t.Key]; twice {
				return nil, invalid("Duplicate tag key '%s' specified.", t.Key)
			}
			if err := checkTag(t); err != nil {
				return nil, err
			}
			tags[t.Key] = t.Value
		}
	}
	return tags, w.checkTags(tags)
}

func checkTag(t Tag) *Error {
	switch {
	case t.Key == "":
		return missing("Tag.N.Key")
	case len(t.Key) > 128:
		return invalid("Tag key exceeds the maximum length of 128 characters")
	case len(t.Value) > 256:
		return invalid("Tag value exceeds the maximum length of 256 characters")
	case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
		return invalid(messageReservedTagKey)
	}
	return nil
}

func (w *World) checkTags(tags map[string]string) *Error {
	if most := w.config.Quotas.TagsPerResource; len(tags) > most {
		return Refuse(CodeTagLimit, "%d tags; a resource can have %d", len(tags), most)
	}
	return nil
}

// tagged is a resource as far as tags go.
type tagged struct {
	kind string // EC2's resource type
	tags map[string]string
	set  func(map[string]string)
}

// resource finds what bears an id.
func (w *World) resource(c *call, id string) (tagged, *Error) {
	kind, _, _ := strings.Cut(id, "-")
	switch kind {
	case "eni":
		n, err := w.named(id)
		return tagged{"network-interface", n.Tags, func(tags map[string]string) {
			n := n.clone()
			n.Tags = tags
			w.put(c.effect, n.ID, &n)
			w.bear(&n)
		}}, err
	case "i":
		i, err := w.namedInstance(id)
		if err != nil {
			return tagged{}, err
		}
		return tagged{"instance", i.Tags, func(tags map[string]string) { i.Tags = tags }}, nil
	case "subnet":
		if s := w.subnets[id]; s != nil {
			return tagged{"subnet", s.Tags, func(tags map[string]string) { s.Tags = tags }}, nil
		}
		return tagged{}, subnetNotFound(id)
	case "vpc":
		if v := w.vpcs[id]; v != nil {
			return tagged{"vpc", v.Tags, func(tags map[string]string) { v.Tags = tags }}, nil
		}
		return tagged{}, Refuse(CodeVPCNotFound, "The vpc ID '%s' does not exist", id)
	case "sg":
		if g := w.groups[id]; g != nil {
			return tagged{"security-group", g.Tags, func(tags map[string]string) { g.Tags = tags }}, nil
		}
		return tagged{}, groupNotFound(id)
	}
	return tagged{}, Refuse(CodeIDInvalid, "The ID '%s' is not valid", id)
}

func (r CreateTags) call(w *World, c *call) (Output, *Error) {
	if len(r.Resources) == 0 {
		return nil, missing("ResourceId")
	}
	if len(r.Tags) == 0 {
		return nil, missing("Tag")
	}
	for i, t := range r.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(r.Tags[:i], func(o Tag) bool { return o.Key == t.Key }) {
			return nil, invalid("Duplicate tag key '%s' specified.", t.Key)
		}
	}
	return w.retag(c, r.Dry, r.Resources, func(tags map[string]string) {
		for _, t := range r.Tags {
			tags[t.Key] = t.Value
		}
	})
}

func (r DeleteTags) call(w *World, c *call) (Output, *Error) {
	if len(r.Resources) == 0 {
		return nil, missing("ResourceId")
	}
	return w.retag(c, r.Dry, r.Resources, func(tags map[string]string) {
		if len(r.Tags) == 0 {
			clear(tags)
		}
		for _, t := range r.Tags {
			if v, ok := tags[t.Key]; ok && (t.Value == nil || *t.Value == v) {
				delete(tags, t.Key)
			}
		}
	})
}

// retag changes the tags of all resources, or of none.
func (w *World) retag(c *call, dry Dry, ids []string, edit func(map[string]string)) (Output, *Error) {
	var resources []tagged
	for _, id := range chosen(ids, nil) {
		res, err := w.resource(c, id)
		if err != nil {
			return nil, err
		}
		res.tags = maps.Clone(res.tags)
		if res.tags == nil {
			res.tags = map[string]string{}
		}
		edit(res.tags)
		if err := w.checkTags(res.tags); err != nil {
			return nil, err
		}
		resources = append(resources, res)
	}
	if err := dryRun(dry); err != nil {
		return nil, err
	}
	for _, res := range resources {
		res.set(res.tags)
	}
	return Done{}, nil
}

func (r DescribeTags) call(w *World, c *call) (Output, *Error) {
	one := func(f func(ResourceTag) string) func(ResourceTag) []string {
		return func(t ResourceTag) []string { return []string{f(t)} }
	}
	p := properties[ResourceTag]{of: map[string]func(ResourceTag) []string{
		"key":           one(func(t ResourceTag) string { return t.Key }),
		"value":         one(func(t ResourceTag) string { return t.Value }),
		"resource-id":   one(func(t ResourceTag) string { return t.Resource }),
		"resource-type": one(func(t ResourceTag) string { return t.ResourceType }),
	}}
	keep, err := p.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	all := w.allTags(c.view)
	item := func(key string) (ResourceTag, bool) { return all[key], true }
	found, next, err := paged(listed{r.Page, 5, 1000, false, nil}, slices.Sorted(maps.Keys(all)), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeTagsOutput{found, next}, nil
}

// allTags are the tags of everything, under keys that sort by resource.
func (w *World) allTags(at time.Time) map[string]ResourceTag {
	all := map[string]ResourceTag{}
	add := func(id, kind string, tags map[string]string) {
		for k, v := range tags {
			all[id+"\x00"+k] = ResourceTag{id, kind, k, v}
		}
	}
	for _, id := range w.eniIDs {
		if n := w.enis[id].view(at); n != nil {
			add(id, "network-interface", n.Tags)
		}
	}
	for id, i := range w.instances {
		add(id, "instance", i.Tags)
	}
	for id, s := range w.subnets {
		add(id, "subnet", s.Tags)
	}
	for id, v := range w.vpcs {
		add(id, "vpc", v.Tags)
	}
	for id, g := range w.groups {
		add(id, "security-group", g.Tags)
	}
	return all
}
