package ec2

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/enichain/enichain/ipam/reconcile"
)

// TestClassOf has every code that EC2 is known to answer to our calls, and what we make of it.
func TestClassOf(t *testing.T) {
	for class, codes := range map[reconcile.Class]string{
		reconcile.Throttled:  "RequestLimitExceeded Throttling",
		reconcile.Gone:       "InvalidNetworkInterfaceID.NotFound InvalidAttachmentID.NotFound InvalidInstanceID.NotFound",
		reconcile.Stale:      "InvalidNetworkInterface.InUse InvalidParameterValue Resource.AlreadyAssigned InvalidNetworkInterfaceId.Malformed InvalidNetworkInterfaceAttachmentId.Malformed",
		reconcile.Limit:      "AttachmentLimitExceeded PrivateIpAddressLimitExceeded",
		reconcile.SubnetFull: "InsufficientFreeAddressesInSubnet InsufficientCidrBlocks",
		reconcile.Quota:      "NetworkInterfaceLimitExceeded NetworkAddressUsageLimitExceeded NetworkAddressUsagePeeredLimitExceeded",
		reconcile.BadConfig:  "SecurityGroupsPerInterfaceLimitExceeded InvalidGroup.NotFound InvalidSubnetID.NotFound TagLimitExceeded",
		reconcile.Transition: "IncorrectInstanceState IncorrectState ConcurrentTagAccess",
		reconcile.Mismatch:   "IdempotentParameterMismatch",
		reconcile.Denied:     "OperationNotPermitted UnauthorizedOperation",
		reconcile.Clock:      "AuthFailure RequestExpired SignatureDoesNotMatch",
	} {
		for _, code := range strings.Fields(codes) {
			if got, known := ClassOf(code, ""); got != class || !known {
				t.Errorf("%s is %q (%v), want %s", code, got, known, class)
			}
		}
	}
	// InternalError and Unavailable may have been carried out, the others were not: their status decides.
	for _, code := range strings.Fields("InternalError Unavailable FilterLimitExceeded MissingParameter InvalidParameterCombination InvalidAction DryRunOperation") {
		if got, known := ClassOf(code, ""); known {
			t.Errorf("%s is %s, want to be judged by its status", code, got)
		}
	}
	full := "There aren't sufficient free Ipv4 addresses or prefixes"
	if got, _ := ClassOf("InvalidParameterValue", full); got != reconcile.SubnetFull {
		t.Errorf("%q is %s", full, got)
	}
}

// TestCertificates: a certificate that is not valid now is a matter of the clock, another one of the way to EC2; nothing
// was sent in either case.
func TestCertificates(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want reconcile.Class
		says string
	}{
		{"not valid now", x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 1970-01-01T00:00:12Z is before 2026-01-01T00:00:00Z"},
			reconcile.Clock, "by this machine's clock EC2's certificate is not valid now: current time 1970"},
		{"unknown authority", x509.UnknownAuthorityError{}, reconcile.Away, "unknown authority"},
	} {
		err := fmt.Errorf("request send failed: %w", &tls.CertificateVerificationError{Err: test.err})
		if class, code, text := classify(reconcile.Assign, err, true); class != test.want || code == "" || !strings.Contains(text, test.says) {
			t.Errorf("%s: %s, %s, %q", test.name, class, code, text)
		}
	}
}
