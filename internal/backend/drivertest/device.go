package drivertest

import (
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func (s *suite) ownedDisks(t *testing.T) {
	vm, info := s.vm(t, "owner", func(v *spec.VM) {
		v.Disks = map[string]spec.Disk{"root": {Size: 8 * spec.MiB}, "data": {Size: 4 * spec.MiB}}
	})
	for key, disk := range vm.Disks {
		id := info.OwnedDisks[key]
		if _, name, _ := spec.SplitVolumeID(id); !strings.HasPrefix(name, vm.Name+"."+spec.ShortID(vm.UUID)+"."+key+".") {
			t.Errorf("OwnedDisks[%q] = %q, want a volume named after VM, identity and key", key, id)
		}
		vol, err := s.drv.Volume(t.Context(), id)
		if err != nil || vol.Size != disk.Size || vol.Path == "" {
			t.Errorf("Volume(%q) = %+v, %v; want %s and a path", id, vol, err, disk.Size)
		}
		users, err := s.drv.VolumeUsers(t.Context(), id)
		if err != nil || len(users) != 1 || !strings.Contains(users[0], vm.Name) {
			t.Errorf("VolumeUsers(%q) = %q, %v; want the VM", id, users, err)
		}
		fails(t, "DeleteVolume of a disk in use", s.drv.DeleteVolume(t.Context(), id), fault.Busy, "")
	}
	if len(info.OwnedDisks) != 2 {
		t.Errorf("OwnedDisks = %q, want two", info.OwnedDisks)
	}
	s.dropVM(t, vm.UUID)
	s.nothingLeft(t)
}

func (s *suite) usedVolume(t *testing.T) {
	_, vol := s.volume(t, "used", func(*spec.Volume) {})
	vm, info := s.vm(t, "user", func(v *spec.VM) {
		v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "data": {Volume: vol.ID}}
	})
	s.reads(t, "CreateVM", info, vm)
	if _, owned := info.OwnedDisks["data"]; owned {
		t.Errorf("OwnedDisks = %q has a volume that the VM only uses", info.OwnedDisks)
	}
	fails(t, "DeleteVolume of a volume in use", s.drv.DeleteVolume(t.Context(), vol.ID), fault.Busy, "")
	s.dropVM(t, vm.UUID)
	if _, err := s.drv.Volume(t.Context(), vol.ID); err != nil {
		t.Errorf("Volume(%q) after its VM is gone = %v", vol.ID, err)
	}
	if users, err := s.drv.VolumeUsers(t.Context(), vol.ID); err != nil || len(users) != 0 {
		t.Errorf("VolumeUsers(%q) = %q, %v; want none", vol.ID, users, err)
	}
}

func (s *suite) overlay(t *testing.T) {
	_, base := s.volume(t, "base", func(v *spec.Volume) { v.Size = 8 * spec.MiB })
	vm := s.vmSpec("over")
	vm.Disks = map[string]spec.Disk{"same": {Backing: base.ID}, "more": {Backing: base.ID, Size: 16 * spec.MiB}}
	s.dropLater(t, vm.UUID)
	var info spec.VMInfo
	create := func() (err error) { info, err = s.drv.CreateVM(t.Context(), vm); return err }
	if !s.caps.VolumeBacking {
		vm.Disks = map[string]spec.Disk{"same": {Backing: base.ID}}
	}
	if s.without(t, s.caps.VolumeBacking, "disks.same.backing", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
	if info.Disks["same"].Size != 8*spec.MiB || info.Disks["more"].Size != 16*spec.MiB {
		t.Errorf("disks = %+v; want 8MiB and 16MiB", info.Disks)
	}
	users, err := s.drv.VolumeUsers(t.Context(), base.ID)
	if err != nil || len(users) != 2 {
		t.Errorf("VolumeUsers(%q) = %q, %v; want two overlays", base.ID, users, err)
	}
	fails(t, "DeleteVolume of a backing volume", s.drv.DeleteVolume(t.Context(), base.ID), fault.Busy, "")
	small := s.vmSpec("small")
	small.Disks = map[string]spec.Disk{"root": {Backing: base.ID, Size: 4 * spec.MiB}}
	s.dropLater(t, small.UUID)
	_, err = s.drv.CreateVM(t.Context(), small)
	fails(t, "CreateVM with an overlay smaller than its backing volume", err, fault.Invalid, "disks.root.size")
}

func (s *suite) directBoot(t *testing.T) {
	vm := s.vmSpec("kernel")
	vm.Boot = &spec.DirectBoot{Kernel: "/dev/null", Initrd: "/dev/null", Cmdline: "console=ttyS0 a=\"<b> & 'c'\""}
	s.dropLater(t, vm.UUID)
	var info spec.VMInfo
	create := func() (err error) { info, err = s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.DirectBoot, "kernel", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
}

func (s *suite) seeded(t *testing.T) {
	vm := s.vmSpec("seeded")
	vm.CloudInit = &spec.CloudInit{UserData: "#cloud-config\npassword: a secret\n"}
	vm.SSHKeys = []string{"ssh-ed25519 AAAA somebody"}
	s.dropLater(t, vm.UUID)
	var info spec.VMInfo
	create := func() (err error) { info, err = s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.CloudInit, "cloud_init", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
	if c := info.CloudInit; c == nil || c.UserData != "" || len(info.SSHKeys) != 0 || len(info.OwnedDisks) != 0 {
		t.Errorf("CreateVM = %+v; want nothing of the seed but its digest, and no disk", info)
	}
	s.dropVM(t, vm.UUID)
	s.nothingLeft(t)
}

func (s *suite) userNetworking(t *testing.T) {
	vm := s.vmSpec("user")
	vm.Power = spec.Running
	vm.NICs = map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{freePort(t): 22}}}
	s.dropLater(t, vm.UUID)
	var info spec.VMInfo
	create := func() (err error) { info, err = s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.UserNetworking, "nics.lan.network", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
}

func (s *suite) networked(t *testing.T) {
	vm := s.vmSpec("lan")
	vm.Power = spec.Running
	vm.NICs = map[string]spec.NIC{"lan": {Network: s.Prefix + "lan"}}
	s.dropLater(t, vm.UUID)
	var info spec.VMInfo
	create := func() (err error) { info, err = s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, len(s.caps.NetworkModes) > 0, "nics.lan.network", create) {
		return
	}
	net, _ := s.network(t, "lan", func(*spec.Network) {})
	s.dropLater(t, vm.UUID) // before the network goes
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
	if !s.Mock {
		fails(t, "DeleteNetwork under a running VM", s.drv.DeleteNetwork(t.Context(), net.UUID), fault.Busy, "")
	}
	if err := s.drv.StopVM(t.Context(), vm.UUID, spec.Shutdown{}); err != nil {
		t.Errorf("StopVM = %v", err)
	}
	if err := s.drv.DeleteNetwork(t.Context(), net.UUID); err != nil {
		t.Errorf("DeleteNetwork of a network with no running VM = %v", err)
	}
}
