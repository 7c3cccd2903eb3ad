// Command enichaind is the node's agent, the reconciler and the bus: one daemon, each role on or off. Pods need it to
// get more addresses, not to get one. `enichaind --print-config` is its manual.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const defaultConfigFile = "/etc/enichain/enichaind.yaml"

// Exit codes: 2 is a fault of the configuration or the command line; a supervisor need not try again.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the daemon until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("enichaind", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", defaultConfigFile, "configuration, YAML")
	roles := flags.String("role", "", "in place of the configuration's roles: agent, reconciler, bus; several with commas")
	level := flags.String("log-level", "", "in place of the configuration's: debug, info, warn, error")
	printConfig := flags.Bool("print-config", false, "print every key with its default, commented, and exit")
	check := flags.Bool("check", false, "judge the configuration and exit")
	printVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "enichaind: %q is no flag; enichaind takes flags only\n", flags.Arg(0))
		return exitUsage
	case *printConfig:
		stdout.Write(defaultYAML)
		return exitOK
	case *printVersion:
		fmt.Fprintln(stdout, "enichaind", version())
		return exitOK
	}
	from := source{file: *file, over: overlay(*roles, *level)}
	config, err := from.load()
	if err != nil {
		fmt.Fprintf(stderr, "enichaind: %v\n", err)
		return exitUsage
	}
	if *check {
		fmt.Fprintf(stdout, "%s: no faults\n", *file)
		return exitOK
	}
	verbosity := new(slog.LevelVar)
	verbosity.Set(levelOf(config.Log))
	log := newLog(config.Log, verbosity, stderr)
	if err := (&daemon{config: config, source: from, log: log, level: verbosity}).run(ctx); err != nil {
		log.Error("enichaind ends", "error", err)
		return exitFailed
	}
	log.Info("enichaind ends")
	return exitOK
}

func newLog(c LogConfig, level slog.Leveler, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

func levelOf(c LogConfig) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo // cannot be: validate knows the four
	}
	return level
}
