package attr

import (
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Gone reports whether err is the platform's word that the object itself does not
// exist: the only reason to remove it from the state. What an object refers to
// may be missing too; then the error has a field.
func Gone(err error) bool {
	return fault.KindOf(err) == fault.NotFound && fault.FieldOf(err) == ""
}

// Fail adds the one diagnostic of a failed operation: "Unable to Create VM", at
// the attribute that err is about, with what the user can do as the last line.
func Fail(diags *diag.Diagnostics, verb, noun string, err error) {
	add(diags, diag.SeverityError, "Unable to "+verb+" "+noun, err)
}

// Warn adds err as a warning.
func Warn(diags *diag.Diagnostics, summary string, err error) {
	add(diags, diag.SeverityWarning, summary, err)
}

func add(diags *diag.Diagnostics, severity diag.Severity, summary string, err error) {
	detail := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		detail += "\n" + hint
	}
	field := fault.FieldOf(err)
	switch {
	case severity == diag.SeverityWarning && field != "":
		at, detail := shown(Path(field), detail)
		diags.AddAttributeWarning(at, summary, detail)
	case severity == diag.SeverityWarning:
		diags.AddWarning(summary, detail)
	case field != "":
		Refuse(diags, Path(field), summary, detail)
	default:
		diags.AddError(summary, detail)
	}
}

// Problems adds what is wrong with a spec, the first of each attribute, except
// where it may come right once the fields that are not known yet are.
func Problems(diags *diag.Diagnostics, noun string, problems []spec.Problem, unknown Unknown) {
	said := map[string]bool{}
	for _, p := range problems {
		if said[p.Field] {
			continue
		}
		said[p.Field] = true
		switch {
		case p.Field == "":
			diags.AddError("Invalid "+noun, p.Text)
		case !unknown.Touches(p.Field):
			Refuse(diags, Path(p.Field), "Invalid "+noun, p.Text)
		}
	}
}
