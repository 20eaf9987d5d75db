package change

import "github.com/novacron/terraform-provider-novacron/internal/spec"

// Volume compares a volume as it is with the volume as it is wanted. A source is
// read once, when the volume is made, and so never differs. A smaller size is
// not here: it is refused before.
func Volume(have, want spec.Volume) Plan {
	var p Plan
	if have.Name != want.Name {
		p.add(Replace, "name", "the name is part of the volume's identity")
	}
	if want.Pool != "" && have.Pool != want.Pool {
		p.add(Replace, "pool", "volumes are not moved between pools")
	}
	if have.Format != want.Format {
		p.add(Replace, "format", "volumes are not converted in place")
	}
	if have.Backing != want.Backing {
		p.add(Replace, "backing", "an overlay is nothing without the volume it was made on")
	}
	if want.Size > have.Size {
		p.add(Live, "size", "")
	}
	return p.sorted()
}
