package backend

import (
	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// PrecheckVM returns what this machine can tell of a VM that is to be made and
// that has no other problems: files that are missing. It does not connect.
func (b *Backend) PrecheckVM(vm spec.VM) []spec.Problem {
	if d, ok := b.drv.(driver.Prechecker); ok {
		return problem(d.PrecheckVM(vm))
	}
	return nil
}

// PrecheckVolume is PrecheckVM for a volume: its source is looked into.
func (b *Backend) PrecheckVolume(v spec.Volume) []spec.Problem {
	if d, ok := b.drv.(driver.Prechecker); ok {
		return problem(d.PrecheckVolume(v))
	}
	return nil
}

func problem(err error) []spec.Problem {
	if err == nil {
		return nil
	}
	text := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		text += "\n" + hint
	}
	return []spec.Problem{{Field: fault.FieldOf(err), Text: text}}
}
