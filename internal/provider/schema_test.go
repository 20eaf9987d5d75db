package provider_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/novacron/terraform-provider-novacron/internal/provider"
	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
)

// inPlace is how a description says what a change does.
var inPlace = regexp.MustCompile(`Change|Adding|Growing|Starting`)

func TestEveryAttributeSaysItsDefaultAndWhatAChangeDoes(t *testing.T) {
	ctx := t.Context()
	for _, make := range provider.New("test", nil)().Resources(ctx) {
		r := make()
		var meta resource.MetadataResponse
		r.Metadata(ctx, resource.MetadataRequest{ProviderTypeName: "novacron"}, &meta)
		var s resource.SchemaResponse
		r.Schema(ctx, resource.SchemaRequest{}, &s)
		if diags := s.Schema.ValidateImplementation(ctx); diags.HasError() {
			t.Errorf("%s: %v", meta.TypeName, diags)
		}
		described(t, meta.TypeName, s.Schema.Attributes, true)
	}
}

func described(t *testing.T, at string, attributes map[string]schema.Attribute, top bool) {
	t.Helper()
	for name, a := range attributes {
		field := at + "." + name
		text := a.GetMarkdownDescription() + a.GetDescription()
		if !strings.HasSuffix(strings.TrimRight(text, "`"), ".") {
			t.Errorf("%s: the description %q is no sentence", field, text)
		}
		if a.IsOptional() && !strings.Contains(text, "Default:") && !strings.Contains(text, "Required with") {
			t.Errorf("%s: the description does not say the default", field)
		}
		if top && (a.IsOptional() || a.IsRequired()) && !inPlace.MatchString(text) && name != "source" {
			t.Errorf("%s: the description does not say what a change does", field)
		}
		switch a := a.(type) {
		case schema.SingleNestedAttribute:
			described(t, field, a.Attributes, false)
		case schema.MapNestedAttribute:
			described(t, field, a.NestedObject.Attributes, false)
		}
	}
}

// The examples are what the documentation shows: each is applied, found complete
// and destroyed again.
func TestExamplesApply(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob("../../examples/resources/*/resource.tf")
	if err != nil || len(examples) != 3 {
		t.Fatalf("examples = %v, %v; want three", examples, err)
	}
	for _, name := range examples {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w := acctest.NewWorld()
		c := w.CLI(t)
		c.Write(strings.ReplaceAll(string(text), "${path.module}", c.Dir)) // the provider runs in this process, elsewhere
		if err := os.WriteFile(filepath.Join(c.Dir, "debian-13-generic-amd64.qcow2"), qcow2(), 0o600); err != nil {
			t.Fatal(err)
		}
		c.MustApply()
		c.MustBeEmpty()
		if r := c.Destroy(); r.Failed {
			t.Errorf("%s: destroy failed:\n%s", name, r.Output)
		}
	}
}

// qcow2 returns the header of an image of 3 GiB: all that the simulator reads.
func qcow2() []byte {
	h := make([]byte, 4096)
	copy(h, "QFI\xfb\x00\x00\x00\x03")
	binary.BigEndian.PutUint64(h[24:], 3<<30)
	return h
}
