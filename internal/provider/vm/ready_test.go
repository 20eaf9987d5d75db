package vm_test

import (
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
)

const lan = `
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.20.0.0/24"
}
`

func TestAGuestThatIsNotReadyIsKeptAndWaitedForAgain(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	w.Options.BootTime = 3 * time.Second
	c := w.CLI(t)
	nics := `nics = { lan = { network = novacron_network.lan.id } }`
	c.Write(lan + web(nics, `wait_for = { ip = { nic = "lan" }, timeout = "10ms" }`))
	r := c.MustApply()
	c.WantWarning(r, "VM Not Ready", "wait_for", "no address on nics.lan", "the next apply waits again")
	a := c.Attributes("novacron_vm.web")
	if a["ready"] != false || a["status"] != "running" {
		t.Fatalf("state = %v; want a VM that runs and is not ready", a)
	}
	boots, _, err := w.Host("sim").Hand().Guest("web")
	if r := c.Plan(); err != nil || r.Actions["novacron_vm.web"] != "update" {
		t.Errorf("plan = %v, %v; want an update that waits again\n%s", r.Actions, err, r.Output)
	}
	c.Write(lan + web(nics, `wait_for = { ip = { nic = "lan" }, timeout = "30s" }`))
	c.MustApply()
	c.MustBeEmpty()
	a = c.Attributes("novacron_vm.web")
	if now, _, err := w.Host("sim").Hand().Guest("web"); err != nil || now != boots || a["ready"] != true || a["ip"] == nil {
		t.Errorf("started %d times, %v, state %v; want the same guest, ready, with its address", now, err, a)
	}
}

func TestATimeoutFailsWhereTheUserWantsItTo(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	w.Options.BootTime = time.Hour
	c := w.CLI(t)
	c.Write(lan + web(`nics = { lan = { network = novacron_network.lan.id } }`,
		`wait_for = { ip = { nic = "lan" }, timeout = "10ms", on_timeout = "fail" }`, `shutdown = { timeout = "0s" }`))
	c.WantError(c.Apply(), "Unable to Create VM", "wait_for", "is not ready after 10ms")
	if a := c.Attributes("novacron_vm.web"); a == nil {
		t.Error("the VM is not in the state; want it there, so that nothing is left behind")
	}
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy failed:\n%s", r.Output)
	}
}

func TestAGuestThatDoesNotObeyIsForcedOrNot(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`shutdown = { timeout = "50ms", force = false }`))
	c.MustApply()
	if err := w.Host("sim").Hand().Deafen("web"); err != nil {
		t.Fatal(err)
	}
	c.WantError(c.Destroy(), "Unable to Delete VM", "", "within 50ms")
	c.Write(web(`shutdown = { timeout = "50ms" }`))
	c.MustApply()
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy failed:\n%s", r.Output)
	}
}
