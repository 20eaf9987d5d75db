package domxml

import (
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Volume is a volume as its pool describes it.
type Volume struct {
	Name, Path, Format   string
	Block                bool
	Capacity, Allocation spec.Size
	BackingPath          string
}

// NewVolume returns the XML that makes a volume in a pool. backing is nil for
// one that is no overlay.
func NewVolume(name, format string, size spec.Size, backing *Volume) (string, error) {
	v := libvirtxml.StorageVolume{
		Name:       name,
		Capacity:   &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: uint64(size)},
		Allocation: &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: 0},
		Target:     &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: format}},
	}
	if backing != nil {
		v.BackingStore = &libvirtxml.StorageVolumeBackingStore{
			Path: backing.Path, Format: &libvirtxml.StorageVolumeTargetFormat{Type: backing.Format},
		}
	}
	return v.Marshal()
}

// ParseVolume reads a volume's XML.
func ParseVolume(doc string) (Volume, error) {
	var x libvirtxml.StorageVolume
	if err := x.Unmarshal(doc); err != nil {
		return Volume{}, fmt.Errorf("description of a volume: %w", err)
	}
	v := Volume{Name: x.Name, Block: x.Type == "block", Format: spec.FormatRaw, Capacity: bytes(x.Capacity), Allocation: bytes(x.Allocation)}
	if x.Target != nil {
		v.Path = x.Target.Path
		if x.Target.Format != nil && !v.Block {
			v.Format = x.Target.Format.Type
		}
	}
	if x.BackingStore != nil {
		v.BackingPath = x.BackingStore.Path
	}
	return v, nil
}

// bytes returns a size; libvirt counts volumes in bytes unless it says otherwise.
func bytes(s *libvirtxml.StorageVolumeSize) spec.Size {
	if s == nil {
		return 0
	}
	if s.Unit == "" {
		return spec.Size(s.Value)
	}
	return scaled(s.Value, s.Unit)
}

// Pool is a storage pool as it describes itself.
type Pool struct {
	Name, Type, Path string
}

// ParsePool reads a pool's XML.
func ParsePool(doc string) (Pool, error) {
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(doc); err != nil {
		return Pool{}, fmt.Errorf("description of a storage pool: %w", err)
	}
	p := Pool{Name: x.Name, Type: x.Type}
	if x.Target != nil {
		p.Path = x.Target.Path
	}
	return p, nil
}

// NewDirPool returns the XML of a pool over a directory.
func NewDirPool(name, path string) (string, error) {
	p := libvirtxml.StoragePool{Type: "dir", Name: name, Target: &libvirtxml.StoragePoolTarget{Path: path}}
	return p.Marshal()
}
