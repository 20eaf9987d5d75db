package vm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestMain(m *testing.M) { acctest.Main(m) }

// web returns a VM "web" that boots a kernel, with more attributes.
func web(more ...string) string {
	return fmt.Sprintf(`
resource "novacron_vm" "web" {
  name   = "web"
  cpus   = 1
  memory = "128MiB"
  kernel = "/boot/vmlinuz"
  %s
}
`, strings.Join(more, "\n  "))
}

func TestLifeOfAVM(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	stack := `
resource "novacron_volume" "v" {
  name = "data"
  size = "1GiB"
}
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.20.0.0/24"
}
`
	c.Write(stack + web(
		`disks  = { root = { size = "2048MiB" }, data = { volume = novacron_volume.v.id } }`,
		`nics   = { lan = { network = novacron_network.lan.id }, out = { forward = { 2222 = 22 } } }`,
		`labels = { team = "a" }`,
		`wait_for = { ip = { nic = "lan" } }`))
	if r := c.MustApply(); len(r.Warns) > 0 {
		t.Errorf("apply warns: %v", r.Warns)
	}
	c.MustBeEmpty()
	a := c.Attributes("novacron_vm.web")
	if a["id"] != spec.Identity("acctest", "vm", "web") || a["status"] != "running" || a["ready"] != true || a["location"] != "sim" || a["last_disruption"] != "none" {
		t.Errorf("state = %v; want a running, ready VM with the identity of its configuration", a)
	}
	if ip, _ := a["ip"].(string); !strings.HasPrefix(ip, "10.20.0.") {
		t.Errorf("ip = %q; want an address of the network", ip)
	}

	c.Write(stack + web(
		`disks  = { root = { size = "2GiB" }, data = { volume = novacron_volume.v.id } }`,
		`nics   = { lan = { network = novacron_network.lan.id }, out = { forward = { 2222 = 22 } } }`,
		`labels = { team = "a" }`,
		`wait_for = { ip = { nic = "lan" } }`))
	c.MustBeEmpty() // another spelling of the same size

	if r := c.Destroy(); r.Failed {
		t.Fatalf("destroy failed:\n%s", r.Output)
	}
	vms, volumes, networks, err := w.Host("sim").Hand().Inventory()
	if err != nil || len(vms)+len(volumes)+len(networks) > 0 {
		t.Errorf("after destroy the host has %v, %v, %v, %v; want nothing", vms, volumes, networks, err)
	}
}

func TestDriftShowsAndIsMended(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`disks = { root = { size = "1GiB" } }`, `labels = { a = "b" }`, `description = "x"`, `nics = { out = {} }`))
	c.MustApply()
	id := spec.Identity("acctest", "vm", "web")
	hand := w.Host("sim").Hand()
	edit := func(change func(*spec.VM)) func() error { return func() error { return w.Edit("sim", id, change) } }
	for _, tc := range []struct {
		what string
		do   func() error
	}{
		{"somebody pulled the plug", func() error { return hand.PowerOff("web") }},
		{"the guest crashed", func() error { return hand.Crash("web") }},
		{"the guest was paused", func() error { return hand.Pause("web") }},
		{"somebody edited the memory", func() error { return hand.SetMemory("web", 256*spec.MiB) }},
		{"somebody edited the cpus", edit(func(v *spec.VM) { v.CPUs = 4 })},
		{"somebody edited the description", edit(func(v *spec.VM) { v.Description = "y" })},
		{"somebody edited the labels", edit(func(v *spec.VM) { v.Labels = map[string]string{"a": "c"} })},
		{"somebody set autostart", edit(func(v *spec.VM) { v.Autostart = true })},
		{"somebody removed a disk", edit(func(v *spec.VM) { v.Disks = map[string]spec.Disk{} })},
		{"somebody added an interface", edit(func(v *spec.VM) {
			v.NICs = map[string]spec.NIC{"out": v.NICs["out"], "more": {Model: "e1000"}}
		})},
		{"somebody edited the kernel", edit(func(v *spec.VM) { v.Boot = &spec.DirectBoot{Kernel: "/boot/other"} })},
	} {
		if err := tc.do(); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		if r := c.Plan(); r.Failed || r.Actions["novacron_vm.web"] != "update" {
			t.Errorf("%s: plan = %v, failed %t; want an update in place\n%s", tc.what, r.Actions, r.Failed, r.Output)
			continue
		}
		c.MustApply()
		c.MustBeEmpty()
	}
}

func TestAVMThatIsGoneIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web())
	c.MustApply()
	if err := w.Host("sim").Hand().DeleteVM("web"); err != nil {
		t.Fatal(err)
	}
	if r := c.Plan(); r.Actions["novacron_vm.web"] != "create" {
		t.Errorf("plan = %v; want the VM created again\n%s", r.Actions, r.Output)
	}
	c.MustApply()
	c.MustBeEmpty()
}

func TestAHostThatDoesNotAnswerRemovesNothing(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web())
	c.MustApply()
	w.Down("sim", true)
	c.WantError(c.Plan(), "Unable to Read VM", "", "no answer from sim")
	w.Down("sim", false)
	c.MustBeEmpty()
}

func TestWhatIsNotManagedStaysAlone(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web())
	c.MustApply()
	id := spec.Identity("acctest", "vm", "web")
	if err := w.Edit("sim", id, func(v *spec.VM) {
		v.Labels = map[string]string{"by": "hand"}
		v.Disks = map[string]spec.Disk{"root": {Size: spec.GiB}}
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Host("sim").Hand().AddDevice("web", "usb stick"); err != nil {
		t.Fatal(err)
	}
	c.MustBeEmpty()
	c.Write(web(`description = "new"`))
	c.MustApply()
	info, err := w.Host("sim").VM(t.Context(), id)
	if err != nil || info.Labels["by"] != "hand" || len(info.Disks) != 1 || info.Description != "new" {
		t.Errorf("VM = %+v, %v; want the new description, and labels and disks as somebody else left them", info, err)
	}
	if d, _ := c.Attributes("novacron_vm.web")["unmanaged_devices"].([]any); len(d) != 1 || d[0] != "usb stick" {
		t.Errorf("unmanaged_devices = %v; want the USB stick", d)
	}
	c.Write(web(`disks = {}`, `labels = {}`))
	c.MustApply()
	info, err = w.Host("sim").VM(t.Context(), id)
	if err != nil || len(info.Labels) != 0 || len(info.Disks) != 0 {
		t.Errorf("VM = %+v, %v; want no labels and no disks: empty means none", info, err)
	}
	c.MustBeEmpty()
}

// The framework's own checks: what is imported is what was made, and the plan
// does what the test says.
func TestUnderTheTestingFramework(t *testing.T) {
	w := acctest.NewWorld()
	w.Run(t,
		resource.TestStep{
			Config: acctest.Config(web(`disks = { root = { size = "1GiB" } }`, `labels = { a = "b" }`)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue("novacron_vm.web", tfjsonpath.New("id"), knownvalue.StringExact(spec.Identity("acctest", "vm", "web"))),
				plancheck.ExpectKnownValue("novacron_vm.web", tfjsonpath.New("location"), knownvalue.StringExact("sim")),
			}},
		},
		resource.TestStep{ResourceName: "novacron_vm.web", ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"target"}},
		resource.TestStep{
			Config: acctest.Config(web(`disks = { root = { size = "2GiB" } }`, `labels = {}`)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("novacron_vm.web", plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue("novacron_vm.web", tfjsonpath.New("last_disruption"), knownvalue.StringExact("live")),
			}},
		},
	)
}
