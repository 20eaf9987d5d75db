package libvirtvm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// crashed is a host with a VM that crashed and that is kept for a look into it
// (on_crash preserve), as libvirt's test driver makes one up.
const crashed = `<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
<name>fallen</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os>
<on_crash>preserve</on_crash><test:runstate>6</test:runstate></domain></node>`

func TestAVMThatCrashedIsStartedAndStopped(t *testing.T) {
	const id = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	h := lab.ForTest(t)
	file := filepath.Join(h.Images(), "node.xml")
	if err := os.WriteFile(file, []byte(crashed), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		act  func(*Driver) error
		want spec.Power
	}{
		"started": {func(d *Driver) error { return d.StartVM(t.Context(), id) }, spec.Running},
		"asked to power off": {func(d *Driver) error {
			return d.StopVM(t.Context(), id, spec.Shutdown{Timeout: 5 * time.Second})
		}, spec.Stopped},
		"powered off": {func(d *Driver) error { return d.StopVM(t.Context(), id, spec.Shutdown{Force: true}) }, spec.Stopped},
	} {
		t.Run(name, func(t *testing.T) {
			d := newPlatform(t, h, "test+unix://"+file+"?socket="+h.Socket(), "").open(t).(*Driver)
			defer d.Close()
			if have, err := d.VM(t.Context(), id); err != nil || have.Power != spec.Crashed {
				t.Fatalf("VM = %s, %v; want crashed", have.Power, err)
			}
			if err := c.act(d); err != nil {
				t.Errorf("a VM that crashed, %s: %v", name, err)
			}
			if now, err := d.VM(t.Context(), id); err != nil || now.Power != c.want {
				t.Errorf("VM = %s, %v; want %s", now.Power, err, c.want)
			}
		})
	}
}

func TestAPausedVMIsNotWaitedFor(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	foreign(t, h, "frozen", "")
	virsh(t, h, "start", "--paused", "frozen")
	vm, err := d.FindVM(t.Context(), "frozen")
	if err != nil || vm.Power != spec.Paused {
		t.Fatalf("FindVM = %s, %v; want paused", vm.Power, err)
	}
	start := time.Now()
	if err := d.StopVM(t.Context(), vm.UUID, spec.Shutdown{Timeout: time.Minute}); !errors.Is(err, fault.Busy) {
		t.Errorf("StopVM of a paused VM without force = %v, want busy", err)
	}
	if err := d.StopVM(t.Context(), vm.UUID, spec.Shutdown{Timeout: time.Minute, Force: true}); err != nil {
		t.Errorf("StopVM of a paused VM with force = %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("StopVM of a paused VM waited %s for a guest that hears nothing", took)
	}
}
