package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netns"
)

// reached is what came of a probe.
type reached struct {
	From  string        `json:"from"`
	To    string        `json:"to"`
	OK    bool          `json:"ok"`
	Said  string        `json:"said,omitempty"`
	Error string        `json:"error,omitempty"`
	Took  time.Duration `json:"took"`
}

func reachCommand(o *options) *cobra.Command {
	var limit time.Duration
	c := &cobra.Command{
		Use:   "reach FROM URL",
		Short: "Ask a server from a machine or a pod, and see whom it saw",
		Long: `Asks once, from a machine (node-1, vpc-host, client, internet) or a pod: web, or with its namespace and its node where
others are called the same, payments/web, node-1/web, node-1/payments/web. The URL is http://… or udp://….
Exit codes: 0 it answered; 1 it did not.`,
		Example: "  vpclab reach client http://10.110.10.109\n  vpclab reach node-1/web udp://203.0.113.10:53",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			r, err := reach(c.Context(), s, v, args[0], args[1], limit)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			err = o.print(out, r, func() {
				fmt.Fprintf(out, "%s → %s  %s  %s\n", r.From, r.To, r.Took.Round(10*time.Microsecond), firstOf(r.Said, r.Error))
			})
			if err == nil && !r.OK {
				return fail(exitWrong, "%w", errSilent)
			}
			return err
		},
	}
	c.Flags().DurationVar(&limit, "timeout", 2*time.Second, "how long to wait for the answer")
	return c
}

// reach asks from a machine or a pod. Only a wrong question is an error.
func reach(ctx context.Context, s *state, v view, from, to string, limit time.Duration) (reached, error) {
	if u, err := url.Parse(to); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "udp" {
		return reached{}, fail(exitUsage, "%q is not http://ADDRESS[:PORT] or udp://ADDRESS[:PORT]", to)
	}
	machine, sandbox, err := whence(ctx, s, v, from)
	if err != nil {
		return reached{}, err
	}
	n, err := v.node(machine)
	if err != nil {
		return reached{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return reached{}, err
	}
	cmd := s.command(ctx, n, map[string]string{"PATH": "/usr/bin:/bin"}, self, "__probe", "--netns", sandbox, "--timeout", limit.String(), to)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return reached{}, fail(exitBlind, "cannot ask from %s: %w: %s", from, err, strings.TrimSpace(words.String()))
	}
	r := reached{From: from}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return reached{}, fail(exitBlind, "cannot read what %s found: %w", from, err)
	}
	r.From = from
	return r, nil
}

// whence is the machine that a name from the command line means, and the network namespace there: a pod's, or "" for the
// machine's own.
func whence(ctx context.Context, s *state, v view, from string) (machine, sandbox string, err error) {
	if _, err := v.node(from); err == nil {
		return from, "", nil
	}
	machine, name, _ := strings.Cut(from, "/")
	if _, err := v.node(machine); err == nil && !strings.Contains(name, "/") {
		return machine, name, nil // found there: it may be a namespace that is no pod's, too
	}
	pods, err := listPods(ctx, s, v)
	if err != nil {
		return "", "", err
	}
	pod, err := thePod(pods, from)
	return pod.Node, filepath.Base(pod.Netns), err
}

// thePod is the one that a name from the command line means: NAME, NAMESPACE/NAME or NODE/NAMESPACE/NAME. Of those that
// share a bare name, the one of the namespace default.
func thePod(pods []podResult, name string) (podResult, error) {
	var found []podResult
	var names []string
	for _, p := range pods {
		full := p.Namespace + "/" + p.Name
		switch name {
		case full, p.Node + "/" + full:
		case p.Name:
			if p.Namespace == "default" {
				return p, nil
			}
		default:
			continue
		}
		found, names = append(found, p), append(names, p.Node+"/"+full)
	}
	switch len(found) {
	case 0:
		return podResult{}, fail(exitUsage, "there is neither a machine nor a pod %s", name)
	case 1:
		return found[0], nil
	}
	return podResult{}, fail(exitUsage, "%d pods are called %s: say which of %s", len(found), name, strings.Join(names, ", "))
}

// sandboxOf is the network namespace of a pod of this machine; a name that no pod here has is a namespace's own.
func sandboxOf(name string) (string, error) {
	pods := records()
	if !slices.ContainsFunc(pods, func(p podResult) bool { return p.Name == name }) {
		return name, nil
	}
	pod, err := thePod(pods, name)
	return filepath.Base(pod.Netns), err
}

// probeCommand asks from the namespace it is started in, or from one of its named ones.
func probeCommand() *cobra.Command {
	var sandbox string
	var limit time.Duration
	c := &cobra.Command{Use: "__probe URL", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		r := reached{To: args[0]}
		began := time.Now()
		err := inThread(func() (err error) {
			if sandbox != "" {
				if sandbox, err = sandboxOf(sandbox); err != nil {
					return err
				}
				handle, err := netns.GetFromName(sandbox)
				if err != nil {
					return fmt.Errorf("cannot find the pod's namespace %s: %w", sandbox, err)
				}
				if err := netns.Set(handle); err != nil {
					return fmt.Errorf("cannot enter the pod's namespace %s: %w", sandbox, err)
				}
			}
			began = time.Now()
			r.Said, err = question(args[0], limit)
			return err
		})
		r.Took = time.Since(began)
		if r.OK = err == nil; err != nil {
			r.Error = err.Error()
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}}
	c.Flags().StringVar(&sandbox, "netns", "", "")
	c.Flags().DurationVar(&limit, "timeout", time.Second, "")
	return c
}

// question asks on one connection that is made on this thread, in its network namespace; http.Client dials elsewhere.
func question(to string, limit time.Duration) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	network := map[string]string{"http": "tcp", "udp": "udp"}[u.Scheme]
	port := firstOf(u.Port(), "80")
	c, err := (&net.Dialer{Timeout: limit}).Dial(network, net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if network == "udp" {
		b := make([]byte, 512)
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return "", err
		}
		n, err := c.Read(b)
		return strings.TrimSpace(string(b[:n])), err
	}
	request, err := http.NewRequest(http.MethodGet, to, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	if err := request.Write(c); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(b)), err
}
