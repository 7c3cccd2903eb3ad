// Package imds asks the instance metadata service who this instance is, and which network interfaces it believes in.
// It is identity and a veto for alarms; it is never a source of addresses (docs/protocol.md, a6).
package imds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/enichain/enichain/ipam"
)

// Identity is who the instance is, by its own metadata.
type Identity struct {
	Instance ipam.InstanceID
	Type     string // "m5.large"
	Region   string // "eu-central-1"
	Zone     string // availability zone, "eu-central-1a"
	MAC      string // of the primary network interface; lower case, colons
	Primary  netip.Addr
}

// Client reads the metadata service of this instance by IMDSv2 alone (no fallback to version 1). The endpoint is the
// SDK's: 169.254.169.254, or what AWS_EC2_METADATA_SERVICE_ENDPOINT says.
type Client struct {
	client *sdk.Client
}

// New makes a client. Nothing is asked before a method is called.
func New() *Client {
	return &Client{client: sdk.New(sdk.Options{EnableFallback: aws.FalseTernary})}
}

// Identity asks for all of an Identity. Each answer is checked; an error names the path that was asked.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	var primary string
	asked := []struct {
		path string
		into *string
		want *regexp.Regexp
	}{
		{"instance-id", (*string)(&id.Instance), instanceID},
		{"instance-type", &id.Type, instanceType},
		{"placement/availability-zone", &id.Zone, zone},
		{"mac", &id.MAC, mac},
		{"local-ipv4", &primary, address},
	}
	for _, a := range asked {
		text, err := c.metadata(ctx, a.path)
		if err != nil {
			return Identity{}, err
		}
		if a.path == "mac" {
			text = strings.ToLower(text)
		}
		if !a.want.MatchString(text) {
			return Identity{}, fmt.Errorf("cannot use the metadata service's %s: it says %q, which is no such thing", metadataPath(a.path), clip(text))
		}
		*a.into = text
	}
	var err error
	if id.Primary, err = netip.ParseAddr(primary); err != nil {
		return Identity{}, fmt.Errorf("cannot use the metadata service's %s: %w", metadataPath("local-ipv4"), err)
	}
	id.Region, err = c.region(ctx, id.Instance)
	return id, err
}

// region comes from the identity document, which must be this instance's.
func (c *Client) region(ctx context.Context, instance ipam.InstanceID) (string, error) {
	const path = "/latest/dynamic/instance-identity/document"
	document, err := c.client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		return "", unanswered(path, err)
	}
	if document.InstanceID != string(instance) {
		return "", fmt.Errorf("cannot trust the metadata service: %s says instance %q, %s says %q",
			path, clip(document.InstanceID), metadataPath("instance-id"), instance)
	}
	if document.Region == "" {
		return "", fmt.Errorf("cannot use the metadata service's %s: it has no region", path)
	}
	return document.Region, nil
}

func (c *Client) metadata(ctx context.Context, path string) (string, error) {
	out, err := c.client.GetMetadata(ctx, &sdk.GetMetadataInput{Path: path})
	if err != nil {
		return "", unanswered(metadataPath(path), err)
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("cannot read the metadata service's %s: %w", metadataPath(path), err)
	}
	return strings.TrimSpace(string(text)), nil
}

// maxAnswer bounds one answer, bytes: the longest listing is 15 interfaces' MACs.
const maxAnswer = 64 << 10

func metadataPath(path string) string { return "/latest/meta-data/" + path }

// unanswered is the error of a question that got no usable answer, with what stands behind the usual ones.
func unanswered(path string, err error) error {
	var status interface{ HTTPStatusCode() int }
	hint := ""
	switch {
	case errors.As(err, &status) && status.HTTPStatusCode() == 404:
		hint = " (no such item)"
	case errors.As(err, &status) && status.HTTPStatusCode() == 403:
		hint = " (metadata is turned off for this instance)"
	case errors.As(err, &status):
	default:
		hint = " (a container needs host networking, or a hop limit of 2; elsewhere than on EC2 there is none)"
	}
	return fmt.Errorf("cannot ask the metadata service for %s%s: %w", path, hint, err)
}

func clip(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// The forms of what is asked: EC2 user guide, "Instance metadata categories".
var (
	instanceID   = regexp.MustCompile(`^i-[0-9a-f]{8,32}$`)
	instanceType = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	zone         = regexp.MustCompile(`^[a-z0-9-]+$`)
	mac          = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
	address      = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`)
)
