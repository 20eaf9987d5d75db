package volume_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestMain(m *testing.M) { acctest.Main(m) }

// data returns a volume "data" with the attributes.
func data(attributes ...string) string {
	return fmt.Sprintf("resource \"novacron_volume\" \"data\" {\n  name = \"data\"\n  %s\n}\n", strings.Join(attributes, "\n  "))
}

// image writes a raw image of one MiB.
func image(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(name, make([]byte, spec.MiB), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func volumes(t *testing.T, w *acctest.World) []string {
	t.Helper()
	_, v, _, err := w.Host("sim").Hand().Inventory()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLifeOfAVolume(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(data(`size = "1GiB"`))
	c.MustApply()
	c.MustBeEmpty()
	a := c.Attributes("novacron_volume.data")
	if a["pool"] != "default" || a["format"] != "qcow2" || a["location"] != "sim" || !strings.HasPrefix(a["id"].(string), "default/data.") {
		t.Errorf("state = %v; want the volume in the default pool", a)
	}
	c.Write(data(`size = "1024MiB"`))
	c.MustBeEmpty()
	c.Write(data(`size = "2GiB"`))
	if r := c.MustApply(); r.Actions["novacron_volume.data"] != "update" {
		t.Errorf("growing = %v; want an update in place", r.Actions)
	}
	c.MustBeEmpty()
	if v, err := w.Host("sim").Volume(t.Context(), a["id"].(string)); err != nil || v.Size != 2*spec.GiB {
		t.Errorf("the volume is %s, %v; want 2GiB", v.Size, err)
	}
	c.Write(data(`size = "1GiB"`))
	c.WantError(c.Plan(), "Invalid Volume", `size = "1GiB"`, "2GiB", "cannot shrink")
	c.Write(data())
	c.MustBeEmpty() // no wish about the size
	for _, change := range []string{`pool = "fast"`, `format = "raw"`} {
		c.Write(data(`size = "2GiB"`, change))
		if r := c.MustApply(); r.Actions["novacron_volume.data"] != "replace" {
			t.Errorf("%s: plan = %v; want a replacement", change, r.Actions)
		}
		c.MustBeEmpty()
		if v := volumes(t, w); len(v) != 1 {
			t.Errorf("%s: the host has %v; want one volume", change, v)
		}
	}
	if r := c.Destroy(); r.Failed {
		t.Fatalf("destroy failed:\n%s", r.Output)
	}
	if v := volumes(t, w); len(v) > 0 {
		t.Errorf("destroy left %v", v)
	}
}

func TestSourceAndBacking(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	one, two := image(t), image(t)
	config := func(file string) string {
		return data(`format = "raw"`, fmt.Sprintf("source = {\n    file = %q\n  }", file))
	}
	c.Write(config("/nowhere/disk.img"))
	c.WantError(c.Plan(), "Invalid Volume", "source = {", "source.file: ", "/nowhere/disk.img")
	c.Write(config(t.TempDir()))
	c.WantError(c.Plan(), "Invalid Volume", "source = {", "is a directory")
	c.Write(config(one))
	c.MustApply()
	c.MustBeEmpty()
	if a := c.Attributes("novacron_volume.data"); a["size"] != "1MiB" {
		t.Errorf("size = %v; want that of the source", a["size"])
	}
	c.Write(config(two))
	if r := c.Plan(); r.Actions["novacron_volume.data"] != "replace" {
		t.Errorf("another source: plan = %v; want a replacement", r.Actions)
	}
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	c.Write(config(one))
	c.MustBeEmpty() // it was read once
	c.Write(config(two) + `
resource "novacron_volume" "over" {
  name    = "over"
  backing = novacron_volume.data.id
}
resource "novacron_volume" "bad" {
  name    = "bad"
  format  = "raw"
  backing = "default/x"
}`)
	c.WantError(c.Plan(), "Invalid Volume", `format  = "raw"`, "must be qcow2")
	c.Write(config(two) + `
resource "novacron_volume" "over" {
  name    = "over"
  backing = novacron_volume.data.id
}`)
	c.MustApply()
	c.MustBeEmpty()
	if r := c.Destroy(); r.Failed {
		t.Fatalf("destroy failed:\n%s", r.Output)
	}
}

func TestImportThenPlanIsEmpty(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	for _, config := range []string{
		data(`size = "1GiB"`), data(`size = "1024MiB"`, `pool = "default"`, `target = "sim"`),
		data(`format = "raw"`, fmt.Sprintf("source = { file = %q }", image(t))),
	} {
		c.Write(config)
		c.MustApply()
		id := c.Attributes("novacron_volume.data")["id"].(string)
		_, name, _ := strings.Cut(id, "/")
		for _, ref := range []string{id, "sim/" + id, name} {
			if out, err := c.Do("state", "rm", "novacron_volume.data"); err != nil {
				t.Fatalf("state rm: %v\n%s", err, out)
			}
			if out, err := c.Do("import", "novacron_volume.data", ref); err != nil {
				t.Fatalf("import %s: %v\n%s", ref, err, out)
			}
			c.MustBeEmpty()
		}
		if r := c.Destroy(); r.Failed {
			t.Fatalf("destroy failed:\n%s", r.Output)
		}
	}
	if err := w.Host("sim").Hand().AddVolume("fast", "theirs", spec.GiB); err != nil {
		t.Fatal(err)
	}
	c.Write(strings.Replace(data(`size = "1GiB"`, `pool = "fast"`, `format = "raw"`), `"data"`+"\n", `"theirs"`+"\n", 1))
	if out, err := c.Do("import", "novacron_volume.data", "fast/theirs"); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	c.MustBeEmpty()
	for _, ref := range []string{"fast/ghost", "mars/fast/theirs", "a/b/c/d"} {
		c.LoseState()
		if out, err := c.Do("import", "novacron_volume.data", ref); err == nil {
			t.Errorf("import %s went through:\n%s", ref, out)
		}
	}
}

func TestBadInputIsRefusedAtItsAttribute(t *testing.T) {
	t.Parallel()
	c := acctest.NewWorld().CLI(t)
	for _, tc := range []struct {
		attribute, summary string
		words              []string
	}{
		{`size = "10"`, "Invalid Size", []string{"has no unit"}},
		{`size = 10`, "Invalid Size", []string{"has no unit"}},
		{`size = "1B"`, "Invalid Volume", []string{"sector"}},
		{`format = "vmdk"`, "Invalid Volume", []string{"neither"}},
		{`target = "mars"`, "Unable to Plan Volume", []string{"no target"}},
	} {
		attributes := []string{tc.attribute}
		if !strings.HasPrefix(tc.attribute, "size") {
			attributes = append(attributes, `size = "1GiB"`)
		}
		c.Write(data(attributes...))
		r := c.Plan()
		if len(r.Errors) == 0 {
			t.Errorf("%s: the plan went through", tc.attribute)
			continue
		}
		c.WantError(r, tc.summary, tc.attribute, tc.words...)
	}
	c.Write(data())
	c.WantError(c.Plan(), "Invalid Volume", "", "needs a size")
	c.Write(data(`size = "1GiB"`) + strings.Replace(data(`size = "1GiB"`), `"novacron_volume" "data"`, `"novacron_volume" "again"`, 1))
	c.WantError(c.Plan(), "Unable to Plan Volume", `name = "data"`, "another volume of this configuration")
	c.Write(data(`size = "1GiB"`, `pool = "ghost"`))
	c.WantError(c.Apply(), "Unable to Create Volume", `pool = "ghost"`, "ghost")
	c.Write(data(`size = "100TiB"`))
	c.WantError(c.Apply(), "Unable to Create Volume", `size = "100TiB"`, "left")
}

func TestAVolumeInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(data(`size = "1GiB"`))
	c.MustApply()
	id := c.Attributes("novacron_volume.data")["id"].(string)
	vm := spec.VM{UUID: spec.Identity("them", "vm", "theirs"), Name: "theirs", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped, Disks: map[string]spec.Disk{"d": {Volume: id}}}
	if _, err := w.Host("sim").CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	c.WantError(c.Destroy(), "Unable to Delete Volume", "", "VM theirs", "delete or change those first")
	if err := w.Host("sim").Hand().DeleteVM("theirs"); err != nil {
		t.Fatal(err)
	}
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy failed:\n%s", r.Output)
	}
}

func TestDriftAndLoss(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(data(`size = "1GiB"`))
	c.MustApply()
	id := c.Attributes("novacron_volume.data")["id"].(string)
	w.Down("sim", true)
	c.WantError(c.Plan(), "Unable to Read Volume", "", "no answer from sim")
	w.Down("sim", false)
	if err := w.Host("sim").Hand().DeleteVolume(id); err != nil {
		t.Fatal(err)
	}
	if r := c.MustApply(); r.Actions["novacron_volume.data"] != "create" {
		t.Errorf("after a loss: plan = %v; want it created", r.Actions)
	}
	if err := w.Host("sim").GrowVolume(t.Context(), id, 2*spec.GiB); err != nil {
		t.Fatal(err)
	}
	c.WantError(c.Plan(), "Invalid Volume", `size = "1GiB"`, "is 2GiB large")
	c.LoseState()
	c.Write(data(`size = "2GiB"`))
	c.WantWarning(c.Plan(), "Volume Will Be Adopted", "name", "taken over")
	c.MustApply()
	if v := volumes(t, w); len(v) != 1 {
		t.Errorf("the host has %v; want the one volume, adopted", v)
	}
}
