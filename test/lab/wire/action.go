package wire

import (
	"maps"
	"reflect"
	"slices"

	"github.com/enichain/enichain/test/lab/vpc"
)

// actions are the requests that the lab serves, by the name of their action.
func actions() map[string]vpc.Request {
	byName := map[string]vpc.Request{}
	for _, r := range []vpc.Request{
		vpc.AssignIpv6Addresses{}, vpc.AssignPrivateIpAddresses{}, vpc.AttachNetworkInterface{},
		vpc.CreateNetworkInterface{}, vpc.CreateSecurityGroup{}, vpc.CreateTags{}, vpc.DeleteNetworkInterface{},
		vpc.DeleteSecurityGroup{}, vpc.DeleteTags{},
		vpc.DescribeAvailabilityZones{}, vpc.DescribeInstances{}, vpc.DescribeInstanceTypes{},
		vpc.DescribeNetworkInterfaceAttribute{}, vpc.DescribeNetworkInterfaces{}, vpc.DescribeRouteTables{},
		vpc.DescribeSecurityGroups{}, vpc.DescribeSubnets{}, vpc.DescribeTags{}, vpc.DescribeVpcs{},
		vpc.DetachNetworkInterface{}, vpc.ModifyInstanceAttribute{}, vpc.ModifyNetworkInterfaceAttribute{},
		vpc.RebootInstances{}, vpc.StartInstances{}, vpc.StopInstances{}, vpc.TerminateInstances{},
		vpc.UnassignIpv6Addresses{}, vpc.UnassignPrivateIpAddresses{},
	} {
		byName[r.Action()] = r
	}
	return byName
}

// Actions are the names of the actions that the lab serves, in the order of the alphabet.
func Actions() []string { return slices.Sorted(maps.Keys(actions())) }

// unmodelled are parameters that EC2 has and the lab has not: they are refused, not ignored.
func unmodelled(action string) []string {
	return map[string][]string{
		"CreateNetworkInterface": {"EnablePrimaryIpv6", "ConnectionTrackingSpecification", "Operator"},
		"AttachNetworkInterface": {"EnaSrdSpecification", "EnaQueueCount"},
		"ModifyNetworkInterfaceAttribute": {"EnaSrdSpecification", "EnablePrimaryIpv6", "ConnectionTrackingSpecification",
			"AssociatePublicIpAddress", "AssociatedSubnetId"},
		"ModifyInstanceAttribute": {"Attribute", "Value", "BlockDeviceMapping", "DisableApiTermination", "DisableApiStop",
			"EbsOptimized", "EnaSupport", "InstanceInitiatedShutdownBehavior", "Kernel", "Ramdisk", "SriovNetSupport", "UserData"},
		"StartInstances":            {"AdditionalInfo"},
		"StopInstances":             {"Force", "Hibernate", "SkipOsShutdown"},
		"TerminateInstances":        {"Force", "SkipOsShutdown"},
		"DescribeInstances":         {"IncludeManagedResources"},
		"DescribeNetworkInterfaces": {"IncludeManagedResources"},
	}[action]
}

// decode makes a request of a query: every parameter is understood or refused.
func decode(root *node) (vpc.Request, *vpc.Error) {
	action := root.take("Action")
	if action == nil || action.value == nil || *action.value == "" {
		return nil, vpc.Refuse("MissingAction", "The request is missing an action or a required parameter.")
	}
	switch version := root.take("Version"); {
	case version == nil || version.value == nil:
		return nil, vpc.Refuse(vpc.CodeMissingParameter, "The request must contain the parameter Version")
	case *version.value != apiVersion:
		return nil, vpc.Refuse("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", *version.value)
	}
	form, ok := actions()[*action.value]
	if !ok {
		return nil, vpc.Refuse("InvalidAction", "The action %s is not valid for this web service.", *action.value)
	}
	request := reflect.New(reflect.TypeOf(form)).Elem()
	if err := fill(root, request); err != nil {
		return nil, err
	}
	for _, name := range unmodelled(*action.value) {
		if root.children[name] != nil {
			return nil, vpc.Refuse(vpc.CodeUnsupported, "The lab does not model the parameter %s of %s", name, *action.value)
		}
	}
	if left := root.leftover(); left != nil {
		return nil, unknown(left.name)
	}
	return request.Interface().(vpc.Request), nil
}
