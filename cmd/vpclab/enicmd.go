package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam/reconcile"
)

// account is a person's way to the lab's EC2, by the unmodified SDK.
type account struct {
	*ec2.Client
	view view
}

func (o *options) account(ctx context.Context) (account, error) {
	_, v, err := o.enter(ctx)
	if err != nil {
		return account{}, err
	}
	return newAccount(v), nil
}

func newAccount(v view) account {
	return account{view: v, Client: ec2.New(ec2.Options{Region: region, BaseEndpoint: aws.String(v.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(personKey, anySecret, ""), Retryer: aws.NopRetryer{}})}
}

// refusal makes an exit code of what EC2 said.
func refusal(err error) error {
	var api smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api):
		return fail(exitWrong, "EC2 refused: %s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return fail(exitBlind, "cannot ask EC2: %w", err)
}

func eniCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "eni",
		Short: "Network interfaces, as the console would make and move them",
		Long: `What the EC2 console does, by the API that the aws CLI speaks too. Ids may be cut to a unique beginning; nodes and subnets
go by their names. Exit codes: 0 done; 1 EC2 refused, with its code.`,
		Example: "  vpclab eni create subnet-a --addresses 5\n  vpclab eni attach eni-0b1c node-1",
	}
	c.AddCommand(eniCreateCommand(o), eniAttachCommand(o), eniDetachCommand(o), eniAssignCommand(o), eniUnassignCommand(o),
		eniRemoveCommand(o), eniListCommand(o))
	return c
}

func eniCreateCommand(o *options) *cobra.Command {
	var addresses int32
	c := &cobra.Command{
		Use: "create SUBNET", Short: "Create an interface in a subnet", Args: cobra.ExactArgs(1),
		Example: "  vpclab eni create subnet-a --addresses 5",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := o.account(c.Context())
			if err != nil {
				return err
			}
			subnet, err := a.view.subnet(args[0])
			if err != nil {
				return err
			}
			request := &ec2.CreateNetworkInterfaceInput{SubnetId: &subnet, Description: aws.String("made by vpclab eni create")}
			if addresses > 0 {
				request.SecondaryPrivateIpAddressCount = &addresses
			}
			made, err := a.CreateNetworkInterface(c.Context(), request)
			if err != nil {
				return refusal(err)
			}
			out := c.OutOrStdout()
			return o.print(out, made.NetworkInterface, func() { fmt.Fprintln(out, aws.ToString(made.NetworkInterface.NetworkInterfaceId)) })
		},
	}
	c.Flags().Int32Var(&addresses, "addresses", 0, "secondary addresses to begin with")
	return c
}

func eniAttachCommand(o *options) *cobra.Command {
	device := int32(-1)
	c := &cobra.Command{
		Use: "attach ENI NODE", Short: "Attach an interface to a node: a link appears there", Args: cobra.ExactArgs(2),
		Example: "  vpclab eni attach eni-0b1c node-1",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := o.account(c.Context())
			if err != nil {
				return err
			}
			all, err := a.interfaces(c.Context())
			if err != nil {
				return err
			}
			i, err := pick(all, args[0])
			if err != nil {
				return err
			}
			n, err := a.view.node(args[1])
			if err != nil {
				return err
			}
			if device < 0 {
				device = freeDevice(all, n.Instance)
			}
			made, err := a.AttachNetworkInterface(c.Context(), &ec2.AttachNetworkInterfaceInput{
				NetworkInterfaceId: i.NetworkInterfaceId, InstanceId: &n.Instance, DeviceIndex: &device})
			if err != nil {
				return refusal(err)
			}
			out := c.OutOrStdout()
			return o.print(out, made, func() { fmt.Fprintf(out, "%s as #%d\n", aws.ToString(made.AttachmentId), device) })
		},
	}
	c.Flags().Int32Var(&device, "device", -1, "device index (default: the lowest free one)")
	return c
}

// freeDevice is the lowest device index that no interface of the instance has.
func freeDevice(all []types.NetworkInterface, instance string) int32 {
	for device := int32(0); ; device++ {
		taken := slices.ContainsFunc(all, func(i types.NetworkInterface) bool {
			return i.Attachment != nil && aws.ToString(i.Attachment.InstanceId) == instance && aws.ToInt32(i.Attachment.DeviceIndex) == device
		})
		if !taken {
			return device
		}
	}
}

// eniAct is a subcommand that names an interface first and says nothing when it is done.
func eniAct(o *options, use, short, example string, args cobra.PositionalArgs,
	act func(context.Context, account, types.NetworkInterface, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args, RunE: func(c *cobra.Command, args []string) error {
		a, err := o.account(c.Context())
		if err != nil {
			return err
		}
		all, err := a.interfaces(c.Context())
		if err != nil {
			return err
		}
		i, err := pick(all, args[0])
		if err != nil {
			return err
		}
		return refusal(act(c.Context(), a, i, args[1:]))
	}}
}

func eniDetachCommand(o *options) *cobra.Command {
	return eniAct(o, "detach ENI", "Detach an interface: its link vanishes", "  vpclab eni detach eni-0b1c", cobra.ExactArgs(1),
		func(ctx context.Context, a account, i types.NetworkInterface, _ []string) error {
			if i.Attachment == nil {
				return &smithy.GenericAPIError{Code: "vpclab", Message: aws.ToString(i.NetworkInterfaceId) + " is not attached"}
			}
			_, err := a.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: i.Attachment.AttachmentId})
			return err
		})
}

func eniRemoveCommand(o *options) *cobra.Command {
	return eniAct(o, "rm ENI", "Delete an interface that is not attached", "  vpclab eni rm eni-0b1c", cobra.ExactArgs(1),
		func(ctx context.Context, a account, i types.NetworkInterface, _ []string) error {
			_, err := a.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: i.NetworkInterfaceId})
			return err
		})
}

func eniAssignCommand(o *options) *cobra.Command {
	var count int32
	c := eniAct(o, "assign ENI [ADDRESS…]", "Give an interface secondary addresses", "  vpclab eni assign eni-0b1c --count 4",
		cobra.MinimumNArgs(1),
		func(ctx context.Context, a account, i types.NetworkInterface, addresses []string) error {
			request := &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: i.NetworkInterfaceId, PrivateIpAddresses: addresses}
			if len(addresses) == 0 {
				request.SecondaryPrivateIpAddressCount = aws.Int32(max(count, 1))
			}
			_, err := a.AssignPrivateIpAddresses(ctx, request)
			return err
		})
	c.Flags().Int32Var(&count, "count", 1, "so many, picked by EC2")
	return c
}

func eniUnassignCommand(o *options) *cobra.Command {
	return eniAct(o, "unassign ENI ADDRESS…", "Take secondary addresses from an interface",
		"  vpclab eni unassign eni-0b1c 10.110.10.77", cobra.MinimumNArgs(2),
		func(ctx context.Context, a account, i types.NetworkInterface, addresses []string) error {
			_, err := a.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
				NetworkInterfaceId: i.NetworkInterfaceId, PrivateIpAddresses: addresses})
			return err
		})
}

func eniListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "All interfaces of the account", Example: "  vpclab eni ls", Args: cobra.NoArgs,
		Long: "Lists all interfaces: with the pool that their tag names, how many security groups and delegated prefixes they have (the\n" +
			"prefixes themselves: --format json), and their single addresses.",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := o.account(c.Context())
			if err != nil {
				return err
			}
			all, err := a.interfaces(c.Context())
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			return o.print(out, all, func() { a.printInterfaces(out, all) })
		},
	}
}

func (a account) printInterfaces(w io.Writer, all []types.NetworkInterface) {
	var rows [][]string
	for _, i := range all {
		where := ""
		if i.Attachment != nil {
			where = aws.ToString(i.Attachment.InstanceId)
			if n, err := a.view.node(where); err == nil {
				where = n.Name
			}
			where = fmt.Sprintf("%s #%d %s", where, aws.ToInt32(i.Attachment.DeviceIndex), i.Attachment.Status)
		}
		var more []string
		for _, p := range i.PrivateIpAddresses {
			if !aws.ToBool(p.Primary) {
				more = append(more, aws.ToString(p.PrivateIpAddress))
			}
		}
		rows = append(rows, []string{aws.ToString(i.NetworkInterfaceId), where, aws.ToString(i.MacAddress), tagOf(i, reconcile.TagPool),
			strconv.Itoa(len(i.Groups)), strconv.Itoa(len(i.Ipv4Prefixes)), strconv.Itoa(len(i.Ipv6Prefixes)),
			aws.ToString(i.PrivateIpAddress), strings.Join(more, " ")})
	}
	slices.SortFunc(rows, func(x, y []string) int { return strings.Compare(x[1]+x[0], y[1]+y[0]) })
	table(w, []string{"INTERFACE", "ATTACHED", "MAC", "POOL", "GROUPS", "/28", "/80", "PRIMARY", "SECONDARY"}, rows)
}

// tagOf is the value of an interface's tag; "" = it has none of that key.
func tagOf(i types.NetworkInterface, key string) string {
	for _, t := range i.TagSet {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// interfaces lists them all. A list may be asked for again when a connection breaks, as the SDK does by default; what
// changes something is sent once.
func (a account) interfaces(ctx context.Context) ([]types.NetworkInterface, error) {
	var all []types.NetworkInterface
	pages := ec2.NewDescribeNetworkInterfacesPaginator(a.Client, &ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, func(o *ec2.Options) { o.Retryer = retry.NewStandard() })
		if err != nil {
			return nil, refusal(err)
		}
		all = append(all, page.NetworkInterfaces...)
	}
	return all, nil
}

// pick finds an interface by the beginning of its id.
func pick(all []types.NetworkInterface, id string) (types.NetworkInterface, error) {
	var found []types.NetworkInterface
	for _, i := range all {
		if strings.HasPrefix(aws.ToString(i.NetworkInterfaceId), id) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return types.NetworkInterface{}, fail(exitUsage, "%d interfaces begin with %q; 'vpclab eni ls' names them", len(found), id)
	}
	return found[0], nil
}

// subnet finds a subnet's id by its name or id.
func (v view) subnet(name string) (string, error) {
	names := ""
	for _, s := range v.Subnets {
		if s.Name == name || s.ID == name {
			return s.ID, nil
		}
		names += " " + s.Name
	}
	return "", fail(exitUsage, "lab %s has no subnet %q; it has%s", v.Lab, name, names)
}
