package backend

import (
	"context"
	"fmt"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CheckVolume returns what is wrong with the volume for this target, without
// connecting.
func (b *Backend) CheckVolume(v spec.Volume) []spec.Problem {
	c := b.Capabilities()
	p := v.Validate()
	need := func(ok bool, power, field, what string) {
		if !ok {
			p = append(p, spec.Problem{Field: field, Text: b.lacks(c, power, what)})
		}
	}
	need(c.HasVolumeFormat(v.Format), "VolumeFormats", "format", fmt.Sprintf("the format %s (it has %s)", v.Format, strings.Join(c.VolumeFormats, ", ")))
	need(v.Source == nil || c.VolumeUpload, "VolumeUpload", "source", "volumes with contents")
	need(v.Backing == "" || c.VolumeBacking, "VolumeBacking", "backing", "overlays")
	return byField(p)
}

// CreateVolume makes the volume, or adopts what an interrupted run of the same
// configuration left of it.
func (b *Backend) CreateVolume(ctx context.Context, v spec.Volume) (spec.VolumeInfo, error) {
	if err := b.claim(v.UUID); err != nil {
		return spec.VolumeInfo{}, b.wrap(err, "create", "volume", v.Name)
	}
	info, err := patient(ctx, b, func() (spec.VolumeInfo, error) { return b.drv.CreateVolume(ctx, v) })
	if err != nil {
		b.release(v.UUID)
	}
	return info, b.wrap(err, "create", "volume", v.Name)
}

// Volume returns the volume with the id.
func (b *Backend) Volume(ctx context.Context, id string) (spec.VolumeInfo, error) {
	info, err := b.drv.Volume(ctx, id)
	return info, b.wrap(err, "read", "volume", id)
}

// VolumeUsers returns what needs the volume.
func (b *Backend) VolumeUsers(ctx context.Context, id string) ([]string, error) {
	users, err := b.drv.VolumeUsers(ctx, id)
	return users, b.wrap(err, "read users of", "volume", id)
}

// GrowVolume makes the volume at least size large, in use or not.
func (b *Backend) GrowVolume(ctx context.Context, id string, size spec.Size) error {
	_, err := patient(ctx, b, func() (struct{}, error) { return struct{}{}, b.drv.GrowVolume(ctx, id, size) })
	return b.wrap(err, "grow", "volume", id)
}

// DeleteVolume removes the volume with the id, made under the identity uuid. A
// volume that something needs is refused at once, naming it.
func (b *Backend) DeleteVolume(ctx context.Context, id, uuid string) error {
	users, err := b.drv.VolumeUsers(ctx, id)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		b.release(uuid)
		return nil
	case err != nil:
		return b.wrap(err, "delete", "volume", id)
	case len(users) > 0:
		err := fault.Errorf(fault.Busy, "it is needed by %s", strings.Join(users, ", "))
		return b.wrap(fault.WithHint(err, "delete or change those first"), "delete", "volume", id)
	}
	_, err = patient(ctx, b, func() (struct{}, error) { return struct{}{}, b.drv.DeleteVolume(ctx, id) })
	if err == nil {
		b.release(uuid)
	}
	return b.wrap(err, "delete", "volume", id)
}
