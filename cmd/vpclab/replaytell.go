package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
)

// telling is one line of a timeline; nothing is written for an empty text.
func telling(out io.Writer, at time.Time, who, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		fmt.Fprintf(out, "%s %-10s %s\n", at.UTC().Format("15:04:05.000"), who, text)
	}
}

// waiting counts the pods that wait on a node.
func waiting(s ipam.Snapshot) (count int) {
	for _, p := range s.Pools {
		count += p.Pods()
	}
	return count
}

// tellAgent says what an agent heard.
func tellAgent(out io.Writer, node string, now agent.Now, in agent.Input) {
	say := func(format string, args ...any) { telling(out, now.Wall, node, format, args...) }
	switch {
	case in.Start != nil:
		say("the agent starts: inc %s, seq %d", in.Start.Pool.Snapshot.Inc, in.Start.Pool.Snapshot.Seq)
	case in.Bus != nil:
		say("the bus is %s", map[bool]string{true: "there", false: "gone"}[in.Bus.Up])
	case in.Supply != nil:
		say("supply %d/%d comes: %d interfaces, %d wishes", in.Supply.Epoch, in.Supply.Rev, len(in.Supply.ENIs), len(in.Supply.Release))
	case in.Hint != nil:
		say("hint: max pods %d, unschedulable %t", in.Hint.MaxPods, in.Hint.Unschedulable)
	case in.Pool != nil && in.Pool.Err != "":
		say("pool file, %s: %s", in.Pool.Done.What, in.Pool.Err)
	case in.Pool != nil && len(in.Pool.Done.Refused) > 0:
		say("pool file, %s refuses: %s", in.Pool.Done.What, strings.Join(in.Pool.Done.Refused, "; "))
	case in.Published != nil && in.Published.Err != "":
		say("snapshot %d is not in the stream: %s", in.Published.Seq, in.Published.Err)
	case in.Repaired != nil && len(in.Repaired.What) > 0:
		say("repaired: %s", strings.Join(in.Repaired.What, ", "))
	}
}

// tellAgentDid says what it then did.
func tellAgentDid(out io.Writer, node string, now agent.Now, effects []agent.Effect) {
	say := func(format string, args ...any) { telling(out, now.Wall, node, format, args...) }
	for _, e := range effects {
		switch {
		case e.Accept != nil:
			say("takes supply %d/%d over", e.Accept.Epoch, e.Accept.Rev)
		case e.Publish != nil:
			say("publishes seq %d: %d interfaces, %d wait", e.Publish.Seq, len(e.Publish.ENIs), waiting(*e.Publish))
		case e.Fence != nil:
			say("fences %d of %s", len(e.Fence.Chosen), e.Fence.Release.ENI)
		case e.Prepare != nil:
			say("prepares %s (number %d)", e.Prepare.SuppliedENI.ENI, e.Prepare.N)
		case e.Forget != nil:
			say("forgets network interface number %d", *e.Forget)
		case e.Release != nil:
			say("ends %d leases: %s", len(e.Release.Attachments), e.Release.Cause)
		case e.Prove != 0:
			say("the stream holds seq %d", e.Prove)
		case e.Note != nil:
			say("%s: %s", e.Note.Level, e.Note.Text)
		}
	}
}

// tellReconcile says what the reconciler heard.
func tellReconcile(out io.Writer, now reconcile.Now, in reconcile.Input) {
	say := func(format string, args ...any) { telling(out, now.Wall, "reconciler", format, args...) }
	if in.Lead != nil {
		say("leads with revision %d", in.Lead.Revision)
	}
	for _, s := range in.Snapshots {
		say("hears %s: seq %d, seen %d/%d, %d interfaces, %d wait", s.Instance, s.Seq, s.Seen.Epoch, s.Seen.Rev, len(s.ENIs), waiting(s))
	}
	for _, a := range in.Answers {
		say("call %d: %s %s %s", a.ID, a.Class, a.Code, a.Text)
	}
	if l := in.Listed; l != nil {
		if l.Err != "" {
			say("list %d fails: %s", l.ID, l.Err)
		} else {
			say("list %d: %d instances, %d network interfaces", l.ID, len(l.Instances), len(l.ENIs))
		}
	}
	if len(in.Pools) > 0 {
		say("the policy is new: %d pools", len(in.Pools))
	}
}

// tellReconcileDid says what it then did.
func tellReconcileDid(out io.Writer, now reconcile.Now, effects []reconcile.Effect) {
	say := func(format string, args ...any) { telling(out, now.Wall, "reconciler", format, args...) }
	for _, e := range effects {
		switch {
		case e.List != nil:
			say("list %d: %s", e.List.ID, map[bool]string{true: "everything", false: fmt.Sprintf("%d nodes", len(e.List.Instances))}[e.List.Full])
		case e.Call != nil:
			say("call %d: %s %s %s", e.Call.ID, e.Call.Action, e.Call.Instance, e.Call.ENI)
		case e.Would != nil:
			say("would call %s %s %s", e.Would.Action, e.Would.Instance, e.Would.ENI)
		case e.Supply != nil:
			say("supply %d/%d to %s: %d interfaces, %d wishes", e.Supply.Epoch, e.Supply.Rev, e.Supply.Instance, len(e.Supply.ENIs), len(e.Supply.Release))
		case e.Purge != "":
			say("purges %s", e.Purge)
		}
	}
}
