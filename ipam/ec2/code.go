package ec2

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/enichain/enichain/ipam/reconcile"
)

// classes is what EC2's error codes mean to us ("Error codes for the Amazon EC2 API"). One that is not here is Other,
// or Unknown when it came with a status of 500 or more: then the call may have been carried out.
func classes() map[string]reconcile.Class {
	return map[string]reconcile.Class{
		"RequestLimitExceeded":        reconcile.Throttled,
		"Throttling":                  reconcile.Throttled,
		"ThrottlingException":         reconcile.Throttled,
		"RequestThrottled":            reconcile.Throttled,
		"BandwidthLimitExceeded":      reconcile.Throttled,
		"EC2ThrottledException":       reconcile.Throttled,
		"ClientInternalLimitExceeded": reconcile.Throttled,

		"ResourceCountExceeded":                  reconcile.Quota,
		"NetworkInterfaceLimitExceeded":          reconcile.Quota, // per Region; default 5,000
		"NetworkAddressUsageLimitExceeded":       reconcile.Quota, // per VPC; default 64,000 units
		"NetworkAddressUsagePeeredLimitExceeded": reconcile.Quota,

		"InsufficientFreeAddressesInSubnet": reconcile.SubnetFull,
		"InsufficientCidrBlocks":            reconcile.SubnetFull, // free addresses, and no free, aligned block of them

		"AttachmentLimitExceeded":       reconcile.Limit,
		"PrivateIpAddressLimitExceeded": reconcile.Limit,
		"Ipv6AddressLimitExceeded":      reconcile.Limit,

		"InvalidNetworkInterfaceID.NotFound":           reconcile.Gone,
		"InvalidAttachmentID.NotFound":                 reconcile.Gone,
		"InvalidNetworkInterfaceAttachmentID.NotFound": reconcile.Gone,
		"InvalidInstanceID.NotFound":                   reconcile.Gone,

		"InvalidNetworkInterface.InUse":                 reconcile.Stale,
		"InvalidParameterValue":                         reconcile.Stale, // index taken, address not here; but see ClassOf
		"Resource.AlreadyAssigned":                      reconcile.Stale,
		"InvalidIPAddress.InUse":                        reconcile.Stale,
		"InvalidNetworkInterfaceId.Malformed":           reconcile.Stale, // an id that EC2 never gave
		"InvalidNetworkInterfaceID.Malformed":           reconcile.Stale,
		"InvalidNetworkInterfaceAttachmentId.Malformed": reconcile.Stale,
		"InvalidNetworkInterfaceAttachmentID.Malformed": reconcile.Stale,

		"IncorrectState":         reconcile.Transition,
		"IncorrectInstanceState": reconcile.Transition,
		"ConcurrentTagAccess":    reconcile.Transition,

		"IdempotentParameterMismatch":  reconcile.Mismatch,
		"IdempotentInstanceTerminated": reconcile.Mismatch,

		"UnauthorizedOperation":       reconcile.Denied,
		"OperationNotPermitted":       reconcile.Denied, // such as detaching a primary interface
		"AccessDenied":                reconcile.Denied,
		"AccessDeniedException":       reconcile.Denied,
		"OptInRequired":               reconcile.Denied,
		"Blocked":                     reconcile.Denied,
		"PendingVerification":         reconcile.Denied,
		"InvalidClientTokenId":        reconcile.Denied,
		"UnrecognizedClientException": reconcile.Denied,
		"ExpiredToken":                reconcile.Denied,
		"ExpiredTokenException":       reconcile.Denied,
		"MissingAuthenticationToken":  reconcile.Denied,

		"AuthFailure":               reconcile.Clock, // a wrong secret, or a wrong time: EC2 does not say which
		"RequestExpired":            reconcile.Clock,
		"RequestTimeTooSkewed":      reconcile.Clock,
		"RequestInTheFuture":        reconcile.Clock,
		"SignatureDoesNotMatch":     reconcile.Clock,
		"InvalidSignatureException": reconcile.Clock,

		"InvalidGroup.NotFound":            reconcile.BadConfig,
		"InvalidSecurityGroupID.NotFound":  reconcile.BadConfig,
		"InvalidGroupId.Malformed":         reconcile.BadConfig,
		"InvalidSecurityGroupId.Malformed": reconcile.BadConfig,
		"InvalidSubnetID.NotFound":         reconcile.BadConfig,
		"InvalidSubnetId.Malformed":        reconcile.BadConfig,
		"InvalidSubnet":                    reconcile.BadConfig,
		"TagLimitExceeded":                 reconcile.BadConfig, // ours and reconciler.tags together
		"InvalidTagKey.Malformed":          reconcile.BadConfig,
		"UnsupportedOperation":             reconcile.BadConfig,

		"SecurityGroupsPerInterfaceLimitExceeded": reconcile.BadConfig,
	}
}

// ClassOf says what an error code of EC2's means, and whether it is one that we know.
func ClassOf(code, message string) (reconcile.Class, bool) {
	// The one place where a message decides: in prefix mode EC2 says a full subnet so ("There aren't sufficient free
	// Ipv4 addresses or prefixes"), without telling which of the two is missing, and it is the code of a dozen other
	// mistakes.
	if code == "InvalidParameterValue" && strings.Contains(message, "sufficient free") {
		return reconcile.SubnetFull, true
	}
	class, ok := classes()[code]
	return class, ok
}

// classify says what the error of an attempt means. sent is whether the request was handed to the network.
func classify(action reconcile.Action, err error, sent bool) (class reconcile.Class, code, text string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code, text = api.ErrorCode(), strings.TrimRight(api.ErrorMessage(), ". ") // it will stand within a sentence of ours
		class, known := ClassOf(code, text)
		if !known && status(err) >= 500 {
			return reconcile.Unknown, code, text
		}
		if !known {
			return reconcile.Other, code, text
		}
		return class, code, explain(class, code, action, text)
	}
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &certificate): // the handshake ended: nothing was asked
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return reconcile.Clock, "CertificateTime", "by this machine's clock EC2's certificate is not valid now: " + invalid.Detail
		}
		return reconcile.Away, "Certificate", certificate.Error()
	case errors.As(err, &network) && network.Op == "dial":
		return reconcile.Away, "Unreachable", network.Error()
	case !sent:
		return reconcile.Denied, "NotSigned", short(err)
	}
	return reconcile.Unknown, "NoAnswer", short(err)
}

func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// explain puts what people have to do before EC2's words, where those do not say it.
func explain(class reconcile.Class, code string, action reconcile.Action, text string) string {
	switch {
	case class == reconcile.Clock && code == "AuthFailure":
		return "EC2 refuses the credentials: they are wrong, or this machine's clock is: " + text
	case class == reconcile.Clock:
		return "EC2 refuses the request's time: set this machine's clock: " + text
	case code == "UnauthorizedOperation", code == "AccessDenied", code == "AccessDeniedException":
		missing, words := "ec2:"+string(action), plain(text)
		if named := refusedAction().FindStringSubmatch(text); named != nil {
			missing = named[1]
		} else if action == reconcile.Create {
			missing += " and ec2:CreateTags" // a Create with tags needs both, and EC2 does not say which it misses
		}
		return fmt.Sprintf("the reconciler's role lacks %s: %s", missing, words)
	case strings.HasPrefix(code, "ExpiredToken"):
		return "the reconciler's credentials have expired: " + text
	}
	return text
}

// refusedAction finds the action in "User: arn:… is not authorized to perform: ec2:CreateTags on resource: …".
func refusedAction() *regexp.Regexp {
	return regexp.MustCompile(`not authorized to perform: (ec2:[A-Za-z0-9]+)`)
}

// plain leaves out the encoded part of a refusal, which is hundreds of characters that nobody can read.
func plain(text string) string {
	before, _, _ := strings.Cut(text, " Encoded authorization failure message")
	return strings.TrimRight(before, ". ")
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
