package simvm

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CreateVolume makes the volume; its source is only looked at.
func (d *Driver) CreateVolume(ctx context.Context, want spec.Volume) (info spec.VolumeInfo, err error) {
	if err := d.supportsVolume(want); err != nil {
		return info, err
	}
	v := volume{Volume: want, Contents: want.Source != nil}
	v.Source = nil
	if v.Pool == "" {
		v.Pool = defaultPool
	}
	v.ID = spec.VolumeID(v.Pool, v.OwnName())
	if want.Source != nil {
		size, err := sourceSize(want.Source.File, want.Format)
		if err != nil {
			return info, err
		}
		if v.Size, err = atLeast(want.Size, size, want.Source.File); err != nil {
			return info, err
		}
	}
	found := false
	err = d.read(ctx, "CreateVolume: look for it", func(p *platform) error {
		if found, err = p.lookVolume(&v); err != nil || !found {
			return err
		}
		info = p.Volumes[v.ID].info()
		return nil
	})
	if err != nil {
		return info, err
	}
	if found && info.Size >= v.Size {
		return info, nil
	}
	if found {
		err = d.GrowVolume(ctx, v.ID, v.Size)
	} else {
		err = d.write(ctx, "CreateVolume: make", func(p *platform) error { return p.addVolume(v) })
	}
	if err != nil {
		return info, err
	}
	return d.Volume(ctx, v.ID)
}

// lookVolume reports whether the volume is there already and ours, and gives an
// overlay its size.
func (p *platform) lookVolume(v *volume) (found bool, err error) {
	if _, ok := p.opt.Pools[v.Pool]; !ok {
		return false, fault.At("pool", noPool(v.Pool))
	}
	if v.Backing != "" {
		base := p.Volumes[v.Backing]
		if base == nil {
			return false, fault.At("backing", noVolume(v.Backing))
		}
		if v.Size, err = atLeast(v.Size, base.Size, base.ID); err != nil {
			return false, err
		}
	}
	old := p.Volumes[v.ID]
	if old != nil && (old.UUID != v.UUID || old.VM != "") {
		return false, taken("volume", v.ID, old.UUID)
	}
	return old != nil, nil
}

// Volume returns the volume with the id.
func (d *Driver) Volume(ctx context.Context, id string) (info spec.VolumeInfo, err error) {
	err = d.read(ctx, "Volume: read", func(p *platform) error {
		v := p.Volumes[id]
		if v == nil {
			return noVolume(id)
		}
		info = v.info()
		return nil
	})
	return info, err
}

// GrowVolume makes the volume at least size large.
func (d *Driver) GrowVolume(ctx context.Context, id string, size spec.Size) error {
	if !d.Capabilities().VolumeGrow {
		return d.lacks("size", "VolumeGrow", "growing volumes")
	}
	return d.write(ctx, "GrowVolume: grow", func(p *platform) error { return p.growVolume(id, size) })
}

// VolumeUsers returns what needs the volume.
func (d *Driver) VolumeUsers(ctx context.Context, id string) (users []string, err error) {
	err = d.read(ctx, "VolumeUsers: read", func(p *platform) error {
		if p.Volumes[id] == nil {
			return noVolume(id)
		}
		users = p.users(id, "")
		return nil
	})
	return users, err
}

// DeleteVolume removes the volume.
func (d *Driver) DeleteVolume(ctx context.Context, id string) error {
	err := d.write(ctx, "DeleteVolume: delete", func(p *platform) error { return p.dropVolume(id, "") })
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

func (d *Driver) supportsVolume(v spec.Volume) error {
	c := d.Capabilities()
	switch {
	case !c.HasVolumeFormat(v.Format):
		return d.lacks("format", "VolumeFormats", "volumes of the format "+v.Format)
	case v.Source != nil && !c.VolumeUpload:
		return d.lacks("source", "VolumeUpload", "volumes with contents")
	case v.Backing != "" && !c.VolumeBacking:
		return d.lacks("backing", "VolumeBacking", "overlays")
	}
	return nil
}

// info describes the volume. What a pool gives is all allocated.
func (v *volume) info() spec.VolumeInfo {
	info := spec.VolumeInfo{Volume: v.Volume, Path: "/sim/" + v.ID, Allocation: v.Size}
	if v.VM != "" {
		info.UUID = "" // not a volume of its own
	}
	return info
}

// atLeast returns the wanted size, or what the contents need when none is wanted.
func atLeast(want, need spec.Size, contents string) (spec.Size, error) {
	switch {
	case want == 0:
		return need, nil
	case want < need:
		return 0, fault.At("size", fault.Errorf(fault.Invalid, "%s is less than the %s of %s", want, need, contents))
	}
	return want, nil
}

// sourceSize returns the virtual size of the image in the file, which must be of
// the format.
func sourceSize(path, format string) (spec.Size, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fault.At("source.file", fault.Errorf(fault.Invalid, "%w", err))
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, fault.At("source.file", fault.Errorf(fault.Invalid, "%w", err))
	}
	if !st.Mode().IsRegular() {
		return 0, fault.At("source.file", fault.Errorf(fault.Invalid, "%s is not a file", path))
	}
	head := make([]byte, 32)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fault.At("source.file", fault.Errorf(fault.Invalid, "%w", err))
	}
	is := spec.FormatRaw
	if n >= 4 && string(head[:4]) == "QFI\xfb" {
		is = spec.FormatQCOW2
	}
	switch {
	case is != format:
		return 0, fault.At("format", fault.Errorf(fault.Invalid, "%s is a %s image, not %s", path, is, format))
	case is == spec.FormatRaw:
		return spec.Size(st.Size()), nil
	case n < len(head):
		return 0, fault.At("source.file", fault.Errorf(fault.Invalid, "%s is cut short: %d bytes", path, n))
	}
	return spec.Size(binary.BigEndian.Uint64(head[24:])), nil
}
