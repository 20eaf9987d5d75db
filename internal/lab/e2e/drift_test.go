//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Whatever somebody changes behind Terraform's back, a plan shows and an apply
// mends.
func TestWhatIsChangedOutsideIsSeenAndMended(t *testing.T) {
	h := sharedHost(t)
	config := stack(smallImage(t), h.Subnet(0), freePort(t), "32MiB")
	w := newWorkspace(t, h.URI(), config)
	w.mustApply()
	disk := func() string {
		for line := range strings.Lines(virsh(t, h, "domblklist", "--inactive", "one")) {
			if f := strings.Fields(line); len(f) == 2 && strings.HasSuffix(f[1], ".qcow2") {
				return f[0]
			}
		}
		return ""
	}
	for _, c := range []struct {
		name    string
		do      [][]string
		address string
		action  string
	}{
		{"the VM is powered off", [][]string{{"destroy", "one"}}, "novacron_vm.one", "update"},
		{"the VM is suspended", [][]string{{"suspend", "one"}}, "novacron_vm.one", "update"},
		{"the memory is changed", [][]string{{"setmaxmem", "one", "48M", "--config"}, {"setmem", "one", "48M", "--config"}}, "novacron_vm.one", "update"},
		{"the processors are changed", [][]string{{"setvcpus", "one", "2", "--config", "--maximum"}, {"setvcpus", "one", "2", "--config"}}, "novacron_vm.one", "update"},
		{"the disk is detached", [][]string{{"detach-disk", "one", disk(), "--config"}}, "novacron_vm.one", "update"},
		{"the autostart is lifted", [][]string{{"autostart", "one", "--disable"}}, "novacron_vm.one", "update"},
		{"the VM is undefined while it runs", [][]string{{"undefine", "one"}}, "novacron_vm.one", "update"},
		{"the network is destroyed under a VM that is off", [][]string{{"destroy", "one"}, {"net-destroy", "lan"}}, "novacron_network.lan", "update"},
		{"the VM is destroyed and undefined", [][]string{{"destroy", "one"}, {"undefine", "one"}}, "novacron_vm.one", "create"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			for _, args := range c.do {
				virsh(t, h, args...)
			}
			r := w.plan()
			if r.err != nil || r.planned[c.address] != c.action {
				t.Fatalf("plan = %v, %v; want %s of %s\n%s", r.planned, r.err, c.action, c.address, r.text())
			}
			w.mustApply()
			w.mustBeDone()
			wantOneOfEach(t, h, "32768 KiB")
			if got := virsh(t, h, "dominfo", "one"); !strings.Contains(strings.Join(strings.Fields(got), " "), "CPU(s): 1") || !strings.Contains(strings.Join(strings.Fields(got), " "), "Persistent: yes") {
				t.Errorf("dominfo = %s\nwant one processor, persistent", got)
			}
			if disk() == "" {
				t.Error("the VM has no disk")
			}
		})
	}
	w.t = t
	virsh(t, h, "undefine", "one") // the record of what it owns is gone once it stops
	w.mustDestroy()
}

func TestAnImportFindsWhatAnotherDirectoryMade(t *testing.T) {
	h := sharedHost(t)
	// A platform keeps nothing of how a guest is to be shut down, so that an
	// import cannot find it.
	config := strings.Replace(stack(smallImage(t), h.Subnet(0), freePort(t), "32MiB"), `shutdown   = { timeout = "0s" }`, "", 1)
	maker := newWorkspace(t, h.URI(), config)
	maker.mustApply()
	state := maker.state()
	maker.loseState()
	for name, ids := range map[string]map[string]string{
		"by name":             {"novacron_vm.one": "one", "novacron_network.lan": "lan"},
		"by id":               {"novacron_vm.one": fmt.Sprint(state["novacron_vm.one"]["id"]), "novacron_network.lan": fmt.Sprint(state["novacron_network.lan"]["id"])},
		"on a target by name": {"novacron_vm.one": "local/one", "novacron_network.lan": "local/lan"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, h.URI(), config)
			for address, id := range ids {
				w.mustImport(address, id)
			}
			w.mustImport("novacron_volume.base", fmt.Sprint(state["novacron_volume.base"]["id"]))
			w.mustBeDone()
		})
	}
	w := newWorkspace(t, h.URI(), strings.Replace(config, "autostart", `shutdown = { timeout = "0s" }
  autostart`, 1))
	w.mustApply() // what this configuration made and knows nothing of
	w.mustBeDone()
	w.mustDestroy()
}
