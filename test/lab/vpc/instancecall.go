package vpc

// StopInstances answers StopInstancesOutput. Interfaces and addresses stay.
type StopInstances struct {
	Dry
	IDs []string `query:"InstanceId,required"`
}

// StartInstances answers StartInstancesOutput.
type StartInstances struct {
	Dry
	IDs []string `query:"InstanceId,required"`
}

// RebootInstances answers Done.
type RebootInstances struct {
	Dry
	IDs []string `query:"InstanceId,required"`
}

// TerminateInstances answers TerminateInstancesOutput.
type TerminateInstances struct {
	Dry
	IDs []string `query:"InstanceId,required"`
}

// ModifyInstanceAttribute answers Done. Exactly one attribute goes into a call: the type of a stopped instance, or the
// security groups or the source/destination check of its primary interface.
type ModifyInstanceAttribute struct {
	Dry
	ID              string       `query:"InstanceId,required"`
	InstanceType    *StringValue `query:"InstanceType"`
	Groups          []string     `query:"GroupId"`
	SourceDestCheck *BoolValue   `query:"SourceDestCheck"`
}

// StateChange is an instance's state before and right after a call.
type StateChange struct {
	ID                string
	Previous, Current InstanceState
}

// StopInstancesOutput has one entry per instance, by id.
type StopInstancesOutput struct{ Changes []StateChange }

// StartInstancesOutput has one entry per instance, by id.
type StartInstancesOutput struct{ Changes []StateChange }

// TerminateInstancesOutput has one entry per instance, by id.
type TerminateInstancesOutput struct{ Changes []StateChange }

// Action is "StopInstances".
func (StopInstances) Action() string { return "StopInstances" }

// Action is "StartInstances".
func (StartInstances) Action() string { return "StartInstances" }

// Action is "RebootInstances".
func (RebootInstances) Action() string { return "RebootInstances" }

// Action is "TerminateInstances".
func (TerminateInstances) Action() string { return "TerminateInstances" }

// Action is "ModifyInstanceAttribute".
func (ModifyInstanceAttribute) Action() string { return "ModifyInstanceAttribute" }
