package vpc

import "fmt"

// Error is what EC2 answers when it refuses. Codes are EC2's (Developer Guide, "Error codes for the Amazon EC2 API");
// the wording follows field logs where there are any and is not to be matched.
type Error struct {
	Code       string
	Message    string
	HTTPStatus int
}

// Error is the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The codes that the lab answers. Every one is EC2's own.
const (
	CodeThrottled             = "RequestLimitExceeded"
	CodeInternal              = "InternalError"
	CodeUnavailable           = "Unavailable"
	CodeDryRun                = "DryRunOperation"
	CodeUnauthorized          = "UnauthorizedOperation"
	CodeAuthFailure           = "AuthFailure"
	CodeMissingParameter      = "MissingParameter"
	CodeInvalidParameter      = "InvalidParameterValue"
	CodeCombination           = "InvalidParameterCombination"
	CodeUnknownParameter      = "UnknownParameter"
	CodeUnsupported           = "UnsupportedOperation"
	CodeNextToken             = "InvalidNextToken"
	CodeFilterLimit           = "FilterLimitExceeded"
	CodeENINotFound           = "InvalidNetworkInterfaceID.NotFound"
	CodeENIMalformed          = "InvalidNetworkInterfaceId.Malformed"
	CodeAttachmentNotFound    = "InvalidAttachmentID.NotFound"
	CodeAttachmentMalformed   = "InvalidNetworkInterfaceAttachmentId.Malformed"
	CodeInstanceNotFound      = "InvalidInstanceID.NotFound"
	CodeInstanceMalformed     = "InvalidInstanceID.Malformed"
	CodeInstanceType          = "InvalidInstanceType"
	CodeInstanceAttribute     = "InvalidInstanceAttributeValue"
	CodeSubnetNotFound        = "InvalidSubnetID.NotFound"
	CodeVPCNotFound           = "InvalidVpcID.NotFound"
	CodeGroupNotFound         = "InvalidGroup.NotFound"
	CodeGroupMalformed        = "InvalidGroupId.Malformed"
	CodeGroupDuplicate        = "InvalidGroup.Duplicate"
	CodeDependency            = "DependencyViolation"
	CodeCannotDelete          = "CannotDelete"
	CodeRouteTableNotFound    = "InvalidRouteTableID.NotFound"
	CodeIDInvalid             = "InvalidID"
	CodeInUse                 = "InvalidNetworkInterface.InUse"
	CodeAttachmentLimit       = "AttachmentLimitExceeded"
	CodeAddressLimit          = "PrivateIpAddressLimitExceeded"
	CodeSubnetFull            = "InsufficientFreeAddressesInSubnet"
	CodeNoBlock               = "InsufficientCidrBlocks"
	CodeENILimit              = "NetworkInterfaceLimitExceeded"
	CodeNAULimit              = "NetworkAddressUsageLimitExceeded"
	CodeGroupLimit            = "SecurityGroupsPerInterfaceLimitExceeded"
	CodeInstanceState         = "IncorrectInstanceState"
	CodeState                 = "IncorrectState"
	CodeNotPermitted          = "OperationNotPermitted"
	CodeIdempotent            = "IdempotentParameterMismatch"
	CodeAlreadyAssigned       = "Resource.AlreadyAssigned"
	CodeAddressInUse          = "InvalidIPAddress.InUse"
	CodeTagLimit              = "TagLimitExceeded"
	CodeZoneMismatch          = "InvalidParameterCombination"
	messageAddressLimit       = "Number of private addresses will exceed limit."
	messageNoFreeAddresses    = "There aren't sufficient free Ipv4 addresses or prefixes"
	messageNoFreeBlock        = "The specified subnet does not have enough free cidr blocks to satisfy the request."
	messageNoFreeInSubnet     = "The specified subnet does not have enough free addresses to satisfy the request."
	messageDryRun             = "Request would have succeeded, but DryRun flag is set."
	messageThrottled          = "Request limit exceeded."
	messageDenied             = "You are not authorized to perform this operation."
	messageInternal           = "An internal error has occurred"
	messageDifferentNetworks  = "You have specified two resources that belong to different networks."
	messagePrimaryStays       = "The network interface at device index 0 cannot be detached."
	messageClientTokenReused  = "The client token you have provided was used with other parameters"
	messageOneAttribute       = "exactly one attribute may be given in a call"
	messagePrefixNeedsNitro   = "prefixes can be assigned only to interfaces of instances built on the Nitro System"
	messageReservedTagKey     = "Tag keys starting with 'aws:' are reserved for internal use"
	messageAddressesExclusive = "addresses, a count of addresses, prefixes and a count of prefixes exclude one another"
)

// Refuse makes an error with the HTTP status that EC2 sends with the code: 400 unless known otherwise.
func Refuse(code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), HTTPStatus: 400}
	switch code {
	case CodeThrottled, CodeUnavailable, "ServiceUnavailable":
		e.HTTPStatus = 503
	case CodeInternal, "InternalFailure":
		e.HTTPStatus = 500
	case CodeDryRun:
		e.HTTPStatus = 412
	case CodeUnauthorized:
		e.HTTPStatus = 403
	case CodeAuthFailure, "MissingAuthenticationToken":
		e.HTTPStatus = 401
	}
	return e
}

func eniNotFound(id string) *Error {
	return Refuse(CodeENINotFound, "The networkInterface ID '%s' does not exist", id)
}

func instanceNotFound(id string) *Error {
	return Refuse(CodeInstanceNotFound, "The instance ID '%s' does not exist", id)
}

func subnetNotFound(id string) *Error {
	return Refuse(CodeSubnetNotFound, "The subnet ID '%s' does not exist", id)
}

func groupNotFound(id string) *Error {
	return Refuse(CodeGroupNotFound, "The security group '%s' does not exist", id)
}

func missing(parameter string) *Error {
	return Refuse(CodeMissingParameter, "The request must contain the parameter %s", parameter)
}

func invalid(format string, args ...any) *Error { return Refuse(CodeInvalidParameter, format, args...) }
