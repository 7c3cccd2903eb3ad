package ec2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// Options is what a Client is made of.
type Options struct {
	Region   string                                                         // "" = by the SDK's own settings
	Endpoint string                                                         // of EC2, https://… or http://…; "" = the Region's
	Share    float64                                                        // of each published rate that we allow ourselves, 0.1..1; 0 = 0.8
	Rates    map[reconcile.Action]Rate                                      // instead of the published ones, by EC2's name of the action
	Seen     func(action reconcile.Action, code string, took time.Duration) // told of every page of every list; may be nil
}

// Validate reports all faults at once.
func (o Options) Validate() error {
	var faults []error
	if o.Share != 0 && (o.Share < 0.1 || o.Share > 1) {
		faults = append(faults, fmt.Errorf("ec2.share: is %g; set 0.1..1", o.Share))
	}
	if at, err := url.Parse(o.Endpoint); o.Endpoint != "" && (err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http") {
		faults = append(faults, fmt.Errorf("ec2.endpoint: is %q; set a URL such as https://ec2.eu-central-1.amazonaws.com", o.Endpoint))
	}
	known := Published()
	for _, action := range slices.Sorted(maps.Keys(o.Rates)) {
		r := o.Rates[action]
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
	at := func(to *ec2.Options) {
		if o.Endpoint != "" {
			to.BaseEndpoint = aws.String(o.Endpoint)
		}
	}
	c := &Client{
		api: ec2.NewFromConfig(cfg, at), pacer: newPacer(o.Allowed()), seen: o.Seen,
		limits: map[string]ipam.Limits{},
	}
	if c.seen == nil {
		c.seen = func(reconcile.Action, string, time.Duration) {}
	}
	return c, nil
}

// Allowed is what each action's bucket allows: our share of what is published, or of what was given instead.
func (o Options) Allowed() map[reconcile.Action]Rate {
	share := o.Share
	if share == 0 {
		share = 0.8
	}
	rates := Published()
	maps.Copy(rates, o.Rates)
	for action, r := range rates {
		rates[action] = Rate{Burst: max(r.Burst*share, 1), PerSecond: r.PerSecond * share}
	}
	return rates
}

// Retune changes Share and Rates while calls wait for their turns; the rest of o counts for nothing. An action that EC2
// has slowed down stays as much below its rate as it was.
func (c *Client) Retune(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	c.pacer.retune(o.Allowed())
	return nil
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
	if text := impossible(call); text != "" {
		a.Class, a.Code, a.Text = reconcile.Other, "InvalidParameterCombination", text
		return a
	}
	err := c.attempt(ctx, call, &a, once)
	if err == nil {
		c.pacer.taken(call.Action)
		return a
	}
	a.Class, a.Code, a.Text = classify(call.Action, err, sent)
	switch a.Class {
	case reconcile.Throttled:
		c.pacer.throttled(call.Action, a.Code)
	case reconcile.Unknown, reconcile.Away, reconcile.NotSent:
	default: // refused, but not for its rate
		c.pacer.taken(call.Action)
	}
	return a
}
