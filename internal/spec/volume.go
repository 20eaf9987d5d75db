package spec

import (
	"regexp"
	"strings"
)

// The formats of a volume.
const (
	FormatQCOW2 = "qcow2"
	FormatRaw   = "raw"
)

// Volume is a disk image or block device in a storage pool, as a user asks for
// it or as a platform holds it.
type Volume struct {
	ID      string // "pool/name in the pool"; empty until it exists
	UUID    string // identity; drivers write it into what the platform lets them
	Owner   string
	Name    string // the user's name
	Pool    string // "" is the target's default pool
	Size    Size   // virtual size; 0 with Source or Backing: as large as those
	Format  string // FormatQCOW2 or FormatRaw
	Backing string // id of the volume that this one is an overlay of
	Source  *Source
}

// Source is where the first contents of a volume come from. It is read once,
// when the volume is made.
type Source struct {
	File string // path on the machine that runs this program
}

// VolumeInfo is a volume as its platform holds it now.
type VolumeInfo struct {
	Volume
	Path       string // on the host
	Allocation Size   // bytes it takes there
}

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$`)

// Validate returns what is wrong with the volume whatever platform it goes to.
func (v *Volume) Validate() []Problem {
	var p problems
	p.check(volumeName.MatchString(v.Name), "name", "%q is not a name: up to 127 letters, digits, '.', '_' and '-', starting with a letter or digit", v.Name)
	p.check(v.Format == FormatQCOW2 || v.Format == FormatRaw, "format", "%q is neither %q nor %q", v.Format, FormatQCOW2, FormatRaw)
	p.check(v.Size > 0 || v.Source != nil || v.Backing != "", "size", "an empty volume needs a size")
	p.check(v.Size >= 0 && v.Size%Sector == 0, "size", "%s is not a whole number of sectors: the next is %s", v.Size, v.Size.RoundUp(Sector))
	p.check(v.Backing == "" || isVolumeID(v.Backing), "backing", "%q is not the id of a volume: pool/name", v.Backing)
	p.check(v.Backing == "" || v.Format == FormatQCOW2, "format", "a volume with a backing volume must be qcow2")
	p.check(v.Backing == "" || v.Source == nil, "backing", "a volume is either an overlay (backing) or a copy (source), not both")
	p.check(v.Source == nil || v.Source.File != "", "source.file", "the path is empty")
	return p.sorted()
}

// VolumeID returns the id of the volume called name in the pool.
func VolumeID(pool, name string) string { return pool + "/" + name }

func isVolumeID(id string) bool {
	_, _, ok := SplitVolumeID(id)
	return ok
}

// OwnName returns the name in its pool of a volume that we made. It carries the
// identity, because that is the only place that every platform has for it.
func (v *Volume) OwnName() string {
	return v.Name + "." + ShortID(v.UUID) + "." + v.Format
}

// SplitVolumeID returns the pool and the name within it; ok is false when id is
// not of that form.
func SplitVolumeID(id string) (pool, name string, ok bool) {
	pool, name, ok = strings.Cut(id, "/")
	return pool, name, ok && pool != "" && name != "" && !strings.Contains(name, "/")
}
