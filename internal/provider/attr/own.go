package attr

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// madeKey is where the private state keeps the id of the object. Terraform hands
// the private state of an object that is replaced to the plan of its successor,
// whose prior state is empty: that tells a replacement from a first creation.
const madeKey = "id"

// Keeper is private state that can be written.
type Keeper interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// Teller is private state that can be read.
type Teller interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

// Note writes the id of the object into its private state.
func Note(ctx context.Context, private Keeper, id string, diags *diag.Diagnostics) {
	value, err := json.Marshal(id)
	if err != nil {
		Fail(diags, "Write", "Private State", err)
		return
	}
	diags.Append(private.SetKey(ctx, madeKey, value)...)
}

// Made returns the id of the object that the private state belongs to, or "".
func Made(ctx context.Context, private Teller) string {
	value, diags := private.GetKey(ctx, madeKey)
	var id string
	if diags.HasError() || json.Unmarshal(value, &id) != nil {
		return ""
	}
	return id
}

// Taken refuses a name that belongs to something that is not ours.
func Taken(diags *diag.Diagnostics, noun, resource, target, name, id string) {
	Refuse(diags, path.Root("name"), noun+" Exists Already",
		fmt.Sprintf("target %q has a %s %q (%s) that this configuration did not make\n"+
			"choose another name, or take it over: terraform import %s.NAME %s/%s", target, noun, name, id, resource, target, name))
}

// NotLookedAt warns that the plan was made without the host.
func NotLookedAt(diags *diag.Diagnostics, err error) {
	Warn(diags, "Plan Made Without the Target", fault.At("target", fault.WithHint(err, "the plan was not compared with the target; the apply needs it")))
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// IsUUID reports whether s is a UUID.
func IsUUID(s string) bool { return uuid.MatchString(s) }

// ImportID cuts an import id "target/rest" or "rest"; target is null for the
// default one.
func ImportID(id string) (target types.String, rest string, err error) {
	target = types.StringNull()
	rest = id
	if before, after, ok := strings.Cut(id, "/"); ok {
		target, rest = types.StringValue(before), after
	}
	if rest == "" || strings.Contains(rest, "/") || target.ValueString() == "" && !target.IsNull() {
		return target, rest, fault.Errorf(fault.Invalid, "import id %q is not NAME, UUID, TARGET/NAME or TARGET/UUID", id)
	}
	return target, rest, nil
}
