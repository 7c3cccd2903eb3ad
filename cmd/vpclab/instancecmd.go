package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/spf13/cobra"
)

func instanceCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "instance",
		Short: "Stop, start, reboot, change and terminate the nodes' instances",
		Long: `What the EC2 console does, by the API that the aws CLI speaks too. A stopped instance keeps its interfaces, addresses and
the files of its disk that matter here (/etc/enichain, /etc/cni, /var/lib/enichain, /var/lib/cni); its machine, with all
pods, is gone, and the next one has another boot id. Exit codes: 0 done; 1 EC2 refused, with its code; 4 it did not happen
in time.`,
		Example: "  vpclab instance stop node-1\n  vpclab instance type node-1 m5.large\n  vpclab instance start node-1",
	}
	c.AddCommand(
		instanceAct(o, "stop", "Stop an instance: its machine goes off", types.InstanceStateNameStopped,
			func(ctx context.Context, a account, ids []string) error {
				_, err := a.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
				return err
			}),
		instanceAct(o, "start", "Start a stopped instance: its machine boots", types.InstanceStateNameRunning,
			func(ctx context.Context, a account, ids []string) error {
				_, err := a.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: ids})
				return err
			}),
		instanceAct(o, "reboot", "Reboot a running instance", types.InstanceStateNameRunning,
			func(ctx context.Context, a account, ids []string) error {
				_, err := a.RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: ids})
				return err
			}),
		instanceAct(o, "terminate", "Terminate an instance, for ever", types.InstanceStateNameTerminated,
			func(ctx context.Context, a account, ids []string) error {
				_, err := a.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
				return err
			}),
		instanceTypeCommand(o))
	return c
}

// instanceAct is a subcommand that asks for a change of state and waits for it.
func instanceAct(o *options, verb, short string, state types.InstanceStateName,
	act func(context.Context, account, []string) error) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use: verb + " NODE", Short: short, Example: "  vpclab instance " + verb + " node-1", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := o.account(c.Context())
			if err != nil {
				return err
			}
			n, err := a.view.node(args[0])
			if err != nil {
				return err
			}
			if err := refusal(act(c.Context(), a, []string{n.Instance})); err != nil {
				return err
			}
			return a.until(c.Context(), n, state, wait)
		},
	}
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long it may take; 0: do not wait")
	return c
}

// until waits for an instance to be in a state. A describe is cheap, and the account's other callers pay for it: one in
// half a second.
func (a account) until(ctx context.Context, n nodeView, state types.InstanceStateName, limit time.Duration) error {
	if limit <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := a.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{n.Instance}},
			func(o *ec2.Options) { o.Retryer = retry.NewStandard() })
		if err != nil && ctx.Err() == nil {
			return refusal(err)
		}
		if err == nil && out.Reservations[0].Instances[0].State.Name == state {
			return nil
		}
		select {
		case <-ctx.Done():
			return fail(exitTimeout, "after %s %s is not %s", limit, n.Name, state)
		case <-tick.C:
		}
	}
}

func instanceTypeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "type NODE TYPE", Short: "Change the type of a stopped instance", Example: "  vpclab instance type node-1 m5.large",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := o.account(c.Context())
			if err != nil {
				return err
			}
			n, err := a.view.node(args[0])
			if err != nil {
				return err
			}
			_, err = a.ModifyInstanceAttribute(c.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: &n.Instance,
				InstanceType: &types.AttributeValue{Value: aws.String(args[1])}})
			if err := refusal(err); err != nil {
				return err
			}
			out := c.OutOrStdout()
			return o.print(out, map[string]string{"node": n.Name, "type": args[1]}, func() { fmt.Fprintf(out, "%s is %s\n", n.Name, args[1]) })
		},
	}
}
