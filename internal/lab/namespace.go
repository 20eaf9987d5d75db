//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/novacron/terraform-provider-novacron/internal/kvmprobe"
)

// enter puts the directories of a system host where libvirtd looks for them.
// The calling process is alone in its mount namespace.
func (l layout) enter() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	for name, at := range stateDirs {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(filepath.Join(l.Dir, name), at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	if err := hideBus(); err != nil {
		return err
	}
	if l.HideKVM {
		return l.hideKVM()
	}
	return nil
}

// hideBus covers the directory of the system bus: by it every libvirtd of the
// machine would register its guests in one place, where the first guests of two
// hosts have one name.
func hideBus() error {
	const bus = "/run/dbus"
	if _, err := os.Stat(bus); err != nil {
		return nil // nothing to hide
	}
	if err := unix.Mount("tmpfs", bus, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("hide %s: %w", bus, err)
	}
	return nil
}

// hideKVM covers the device by an empty file on a read-only mount: even root
// finds that it may not write to it, which is how libvirtd asks for KVM.
func (l layout) hideKVM() error {
	if _, err := os.Stat(kvmprobe.DevicePath); err != nil {
		return nil // nothing to hide
	}
	cover := filepath.Join(l.Dir, "run", "no-kvm")
	if err := os.WriteFile(cover, nil, 0); err != nil {
		return err
	}
	if err := unix.Mount(cover, kvmprobe.DevicePath, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("hide %s: %w", kvmprobe.DevicePath, err)
	}
	if err := unix.Mount("", kvmprobe.DevicePath, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("hide %s: %w", kvmprobe.DevicePath, err)
	}
	return nil
}
