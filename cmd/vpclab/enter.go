package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// command prepares a program inside a machine of the lab: nsenter into the lab, from there into the machine. The
// program gets env and nothing else, and the caller's folder if the machine has it.
func (s *state) command(ctx context.Context, n nodeView, env map[string]string, program string, args ...string) *exec.Cmd {
	enter := []string{"nsenter", "-m", "-p", "-t", strconv.Itoa(s.PID)}
	if s.Rootless {
		enter = append(enter, "-U")
		if os.Geteuid() != 0 {
			enter = append(enter, "--preserve-credentials") // others have no right to setgroups
		}
	}
	enter = append(enter, "--", "nsenter", "-n", "-m", "-u", "-t", strconv.Itoa(n.PID), "--")
	folder, err := os.Getwd()
	if err != nil || covered(folder) {
		folder = "/"
	}
	enter = append(enter, "env", "-i", "-C", folder)
	enter = append(enter, assignments(env)...)
	enter = append(append(enter, program), args...)
	cmd := exec.CommandContext(ctx, tool("nsenter"), enter[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin:/usr/bin:/bin")
	if n.PID == 0 {
		cmd.Err = fmt.Errorf("%s is %s; 'vpclab instance start %s' boots a stopped one", n.Name, n.State, n.Name)
	}
	return cmd
}

// covered tells whether a machine of the lab sees another folder there.
func covered(folder string) bool {
	for _, top := range []string{"/run", "/var/run", "/sys", "/proc"} {
		if folder == top || strings.HasPrefix(folder, top+"/") {
			return true
		}
	}
	return false
}

func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/bin", name)
}

// surroundings is the environment of a person's program in a machine: the person's own, and the lab's over it.
func surroundings() map[string]string {
	env := map[string]string{}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "CNI_") { // another account's, another runtime's
			env[name] = value
		}
	}
	for name, value := range inNode() {
		env[name] = value
	}
	return env
}

func execCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "exec NODE -- COMMAND",
		Short: "Run a command inside a node (or vpc-host, client, internet)",
		Long: `Runs a command in a machine's namespaces, with CNI_PATH, NETCONFPATH, its own /run, /etc/cni and /var/lib/cni, and AWS_*.
The exit code is the command's.`,
		Example: "  vpclab exec node-1 -- ip rule",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if args[1] == "--" {
				args = append(args[:1:1], args[2:]...)
			}
			if len(args) < 2 {
				return fail(exitUsage, "which command? vpclab exec %s -- ip rule", args[0])
			}
			return inMachine(c, o, args[0], args[1], args[2:]...)
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}

func inMachine(c *cobra.Command, o *options, machine, program string, args ...string) error {
	s, v, err := o.enter(c.Context())
	if err != nil {
		return err
	}
	n, err := v.node(machine)
	if err != nil {
		return err
	}
	// This process becomes the program, so that signals, terminal and exit code are the program's own.
	cmd := s.command(c.Context(), n, surroundings(), program, args...)
	if cmd.Err != nil {
		return fail(exitBlind, "cannot enter %s: %w", machine, cmd.Err)
	}
	return fail(exitBlind, "cannot enter %s: %w", machine, syscall.Exec(cmd.Path, cmd.Args, cmd.Env))
}

func shellCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "shell NODE",
		Short:   "A shell inside a node, where cnitool, enichainctl and aws just work",
		Long:    "As 'vpclab exec', with bash and a function aws that asks the lab. Leave it with exit.",
		Example: "  vpclab shell node-1\n  node-1# cnitool add enichain /var/run/netns/testing1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			rc := filepath.Join(s.dir, "bashrc")
			text := fmt.Sprintf("PS1='%s# '\n%s\n", args[0], awsFunction("http://"+ec2Address))
			if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
				return fmt.Errorf("cannot write the shell's start file: %w", err)
			}
			return inMachine(c, o, args[0], "bash", "--noprofile", "--rcfile", rc)
		},
	}
}

func envCommand(o *options) *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "env",
		Short: "Shell lines that point aws and the SDKs at the lab",
		Long: `Prints export lines and a function aws for your own shell. With --node, what 'vpclab exec' sets there.
The lab reads no credentials; the key id is the caller's name in its books.`,
		Example: "  eval \"$(vpclab env)\"\n  aws ec2 describe-instances",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			env, endpoint := person(v.Endpoint), v.Endpoint
			env["VPCLAB"] = v.Lab
			if node != "" {
				if _, err := v.node(node); err != nil {
					return err
				}
				env, endpoint = inNode(), "http://"+ec2Address
			}
			out := c.OutOrStdout()
			return o.print(out, env, func() { printEnv(out, env, endpoint) })
		},
	}
	c.Flags().StringVar(&node, "node", "", "as inside this node")
	return c
}

func printEnv(out io.Writer, env map[string]string, endpoint string) {
	writeExports(out, env)
	fmt.Fprintln(out, awsFunction(endpoint))
}
