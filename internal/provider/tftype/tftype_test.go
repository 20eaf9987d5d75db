package tftype_test

import (
	"strings"
	"testing"
	"time"

	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func size(s string) tftype.Size { return tftype.Size{StringValue: basetypes.NewStringValue(s)} }

func TestSizesOfTheSameNumberOfBytesAreOneValue(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"4GiB", "4096MiB", true},
		{"4GiB", "4 GiB", true},
		{"1GB", "1000MB", true},
		{"1GB", "1GiB", false},
		{"4096", "4096", false}, // neither is a size
	} {
		got, diags := size(tc.a).StringSemanticEquals(t.Context(), size(tc.b))
		if got != tc.same || diags.HasError() {
			t.Errorf("%q equals %q = %t, %v; want %t", tc.a, tc.b, got, diags, tc.same)
		}
	}
	if tftype.NullSize().Same(tftype.NullSize()) || tftype.UnknownSize().Same(size("1GiB")) {
		t.Error("what is null or unknown is the same as something")
	}
	if got := tftype.NewSize(5 * spec.GiB); got.ValueString() != "5GiB" || got.Bytes() != 5*spec.GiB {
		t.Errorf("NewSize(5GiB) = %s, %d bytes", got, got.Bytes())
	}
}

func TestValidationNamesTheRemedyAndTheAttribute(t *testing.T) {
	at := path.Root("disks").AtMapKey("root").AtName("size")
	for _, tc := range []struct {
		value xattr.ValidateableAttribute
		want  string // "" for valid
	}{
		{size("4GiB"), ""},
		{tftype.NullSize(), ""},
		{tftype.UnknownSize(), ""},
		{size("4096"), `disks["root"].size: size "4096" has no unit: write for example "4096GiB"`},
		{size("-1GiB"), `is not a number with a unit`},
		{tftype.Duration{StringValue: basetypes.NewStringValue("1m30s")}, ""},
		{tftype.Duration{}, ""},
		{tftype.Duration{StringValue: basetypes.NewStringValue("90")}, `duration "90" has no unit: write for example "90s"`},
		{tftype.Duration{StringValue: basetypes.NewStringValue("-1s")}, `is not a number with a unit`},
	} {
		var resp xattr.ValidateAttributeResponse
		tc.value.ValidateAttribute(t.Context(), xattr.ValidateAttributeRequest{Path: at}, &resp)
		switch {
		case tc.want == "" && resp.Diagnostics.HasError():
			t.Errorf("%v is refused: %v", tc.value, resp.Diagnostics)
		case tc.want != "" && (len(resp.Diagnostics) != 1 || !strings.Contains(resp.Diagnostics[0].Detail(), tc.want)):
			t.Errorf("%v: %v; want one diagnostic with %q", tc.value, resp.Diagnostics, tc.want)
		}
	}
}

func TestValuesComeFromTerraformAndGoBack(t *testing.T) {
	for _, typ := range []fwattr.Type{tftype.SizeType{}, tftype.DurationType{}} {
		for _, raw := range []tftypes.Value{
			tftypes.NewValue(tftypes.String, "1GiB"), tftypes.NewValue(tftypes.String, nil), tftypes.NewValue(tftypes.String, tftypes.UnknownValue),
		} {
			v, err := typ.ValueFromTerraform(t.Context(), raw)
			if err != nil {
				t.Fatalf("%s: ValueFromTerraform(%s) = %v", typ, raw, err)
			}
			back, err := v.ToTerraformValue(t.Context())
			if err != nil || !back.Equal(raw) || !v.Type(t.Context()).Equal(typ) {
				t.Errorf("%s: %s came back as %s, %v", typ, raw, back, err)
			}
		}
	}
}

func TestDurationOr(t *testing.T) {
	if got := (tftype.Duration{}).Or(time.Minute); got != time.Minute {
		t.Errorf("Or of null = %s; want the standard", got)
	}
	if got := (tftype.Duration{StringValue: basetypes.NewStringValue("0s")}).Or(time.Minute); got != 0 {
		t.Errorf("Or of 0s = %s; want 0s", got)
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"4GiB", "4096", "", "1.5TiB", "GiB", "9999999999TiB", "0B", "1e3GiB", "٣GiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := size(s)
		n := v.Bytes()
		if n < 0 {
			t.Fatalf("%q is %d bytes", s, n)
		}
		if _, err := spec.ParseSize(s); err == nil && !tftype.NewSize(n).Same(v) {
			t.Errorf("%q and its canonical form %s are two values", s, tftype.NewSize(n))
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"90s", "90", "", "1h30m", "-1s", "1d", "9999999h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := tftype.ParseDuration(s); err == nil && d < 0 {
			t.Errorf("ParseDuration(%q) = %s", s, d)
		}
	})
}
