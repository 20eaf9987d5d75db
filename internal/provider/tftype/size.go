package tftype

import (
	"context"
	"fmt"

	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// SizeType is the type of Size.
type SizeType struct{ basetypes.StringType }

var _ basetypes.StringTypable = SizeType{}

// Equal reports whether o is SizeType too.
func (t SizeType) Equal(o fwattr.Type) bool {
	_, ok := o.(SizeType)
	return ok
}

// String names the type in messages to developers.
func (t SizeType) String() string { return "tftype.SizeType" }

// ValueType returns the zero Size.
func (t SizeType) ValueType(context.Context) fwattr.Value { return Size{} }

// ValueFromString makes a Size of a string.
func (t SizeType) ValueFromString(_ context.Context, s basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return Size{s}, nil
}

// ValueFromTerraform makes a Size of what Terraform sent.
func (t SizeType) ValueFromTerraform(ctx context.Context, v tftypes.Value) (fwattr.Value, error) {
	s, err := t.StringType.ValueFromTerraform(ctx, v)
	if err != nil {
		return nil, err
	}
	str, ok := s.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("a size came as %T", s)
	}
	return Size{str}, nil
}

// Size is a number of bytes as users write it: "4GiB". Two spellings of the same
// number are one value ("4GiB", "4096MiB"). The zero Size is null.
type Size struct{ basetypes.StringValue }

var (
	_ basetypes.StringValuable                   = Size{}
	_ basetypes.StringValuableWithSemanticEquals = Size{}
	_ xattr.ValidateableAttribute                = Size{}
)

// NewSize returns the value of n bytes.
func NewSize(n spec.Size) Size { return Size{basetypes.NewStringValue(n.String())} }

// NullSize returns the value that is not set.
func NullSize() Size { return Size{basetypes.NewStringNull()} }

// UnknownSize returns the value that is not known yet.
func UnknownSize() Size { return Size{basetypes.NewStringUnknown()} }

// Type returns SizeType.
func (s Size) Type(context.Context) fwattr.Type { return SizeType{} }

// Equal reports whether o is spelt the same.
func (s Size) Equal(o fwattr.Value) bool {
	other, ok := o.(Size)
	return ok && s.StringValue.Equal(other.StringValue)
}

// Same reports whether both are known and the same number of bytes.
func (s Size) Same(o Size) bool {
	if s.IsNull() || s.IsUnknown() || o.IsNull() || o.IsUnknown() {
		return false
	}
	a, errA := spec.ParseSize(s.ValueString())
	b, errB := spec.ParseSize(o.ValueString())
	return errA == nil && errB == nil && a == b
}

// StringSemanticEquals reports whether o is the same number of bytes.
func (s Size) StringSemanticEquals(_ context.Context, o basetypes.StringValuable) (bool, diag.Diagnostics) {
	other, ok := o.(Size)
	return ok && s.Same(other), nil
}

// ValidateAttribute refuses what is not a number with a unit.
func (s Size) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if s.IsNull() || s.IsUnknown() {
		return
	}
	if _, err := spec.ParseSize(s.ValueString()); err != nil {
		attr.Refuse(&resp.Diagnostics, req.Path, "Invalid Size", err.Error())
	}
}

// Bytes returns the number of bytes; 0 for null, unknown and what validation
// refused before.
func (s Size) Bytes() spec.Size {
	n, err := spec.ParseSize(s.ValueString())
	if err != nil {
		return 0
	}
	return n
}
