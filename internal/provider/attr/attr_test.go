package attr_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestPathOfAField(t *testing.T) {
	for field, want := range map[string]path.Path{
		"name":              path.Root("name"),
		"disks.root":        path.Root("disks").AtMapKey("root"),
		"disks.root.volume": path.Root("disks").AtMapKey("root").AtName("volume"),
		"disks.size":        path.Root("disks").AtMapKey("size"),
		"disks.size.size":   path.Root("disks").AtMapKey("size").AtName("size"),
		"disks.a.b":         path.Root("disks").AtMapKey("a.b"),
		"nics.lan.forward":  path.Root("nics").AtMapKey("lan").AtName("forward"),
		"source.file":       path.Root("source").AtName("file"),
		"labels.a.b":        path.Root("labels").AtMapKey("a.b"),
		"ssh_keys.1":        path.Root("ssh_keys").AtListIndex(1),
		"wait_for.ip.nic":   path.Root("wait_for").AtName("ip").AtName("nic"),
	} {
		if got := attr.Path(field); !got.Equal(want) {
			t.Errorf("Path(%q) = %s; want %s", field, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"", ".", "disks", "disks.", "disks..volume", "nics.a.b.c", "labels.", "ssh_keys.x", "a..b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		if got := attr.Path(field); len(got.Steps()) == 0 {
			t.Errorf("Path(%q) is empty", field)
		}
	})
}

func TestOneDiagnosticSaysAll(t *testing.T) {
	err := fmt.Errorf("create VM %q: %w", "web", fault.WithHint(fault.At("disks.root.volume", fault.Errorf(fault.NotFound, "there is no volume x")), "make it first"))
	var diags diag.Diagnostics
	attr.Fail(&diags, "Create", "VM", err)
	want := diag.NewAttributeErrorDiagnostic(path.Root("disks").AtMapKey("root"), "Unable to Create VM",
		"disks[\"root\"].volume: create VM \"web\": there is no volume x\nmake it first")
	if len(diags) != 1 || !diags[0].Equal(want) {
		t.Errorf("Fail = %v; want %v", diags, want)
	}
	diags = nil
	attr.Warn(&diags, "Not Ready", errors.New("no answer"))
	if len(diags) != 1 || !diags[0].Equal(diag.NewWarningDiagnostic("Not Ready", "no answer")) {
		t.Errorf("Warn = %v; want a plain warning", diags)
	}
}

func TestOnlyThePlatformsWordRemovesAnObject(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("read: %w", fault.NotFound), true},
		{fault.At("disks.root", fault.Errorf(fault.NotFound, "no volume")), false},
		{fault.Errorf(fault.Unavailable, "no route: %w", fault.NotFound), false},
		{errors.New("domain not found"), false},
	} {
		if got := attr.Gone(tc.err); got != tc.want {
			t.Errorf("Gone(%v) = %t; want %t", tc.err, got, tc.want)
		}
	}
}

func TestProblemsOfWhatIsNotKnownYetAreLeftForLater(t *testing.T) {
	disk := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"volume": tftypes.String}}
	object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"name": tftypes.String, "disks": tftypes.Map{ElementType: disk}, "nics": tftypes.Map{ElementType: disk}}}
	unknown, err := attr.UnknownIn(tftypes.NewValue(object, map[string]tftypes.Value{
		"name":  tftypes.NewValue(tftypes.String, "web"),
		"disks": tftypes.NewValue(tftypes.Map{ElementType: disk}, map[string]tftypes.Value{"root": tftypes.NewValue(disk, map[string]tftypes.Value{"volume": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)})}),
		"nics":  tftypes.NewValue(tftypes.Map{ElementType: disk}, tftypes.UnknownValue),
	}))
	if slices.Sort(unknown); err != nil || !slices.Equal(unknown, []string{"disks.root.volume", "nics"}) {
		t.Fatalf("UnknownIn = %v, %v; want disks.root.volume and nics", unknown, err)
	}
	var diags diag.Diagnostics
	attr.Problems(&diags, "VM", []spec.Problem{
		{Field: "name", Text: "bad"}, {Field: "disks.root", Text: "later"}, {Field: "disks.rootless", Text: "bad too"}, {Field: "nics.lan.mac", Text: "later"}, {Text: "everywhere"},
	}, unknown)
	var got []string
	for _, d := range diags {
		got = append(got, d.Detail())
	}
	if !slices.Equal(got, []string{"bad", "bad too", "everywhere"}) {
		t.Errorf("Problems = %v; want those of what is known", got)
	}
}

func TestImportIDs(t *testing.T) {
	for id, want := range map[string][2]string{"web": {"", "web"}, "kvm1/web": {"kvm1", "web"}} {
		target, rest, err := attr.ImportID(id)
		if err != nil || target.ValueString() != want[0] || target.IsNull() != (want[0] == "") || rest != want[1] {
			t.Errorf("ImportID(%q) = %s, %q, %v; want %q", id, target, rest, err, want)
		}
	}
	for _, id := range []string{"", "/web", "kvm1/", "a/b/c"} {
		if _, _, err := attr.ImportID(id); fault.KindOf(err) != fault.Invalid {
			t.Errorf("ImportID(%q) = %v; want an invalid request", id, err)
		}
	}
}

func TestTwoResourcesCannotBeOneObject(t *testing.T) {
	for _, tc := range []struct {
		what   string
		claims []attr.Claim
		last   bool
	}{
		{"one is created", []attr.Claim{attr.New}, true},
		{"two are created", []attr.Claim{attr.New, attr.New}, false},
		{"one is held and planned twice", []attr.Claim{attr.Held, attr.Held}, true},
		{"one is created over a held one", []attr.Claim{attr.Held, attr.New}, false},
		{"one is held and another was to be created", []attr.Claim{attr.New, attr.Held}, false},
	} {
		p := &attr.Provider{Owner: types.StringValue("o")}
		got := true
		for _, c := range tc.claims {
			got = p.Claim(c, "VM", "sim", "id")
		}
		if got != tc.last {
			t.Errorf("%s: the last claim = %t; want %t", tc.what, got, tc.last)
		}
		if !p.Claim(attr.New, "VM", "other", "id") || !p.Claim(attr.New, "network", "sim", "id") {
			t.Errorf("%s: claims of another target or kind are refused", tc.what)
		}
	}
}
