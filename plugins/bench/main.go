// Command bench measures what a gather costs, ours beside Telegraf's own
// inputs.libvirt: both plugins in one process under Telegraf's accumulator,
// taking turns on one real libvirtd with the same domains and the same groups.
//
// It needs root, libvirt and QEMU, and prints a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
	_ "github.com/influxdata/telegraf/plugins/inputs/libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
	_ "github.com/novacron/terraform-provider-novacron/plugins/inputs/novacron"
)

// conf configures both plugins to collect the same.
const conf = `[[inputs.novacron]]
  uris = [%[1]q]
  groups = ["state", "cpu", "vcpu", "memory", "block", "net"]
[[inputs.libvirt]]
  libvirt_uri = %[1]q
  statistics_groups = ["state", "cpu_total", "balloon", "vcpu", "interface", "block"]
`

// guest is a domain that never executes an instruction.
const guest = `<domain type='qemu'><name>%[1]s</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%[2]s'/><target dev='vda' bus='virtio'/></disk>
<interface type='ethernet'><model type='virtio'/></interface><memballoon model='virtio'/></devices></domain>`

func main() {
	lab.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	sizes := flag.String("domains", "1,10,50", "numbers of domains, rising")
	reps := flag.Int("n", 10, "gathers of each plugin")
	pause := flag.Duration("interval", 2500*time.Millisecond, "time between gathers")
	flag.Parse()
	if err := run(ctx, *sizes, *reps, *pause); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes string, reps int, pause time.Duration) (err error) {
	h, err := lab.StartHost(ctx, lab.HostOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Stop()) }()
	c := config.NewConfig()
	if err := c.LoadConfigData(fmt.Appendf(nil, conf, h.URI()), config.EmptySourcePath); err != nil {
		return err
	}
	for _, in := range c.Inputs {
		if err := in.Init(); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "domains\tplugin\tmetrics\tcollector CPU ms\tlibvirtd CPU ms\tQEMU CPU ms\twall ms\t")
	running := 0
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		for ; running < n; running++ {
			if err := start(ctx, h, fmt.Sprintf("d%d", running)); err != nil {
				return err
			}
		}
		if err := compare(ctx, w, h, c.Inputs, n, reps, pause); err != nil {
			return err
		}
	}
	for _, in := range c.Inputs {
		in.Stop()
	}
	return nil
}

// start starts a paused domain.
func start(ctx context.Context, h *lab.Host, name string) error {
	disk, def := filepath.Join(h.Images(), name+".img"), filepath.Join(h.Dir, name+".xml")
	if err := errors.Join(os.WriteFile(disk, make([]byte, 1<<20), 0o666), os.WriteFile(def, fmt.Appendf(nil, guest, name, disk), 0o644)); err != nil {
		return err
	}
	_, err := h.Virsh(ctx, "create", "--paused", def)
	return err
}

// compare lets the plugins take turns and prints the mean cost of a gather.
func compare(ctx context.Context, w *tabwriter.Writer, h *lab.Host, ins []*models.RunningInput, domains, reps int, pause time.Duration) error {
	sums := make([]cost, len(ins))
	for rep := -1; rep < reps; rep++ { // the first one connects and does not count
		for i, in := range ins {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause / time.Duration(len(ins))):
			}
			one, err := measure(h, in)
			if err != nil {
				return fmt.Errorf("%s: %w", in.LogName(), err)
			}
			if rep >= 0 {
				sums[i].add(one)
			}
		}
	}
	for i, in := range ins {
		s, k := sums[i], float64(reps)
		fmt.Fprintf(w, "%d\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.1f\t\n", domains, in.LogName(), s.metrics/reps, s.self/k, s.libvirtd/k, s.qemu/k, s.wall/k)
	}
	return w.Flush()
}

// cost is what gathers took, in ms.
type cost struct {
	self, libvirtd, qemu, wall float64
	metrics                    int
}

func (c *cost) add(o cost) {
	c.self += o.self
	c.libvirtd += o.libvirtd
	c.qemu += o.qemu
	c.wall += o.wall
	c.metrics += o.metrics
}

// measure gathers once.
func measure(h *lab.Host, in *models.RunningInput) (c cost, err error) {
	ch := make(chan telegraf.Metric, 1000)
	drained := make(chan int)
	go func() {
		n := 0
		for range ch {
			n++
		}
		drained <- n
	}()
	acc := agent.NewAccumulator(in, ch)
	before, err := usage(h)
	if err != nil {
		return c, err
	}
	begun := time.Now()
	err = in.Gather(acc)
	c.wall = ms(time.Since(begun))
	close(ch)
	c.metrics = <-drained
	if err != nil {
		return c, err
	}
	if c.metrics == 0 {
		return c, errors.New("a gather gave nothing")
	}
	self := selfCPU()
	after, err := usage(h)
	after.self = self
	c.self, c.libvirtd, c.qemu = after.self-before.self, after.libvirtd-before.libvirtd, after.qemu-before.qemu
	return c, err
}

// usage returns the CPU time that everybody has used so far.
func usage(h *lab.Host) (c cost, err error) {
	pids, err := h.Processes()
	if err != nil {
		return c, err
	}
	for _, pid := range pids {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		switch {
		case strings.HasPrefix(string(name), "libvirtd"):
			c.libvirtd += cpu(pid)
		case strings.HasPrefix(string(name), "qemu"):
			c.qemu += cpu(pid)
		}
	}
	c.self = selfCPU()
	return c, nil
}

// selfCPU returns the CPU time of this process.
func selfCPU() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // it only fails for a bad argument
	}
	return ms(time.Duration(r.Utime.Nano() + r.Stime.Nano()))
}

// cpu returns the CPU time of all threads of a process, to the nanosecond.
func cpu(pid int) (sum float64) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, p := range paths {
		b, _ := os.ReadFile(p) // a thread that has ended costs nothing more
		first, _, _ := strings.Cut(string(b), " ")
		ns, _ := strconv.ParseInt(first, 10, 64)
		sum += ms(time.Duration(ns))
	}
	return sum
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
