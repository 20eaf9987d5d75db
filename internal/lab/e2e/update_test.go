//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestAnUpdateDisturbsTheGuestNoMoreThanThePlanSays(t *testing.T) {
	h := sharedHost(t)
	port := freePort(t)
	const off = "shutdown = { timeout = \"30s\" }\n" // the guest obeys the power button
	disk := func(size string) string { return off + fmt.Sprintf("disks = { data = { size = %q } }\n", size) }
	w := newWorkspace(t, h.URI(), kernelVM("guest", port, disk("8MiB")))
	w.mustApply()
	bootID := func() string { return get(t, fmt.Sprintf("http://127.0.0.1:%d/boot_id", port)) }
	boots := bootID()

	w.write(kernelVM("guest", port, disk("8MiB")+"description = \"told\"\nlabels = { role = \"web\" }\nautostart = true"))
	w.mustApply()
	if now := bootID(); now != boots {
		t.Errorf("the guest was rebooted for a description: boot %s, was %s", now, boots)
	}
	if got := w.attribute("novacron_vm.guest", "last_disruption"); got != "none" {
		t.Errorf("last_disruption = %s after a description, want none", got)
	}
	if got := virsh(t, h, "desc", "guest"); got != "told" {
		t.Errorf("virsh desc = %q, want told", got)
	}

	w.write(kernelVM("guest", port, disk("16MiB")+"autostart = true"))
	w.mustApply()
	if now := bootID(); now != boots {
		t.Errorf("the guest was rebooted for a larger disk: boot %s, was %s", now, boots)
	}
	if got := virsh(t, h, "domblkinfo", "guest", "vda"); !strings.Contains(got, "16777216") {
		t.Errorf("domblkinfo = %s\nwant a capacity of 16MiB", got)
	}
	if got := w.attribute("novacron_vm.guest", "last_disruption"); got != "live" {
		t.Errorf("last_disruption = %s after a larger disk, want live", got)
	}

	w.write(kernelVMSized("guest", port, 2, "144MiB", disk("16MiB")+"update_policy = { max_disruption = \"live\" }"))
	wantError(t, w.plan(), "Change Refused", "update_policy", "reboot", "memory", "cpus")

	w.write(kernelVMSized("guest", port, 2, "144MiB", disk("16MiB")))
	r := w.plan()
	if r.err != nil || !r.hasWarning("VM Will Be Rebooted") {
		t.Errorf("plan: %v without a warning of the reboot\n%s", r.err, r.text())
	}
	w.mustApply()
	now := bootID()
	if now == boots {
		t.Errorf("the guest still runs boot %s after memory and processors changed", now)
	}
	if got := w.attribute("novacron_vm.guest", "last_disruption"); got != "reboot" {
		t.Errorf("last_disruption = %s after memory and processors, want reboot", got)
	}
	if got := strings.Join(strings.Fields(virsh(t, h, "dominfo", "guest")), " "); !strings.Contains(got, "CPU(s): 2") || !strings.Contains(got, "Max memory: 147456 KiB") {
		t.Errorf("dominfo = %s\nwant 2 processors and 144 MiB", got)
	}
	w.mustBeDone()
	if again := bootID(); again != now {
		t.Errorf("the guest was rebooted more than once: boot %s, was %s", again, now)
	}
	w.mustDestroy()
}

func TestAProtectedVMIsNotDestroyed(t *testing.T) {
	h := sharedHost(t)
	w := newWorkspace(t, h.URI(), vmWith("safe", "deletion_protection = true"))
	w.mustApply()
	wantError(t, w.destroy(), "VM Is Protected", "deletion_protection", "deletion_protection = false")
	w.write(strings.Replace(vmWith("safe", "deletion_protection = true"), `"32MiB"`, `"48MiB"`, 1))
	w.mustApply()
	if got := virsh(t, h, "domstate", "safe"); got != "shut off" {
		t.Errorf("the protected VM is %s", got)
	}
	w.write(vmWith("safe", "deletion_protection = false"))
	w.mustApply()
	w.mustDestroy()
}
