package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// Options is what a Client is made of.
type Options struct {
	Region string                                                         // "" = by the SDK's own settings
	Share  float64                                                        // of each published rate that we allow ourselves, 0.1..1; 0 = 0.8
	Rates  map[reconcile.Action]Rate                                      // instead of the published ones, by EC2's name of the action
	Seen   func(action reconcile.Action, code string, took time.Duration) // told of every page of every list; may be nil
}

// Validate reports all faults at once.
func (o Options) Validate() error {
	var faults []error
	if o.Share != 0 && (o.Share < 0.1 || o.Share > 1) {
		faults = append(faults, fmt.Errorf("ec2.share: is %g; set 0.1..1", o.Share))
	}
	known := Published()
	for action, r := range o.Rates {
		if _, ok := known[action]; !ok {
			faults = append(faults, fmt.Errorf("ec2.rates.%s: is no action of ours; known are %v", action, names(known)))
		}
		if r.Burst < 1 || r.PerSecond <= 0 {
			faults = append(faults, fmt.Errorf("ec2.rates.%s: burst is %g and perSecond %g; set 1 or more, and more than 0", action, r.Burst, r.PerSecond))
		}
	}
	return errors.Join(faults...)
}

var _ reconcile.Cloud = (*Client)(nil)

// Client implements reconcile.Cloud. It may be used by many goroutines.
type Client struct {
	api   *ec2.Client
	pacer *pacer
	seen  func(reconcile.Action, string, time.Duration)

	mu     sync.Mutex // guards limits
	limits map[string]ipam.Limits
}

// Connect makes a client by the SDK's own settings: environment, shared files, instance role; endpoint included. It
// makes no call.
func Connect(ctx context.Context, o Options) (*Client, error) {
	var settings []func(*config.LoadOptions) error
	if o.Region != "" {
		settings = append(settings, config.WithRegion(o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, settings...)
	if err != nil {
		return nil, fmt.Errorf("cannot load the AWS settings: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("cannot talk to EC2: no region; set reconciler.ec2.region or AWS_REGION")
	}
	return New(cfg, o)
}

// New makes a client of the SDK's settings. It makes no call.
func New(cfg aws.Config, o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	rates := Published()
	share := o.Share
	if share == 0 {
		share = 0.8
	}
	for action, r := range o.Rates {
		rates[action] = r
	}
	c := &Client{
		api: ec2.NewFromConfig(cfg), pacer: newPacer(rates, share), seen: o.Seen,
		limits: map[string]ipam.Limits{},
	}
	if c.seen == nil {
		c.seen = func(reconcile.Action, string, time.Duration) {}
	}
	return c, nil
}

// Levels are the states of the buckets, by action.
func (c *Client) Levels() []Level { return c.pacer.levels() }

// Wait implements reconcile.Cloud.
func (c *Client) Wait(ctx context.Context, action reconcile.Action, urgency reconcile.Urgency) error {
	return c.pacer.wait(ctx, action, urgency)
}

// Do implements reconcile.Cloud: one attempt, without the SDK's retries, which would repeat an Assign that was carried
// out and whose answer was lost.
func (c *Client) Do(ctx context.Context, call reconcile.Call) reconcile.Answer {
	sent := false
	once := func(o *ec2.Options) {
		o.Retryer = aws.NopRetryer{}
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("enichain.sent", func(
				ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
			) (middleware.DeserializeOutput, middleware.Metadata, error) {
				sent = true
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
		})
	}
	a := reconcile.Answer{ID: call.ID, Class: reconcile.Done}
	err := c.attempt(ctx, call, &a, once)
	if err == nil {
		c.pacer.taken(call.Action)
		return a
	}
	a.Class, a.Code, a.Text = classify(err, sent)
	switch a.Class {
	case reconcile.Throttled:
		c.pacer.throttled(call.Action, a.Code)
	case reconcile.Unknown, reconcile.Away, reconcile.NotSent:
	default: // refused, but not for its rate
		c.pacer.taken(call.Action)
	}
	return a
}

func (c *Client) attempt(ctx context.Context, call reconcile.Call, a *reconcile.Answer, once func(*ec2.Options)) error {
	eni := aws.String(string(call.ENI))
	switch call.Action {
	case reconcile.Create:
		out, err := c.api.CreateNetworkInterface(ctx, createInput(call), once)
		if err != nil {
			return err
		}
		if out.NetworkInterface == nil {
			return errors.New("CreateNetworkInterface answered without an interface")
		}
		row, err := eniOf(*out.NetworkInterface)
		a.ENI = &row
		return err
	case reconcile.Attach:
		out, err := c.api.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{
			InstanceId: aws.String(string(call.Instance)), NetworkInterfaceId: eni, DeviceIndex: aws.Int32(int32(call.Device)),
		}, once)
		if err != nil {
			return err
		}
		a.Attachment = ipam.AttachmentID(aws.ToString(out.AttachmentId))
		return nil
	case reconcile.Assign:
		out, err := c.api.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
			NetworkInterfaceId: eni, SecondaryPrivateIpAddressCount: aws.Int32(int32(call.Count)),
		}, once)
		if err != nil {
			return err
		}
		a.Addresses, err = assignedOf(out.AssignedPrivateIpAddresses)
		return err
	case reconcile.Unassign:
		_, err := c.api.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
			NetworkInterfaceId: eni, PrivateIpAddresses: texts(call.Addresses),
		}, once)
		return err
	case reconcile.Detach:
		_, err := c.api.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{
			AttachmentId: aws.String(string(call.Attachment)),
		}, once)
		return err
	case reconcile.Delete:
		_, err := c.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: eni}, once)
		return err
	case reconcile.Bind:
		_, err := c.api.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
			NetworkInterfaceId: eni,
			Attachment: &types.NetworkInterfaceAttachmentChanges{
				AttachmentId: aws.String(string(call.Attachment)), DeleteOnTermination: aws.Bool(true),
			},
		}, once)
		return err
	}
	return fmt.Errorf("no such action: %q", call.Action)
}

func createInput(call reconcile.Call) *ec2.CreateNetworkInterfaceInput {
	in := &ec2.CreateNetworkInterfaceInput{
		SubnetId:    aws.String(string(call.Subnet)),
		ClientToken: aws.String(call.Token),
		Description: aws.String(call.About),
		Groups:      call.Groups,
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeNetworkInterface, Tags: tagsOf(call.Tags),
		}},
	}
	if call.Count > 0 {
		in.SecondaryPrivateIpAddressCount = aws.Int32(int32(call.Count))
	}
	return in
}

func texts(addresses []netip.Addr) []string {
	all := make([]string, len(addresses))
	for i, a := range addresses {
		all[i] = a.String()
	}
	return all
}
