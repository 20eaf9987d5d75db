package attr

import (
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Path returns the attribute path of a field as the rooms below name it:
// "disks.root.volume" is disks["root"].volume. Keys of disks and nics may hold
// dots, which are wrong but must be pointed at all the same.
func Path(field string) path.Path {
	root, rest, nested := strings.Cut(field, ".")
	p := path.Root(root)
	if !nested {
		return p
	}
	switch root {
	case "disks", "nics":
		key, attribute := splitKey(rest)
		p = p.AtMapKey(key)
		if attribute != "" {
			p = p.AtName(attribute)
		}
		return p
	case "labels":
		return p.AtMapKey(rest)
	case "ssh_keys":
		if i, err := strconv.Atoi(rest); err == nil {
			return p.AtListIndex(i)
		}
		return p
	}
	for name := range strings.SplitSeq(rest, ".") {
		p = p.AtName(name)
	}
	return p
}

// Refuse adds an error about the attribute. The terraform command can show a
// top-level attribute, and the entry of a map; of what lies deeper it shows
// nothing. So the diagnostic points as deep as can be shown, and its text names
// the rest.
func Refuse(diags *diag.Diagnostics, at path.Path, summary, detail string) {
	at, detail = shown(at, detail)
	diags.AddAttributeError(at, summary, detail)
}

func shown(at path.Path, detail string) (path.Path, string) {
	steps := at.Steps()
	p, rest := path.Empty(), len(steps)
	for i, s := range steps {
		name, ok := s.(path.PathStepAttributeName)
		if ok && i == 0 {
			p = path.Root(string(name))
			rest--
		}
		if key, ok := s.(path.PathStepElementKeyString); ok && i == 1 {
			p = p.AtMapKey(string(key))
			rest--
		}
	}
	if rest == 0 || len(p.Steps()) == 0 {
		return at, detail
	}
	return p, at.String() + ": " + detail
}

// splitKey cuts "root.volume" into the device's key and its attribute, which is
// "" when the whole device is meant.
func splitKey(s string) (key, attribute string) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 {
		return s, ""
	}
	switch last := s[i+1:]; last {
	case "volume", "size", "backing", "pool", "bus", "read_only", "network", "mac", "model", "forward":
		return s[:i], last
	}
	return s, ""
}

// Unknown is the fields of a configuration that are not known yet.
type Unknown []string

// UnknownIn returns the fields of raw that are not known yet.
func UnknownIn(raw tftypes.Value) (Unknown, error) {
	var u Unknown
	err := tftypes.Walk(raw, func(p *tftypes.AttributePath, v tftypes.Value) (bool, error) {
		if !v.IsKnown() {
			u = append(u, field(p))
			return false, nil
		}
		return true, nil
	})
	return u, err
}

// Touches reports whether the field, anything in it or anything around it is
// not known yet.
func (u Unknown) Touches(field string) bool {
	for _, f := range u {
		if f == field || strings.HasPrefix(f, field+".") || strings.HasPrefix(field, f+".") {
			return true
		}
	}
	return false
}

// field returns the path as the rooms below would name it.
func field(p *tftypes.AttributePath) string {
	var parts []string
	for _, step := range p.Steps() {
		switch s := step.(type) {
		case tftypes.AttributeName:
			parts = append(parts, string(s))
		case tftypes.ElementKeyString:
			parts = append(parts, string(s))
		case tftypes.ElementKeyInt:
			parts = append(parts, strconv.FormatInt(int64(s), 10))
		}
	}
	return strings.Join(parts, ".")
}
