// Command novacron-telegraf runs one of our Telegraf plugins in a process of
// its own, for a stock Telegraf to start with inputs.execd or processors.execd.
//
// Which plugin, and how, its configuration file says. Input and output are line
// protocol on stdin and stdout; the log goes to stderr, where Telegraf reads
// it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/plugins/common/shim"

	_ "github.com/novacron/terraform-provider-novacron/plugins/inputs/novacron"
	_ "github.com/novacron/terraform-provider-novacron/plugins/processors/novacron"
)

// version is set by the linker.
var version = "dev"

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "E!", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("novacron-telegraf", flag.ContinueOnError)
	path := f.String("config", "", "configuration `file` with one [[inputs.novacron]] or [[processors.novacron]]")
	poll := f.Duration("poll_interval", 0, "how often an input gathers by itself; 0 waits for a line on stdin, as inputs.execd with signal = \"STDIN\" sends")
	show := f.Bool("version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case *show:
		_, err := fmt.Fprintln(stdout, "novacron-telegraf", version)
		return err
	case f.NArg() > 0:
		return fmt.Errorf("unknown argument %q; try --help", f.Arg(0))
	case *path == "":
		return errors.New("which plugin? give --config FILE")
	case *poll < 0:
		return fmt.Errorf("poll_interval is %v: want 0 or more", *poll)
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	p, err := load(string(text))
	if err != nil {
		return fmt.Errorf("configuration %s: %w", *path, err)
	}
	return serve(p, *poll)
}

// serve runs the plugin until its input ends.
func serve(p plugin, poll time.Duration) error {
	s := shim.New()
	if p.input != nil {
		if err := s.AddInput(p.input); err != nil {
			return err
		}
		return s.Run(poll)
	}
	if err := s.AddStreamingProcessor(p.processor); err != nil {
		return err
	}
	defer readOn()()
	return s.Run(0)
}

// readOn makes the first signal to end not end us: a service manager sends it
// to Telegraf and to us at the same time, and what Telegraf has sent by then is
// ours to pass on. The end of stdin comes with Telegraf's end. A second signal
// ends the process at once.
func readOn() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		if _, ok := <-signals; ok {
			fmt.Fprintln(os.Stderr, "I! reading stdin to its end before stopping; a second signal stops at once")
			signal.Reset(syscall.SIGTERM, syscall.SIGINT)
		}
	}()
	return func() { signal.Stop(signals); close(signals) }
}
