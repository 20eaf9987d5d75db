//go:build linux

// Command demo shows the main job on real parts: `terraform apply` boots two
// VMs, Telegraf watches them, InfluxDB has the verdicts. "demo up" leaves it all
// running, "demo down" removes it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

func main() {
	lab.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demonstration failed:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, hint)
		}
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	dir := flags.String("dir", ".demo", "keep everything in this `directory`")
	bin := flags.String("bin", "bin", "`directory` of the built programs")
	keep := flags.Bool("keep", true, "leave it running at the end of up")
	if len(args) == 0 {
		return fmt.Errorf("say up or down")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	d, err := newDemo(*dir, *bin)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		err := d.up(ctx)
		if err != nil || !*keep {
			cleanup := context.WithoutCancel(ctx)
			if derr := d.down(cleanup); derr != nil {
				d.say("Cleaning up failed too: %v", derr)
			}
		}
		return err
	case "down":
		return d.down(ctx)
	}
	return fmt.Errorf("%q is neither up nor down", args[0])
}

// newDemo returns the demonstration that lives in dir.
func newDemo(dir, bin string) (*demo, error) {
	var err error
	d := &demo{out: os.Stdout, hostDir: fmt.Sprintf("/tmp/novacron-demo-%d", os.Getuid())}
	if d.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if d.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	d.scenario, err = filepath.Abs(filepath.Join("examples", "scenarios", "demo"))
	return d, err
}
