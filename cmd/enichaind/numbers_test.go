package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
)

func scrape(n *numbers) string {
	out := httptest.NewRecorder()
	n.handler().ServeHTTP(out, httptest.NewRequest("GET", "/metrics", nil))
	return out.Body.String()
}

// TestCalled: what EC2 refuses for its rate is counted apart from what it refuses for a limit, and what was never sent is
// no request.
func TestCalled(t *testing.T) {
	d := &daemon{config: Config{Roles: []string{RoleReconciler}}}
	client, err := ec2.New(aws.Config{Region: "lab-1"}, ec2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.ec2.Store(client)
	n := newNumbers(d)
	n.Called(reconcile.Attach, "AttachmentLimitExceeded", time.Second)
	n.Called(reconcile.Assign, "PrivateIpAddressLimitExceeded", time.Second)
	n.Called(reconcile.Create, "RequestLimitExceeded", time.Second)
	n.Called(reconcile.Create, "ok", 500*time.Millisecond)
	n.Called(reconcile.Detach, string(reconcile.NotSent), 0)
	text := scrape(n)
	for _, want := range []string{
		`enichain_ec2_throttled_total{action="CreateNetworkInterface"} 1`,
		`enichain_ec2_not_sent_total{action="DetachNetworkInterface"} 1`,
		`enichain_ec2_request_duration_seconds_sum{action="CreateNetworkInterface",code="ok"} 0.5`,
		`enichain_ec2_request_duration_seconds_count{action="AttachNetworkInterface",code="AttachmentLimitExceeded"} 1`,
		`enichain_ec2_tokens{action="AttachNetworkInterface"} 40`, // 80 % of the published 50
		`enichain_leader 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, never := range []string{`throttled_total{action="Att`, `throttled_total{action="Ass`, `code="not-sent"`} {
		if strings.Contains(text, never) {
			t.Errorf("metrics have %s", never)
		}
	}
}
