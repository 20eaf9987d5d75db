package collect

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// stateNames are the states of virDomainState, by number.
var stateNames = [...]string{"nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"}

// reasonNames are the reasons of each state, by number.
var reasonNames = [len(stateNames)][]string{
	libvirt.DomainRunning: {"unknown", "booted", "migrated", "restored", "from_snapshot", "unpaused", "migration_canceled",
		"save_canceled", "wakeup", "crashed", "postcopy", "postcopy_failed"},
	libvirt.DomainPaused: {"unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from_snapshot",
		"shutting_down", "snapshot", "crashed", "starting_up", "postcopy", "postcopy_failed", "api_error"},
	libvirt.DomainShutdown: {"unknown", "user"},
	libvirt.DomainShutoff: {"unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
		"from_snapshot", "daemon"},
	libvirt.DomainCrashed: {"unknown", "panicked"},
}

// stateName names a state; a number of a newer libvirt is "nostate".
func stateName(n int64) string {
	if n < 0 || int(n) >= len(stateNames) {
		return stateNames[0]
	}
	return stateNames[n]
}

// reasonName names the reason of a state; what this table does not know is
// "unknown", and its number is sent beside it.
func reasonName(state, reason int64) string {
	if state < 0 || int(state) >= len(reasonNames) || reason < 0 || int(reason) >= len(reasonNames[state]) {
		return "unknown"
	}
	return reasonNames[state][reason]
}

// emitState sends the state of a domain and whether its process answers.
func (g *gather) emitState(r *reading) {
	active, hung := int64(0), int64(0)
	if r.active() {
		active = 1
	}
	if r.stuck.hung {
		hung = 1
	}
	fields := []sample.Field{
		{Key: "state", Value: stateName(r.state)},
		{Key: "state_code", Value: r.state},
		{Key: "reason", Value: reasonName(r.state, r.reason)},
		{Key: "reason_code", Value: r.reason},
		{Key: "active", Value: active},
		{Key: "hung", Value: hung},
	}
	if r.stuck.hung {
		fields = append(fields, sample.Field{Key: "occupied_ms", Value: r.stuck.ms})
	}
	g.emit(sample.Sample{Name: "novacron_domain", Time: g.now, Type: sample.Gauge, Tags: r.tags(g), Fields: fields})
}

// active reports whether a hypervisor process runs for the domain.
func (r *reading) active() bool { return r.dom.ID >= 0 }
