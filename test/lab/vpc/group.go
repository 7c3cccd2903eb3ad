package vpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CreateSecurityGroup answers CreateSecurityGroupOutput.
type CreateSecurityGroup struct {
	Dry
	Name             string             `query:"GroupName,required"`
	Description      string             `query:"GroupDescription,required"`
	VPC              string             `query:"VpcId"`
	TagSpecification []TagSpecification `query:"TagSpecification"`
}

// CreateSecurityGroupOutput is the new group's id and its tags.
type CreateSecurityGroupOutput struct {
	ID   string
	Tags map[string]string
}

// DeleteSecurityGroup answers Done. No interface may be in the group.
type DeleteSecurityGroup struct {
	Dry
	ID   string `query:"GroupId"`
	Name string `query:"GroupName"`
}

// Action is "CreateSecurityGroup".
func (CreateSecurityGroup) Action() string { return "CreateSecurityGroup" }

// Action is "DeleteSecurityGroup".
func (DeleteSecurityGroup) Action() string { return "DeleteSecurityGroup" }

func (r CreateSecurityGroup) call(w *World, _ *call) (Output, *Error) {
	switch {
	case r.Name == "":
		return nil, missing("GroupName")
	case r.Description == "":
		return nil, missing("GroupDescription")
	case r.VPC == "": // the lab has no default VPC
		return nil, missing("VpcId")
	case w.vpcs[r.VPC] == nil:
		return nil, Refuse(CodeVPCNotFound, "The vpc ID '%s' does not exist", r.VPC)
	case len(r.Name) > 255 || strings.HasPrefix(r.Name, "sg-"):
		return nil, invalid("Invalid value '%s' for groupName: at most 255 characters that do not begin with sg-", r.Name)
	}
	for _, g := range w.groups {
		if g.VPC == r.VPC && g.Name == r.Name {
			return nil, Refuse(CodeGroupDuplicate, "The security group '%s' already exists for VPC '%s'", r.Name, r.VPC)
		}
	}
	tags, err := w.tagsFor("security-group", r.TagSpecification)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	g := w.addGroup(SecurityGroup{VPC: r.VPC, Name: r.Name, Description: r.Description, Tags: tags})
	return CreateSecurityGroupOutput{ID: g.ID, Tags: maps.Clone(tags)}, nil
}

func (r DeleteSecurityGroup) call(w *World, _ *call) (Output, *Error) {
	id := r.ID
	if id == "" && r.Name != "" {
		for _, known := range slices.Sorted(maps.Keys(w.groups)) {
			if w.groups[known].Name == r.Name {
				id = known
			}
		}
		if id == "" {
			return nil, groupNotFound(r.Name)
		}
	}
	switch g := w.groups[id]; {
	case id == "":
		return nil, missing("GroupId")
	case !strings.HasPrefix(id, "sg-"):
		return nil, Refuse(CodeGroupMalformed, "Invalid id: \"%s\" (expecting \"sg-...\")", id)
	case g == nil:
		return nil, groupNotFound(id)
	case w.defaults[g.VPC] == id:
		return nil, Refuse(CodeCannotDelete, "the specified group: \"%s\" name: \"%s\" cannot be deleted by a user", id, g.Name)
	}
	for _, eni := range w.eniIDs {
		if n, lives := w.present(eni); lives && slices.Contains(n.Groups, id) {
			return nil, Refuse(CodeDependency, "resource %s has a dependent object", id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	delete(w.groups, id)
	return Done{}, nil
}

// AddSecurityGroup makes a security group.
func (w *World) AddSecurityGroup(g SecurityGroup) (SecurityGroup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vpcs[g.VPC] == nil {
		return SecurityGroup{}, fmt.Errorf("cannot add security group %s: there is no VPC %q", g.Name, g.VPC)
	}
	if g.Name == "" {
		return SecurityGroup{}, fmt.Errorf("cannot add security group %s: it has no name", g.ID)
	}
	if w.groups[g.ID] != nil {
		return SecurityGroup{}, fmt.Errorf("cannot add security group %s: it exists", g.ID)
	}
	return w.addGroup(g), nil
}

func (w *World) addGroup(g SecurityGroup) SecurityGroup {
	if g.ID == "" {
		g.ID = w.id("sg")
	}
	g.Tags = maps.Clone(g.Tags)
	w.groups[g.ID] = &g
	return g
}

// DeleteSecurityGroup takes a group away that may be in use, which the action of this name would not: interfaces keep
// its id, calls that name it fail.
func (w *World) DeleteSecurityGroup(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.groups, id)
}
