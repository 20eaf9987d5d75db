package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestMain(m *testing.M) { acctest.Main(m) }

const vm = `
resource "novacron_vm" "web" {
  name   = "web"
  cpus   = 1
  memory = "128MiB"
  kernel = "/boot/vmlinuz"
}
`

func TestBadProviderConfiguration(t *testing.T) {
	t.Parallel()
	c := acctest.NewWorld().CLI(t)
	for _, tc := range []struct {
		what, config, summary, attribute string
		words                            []string
	}{
		{"a target of two kinds", `targets = { a = { sim = {}, libvirt = { uri = "qemu:///system" } } }`, "Invalid Attribute Combination", "", []string{"targets"}},
		{"a target of no kind", `targets = { a = {} }`, "Invalid Attribute Combination", "", []string{"targets"}},
		{"no targets", `targets = {}`, "Invalid Attribute Value", "targets = {}", nil},
		{"a target name that an import id cannot hold", `targets = { "a/b" = { sim = {} } }`, "Invalid Attribute Value Match", "", []string{"a/b"}},
		{"a default that is not there", "targets = { a = { sim = {} } }\n  default_target = \"b\"", "Unable to Configure Provider", `default_target = "b"`, []string{`no target "b"`, "targets: a"}},
		{"a value that the platform refuses", "targets = {\n    a = {\n      sim = { path = \"invalid\" }\n    }\n  }", "Invalid Target", "a = {", []string{`targets["a"].sim.path: `, "give another one"}},
		{"an empty owner", `owner = ""`, "Invalid Attribute Value Length", `owner = ""`, nil},
	} {
		t.Log(tc.what)
		c.WriteAll("provider \"novacron\" {\n  " + tc.config + "\n}\n" + vm)
		c.WantError(c.Plan(), tc.summary, tc.attribute, tc.words...)
	}
}

func TestSeveralTargetsWithoutADefaultMustBeNamed(t *testing.T) {
	t.Parallel()
	c := acctest.NewWorld().CLI(t)
	c.WriteAll("provider \"novacron\" {\n  targets = { a = { sim = {} }, b = { sim = {} } }\n}\n" + vm)
	c.WantError(c.Plan(), "Unable to Plan VM", "", "no default_target", "targets: a, b")
	c.WriteAll("provider \"novacron\" {\n  targets = { a = { sim = {} }, b = { sim = {} } }\n}\n" + strings.Replace(vm, "cpus", "target = \"b\"\n  cpus", 1))
	c.MustApply()
	if got := c.Attributes("novacron_vm.web")["location"]; got != "b" {
		t.Errorf("location = %v; want b", got)
	}
}

// An unknown URI must not become this machine: the plan says what it does not
// know, asks nobody, and the apply does the work.
func TestUnknownTargetsAreNeverGuessed(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	w.Down("late", true) // whoever connects fails
	for what, config := range map[string]string{
		"a path":  `targets = { late = { sim = { path = terraform_data.later.output } } }`,
		"all":     `targets = terraform_data.later.output == "" ? null : { late = { sim = {} } }`,
		"a block": `targets = { late = terraform_data.later.output == "" ? null : { sim = {} } }`,
	} {
		t.Log(what)
		c.WriteAll("resource \"terraform_data\" \"later\" {\n  input = \"file.json\"\n}\nprovider \"novacron\" {\n  owner = \"acctest\"\n  " + config + "\n}\n" + vm + `
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.0.0.0/24"
}
resource "novacron_volume" "v" {
  name = "v"
  size = "1GiB"
}`)
		r := c.Plan()
		if r.Failed || r.Actions["novacron_vm.web"] != "create" {
			t.Fatalf("plan = %v, failed %t; want the VM created\n%s", r.Actions, r.Failed, r.Output)
		}
		c.WantWarning(r, "Provider Configuration Not Known Yet", "")
		if len(r.Warns) != 1 {
			t.Errorf("%d warnings; want one: %v", len(r.Warns), r.Warns)
		}
		w.Down("late", false)
		c.MustApply()
		c.MustBeEmpty()
		w.Down("late", true)
		// The targets become unknown again: what is there is kept, and asked nothing.
		if r := c.Plan("-replace=terraform_data.later"); r.Failed || r.Actions["novacron_vm.web"] != "" {
			t.Errorf("plan with unknown targets = %v, failed %t; want the VM left alone\n%s", r.Actions, r.Failed, r.Output)
		}
		w.Down("late", false)
		if r := c.Destroy(); r.Failed {
			t.Fatalf("destroy failed:\n%s", r.Output)
		}
		w.Down("late", true)
	}
}

func TestOwnersKeepTheirVMsApart(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	one, two := w.CLI(t), w.CLI(t)
	config := func(owner string) string {
		return "provider \"novacron\" {\n  owner = \"" + owner + "\"\n  targets = { sim = { sim = {} } }\n}\n" + vm
	}
	one.WriteAll(config("one"))
	one.MustApply()
	two.WriteAll(config("two"))
	two.WantError(two.Plan(), "VM Exists Already", "name", "did not make")
	if got := one.Attributes("novacron_vm.web")["id"]; got != spec.Identity("one", "vm", "web") {
		t.Errorf("id = %v; want the identity of the owner", got)
	}
}

func TestTheDefaultOwnerKnowsTheWorkspace(t *testing.T) {
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.WriteAll("provider \"novacron\" {\n  targets = { sim = { sim = {} } }\n}\n" + vm)
	c.MustApply()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd() // the provider runs in this process
	if err != nil {
		t.Fatal(err)
	}
	id := spec.Identity(host+":"+dir+":default", "vm", "web")
	if got := c.Attributes("novacron_vm.web")["id"]; got != id {
		t.Errorf("id = %v; want that of host, directory and workspace (%s)", got, id)
	}
	c.LoseState()
	t.Setenv("TF_WORKSPACE", "staging")
	c.WantError(c.Plan(), "VM Exists Already", "name")
	t.Setenv("TF_WORKSPACE", "")
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "environment"), []byte("blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_DATA_DIR", data)
	c.WantError(c.Plan(), "VM Exists Already", "name")
}

func TestZeroConfigurationIsTheLibvirtOfThisMachine(t *testing.T) {
	standard := "qemu:///session"
	if os.Geteuid() == 0 {
		standard = "qemu:///system"
	}
	for env, want := range map[string]string{"": standard, "qemu+tcp://elsewhere/system": "qemu+tcp://elsewhere/system"} {
		t.Setenv("LIBVIRT_DEFAULT_URI", env)
		w := acctest.NewWorld()
		c := w.CLI(t)
		c.WriteAll("provider \"novacron\" {}\n" + vm)
		c.MustApply()
		if got := w.Opened()["local"].URI; got != want || len(w.Opened()) != 1 {
			t.Errorf("LIBVIRT_DEFAULT_URI=%q: opened %v; want local at %s", env, w.Opened(), want)
		}
		if got := c.Attributes("novacron_vm.web")["location"]; got != "local" {
			t.Errorf("location = %v; want local", got)
		}
	}
}

func TestALibvirtTargetSaysWhatItIs(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.WriteAll("provider \"novacron\" {\n  targets = { k = { libvirt = { uri = \"qemu:///system\", pool = \"nvme\", virt_type = \"qemu\" } } }\n}\n" + vm)
	c.Plan()
	if got, want := w.Opened()["k"], (spec.LibvirtTarget{URI: "qemu:///system", Pool: "nvme", VirtType: "qemu"}); got != want {
		t.Errorf("opened %+v; want %+v", got, want)
	}
}
