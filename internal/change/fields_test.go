package change

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// everything is a VM that runs, with a value in every field that change.VM may
// look at.
func everything() spec.VM {
	return spec.VM{
		UUID: "11111111-1111-4111-8111-111111111111", Owner: "o", Name: "web", Description: "d", Labels: map[string]string{"a": "1"},
		CPUs: 2, Memory: spec.GiB,
		Boot:      &spec.DirectBoot{Kernel: "/k", Initrd: "/i", Cmdline: "c"},
		Disks:     map[string]spec.Disk{"root": {Size: spec.GiB, Backing: "default/b", Pool: "default", Bus: spec.BusVirtio}},
		NICs:      map[string]spec.NIC{"lan": {MAC: "52:54:00:00:00:01", Model: "virtio", Forward: map[uint16]uint16{2222: 22}}},
		CloudInit: &spec.CloudInit{UserData: "u", NetworkConfig: "n", VendorData: "v"},
		SSHKeys:   []string{"k"}, Power: spec.Running, Autostart: true,
	}
}

// vary gives the field another value.
func vary(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Slice:
		v.SetLen(0)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		} else {
			v.SetZero()
		}
	default:
		if v.Type() != reflect.TypeFor[netip.Prefix]() {
			t.Fatalf("no other value known for a %s: teach this test", v.Type())
		}
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.9.0.0/16")))
	}
}

// ignored returns the fields of T whose difference differs does not see.
func ignored[T any](t *testing.T, differs func(edit func(*T)) bool) []string {
	t.Helper()
	typ := reflect.TypeFor[T]()
	var names []string
	for i := range typ.NumField() {
		if !differs(func(v *T) { vary(t, reflect.ValueOf(v).Elem().Field(i)) }) {
			names = append(names, typ.Name()+"."+typ.Field(i).Name)
		}
	}
	return names
}

// TestFieldsThatNoPlanSees lists every field whose change is ignored. A field
// that is new in spec and unknown to this package turns up here.
func TestFieldsThatNoPlanSees(t *testing.T) {
	vm := func(edit func(*spec.VM)) bool {
		want := everything()
		edit(&want)
		return !VM(everything(), want).Empty()
	}
	volume := func(edit func(*spec.Volume)) bool {
		have := spec.Volume{ID: "default/v", UUID: "u", Owner: "o", Name: "v", Pool: "default", Size: spec.GiB, Format: spec.FormatQCOW2}
		want := have
		edit(&want)
		return !Volume(have, want).Empty()
	}
	network := func(edit func(*spec.Network)) bool {
		have := spec.Network{UUID: "u", Owner: "o", Name: "n", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.1.0.0/16"), DHCP: true}
		want := have
		edit(&want)
		return !Network(have, want).Empty()
	}
	got := slices.Concat(
		ignored(t, vm),
		ignored(t, func(edit func(*spec.Disk)) bool {
			return vm(func(v *spec.VM) { d := v.Disks["root"]; edit(&d); v.Disks["root"] = d })
		}),
		ignored(t, func(edit func(*spec.NIC)) bool {
			return vm(func(v *spec.VM) { n := v.NICs["lan"]; edit(&n); v.NICs["lan"] = n })
		}),
		ignored(t, func(edit func(*spec.DirectBoot)) bool { return vm(func(v *spec.VM) { edit(v.Boot) }) }),
		ignored(t, func(edit func(*spec.CloudInit)) bool { return vm(func(v *spec.VM) { edit(v.CloudInit) }) }),
		ignored(t, volume),
		ignored(t, network),
	)
	want := []string{
		"VM.UUID", "VM.Owner", // who it is, not how
		"Volume.ID", "Volume.UUID", "Volume.Owner",
		"Volume.Source", // read once
		"Network.UUID", "Network.Owner",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields that no plan sees (-want +got): give a new field of spec a class in this package, or a reason here\n%s", diff)
	}
}
