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
		Long: `Asks once, from a machine (node-1, vpc-host, client, internet) or a pod (node-1/web, or web). The URL is http://… or udp://….
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
	machine, pod, isPod := strings.Cut(from, "/")
	if _, err := v.node(machine); err != nil && !isPod {
		found, err := findPod(ctx, s, v, from)
		if err != nil {
			return reached{}, err
		}
		machine, pod = found.Node, found.Name
	}
	n, err := v.node(machine)
	if err != nil {
		return reached{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return reached{}, err
	}
	cmd := s.command(ctx, n, map[string]string{"PATH": "/usr/bin:/bin"}, self, "__probe", "--netns", pod, "--timeout", limit.String(), to)
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

func findPod(ctx context.Context, s *state, v view, name string) (podResult, error) {
	pods, err := listPods(ctx, s, v)
	if err != nil {
		return podResult{}, err
	}
	for _, p := range pods {
		if p.Name == name {
			return p, nil
		}
	}
	return podResult{}, fail(exitUsage, "there is neither a machine nor a pod %s", name)
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
