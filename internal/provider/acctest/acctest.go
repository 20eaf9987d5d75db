// Package acctest runs the provider of this process under the real terraform, on
// simulated targets that a test can change behind the provider's back.
package acctest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/fleet"
	"github.com/novacron/terraform-provider-novacron/internal/provider"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Main runs the tests of a package that uses the real terraform, found in PATH.
// Nothing is downloaded and nothing is skipped: without terraform it fails.
func Main(m *testing.M) {
	path, err := exec.LookPath("terraform")
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests run the real terraform: put it into PATH (make test does):", err)
		os.Exit(1)
	}
	for name, value := range map[string]string{"TF_ACC": "1", "TF_ACC_TERRAFORM_PATH": path, "CHECKPOINT_DISABLE": "1", "TF_LOG_SDK": "off", "TF_LOG_PROVIDER_NOVACRON": "off"} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	// A CLI configuration of the machine must not reach the tests.
	if err := os.Unsetenv("TF_CLI_CONFIG_FILE"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Fault is asked before every call of a simulated platform. See simvm.
type Fault func(step string, n int) error

// World is the simulated targets of one test. The platform of a target exists
// from its first use until the test ends, whatever providers come and go.
type World struct {
	Options simvm.Options

	mu        sync.Mutex
	platforms map[string]*simvm.Driver
	fault     Fault
	down      map[string]bool
	opened    map[string]spec.LibvirtTarget
}

// NewWorld returns a world whose guests boot and stop at once.
func NewWorld() *World {
	return &World{
		Options:   simvm.Options{BootTime: time.Millisecond, ShutdownTime: time.Millisecond},
		platforms: map[string]*simvm.Driver{}, down: map[string]bool{}, opened: map[string]spec.LibvirtTarget{},
	}
}

// Host returns a connection to the platform of the target that no fault reaches:
// the hand of somebody else on the host.
func (w *World) Host(target string) *simvm.Driver {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.platforms[target] == nil {
		w.platforms[target] = simvm.New(w.Options)
	}
	return w.platforms[target].Again(nil)
}

// Break installs what is asked before every call that a provider makes from now
// on; nil ends the faults.
func (w *World) Break(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// Down makes a target unreachable, or reachable again.
func (w *World) Down(target string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[target] = down
}

// Opened returns the targets of kind libvirt that providers have opened: they
// are simulated too.
func (w *World) Opened() map[string]spec.LibvirtTarget {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.opened)
}

// openers are the platforms of the world.
func (w *World) openers() fleet.Openers {
	return fleet.Openers{"sim": w.open, "libvirt": func(t spec.Target) (driver.Driver, error) {
		w.mu.Lock()
		w.opened[t.Name] = *t.Libvirt
		w.mu.Unlock()
		return w.open(t)
	}}
}

// open is the opener of the simulated targets.
func (w *World) open(t spec.Target) (driver.Driver, error) {
	if t.Sim != nil && t.Sim.Path == "invalid" {
		return nil, fault.WithHint(fault.At("path", fault.Errorf(fault.Invalid, "%q is not a path", t.Sim.Path)), "give another one")
	}
	host := w.Host(t.Name)
	return host.Again(func(step string, n int) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down[t.Name] {
			return fault.Errorf(fault.Unavailable, "no answer from %s", t.Name)
		}
		if w.fault == nil {
			return nil
		}
		return w.fault(step, n)
	}), nil
}

// Factories returns the provider over the world.
func (w *World) Factories() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"novacron": providerserver.NewProtocol6WithError(provider.New("test", w.openers())()),
	}
}

// Run runs the steps. What they leave is destroyed.
func (w *World) Run(t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: w.Factories(), Steps: steps})
}

// Config returns a configuration with one target, "sim".
func Config(body string) string {
	return `
provider "novacron" {
  owner   = "acctest"
  targets = { sim = { sim = {} } }
}
` + body
}

// Edit changes the definition of a VM behind the provider's back.
func (w *World) Edit(target, id string, edit func(*spec.VM)) error {
	ctx := context.Background()
	host := w.Host(target)
	have, err := host.VM(ctx, id)
	if err != nil {
		return err
	}
	want := have.VM
	edit(&want)
	_, err = host.UpdateVM(ctx, want, change.VM(have.VM, want), spec.Shutdown{Force: true})
	return err
}
