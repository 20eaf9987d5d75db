//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/lab/guest"
)

// demo is one demonstration: its directories, and from up on its parts.
type demo struct {
	out      io.Writer
	dir      string // everything but the host
	bin      string // terraform-provider-novacron and telegraf
	hostDir  string // the libvirt host, whose socket paths must be short
	scenario string

	start time.Time
	host  *lab.Host
	urls  map[string]string // where each VM serves HTTP
	db    influx
}

// The guest that misbehaves, and the one that does not.
const (
	culprit   = "web"
	bystander = "db"
)

// step says what happens next.
func (d *demo) step(format string, args ...any) {
	fmt.Fprintf(d.out, "\n[%5.1fs] %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

// say adds a detail to the step.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "         %s\n", fmt.Sprintf(format, args...))
}

// up runs the demonstration from the beginning. What an earlier one left is
// removed first.
func (d *demo) up(ctx context.Context) error {
	d.start = time.Now()
	if err := d.down(ctx); err != nil {
		return fmt.Errorf("remove what an earlier demonstration left: %w", err)
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	d.step("Making a small guest image from the distribution's kernel and busybox")
	img, err := guest.Build(ctx, guest.CacheDir(), d.say)
	if err != nil {
		return err
	}
	if err := d.startHost(ctx); err != nil {
		return err
	}
	d.step("terraform init and apply: a volume, %stwo VMs", map[bool]string{true: "a NAT network, ", false: ""}[system()])
	if err := d.apply(ctx, img.Disk); err != nil {
		return err
	}
	d.step("Starting InfluxDB, and Telegraf with inputs.novacron and processors.novacron")
	if err := d.startPipeline(ctx); err != nil {
		return err
	}
	return d.show(ctx)
}

// startHost starts a libvirt host of its own, so that nothing of the machine's
// is touched and all of it can be removed.
func (d *demo) startHost(ctx context.Context) error {
	start, kind := lab.StartSession, "session (qemu:///session)"
	if system() {
		start, kind = lab.StartHost, "system (qemu:///system)"
	}
	d.step("Starting a private libvirtd, %s", kind)
	host, err := start(ctx, lab.HostOptions{Dir: d.hostDir, Detached: true})
	if err != nil {
		return err
	}
	d.host = host
	d.say("%s", host.URI())
	if kvm := host.KVM(); kvm != "" {
		d.say("%s", kvm)
	}
	return nil
}

// down stops and removes everything, however far up got. Nothing there is fine.
func (d *demo) down(ctx context.Context) error {
	if d.start.IsZero() {
		d.start = time.Now()
	}
	_, derr := os.Stat(d.dir)
	_, herr := os.Stat(d.hostDir)
	if errors.Is(derr, os.ErrNotExist) && errors.Is(herr, os.ErrNotExist) {
		return nil
	}
	d.step("Removing the demonstration")
	var errs []error
	for _, name := range []string{"telegraf", "influxd"} {
		errs = append(errs, stopProcess(d.pidFile(name)))
	}
	host, err := lab.Attach(d.hostDir)
	if err == nil {
		d.host = host
		if _, err := os.Stat(d.stateFile()); err == nil {
			if err := d.destroy(ctx); err != nil {
				d.say("terraform destroy: %v (the host goes anyway)", err)
			}
		}
		errs = append(errs, host.Stop())
	}
	errs = append(errs, os.RemoveAll(d.hostDir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(d.dir)
}

func (d *demo) pidFile(name string) string { return filepath.Join(d.dir, name+".pid") }

// system reports whether the host is a system one, with networks.
func system() bool { return os.Geteuid() == 0 }
