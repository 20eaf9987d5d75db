package backend

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CheckVM returns what is wrong with the VM for this target, without connecting:
// the spec itself, and powers that the target lacks.
func (b *Backend) CheckVM(vm spec.VM) []spec.Problem {
	c := b.Capabilities()
	p := vm.Validate()
	need := func(ok bool, power, field, what string) {
		if !ok {
			p = append(p, spec.Problem{Field: field, Text: b.lacks(c, power, what)})
		}
	}
	need(vm.Boot == nil || c.DirectBoot, "DirectBoot", "kernel", "booting a kernel from files on the host")
	need(vm.SeedDigest() == "" || c.CloudInit, "CloudInit", "cloud_init", "cloud-init seeds")
	for key, n := range vm.NICs {
		need(n.Network != "" || c.UserNetworking, "UserNetworking", "nics."+key+".network", "user networking (an interface without a network)")
		need(n.Network == "" || len(c.NetworkModes) > 0, "NetworkModes", "nics."+key+".network", "virtual networks")
	}
	for key, d := range vm.Disks {
		need(d.Backing == "" || c.VolumeBacking, "VolumeBacking", "disks."+key+".backing", "overlays")
	}
	return byField(p)
}

// byField puts the problems in the order in which they are always told.
func byField(p []spec.Problem) []spec.Problem {
	slices.SortStableFunc(p, func(a, b spec.Problem) int { return strings.Compare(a.Field, b.Field) })
	return p
}

// lacks words that the target misses a power, with the reason it gives.
func (b *Backend) lacks(c spec.Capabilities, power, what string) string {
	text := fmt.Sprintf("target %q (%s) does not support %s", b.name, c.Platform, what)
	if why := c.Why[power]; why != "" {
		text += ": " + why
	}
	return text
}

// CreateVM makes the VM, or completes and adopts what an interrupted run of the
// same configuration left of it.
func (b *Backend) CreateVM(ctx context.Context, vm spec.VM) (spec.VMInfo, error) {
	if err := b.claim(vm.UUID); err != nil {
		return spec.VMInfo{}, b.wrap(err, "create", "VM", vm.Name)
	}
	info, err := patient(ctx, b, func() (spec.VMInfo, error) { return b.drv.CreateVM(ctx, vm) })
	if err != nil {
		b.release(vm.UUID)
	}
	return info, b.wrap(err, "create", "VM", vm.Name)
}

// VM returns the VM with the UUID.
func (b *Backend) VM(ctx context.Context, id string) (spec.VMInfo, error) {
	info, err := b.drv.VM(ctx, id)
	return info, b.wrap(err, "read", "VM", id)
}

// FindVM returns the VM with the name.
func (b *Backend) FindVM(ctx context.Context, name string) (spec.VMInfo, error) {
	info, err := b.drv.FindVM(ctx, name)
	return info, b.wrap(err, "find", "VM", name)
}

// ListVMs returns all VMs of the target.
func (b *Backend) ListVMs(ctx context.Context) ([]spec.VMInfo, error) {
	vms, err := b.drv.ListVMs(ctx)
	return vms, b.wrap(err, "list", "VMs of", b.name)
}

// UpdateVM brings the VM from what it is now to want, and returns what was done.
// limit is the greatest class that the user allows: a difference that appeared
// since the plan and goes beyond it is refused.
func (b *Backend) UpdateVM(ctx context.Context, want spec.VM, limit change.Class, off spec.Shutdown) (spec.VMInfo, change.Plan, error) {
	have, err := b.drv.VM(ctx, want.UUID)
	if err != nil {
		return spec.VMInfo{}, change.Plan{}, b.wrap(err, "update", "VM", want.Name)
	}
	plan := change.VM(have.VM, want)
	if c := plan.Class(); c > limit {
		err := fault.Errorf(fault.Denied, "the change is of class %s, and at most %s is allowed", c, limit)
		return have, plan, b.wrap(err, "update", "VM", want.Name)
	}
	if plan.Empty() && !have.Transient {
		return have, plan, nil
	}
	info, err := patient(ctx, b, func() (spec.VMInfo, error) { return b.drv.UpdateVM(ctx, want, plan, off) })
	return info, plan, b.wrap(err, "update", "VM", want.Name)
}

// DeleteVM powers the VM off as off says and removes it with what it owns. A VM
// that is gone already is not an error.
func (b *Backend) DeleteVM(ctx context.Context, id string, off spec.Shutdown) error {
	if err := b.drv.StopVM(ctx, id, off); err != nil && fault.KindOf(err) != fault.NotFound {
		return b.wrap(err, "stop", "VM", id)
	}
	_, err := patient(ctx, b, func() (struct{}, error) { return struct{}{}, b.drv.DeleteVM(ctx, id) })
	if err == nil {
		b.release(id)
	}
	return b.wrap(err, "delete", "VM", id)
}

// Wait says what a guest must have before it counts as ready. The zero Wait is
// satisfied at once.
type Wait struct {
	IP      string // key of the NIC that must have an address; "" asks for none
	TCP     uint16 // port that must accept connections; 0 asks for none
	Timeout time.Duration
}

// poll is how often a guest that is not ready is looked at again.
const poll = 500 * time.Millisecond

// WaitVM waits until the VM is ready and returns it as it is then. ready is
// false, with the reason in why, when the time ran out; that is not an error. A
// target that does not answer for a while is waited for as well.
func (b *Backend) WaitVM(ctx context.Context, id string, w Wait) (info spec.VMInfo, ready bool, why string, err error) {
	timeout := time.After(w.Timeout)
	for {
		now, err := b.drv.VM(ctx, id)
		silent := fault.KindOf(err) == fault.Unavailable && ctx.Err() == nil
		switch {
		case silent:
			why = fmt.Sprintf("the target does not answer: %v", err)
		case err == nil:
			info = now
			why, err = b.missing(ctx, info, w)
		}
		if err != nil && !silent || why == "" {
			return info, err == nil, why, b.wrap(err, "wait for", "VM", known(info, id))
		}
		select {
		case <-ctx.Done():
			return info, false, why, b.wrap(ctx.Err(), "wait for", "VM", known(info, id))
		case <-timeout:
			if info.UUID == "" { // never seen
				return info, false, why, b.wrap(err, "wait for", "VM", id)
			}
			return info, false, why, nil
		case <-time.After(poll):
		}
	}
}

// known returns the VM's name, or its id while nothing is known of it.
func known(info spec.VMInfo, id string) string {
	if info.Name != "" {
		return info.Name
	}
	return id
}

// missing says what the VM still lacks of w, or "".
func (b *Backend) missing(ctx context.Context, info spec.VMInfo, w Wait) (string, error) {
	if info.Power != spec.Running {
		return fmt.Sprintf("the VM is %s", info.Power), nil
	}
	if w.IP != "" && addressOf(info, w.IP) == "" {
		return fmt.Sprintf("no address on nics.%s yet: no DHCP lease and no answer from a guest agent", w.IP), nil
	}
	if w.TCP == 0 {
		return "", nil
	}
	err := b.reach(ctx, info, w)
	if k := fault.KindOf(err); k == fault.Busy || k == fault.Unavailable {
		return fmt.Sprintf("TCP port %d does not accept connections yet: %v", w.TCP, err), nil
	}
	return "", err
}

// reach tries to connect to the guest's port: by the driver's way to it where
// there is one, else at the guest's own address.
func (b *Backend) reach(ctx context.Context, info spec.VMInfo, w Wait) error {
	ip := addressOf(info, w.IP)
	if r, ok := b.drv.(driver.Reacher); ok {
		err := r.ReachVM(ctx, info.UUID, w.TCP)
		noWay := fault.KindOf(err) == fault.Invalid || fault.KindOf(err) == fault.Unsupported
		if !noWay || ip == "" {
			return err
		}
	}
	if ip == "" {
		return fault.Errorf(fault.Busy, "the guest has no address yet")
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(int(w.TCP))))
	if err != nil {
		return fault.As(fault.Busy, err)
	}
	return c.Close()
}

// addressOf returns the best address of the NIC, or of any when nic is "".
func addressOf(info spec.VMInfo, nic string) string {
	for _, a := range info.Addresses {
		if nic == "" || a.NIC == nic {
			return a.IP.String()
		}
	}
	return ""
}
