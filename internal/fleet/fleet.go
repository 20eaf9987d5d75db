// Package fleet holds the targets by name and opens each at its first use.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Opener makes the driver of a target. It validates and never connects.
type Opener func(spec.Target) (driver.Driver, error)

// Openers are the platforms by target kind.
type Openers map[string]Opener

// Fleet is the targets of one provider configuration. Safe for concurrent use.
type Fleet struct {
	openers  Openers
	targets  map[string]spec.Target
	standard string

	mu   sync.Mutex
	open map[string]*backend.Backend
}

// New returns the fleet of the targets; standard is the name of the one that is
// meant where none is named, or "" when every resource must name one. It opens
// and connects nothing.
func New(openers Openers, targets map[string]spec.Target, standard string) (*Fleet, error) {
	f := &Fleet{openers: openers, targets: targets, standard: standard, open: map[string]*backend.Backend{}}
	if _, ok := targets[standard]; standard != "" && !ok {
		return nil, fault.At("default_target", f.unknown(standard))
	}
	return f, nil
}

// Default returns the name of the target that is meant where none is named.
func (f *Fleet) Default() string { return f.standard }

// Backend returns the target called name, or the default one for "". It does
// not connect.
func (f *Fleet) Backend(_ context.Context, name string) (*backend.Backend, error) {
	if name == "" {
		name = f.standard
	}
	if name == "" {
		return nil, fault.At("target", fault.Errorf(fault.Invalid, "no target is named and the provider has no default_target (targets: %s)", f.names()))
	}
	t, ok := f.targets[name]
	if !ok {
		return nil, fault.At("target", f.unknown(name))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.open[name]; b != nil {
		return b, nil
	}
	if t.Kind() == "" {
		return nil, fault.Errorf(fault.Invalid, "target %q names no platform: give it a libvirt or a sim block", name)
	}
	open := f.openers[t.Kind()]
	if open == nil {
		return nil, fault.Errorf(fault.Unsupported, "target %q: no platform of kind %q in this build", name, t.Kind())
	}
	drv, err := open(t)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", name, err)
	}
	f.open[name] = backend.New(name, drv)
	return f.open[name], nil
}

// Close closes all targets that were opened.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for name, b := range f.open {
		errs = append(errs, b.Close())
		delete(f.open, name)
	}
	return errors.Join(errs...)
}

func (f *Fleet) unknown(name string) error {
	return fault.Errorf(fault.Invalid, "there is no target %q in the provider configuration (targets: %s)", name, f.names())
}

// names returns the targets for a message.
func (f *Fleet) names() string {
	var names []string
	for name := range f.targets {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
