package ec2

import (
	"errors"
	"net"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/enichain/enichain/ipam/reconcile"
)

// classes is what EC2's error codes mean to us ("Error codes for the Amazon EC2 API"). One that is not here is Other,
// or Unknown when it came with a status of 500 or more: then the call may have been carried out.
func classes() map[string]reconcile.Class {
	return map[string]reconcile.Class{
		"RequestLimitExceeded":          reconcile.Throttled,
		"Throttling":                    reconcile.Throttled,
		"ThrottlingException":           reconcile.Throttled,
		"RequestThrottled":              reconcile.Throttled,
		"BandwidthLimitExceeded":        reconcile.Throttled,
		"EC2ThrottledException":         reconcile.Throttled,
		"ClientInternalLimitExceeded":   reconcile.Throttled,
		"ResourceCountExceeded":         reconcile.Quota,
		"NetworkInterfaceLimitExceeded": reconcile.Quota,
		"TagLimitExceeded":              reconcile.Quota,

		"NetworkAddressUsageLimitExceeded":       reconcile.Quota,
		"NetworkAddressUsagePeeredLimitExceeded": reconcile.Quota,

		"InsufficientFreeAddressesInSubnet": reconcile.SubnetFull,
		"InsufficientCidrBlocks":            reconcile.SubnetFull, // no free, aligned /28

		"AttachmentLimitExceeded":       reconcile.Limit,
		"PrivateIpAddressLimitExceeded": reconcile.Limit,
		"Ipv6AddressLimitExceeded":      reconcile.Limit,

		"InvalidNetworkInterfaceID.NotFound": reconcile.Gone,
		"InvalidAttachmentID.NotFound":       reconcile.Gone,
		"InvalidInstanceID.NotFound":         reconcile.Gone,

		"InvalidNetworkInterfaceAttachmentID.NotFound": reconcile.Gone,

		"InvalidNetworkInterface.InUse": reconcile.Stale,
		"InvalidParameterValue":         reconcile.Stale, // index taken, address not here; but see ClassOf
		"Resource.AlreadyAssigned":      reconcile.Stale,
		"InvalidIPAddress.InUse":        reconcile.Stale,

		"IncorrectState":         reconcile.Transition,
		"IncorrectInstanceState": reconcile.Transition,
		"ConcurrentTagAccess":    reconcile.Transition,

		"IdempotentParameterMismatch":     reconcile.Mismatch,
		"IdempotentInstanceTerminated":    reconcile.Mismatch,
		"UnauthorizedOperation":           reconcile.Denied,
		"OperationNotPermitted":           reconcile.Denied,
		"AccessDenied":                    reconcile.Denied,
		"AccessDeniedException":           reconcile.Denied,
		"OptInRequired":                   reconcile.Denied,
		"Blocked":                         reconcile.Denied,
		"PendingVerification":             reconcile.Denied,
		"AuthFailure":                     reconcile.Clock,
		"RequestExpired":                  reconcile.Clock,
		"SignatureDoesNotMatch":           reconcile.Clock,
		"InvalidClientTokenId":            reconcile.Denied,
		"ExpiredToken":                    reconcile.Denied,
		"InvalidGroup.NotFound":           reconcile.BadConfig,
		"InvalidSecurityGroupID.NotFound": reconcile.BadConfig,
		"InvalidGroupId.Malformed":        reconcile.BadConfig,
		"InvalidSubnetID.NotFound":        reconcile.BadConfig,
		"InvalidSubnet":                   reconcile.BadConfig,

		"SecurityGroupsPerInterfaceLimitExceeded": reconcile.BadConfig,
	}
}

// ClassOf says what an error code of EC2's means, and whether it is one that we know.
func ClassOf(code, message string) (reconcile.Class, bool) {
	// The one place where a message decides: in prefix mode EC2 says a full subnet so ("There aren't sufficient free
	// Ipv4 addresses or prefixes"), and it is the code of a dozen other mistakes.
	if code == "InvalidParameterValue" && strings.Contains(message, "sufficient free") {
		return reconcile.SubnetFull, true
	}
	class, ok := classes()[code]
	return class, ok
}

// classify says what the error of an attempt means. sent is whether the request was handed to the network.
func classify(err error, sent bool) (class reconcile.Class, code, text string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code, text = api.ErrorCode(), api.ErrorMessage()
		if class, ok := ClassOf(code, text); ok {
			return class, code, text
		}
		var answer *awshttp.ResponseError
		if errors.As(err, &answer) && answer.HTTPStatusCode() >= 500 {
			return reconcile.Unknown, code, text
		}
		return reconcile.Other, code, text
	}
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Op == "dial":
		return reconcile.Away, "Unreachable", network.Error()
	case !sent:
		return reconcile.Denied, "NotSigned", short(err)
	}
	return reconcile.Unknown, "NoAnswer", short(err)
}

// short is an error without the SDK's preface.
func short(err error) string {
	for {
		var op *smithy.OperationError
		if !errors.As(err, &op) || op.Err == nil {
			return err.Error()
		}
		err = op.Err
	}
}
