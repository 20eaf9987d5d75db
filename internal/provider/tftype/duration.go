package tftype

import (
	"context"
	"fmt"
	"strings"
	"time"

	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
)

// DurationType is the type of Duration.
type DurationType struct{ basetypes.StringType }

var _ basetypes.StringTypable = DurationType{}

// Equal reports whether o is DurationType too.
func (t DurationType) Equal(o fwattr.Type) bool {
	_, ok := o.(DurationType)
	return ok
}

// String names the type in messages to developers.
func (t DurationType) String() string { return "tftype.DurationType" }

// ValueType returns the zero Duration.
func (t DurationType) ValueType(context.Context) fwattr.Value { return Duration{} }

// ValueFromString makes a Duration of a string.
func (t DurationType) ValueFromString(_ context.Context, s basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return Duration{s}, nil
}

// ValueFromTerraform makes a Duration of what Terraform sent.
func (t DurationType) ValueFromTerraform(ctx context.Context, v tftypes.Value) (fwattr.Value, error) {
	s, err := t.StringType.ValueFromTerraform(ctx, v)
	if err != nil {
		return nil, err
	}
	str, ok := s.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("a duration came as %T", s)
	}
	return Duration{str}, nil
}

// Duration is a length of time as users write it: "90s". Never negative. The zero
// Duration is null.
type Duration struct{ basetypes.StringValue }

var (
	_ basetypes.StringValuable                   = Duration{}
	_ basetypes.StringValuableWithSemanticEquals = Duration{}
	_ xattr.ValidateableAttribute                = Duration{}
)

// Type returns DurationType.
func (d Duration) Type(context.Context) fwattr.Type { return DurationType{} }

// Equal reports whether o is spelt the same.
func (d Duration) Equal(o fwattr.Value) bool {
	other, ok := o.(Duration)
	return ok && d.StringValue.Equal(other.StringValue)
}

// StringSemanticEquals reports whether o is as long.
func (d Duration) StringSemanticEquals(_ context.Context, o basetypes.StringValuable) (bool, diag.Diagnostics) {
	other, ok := o.(Duration)
	if !ok {
		return false, nil
	}
	a, errA := ParseDuration(d.ValueString())
	b, errB := ParseDuration(other.ValueString())
	return errA == nil && errB == nil && a == b, nil
}

// ValidateAttribute refuses what is not a number with a unit of time.
func (d Duration) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if d.IsNull() || d.IsUnknown() {
		return
	}
	if _, err := ParseDuration(d.ValueString()); err != nil {
		attr.Refuse(&resp.Diagnostics, req.Path, "Invalid Duration", err.Error())
	}
}

// Or returns the duration, or standard where none is set.
func (d Duration) Or(standard time.Duration) time.Duration {
	v, err := ParseDuration(d.ValueString())
	if d.IsNull() || d.IsUnknown() || err != nil {
		return standard
	}
	return v
}

// ParseDuration reads a duration such as "90s" or "1h30m". A bare number is
// refused, and so is a negative one.
func ParseDuration(s string) (time.Duration, error) {
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		return 0, fmt.Errorf("duration %q has no unit: write for example %q", s, s+"s")
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("duration %q is not a number with a unit such as s, m or h", s)
	}
	return v, nil
}
