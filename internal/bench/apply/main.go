//go:build linux

// Command apply measures plan, apply and destroy of VMs by the provider under
// the real terraform beside the same work done by virsh, ten at a time, on the
// same libvirtd in the same run. It needs root, and bin/ from make build.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

func main() {
	lab.Main()
	rounds := flag.Int("rounds", 3, "measure each `times`, report the median")
	counts := flag.String("n", "1,10", "numbers of VMs")
	bin := flag.String("bin", "bin", "`directory` of the built provider")
	flag.Parse()
	if err := run(context.Background(), *rounds, *counts, *bin); err != nil {
		log.Fatal(err)
	}
}

// steps are what is measured, in order; the floor has no plan of its own: the
// closest thing is to read every definition.
var steps = []string{"apply", "plan", "destroy"}

func run(ctx context.Context, rounds int, counts, bin string) error {
	dir, err := os.MkdirTemp("", "novacron-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	host, err := lab.StartHost(ctx, lab.HostOptions{})
	if err != nil {
		return err
	}
	defer host.Stop()
	tf, err := newTerraform(ctx, host, dir, bin)
	if err != nil {
		return err
	}
	virsh := &virsh{host: host}
	fmt.Printf("%4s  %-8s %12s %12s %8s %14s\n", "VMs", "step", "provider s", "virsh s", "ratio", "provider CPU s")
	for _, field := range strings.Split(counts, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if err := compare(ctx, tf, virsh, n, rounds); err != nil {
			return err
		}
	}
	return nil
}

// result is what the rounds of one step took, in seconds.
type result struct{ provider, floor, cpu []float64 }

func compare(ctx context.Context, tf *terraform, floor *virsh, n, rounds int) error {
	results := map[string]*result{}
	for range rounds {
		for _, step := range steps {
			wall, cpu, err := tf.do(ctx, step, n)
			if err != nil {
				return err
			}
			r := results[step]
			if r == nil {
				r = &result{}
				results[step] = r
			}
			r.provider, r.cpu = append(r.provider, wall.Seconds()), append(r.cpu, cpu.Seconds())
			if step == "apply" {
				if err := floor.learn(ctx); err != nil {
					return err
				}
			}
		}
		for _, step := range steps {
			start := time.Now()
			if err := floor.do(ctx, step, n); err != nil {
				return err
			}
			results[step].floor = append(results[step].floor, time.Since(start).Seconds())
		}
	}
	for _, step := range steps {
		r := results[step]
		p, f := median(r.provider), median(r.floor)
		fmt.Printf("%4d  %-8s %12.2f %12.2f %8.2f %14.2f\n", n, step, p, f, p/f, median(r.cpu))
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// config is n small VMs with a disk and an interface, without an operating
// system: their guests cost nothing, so that what is measured is the management.
func config(n int) string {
	return fmt.Sprintf(`terraform {
  required_providers {
    novacron = { source = "novacron/novacron" }
  }
}
provider "novacron" {}
resource "novacron_vm" "bench" {
  count  = %d
  name   = "bench-${count.index}"
  cpus   = 1
  memory = "64MiB"
  disks  = { root = { size = "64MiB" } }
  nics   = { user = {} }

  shutdown = { timeout = "0s" } # off at once, as virsh destroy does it
}
`, n)
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
