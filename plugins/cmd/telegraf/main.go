// Command telegraf is a Telegraf agent with our plugins compiled in, beside the
// few of Telegraf's own that a pipeline around them needs.
//
// It is Telegraf's own agent, configuration and logger; only this command line
// is ours, and what it has means the same as in Telegraf.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
)

// version is set by the linker.
var version = "dev"

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		log.Printf("E! %v", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	configs, dirs, inputs, outputs list
	test, once                     bool
	wait                           int
	debug, quiet, version          bool
	pidfile                        string
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return fmt.Sprint(*l) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("telegraf", flag.ContinueOnError)
	f.Var(&o.configs, "config", "configuration `file` to load; may be repeated")
	f.Var(&o.dirs, "config-directory", "`directory` with further *.conf files; may be repeated")
	f.Var(&o.inputs, "input-filter", "load only the inputs of this `name`; may be repeated")
	f.Var(&o.outputs, "output-filter", "load only the outputs of this `name`; may be repeated")
	f.BoolVar(&o.test, "test", false, "gather once, print the metrics, write to no output")
	f.BoolVar(&o.once, "once", false, "gather once, write to the outputs, exit")
	f.IntVar(&o.wait, "test-wait", 0, "wait this many `seconds` for service inputs with --test and --once")
	f.BoolVar(&o.debug, "debug", false, "log more")
	f.BoolVar(&o.quiet, "quiet", false, "log errors only")
	f.StringVar(&o.pidfile, "pidfile", "", "`file` for the process id")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown command %q: this agent only runs; try --help", f.Arg(0))
	}
	return o, nil
}

func run(args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.version {
		_, err := fmt.Fprintln(stdout, fullVersion())
		return err
	}
	if err := writePID(o.pidfile); err != nil {
		return err
	}
	if o.pidfile != "" {
		defer os.Remove(o.pidfile)
	}
	reload := true
	for reload {
		if reload, err = serve(o); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the agent with the configuration as it is now, until a signal ends
// it; reload says that the signal was SIGHUP. The agent flushes before it ends.
func serve(o options) (reload bool, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case s := <-signals:
			reload = s == syscall.SIGHUP
			cancel()
		case <-ended:
		}
	}()
	err = runAgent(ctx, o)
	close(ended)
	<-stopped
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return reload, err
}

func runAgent(ctx context.Context, o options) error {
	c, err := load(o)
	if err != nil {
		return err
	}
	if err := setupLogging(c.Agent, o); err != nil {
		return err
	}
	log.Printf("I! Starting %s with inputs %v, processors %v, outputs %v", fullVersion(), c.InputNames(), c.ProcessorNames(), c.OutputNames())
	a := agent.NewAgent(c)
	wait := time.Duration(o.wait) * time.Second
	switch {
	case o.once:
		return a.Once(ctx, wait)
	case o.test:
		return a.Test(ctx, wait)
	}
	return a.Run(ctx)
}

// load reads the configuration files and refuses one that could do nothing.
func load(o options) (*config.Config, error) {
	c := config.NewConfig()
	c.Agent.Quiet = o.quiet
	c.InputFilters, c.OutputFilters = o.inputs, o.outputs
	files := append([]string(nil), o.configs...)
	for _, dir := range o.dirs {
		found, err := config.WalkDirectory(dir)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		found, err := config.GetDefaultConfigPath()
		if err != nil {
			return nil, fmt.Errorf("no configuration: give --config FILE: %w", err)
		}
		files = found
	}
	if err := c.LoadAll(files...); err != nil {
		return nil, err
	}
	switch {
	case len(c.Inputs) == 0:
		return nil, fmt.Errorf("no input is configured in %v", files)
	case len(c.Outputs) == 0 && !o.test:
		return nil, fmt.Errorf("no output is configured in %v", files)
	case c.Agent.Interval <= 0 || c.Agent.FlushInterval <= 0:
		return nil, fmt.Errorf("the agent's interval (%v) and flush_interval (%v) must be positive",
			time.Duration(c.Agent.Interval), time.Duration(c.Agent.FlushInterval))
	}
	return c, nil
}

func setupLogging(a *config.AgentConfig, o options) error {
	return logger.SetupLogging(&logger.Config{
		Debug:                   a.Debug || o.debug,
		Quiet:                   a.Quiet || o.quiet,
		LogTarget:               a.LogTarget,
		LogFormat:               a.LogFormat,
		Logfile:                 a.Logfile,
		StructuredLogMessageKey: a.StructuredLogMessageKey,
		RotationInterval:        time.Duration(a.LogfileRotationInterval),
		RotationMaxSize:         int64(a.LogfileRotationMaxSize),
		RotationMaxArchives:     a.LogfileRotationMaxArchives,
		LogWithTimezone:         a.LogWithTimezone,
	})
}

// writePID writes our process id to a file, if one is wanted.
func writePID(path string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	return nil
}
