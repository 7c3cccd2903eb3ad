package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// endpointPort is where EC2 answers on the loopback if nobody else is there.
const endpointPort = 4599

// upFlags are the flags of 'up'; they go to the holder with the plan.
type upFlags struct {
	Name      string        `json:"-"`
	Speed     string        `json:"speed"`
	NoDaemons bool          `json:"noDaemons"`
	Wait      time.Duration `json:"-"`
}

func upCommand(o *options) *cobra.Command {
	f := upFlags{}
	c := &cobra.Command{
		Use:   "up [NAME|FILE]",
		Short: "Start a lab: built-in one-node (default), two-nodes, pools or demo, or a YAML file of yours",
		Long: `Starts a lab and returns once its nodes can give addresses to pods. A file looks like this:
` + strings.ReplaceAll(twoNodes, "\n", "\n  ") + `
It may also have "enichaind:", keys of enichaind.yaml that are laid over what vpclab writes for the nodes.
Inside, EC2 answers at http://` + ec2Address + ` and IMDSv2 at http://` + imdsAddress + `. Outside the VPC there are the hosts "internet"
(` + internetAddress + `, it sees a node as its public address) and "client" (` + clientAddress + `, as over a Direct Connect).
Exit codes: 0 up; 2 the file is wrong; 3 this machine cannot; 4 the nodes were not ready in time (the lab stays).`,
		Example: "  vpclab up two-nodes\n  vpclab up --name other --speed 10x my-lab.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := loadPlan(append(args, "one-node")[0])
			if err != nil {
				return fail(exitUsage, "%w", err)
			}
			if f.Name = firstOf(f.Name, o.lab, p.Name); !word.MatchString(f.Name) {
				return fail(exitUsage, "--name %q: small letters, digits and '-', at most 32", f.Name)
			}
			if _, err := scale(f.Speed); err != nil {
				return fail(exitUsage, "%w", err)
			}
			p.Name = f.Name
			return up(c.Context(), c.OutOrStdout(), o, p, f)
		},
	}
	c.Flags().StringVar(&f.Name, "name", "", "the lab's name (default: that of the lab file)")
	c.Flags().StringVar(&f.Speed, "speed", "1x", "how fast EC2 is: 1x like the real one, 10x, …; 0 answers at once")
	c.Flags().BoolVar(&f.NoDaemons, "no-daemons", false, "nodes without enichaind: EC2, links and packets only")
	c.Flags().DurationVar(&f.Wait, "wait", 2*time.Minute, "how long the nodes may take to be ready")
	return c
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// scale turns --speed into a factor for latencies: 1x → 1, 10x → 0.1, 0 → 0.
func scale(speed string) (float64, error) {
	x, err := strconv.ParseFloat(strings.TrimSuffix(speed, "x"), 64)
	if err != nil || x < 0 {
		return 0, fmt.Errorf("--speed %q: 1x, 10x and so on, or 0 for no waiting", speed)
	}
	if x == 0 {
		return 0, nil
	}
	return 1 / x, nil
}

func up(ctx context.Context, out io.Writer, o *options, p plan, f upFlags) error {
	began := time.Now()
	s, err := makeState(f.Name)
	if err != nil {
		return fail(exitBlind, "%w", err)
	}
	if err := start(ctx, s, p, f); err != nil {
		return fail(exitBlind, "%w", errors.Join(err, s.end()))
	}
	late := error(nil)
	if !f.NoDaemons {
		late = waitReady(ctx, s, p, f.Wait)
	}
	v, err := fullView(ctx, s)
	if err != nil {
		return err
	}
	if err := o.print(out, v, func() { printLab(out, v, time.Since(began)) }); err != nil {
		return err
	}
	return late
}

// start makes the lab's first process and waits until it holds the lab.
func start(ctx context.Context, s *state, p plan, f upFlags) error {
	b, err := json.Marshal(holding{Plan: p, Flags: f})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.planFile(), b, 0o600); err != nil {
		return err
	}
	endpoint, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(endpointPort)))
	if err != nil {
		endpoint, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("cannot listen on the loopback: %w", err)
	}
	defer endpoint.Close()
	listener, err := net.Listen("unix", s.socket())
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.socket(), err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	defer listener.Close()
	s.Endpoint = "http://" + endpoint.Addr().String()
	words, err := launch(s, endpoint.(*net.TCPListener), listener.(*net.UnixListener))
	if err != nil {
		return err
	}
	defer words.Close()
	line, _ := bufio.NewReader(words).ReadString('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if line != "ready\n" {
		return fmt.Errorf("the lab did not come up: %s (its log: %s)", lastWords(s), filepath.Join(s.logsDir(), "lab.log"))
	}
	return nil
}

// launch starts the first process in its namespaces, the open sockets handed over, and returns what it will say.
// Without root there is a user namespace around them; with root there is none (unless root may not: in a container).
func launch(s *state, endpoint *net.TCPListener, listener *net.UnixListener) (io.ReadCloser, error) {
	ec2, err := endpoint.File()
	if err != nil {
		return nil, err
	}
	defer ec2.Close()
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	said, says, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer says.Close()
	log, err := os.OpenFile(filepath.Join(s.logsDir(), "lab.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", "__init", s.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{ec2, socket, says}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS}
	if s.Rootless = os.Geteuid() != 0; s.Rootless {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot make the lab's namespaces: %w; %s", err, refused(s.Rootless))
	}
	s.PID, s.Started = cmd.Process.Pid, processStart(cmd.Process.Pid)
	s.PIDs, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.PID))
	go cmd.Wait() // if it dies while this process lives, it must not stay as a zombie
	return said, s.save()
}

// refused says what to do where the kernel makes no namespaces.
func refused(rootless bool) string {
	if !rootless {
		return "this root may not: in a container, give it CAP_SYS_ADMIN"
	}
	return "this system gives ordinary users no user namespaces (Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0; " +
		"hardened: user.max_user_namespaces); or run it as root"
}

// lastWords is the end of the lab's log.
func lastWords(s *state) string {
	b, _ := os.ReadFile(filepath.Join(s.logsDir(), "lab.log"))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// waitReady waits until each node has published its list for pods.
func waitReady(ctx context.Context, s *state, p plan, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := labView(ctx, s)
		if err == nil && v.ready() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fail(exitTimeout, "after %s not every node can give addresses to pods; see %s, or 'vpclab down --lab %s'",
				limit, s.logsDir(), s.Name)
		case <-tick.C:
		}
	}
}
