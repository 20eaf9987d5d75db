package drivertest

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// vmSpec returns a VM that is off, has no devices, and costs next to nothing.
func (s *suite) vmSpec(name string) spec.VM {
	name = s.Prefix + name
	return spec.VM{
		UUID: spec.Identity(s.Prefix, "vm", name), Owner: s.Prefix + "owner", Name: name,
		CPUs: 1, Memory: s.Memory, Power: spec.Stopped,
	}
}

// vm makes a VM that goes when the test ends.
func (s *suite) vm(t *testing.T, name string, edit func(*spec.VM)) (spec.VM, spec.VMInfo) {
	t.Helper()
	vm := s.vmSpec(name)
	edit(&vm)
	s.dropLater(t, vm.UUID)
	info, err := s.drv.CreateVM(t.Context(), vm)
	if err != nil {
		t.Fatalf("CreateVM(%q) = %v", vm.Name, err)
	}
	return vm, info
}

// dropLater removes the VM when the test ends.
func (s *suite) dropLater(t *testing.T, id string) {
	t.Cleanup(func() { s.dropVM(t, id) })
}

// dropVM powers the VM off and deletes it, if it is there.
func (s *suite) dropVM(t *testing.T, id string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := s.drv.StopVM(ctx, id, spec.Shutdown{Force: true}); err != nil && fault.KindOf(err) != fault.NotFound {
		t.Errorf("StopVM(%s) = %v", id, err)
	}
	if err := s.drv.DeleteVM(ctx, id); err != nil {
		t.Errorf("DeleteVM(%s) = %v", id, err)
	}
}

// volSpec returns a small empty volume.
func (s *suite) volSpec(name string) spec.Volume {
	name = s.Prefix + name
	return spec.Volume{
		UUID: spec.Identity(s.Prefix, "volume", name), Owner: s.Prefix + "owner", Name: name,
		Size: 4 * spec.MiB, Format: s.format(),
	}
}

// volume makes a volume that goes when the test ends.
func (s *suite) volume(t *testing.T, name string, edit func(*spec.Volume)) (spec.Volume, spec.VolumeInfo) {
	t.Helper()
	v := s.volSpec(name)
	edit(&v)
	info, err := s.drv.CreateVolume(t.Context(), v)
	if err != nil {
		t.Fatalf("CreateVolume(%q) = %v", v.Name, err)
	}
	s.dropVolumeLater(t, info.ID)
	return v, info
}

func (s *suite) dropVolumeLater(t *testing.T, id string) {
	t.Cleanup(func() {
		if err := s.drv.DeleteVolume(context.WithoutCancel(t.Context()), id); err != nil {
			t.Errorf("DeleteVolume(%s) = %v", id, err)
		}
	})
}

// netSpec returns a network in the first /28 of the harness's range.
func (s *suite) netSpec(name string) spec.Network {
	name = s.Prefix + name
	n := spec.Network{
		UUID: spec.Identity(s.Prefix, "network", name), Owner: s.Prefix + "owner", Name: name,
		CIDR: netip.PrefixFrom(s.CIDR.Addr(), 28), DHCP: true,
	}
	if len(s.caps.NetworkModes) > 0 {
		n.Mode = s.caps.NetworkModes[0]
		if s.caps.HasNetworkMode(spec.ModeIsolated) {
			n.Mode = spec.ModeIsolated
		}
	}
	return n
}

// network makes a network that goes when the test ends.
func (s *suite) network(t *testing.T, name string, edit func(*spec.Network)) (spec.Network, spec.NetworkInfo) {
	t.Helper()
	n := s.netSpec(name)
	edit(&n)
	t.Cleanup(func() {
		if err := s.drv.DeleteNetwork(context.WithoutCancel(t.Context()), n.UUID); err != nil {
			t.Errorf("DeleteNetwork(%s) = %v", n.Name, err)
		}
	})
	info, err := s.drv.CreateNetwork(t.Context(), n)
	if err != nil {
		t.Fatalf("CreateNetwork(%q) = %v", n.Name, err)
	}
	return n, info
}

// format is one that the target has, qcow2 if it can.
func (s *suite) format() string {
	if s.caps.HasVolumeFormat(spec.FormatQCOW2) || len(s.caps.VolumeFormats) == 0 {
		return spec.FormatQCOW2
	}
	return s.caps.VolumeFormats[0]
}

// pool is the pool of volumes that name none.
func (s *suite) pool() string {
	if s.caps.DefaultPool != "" {
		return s.caps.DefaultPool
	}
	return "default"
}

// source writes a raw image file of the size.
func (s *suite) source(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(path, []byte(strings.Repeat("novacron", size/8)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
