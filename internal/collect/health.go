package collect

import (
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// emitHealth reports the gather itself; it is the last sample of every gather,
// failed or not.
func (g *gather) emitHealth() {
	u := g.c.src.Usage()
	took := time.Since(g.start)
	g.emitBoth("novacron_collector", g.hostTags(), []sample.Field{
		{Key: "gathers", Value: g.c.gathers},
		{Key: "failures", Value: g.c.failures},
		{Key: "dials", Value: u.Dials},
	}, []sample.Field{
		{Key: "gather_ms", Value: float64(took.Microseconds()) / 1e3},
		{Key: "calls", Value: u.Calls - g.before.Calls},
		{Key: "connections", Value: int64(u.Open)},
		{Key: "domains", Value: g.collected},
		{Key: "domains_hung", Value: g.hung},
		{Key: "domains_busy", Value: g.busy},
		{Key: "stalls", Value: g.stalls},
		{Key: "errors", Value: uint64(len(g.errs))},
	})
}
