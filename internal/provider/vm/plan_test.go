package vm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
)

func TestBadInputIsRefusedAtItsAttribute(t *testing.T) {
	t.Parallel()
	c := acctest.NewWorld().CLI(t)
	vm := func(body string) string { return "resource \"novacron_vm\" \"web\" {\n" + body + "\n}\n" }
	basic := "  cpus   = 1\n  memory = \"128MiB\"\n"
	for _, tc := range []struct {
		what, body, summary, attribute string
		words                          []string
	}{
		{"a size without a unit", "  name = \"web\"\n  cpus = 1\n  memory = 4096", "Invalid Size", "memory = 4096", []string{"has no unit", `"4096GiB"`}},
		{"a size that is none", "  name = \"web\"\n  cpus = 1\n  memory = \"much\"", "Invalid Size", `memory = "much"`, nil},
		{"a bad name", "  name = \"-web\"\n" + basic, "Invalid VM", `name = "-web"`, []string{"is not a name"}},
		{"no cpus", "  name = \"web\"\n  cpus = 0\n  memory = \"128MiB\"", "Invalid VM", "cpus = 0", []string{"fewer than 1"}},
		{"a disk that is nothing", "  name = \"web\"\n  disks = { root = {} }\n" + basic, "Invalid VM", "disks = { root = {} }", []string{"set volume"}},
		{"a disk on an unknown bus", "  name = \"web\"\n  disks = {\n    root = {\n      size = \"1GiB\"\n      bus = \"ide\"\n    }\n  }\n" + basic, "Invalid VM", "root = {", []string{`disks["root"].bus: "ide"`, "virtio, sata, scsi"}},
		{"a bad key", "  name = \"web\"\n  disks = { \"Root.1\" = { size = \"1GiB\" } }\n" + basic, "Invalid VM", `"Root.1"`, []string{"is not a key"}},
		{"a volume with a size", "  name = \"web\"\n  disks = { a = { volume = \"default/x\", size = \"1GiB\" } }\n" + basic, "Invalid VM", "volume = ", []string{"belong to that volume"}},
		{"a bad MAC address", "  name = \"web\"\n  nics = {\n    lan = {\n      mac = \"01:00:00:00:00:00\"\n    }\n  }\n" + basic, "Invalid VM", "lan = {", []string{`nics["lan"].mac: `, "unicast MAC"}},
		{"a forward on a network", "  name = \"web\"\n  nics = {\n    lan = {\n      network = \"n\"\n      forward = { 80 = 80 }\n    }\n  }\n" + basic, "Invalid VM", "lan = {", []string{`nics["lan"].forward: `, "user networking only"}},
		{"a port that is none", "  name = \"web\"\n  nics = { lan = { forward = { 70000 = 80 } } }\n" + basic, "Invalid Attribute Value Match", "", []string{"70000"}},
		{"a power state that cannot be asked for", "  name = \"web\"\n  power_state = \"paused\"\n" + basic, "Invalid VM", `power_state = "paused"`, []string{"neither"}},
		{"a kernel with a relative path", "  name = \"web\"\n  kernel = \"vmlinuz\"\n" + basic, "Invalid VM", `kernel = "vmlinuz"`, []string{"absolute path"}},
		{"an initrd without a kernel", "  name = \"web\"\n  initrd = \"/i\"\n" + basic, "Invalid Attribute Combination", `initrd = "/i"`, nil},
		{"a duration without a unit", "  name = \"web\"\n  shutdown = {\n    timeout = \"60\"\n  }\n" + basic, "Invalid Duration", "shutdown = {", []string{"shutdown.timeout: ", `"60s"`}},
		{"waiting on an interface that is not there", "  name = \"web\"\n  nics = { lan = {} }\n  wait_for = {\n    ip = {\n      nic = \"wan\"\n    }\n  }\n" + basic, "Invalid VM", "wait_for = {", []string{"wait_for.ip.nic: ", "there is: lan"}},
		{"waiting on a port that nothing leads to", "  name = \"web\"\n  nics = { lan = {} }\n  wait_for = {\n    tcp = 22\n  }\n" + basic, "Invalid VM", "wait_for = {", []string{"wait_for.tcp: ", "forward a port"}},
		{"an unknown target", "  name = \"web\"\n  target = \"mars\"\n" + basic, "Unable to Plan VM", `target = "mars"`, []string{`no target "mars"`, "other, sim"}},
		{"two kinds of user data", "  name = \"web\"\n  cloud_init = {\n    user_data = \"a\"\n    user_data_wo = \"b\"\n    user_data_wo_version = 1\n  }\n" + basic, "Invalid Attribute Combination", "", []string{"cloud_init.user_data_wo"}},
	} {
		c.Write(vm(tc.body))
		r := c.Plan()
		if !r.Failed {
			t.Errorf("%s: the plan went through", tc.what)
			continue
		}
		t.Log(tc.what)
		c.WantError(r, tc.summary, tc.attribute, tc.words...)
	}
}

func TestThePlanSaysWhatHappensToTheGuest(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	base := []string{`disks = { root = { size = "1GiB" } }`, `nics = { out = { forward = { 2222 = 22 } } }`, `update_policy = { max_disruption = "reboot" }`}
	c.Write(web(base...))
	c.MustApply()
	replace := func(old, new string) string { return strings.Replace(web(base...), old, new, 1) }
	for _, tc := range []struct{ what, config, class string }{
		{"a description", web(append(base, `description = "d"`)...), "none"},
		{"forwarding another port", replace("2222 = 22", "2223 = 22"), "live"},
		{"memory", replace("128MiB", "256MiB"), "reboot"},
		{"another disk", replace("disks = {", `disks = { more = { size = "1GiB" },`), "reboot"},
		{"ssh keys", web(append(base, `ssh_keys = ["ssh-ed25519 AAAA x"]`)...), "reboot"},
		{"growing a disk", replace(`size = "1GiB"`, `size = "2GiB"`), "live"},
	} {
		boots, _, err := w.Host("sim").Hand().Guest("web")
		if err != nil {
			t.Fatal(err)
		}
		c.Write(tc.config)
		r := c.Plan()
		if r.Failed || r.Actions["novacron_vm.web"] != "update" {
			t.Errorf("%s: plan = %v, failed %t; want an update\n%s", tc.what, r.Actions, r.Failed, r.Output)
			continue
		}
		warned := len(r.Warns) == 1 && r.Warns[0].Summary == "VM Will Be Rebooted"
		if warned != (tc.class == "reboot") || len(r.Warns) > 1 {
			t.Errorf("%s: warnings = %v; want exactly one for a reboot and none else", tc.what, r.Warns)
		}
		c.MustApply()
		c.MustBeEmpty()
		if got := c.Attributes("novacron_vm.web")["last_disruption"]; got != tc.class {
			t.Errorf("%s: last_disruption = %v; want %s", tc.what, got, tc.class)
		}
		now, _, err := w.Host("sim").Hand().Guest("web")
		if err != nil || now-boots != map[string]int{"reboot": 1}[tc.class] {
			t.Errorf("%s: the guest was started %d times, %v; want a restart for a reboot only", tc.what, now-boots, err)
		}
		c.Write(web(base...))
		if tc.what == "growing a disk" {
			c.WantError(c.Plan(), "Invalid VM", "disks = {", `disks["root"].size: `, "cannot shrink")
			continue
		}
		c.MustApply()
	}
}

func TestAPlanThatDeletesADiskWarns(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`disks = { root = { size = "1GiB" }, data = { size = "2GiB" } }`))
	c.MustApply()
	for _, tc := range []struct {
		what, config string
		deleted      bool
	}{
		{"a disk that goes", `disks = { root = { size = "1GiB" } }`, true},
		{"a disk that goes from a VM that is off", "disks = { root = { size = \"1GiB\" } }\n  power_state = \"stopped\"", true},
		{"a disk in another pool", `disks = { root = { size = "1GiB" }, data = { size = "2GiB", pool = "fast" } }`, true},
		{"a disk that grows", `disks = { root = { size = "1GiB" }, data = { size = "3GiB" } }`, false},
		{"disks that are not managed any more", ``, false},
	} {
		c.Write(web(tc.config))
		r := c.Plan()
		d, warned := acctest.Find(r.Warns, "Disk Will Be Deleted")
		if r.Failed || warned != tc.deleted {
			t.Errorf("%s: the plan warns of a deletion: %t; want %t\n%s", tc.what, warned, tc.deleted, r.Output)
		}
		if warned && !strings.Contains(d.Detail, `disk "data" (2GiB)`) {
			t.Errorf("%s: the warning says %q; want the disk and its size", tc.what, d.Detail)
		}
	}
}

func TestAChangeBeyondTheBudgetIsRefusedInThePlan(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`update_policy = { max_disruption = "live" }`))
	c.MustApply()
	c.Write(strings.Replace(web(`update_policy = { max_disruption = "live" }`), "128MiB", "256MiB", 1))
	c.WantError(c.Plan(), "Change Refused", "update_policy =", "memory", "class reboot", "at most live")
	c.Write(strings.Replace(web(`update_policy = { max_disruption = "reboot" }`), `"web"`+"\n", `"www"`+"\n", 1))
	c.WantError(c.Plan(), "Change Refused", "update_policy =", "name", "class replace")
	if err := w.Host("sim").Hand().PowerOff("web"); err != nil {
		t.Fatal(err)
	}
	c.Write(strings.Replace(web(`update_policy = { max_disruption = "live" }`, `power_state = "stopped"`), "128MiB", "256MiB", 1))
	c.MustApply() // nobody is disturbed while it is off
	c.MustBeEmpty()
}

func TestReplaceIsShownAndDone(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web())
	c.MustApply()
	c.Write(web(`target = "sim"`))
	if r := c.Plan(); r.Actions["novacron_vm.web"] == "replace" {
		t.Errorf("naming the target that it is on = %v; want no replacement", r.Actions)
	}
	c.Write(web(`target = "other"`))
	r := c.Plan()
	if r.Actions["novacron_vm.web"] != "replace" {
		t.Errorf("plan = %v; want a replacement\n%s", r.Actions, r.Output)
	}
	c.WantWarning(r, "VM Will Be Destroyed and Made Anew", "", "target", `"web"`)
	c.MustApply()
	c.MustBeEmpty()
	if a := c.Attributes("novacron_vm.web"); a["location"] != "other" {
		t.Errorf("location = %v; want other", a["location"])
	}
	c.Write(web()) // no target: wherever it is
	c.MustBeEmpty()
	c.Write(strings.Replace(web(), `"web"`+"\n", `"www"`+"\n", 1))
	if r := c.MustApply(); r.Actions["novacron_vm.web"] != "replace" {
		t.Errorf("a new name: plan = %v; want a replacement", r.Actions)
	}
	c.MustBeEmpty()
	for _, args := range [][]string{{"-replace=novacron_vm.web"}, {}} {
		if len(args) == 0 {
			if out, err := c.Do("taint", "novacron_vm.web"); err != nil {
				t.Fatalf("taint: %v\n%s", err, out)
			}
		}
		r := c.Apply(args...)
		if r.Failed || r.Actions["novacron_vm.web"] != "replace" {
			t.Fatalf("apply %v = %v; want a replacement\n%s", args, r.Actions, r.Output)
		}
		if _, ok := acctest.Find(r.Warns, "VM Will Be Adopted"); ok {
			t.Errorf("apply %v warns that the VM that it replaces is adopted", args)
		}
		c.MustBeEmpty()
	}
}

func TestDeletionProtection(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`deletion_protection = true`))
	c.MustApply()
	if r := c.Destroy(); !r.Failed {
		t.Fatal("a protected VM was destroyed")
	} else if d, ok := acctest.Find(r.Errors, "VM Is Protected"); !ok || !strings.Contains(d.Detail, "apply deletion_protection = false first") {
		t.Errorf("destroy says %v; want the remedy", r.Errors)
	}
	c.Write(web(`deletion_protection = true`, `target = "other"`))
	c.WantError(c.Plan(), "VM Is Protected", "deletion_protection = true", "replace")
	c.Write(web(`deletion_protection = true`, `disks = { data = { size = "1GiB" } }`))
	c.MustApply()
	c.Write(web(`deletion_protection = true`, `disks = {}`))
	if r := c.Plan(); !r.Failed {
		t.Error("the plan deletes a disk of a protected VM")
	} else if d, ok := acctest.Find(r.Errors, "VM Is Protected"); !ok || !strings.Contains(d.Detail, `delete disk "data" of it`) {
		t.Errorf("the plan says %v; want the disk", r.Errors)
	}
	c.Write(web())
	c.MustApply()
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy without protection failed:\n%s", r.Output)
	}
}

func TestForeignVMOfTheSameNameIsRefusedInThePlan(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	if err := w.Host("sim").Hand().DefineVM("11111111-2222-3333-4444-555555555555", "web"); err != nil {
		t.Fatal(err)
	}
	c.Write(web())
	c.WantError(c.Plan(), "VM Exists Already", `name   = "web"`, "terraform import novacron_vm.NAME sim/web", "11111111-2222-3333-4444-555555555555")
}

func TestAHostThatIsDownIsAWarningInThePlanOfACreation(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`target = "sim"`))
	w.Down("sim", true)
	r := c.Plan()
	if r.Failed {
		t.Fatalf("the plan failed:\n%s", r.Output)
	}
	c.WantWarning(r, "Plan Made Without the Target", `target = "sim"`, "no answer from sim")
	c.WantError(c.Apply(), "Unable to Create VM", "", "no answer from sim")
	w.Down("sim", false)
	c.MustApply()
}

func TestTwoVMsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	c := acctest.NewWorld().CLI(t)
	c.Write(`
resource "novacron_vm" "web" {
  count  = 2
  name   = "web"
  cpus   = 1
  memory = "128MiB"
}`)
	c.WantError(c.Plan(), "Unable to Plan VM", `"web"`, "another VM of this configuration")
	c.Write(web())
	c.MustApply()
	c.Write(web() + strings.Replace(web(), `"novacron_vm" "web"`, `"novacron_vm" "again"`, 1))
	if r := c.Apply(); !r.Failed {
		t.Errorf("a second resource took over the VM of the first:\n%s", r.Output)
	}
}

func TestTenVMsAtOnce(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(fmt.Sprintf(`
resource "novacron_vm" "n" {
  count  = 10
  name   = "n-${count.index}"
  cpus   = 1
  memory = "128MiB"
  kernel = "/boot/vmlinuz"
  disks  = { root = { size = "1GiB" } }
  %s
}`, `nics = { lan = { network = "lan" } }`) + `
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.0.0.0/24"
}`)
	r := c.Apply() // the network is referred to by a name that Terraform cannot order
	for r.Failed {
		if d := r.Errors[0]; !strings.Contains(d.Detail, `no network "lan"`) {
			t.Fatalf("apply failed:\n%s", r.Output)
		}
		r = c.Apply()
	}
	c.MustBeEmpty()
	vms, _, _, err := w.Host("sim").Hand().Inventory()
	if err != nil || len(vms) != 10 {
		t.Errorf("the host has %v, %v; want ten VMs", vms, err)
	}
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy failed:\n%s", r.Output)
	}
}
