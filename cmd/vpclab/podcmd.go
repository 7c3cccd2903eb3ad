package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// podOptions are the flags of 'pod add'.
type podOptions struct {
	node, list string
	count      int
	ports      []string
	notes      map[string]string
}

func podCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:     "pod",
		Short:   "Pods, made by libcni as a container runtime makes them",
		Long:    "A pod is a network namespace wired by the node's list of stages, with a server in it that greets on port 80.",
		Example: "  vpclab pod add web --node node-1 --port 8080:80",
	}
	c.AddCommand(podAddCommand(o), podDelCommand(o), podListCommand(o))
	return c
}

func podAddCommand(o *options) *cobra.Command {
	p := podOptions{}
	c := &cobra.Command{
		Use:   "add [NAMESPACE/]NAME",
		Short: "Start a pod, or many at once",
		Long: `Starts pods by CNI ADD with the list that the node has published (or --conflist), all at the same time. With --count
they are called NAME-1, NAME-2, … Without --node they are spread over the nodes.
Exit codes: 0 all run; 1 one does not, and its error is the stage's own.`,
		Example: "  vpclab pod add web --node node-1 --port 8080:80\n  vpclab pod add burst --count 9",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			orders, err := p.orders(v, args[0])
			if err != nil {
				return err
			}
			results, err := addPods(c.Context(), s, v, orders)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if err := o.print(out, results, func() { printPods(out, results, true) }); err != nil {
				return err
			}
			return firstFailure(results)
		},
	}
	c.Flags().StringVar(&p.node, "node", "", "on this node only")
	c.Flags().IntVar(&p.count, "count", 1, "so many pods at once")
	c.Flags().StringArrayVar(&p.ports, "port", nil, "HOST:POD[/udp], a port of the node that leads to the pod; may be given again")
	c.Flags().StringToStringVar(&p.notes, "annotation", nil, "KEY=VALUE of the pod, for lists with the capability "+annotations)
	c.Flags().StringVar(&p.list, "conflist", "", "a list of stages of yours instead of the node's")
	return c
}

// podOrder is what a node is asked to do with one pod.
type podOrder struct {
	Node      string        `json:"node"`
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	Ports     []portMapping `json:"ports,omitempty"`
	List      string        `json:"list,omitempty"` // path; empty: the node's own
	// Annotations reach the stages that have the capability of them, as from containerd and CRI-O.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// annotations is the capability by which container runtimes hand a pod's annotations down.
const annotations = "io.kubernetes.cri.pod-annotations"

// portMapping is the CNI capability's form.
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

func (p podOptions) orders(v view, name string) ([]podOrder, error) {
	namespace, short, ok := strings.Cut(name, "/")
	if !ok {
		namespace, short = "default", name
	}
	if !word.MatchString(short) || !word.MatchString(namespace) {
		return nil, fail(exitUsage, "pod %q: small letters, digits and '-', at most 32, after a namespace of the same kind", name)
	}
	if p.count < 1 || p.count > 1000 {
		return nil, fail(exitUsage, "--count is %d; 1 to 1000", p.count)
	}
	var ports []portMapping
	for _, text := range p.ports {
		m, err := parsePort(text)
		if err != nil {
			return nil, fail(exitUsage, "%w", err)
		}
		ports = append(ports, m)
	}
	list := p.list
	if list != "" {
		var err error
		if list, err = filepath.Abs(list); err != nil {
			return nil, err
		}
		if _, err := os.Stat(list); err != nil {
			return nil, fail(exitUsage, "--conflist: %w", err)
		}
	}
	nodes := v.byRole(roleNode)
	if p.node != "" {
		n, err := v.node(p.node)
		if err != nil {
			return nil, err
		}
		nodes = []nodeView{n}
	}
	if len(nodes) == 0 {
		return nil, fail(exitBlind, "no node of lab %s is on; 'vpclab instance start NODE' boots one", v.Lab)
	}
	var all []podOrder
	for i := range p.count {
		order := podOrder{Node: nodes[i%len(nodes)].Name, Namespace: namespace, Name: short, Ports: ports, List: list, Annotations: p.notes}
		if p.count > 1 {
			order.Name = fmt.Sprintf("%s-%d", short, i+1)
		}
		all = append(all, order)
	}
	return all, nil
}

func parsePort(text string) (portMapping, error) {
	ports, protocol, ok := strings.Cut(text, "/")
	if !ok {
		protocol = "tcp"
	}
	from, to, ok := strings.Cut(ports, ":")
	host, err1 := strconv.ParseUint(from, 10, 16)
	pod, err2 := strconv.ParseUint(to, 10, 16)
	if !ok || err1 != nil || err2 != nil || host == 0 || pod == 0 || protocol != "tcp" && protocol != "udp" {
		return portMapping{}, fmt.Errorf("--port %q: HOST:POD, ports of 1 to 65535, and /udp if it is not TCP: 8080:80", text)
	}
	return portMapping{int(host), int(pod), protocol}, nil
}

// podResult is what became of an order, or a pod that there is.
type podResult struct {
	podOrder
	Container string        `json:"container"`
	Netns     string        `json:"netns"`
	Addresses []string      `json:"addresses"`
	Took      time.Duration `json:"took"`
	Created   time.Time     `json:"created"`
	Error     string        `json:"error,omitempty"`
}

// addPods asks each node for its pods, all nodes at once.
func addPods(ctx context.Context, s *state, v view, orders []podOrder) ([]podResult, error) {
	return onNodes(ctx, s, v, "add", orders)
}

// onNodes runs vpclab inside each node that the orders name, and gathers the results in the order of the orders.
func onNodes(ctx context.Context, s *state, v view, verb string, orders []podOrder) ([]podResult, error) {
	byNode := map[string][]podOrder{}
	for _, o := range orders {
		byNode[o.Node] = append(byNode[o.Node], o)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var results []podResult
	var failed error
	for name, mine := range byNode {
		group.Go(func() {
			r, err := onNode(ctx, s, v, name, verb, mine)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r...)
			failed = errorOr(failed, err)
		})
	}
	group.Wait()
	place := map[string]int{}
	for i, o := range orders {
		place[o.Node+"/"+o.Namespace+"/"+o.Name] = i
	}
	key := func(r podResult) int { return place[r.Node+"/"+r.Namespace+"/"+r.Name] }
	slices.SortStableFunc(results, func(a, b podResult) int { return key(a) - key(b) })
	return results, failed
}

func onNode(ctx context.Context, s *state, v view, name, verb string, orders []podOrder) ([]podResult, error) {
	n, err := v.node(name)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(orders)
	if err != nil {
		return nil, err
	}
	// What a runtime's service has in its environment, and no more.
	env := map[string]string{"PATH": binDir() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": "/root", "LANG": "C"}
	cmd := s.command(ctx, n, env, self, "__inside", verb, name)
	var out, words bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &words
	if err := cmd.Run(); err != nil {
		return nil, fail(exitBlind, "cannot work on pods in %s: %w: %s", name, err, strings.TrimSpace(words.String()))
	}
	var results []podResult
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		return nil, fail(exitBlind, "cannot read the answer of %s: %w", name, err)
	}
	return results, nil
}

// firstFailure is an error if one of the results is.
func firstFailure(results []podResult) error {
	failed := 0
	for _, r := range results {
		if r.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fail(exitWrong, "%d of %d pods failed", failed, len(results))
	}
	return nil
}

func printPods(w io.Writer, results []podResult, times bool) {
	head := []string{"POD", "NODE", "ADDRESS", "PORTS", "SANDBOX"}
	head = append(head, map[bool]string{true: "TOOK", false: "AGE"}[times])
	var rows [][]string
	for _, r := range results {
		var ports []string
		for _, m := range r.Ports {
			ports = append(ports, fmt.Sprintf("%d→%d/%s", m.HostPort, m.ContainerPort, m.Protocol))
		}
		when := time.Since(r.Created).Round(time.Second)
		if times {
			when = r.Took.Round(100 * time.Microsecond)
		}
		sandbox := r.Container[:min(12, len(r.Container))]
		rows = append(rows, []string{r.Namespace + "/" + r.Name, r.Node, strings.Join(r.Addresses, " "), strings.Join(ports, " "),
			sandbox, when.String()})
	}
	table(w, head, rows)
	for _, r := range results {
		if r.Error != "" {
			fmt.Fprintf(w, "%s/%s on %s: %s\n", r.Namespace, r.Name, r.Node, r.Error)
		}
	}
}

func podDelCommand(o *options) *cobra.Command {
	var all bool
	var node string
	c := &cobra.Command{
		Use:   "del [[NAMESPACE/]NAME…]",
		Short: "End pods, as a runtime does: CNI DEL, then DEL again without the namespace",
		Long: `Ends pods by name; a name also means NAME-1, NAME-2, … of one 'pod add --count'. Exit codes: 0 they are gone;
1 a stage could not; 2 there is no such pod.`,
		Example: "  vpclab pod del web\n  vpclab pod del --all --node node-1",
		RunE: func(c *cobra.Command, args []string) error {
			s, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			pods, err := listPods(c.Context(), s, v)
			if err != nil {
				return err
			}
			orders, err := chosen(pods, args, node, all)
			if err != nil {
				return err
			}
			results, err := onNodes(c.Context(), s, v, "del", orders)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if err := o.print(out, results, func() { printPods(out, results, true) }); err != nil {
				return err
			}
			return firstFailure(results)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every pod")
	c.Flags().StringVar(&node, "node", "", "only on this node")
	return c
}

// chosen are the orders for the pods that the command line means.
func chosen(pods []podResult, names []string, node string, all bool) ([]podOrder, error) {
	var orders []podOrder
	if len(names) == 0 && !all {
		return nil, fail(exitUsage, "which pods? Name them, or say --all")
	}
	for _, p := range pods {
		if all && (node == "" || p.Node == node) {
			orders = append(orders, p.podOrder)
		}
	}
	for _, name := range names {
		before := len(orders)
		for _, p := range pods {
			if p.matches(name) && (node == "" || p.Node == node) {
				orders = append(orders, p.podOrder)
			}
		}
		if len(orders) == before {
			return nil, fail(exitUsage, "there is no pod %s; 'vpclab pod ls' names them", name)
		}
	}
	return orders, nil
}

// matches compares a pod with a name from the command line.
func (r podResult) matches(name string) bool {
	if !strings.Contains(name, "/") {
		name = "default/" + name
	}
	full := r.Namespace + "/" + r.Name
	number, ok := strings.CutPrefix(full, name+"-")
	_, err := strconv.Atoi(number)
	return full == name || ok && err == nil
}

func podListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "The pods there are",
		Example: "  vpclab pod ls",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			pods, err := listPods(c.Context(), s, v)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			return o.print(out, pods, func() { printPods(out, pods, false) })
		},
	}
}

func listPods(ctx context.Context, s *state, v view) ([]podResult, error) {
	pods := []podResult{}
	for _, n := range v.byRole(roleNode) {
		mine, err := onNode(ctx, s, v, n.Name, "ls", nil)
		if err != nil {
			return nil, err
		}
		pods = append(pods, mine...)
	}
	return pods, nil
}
