package drivertest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// fails demands an error of the kind at the field.
func fails(t *testing.T, call string, err error, kind fault.Kind, field string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.FieldOf(err) != field {
		t.Errorf("%s = %v (%s at %q), want %s at %q", call, err, fault.KindOf(err), fault.FieldOf(err), kind, field)
	}
}

// reads demands that the VM that was read is the one that was asked for.
func (s *suite) reads(t *testing.T, call string, got spec.VMInfo, want spec.VM) {
	t.Helper()
	if p := change.VM(got.VM, want); !p.Empty() {
		t.Errorf("%s: what was read differs from what was asked for: %+v", call, p.Ops)
	}
	if diff := cmp.Diff(digested(want), chosen(got.VM, want), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s reads back (-asked for +read):\n%s", call, diff)
	}
	if s.Guest(t, want.UUID).Start == "" != (want.Power == spec.Stopped) {
		t.Errorf("%s says %s, and the guest is %+v", call, want.Power, s.Guest(t, want.UUID))
	}
}

// chosen returns got without what want leaves to the platform.
func chosen(got, want spec.VM) spec.VM {
	if want.Labels == nil {
		got.Labels = nil
	}
	disks, nics := map[string]spec.Disk{}, map[string]spec.NIC{}
	for key, d := range got.Disks {
		w := want.Disks[key]
		if w.Pool == "" {
			d.Pool = ""
		}
		if w.Bus == "" {
			d.Bus = ""
		}
		if w.Size == 0 {
			d.Size = 0
		}
		disks[key] = d
	}
	for key, n := range got.NICs {
		if want.NICs[key].Model == "" {
			n.Model = ""
		}
		nics[key] = n
	}
	if got.Disks = disks; want.Disks == nil {
		got.Disks = nil
	}
	if got.NICs = nics; want.NICs == nil {
		got.NICs = nil
	}
	return digested(got)
}

// digested returns the VM with its seed as a digest and its MAC addresses known,
// as a platform tells them.
func digested(v spec.VM) spec.VM {
	digest := v.SeedDigest()
	v.CloudInit, v.SSHKeys = nil, nil
	if digest != "" {
		v.CloudInit = &spec.CloudInit{Digest: digest}
	}
	nics := map[string]spec.NIC{}
	for key, n := range v.NICs {
		n.MAC = v.MACFor(key)
		nics[key] = n
	}
	v.NICs = nics
	return v
}
