package collect

import (
	"context"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// instant is a host that answers at once with what it was given.
type instant struct {
	*fakeHost
	all  []libvirt.DomainStatsRecord
	deep []libvirt.DomainStatsRecord
}

func (s instant) Stats(_ context.Context, doms []libvirt.Domain, _ libvirt.DomainStatsTypes) ([]libvirt.DomainStatsRecord, error) {
	if len(doms) == 0 {
		return s.all, nil
	}
	return s.deep[:len(doms)], nil
}

// BenchmarkGather is what a gather costs beside the requests: sixteen domains,
// one disk and one interface each.
func BenchmarkGather(b *testing.B) {
	h := newFakeHost(16)
	src := instant{fakeHost: h}
	for _, d := range h.domains {
		src.all = append(src.all, d.record(lightGroups(map[Group]bool{Net: true})))
		src.deep = append(src.deep, d.record(deepGroups(map[Group]bool{CPU: true, Memory: true, Block: true})))
	}
	c, err := New(Options{URI: "x", Source: src})
	if err != nil {
		b.Fatal(err)
	}
	now, n := time.Now(), 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		if err := c.Gather(context.Background(), now, func(sample.Sample) { n++ }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/float64(b.N), "samples/op")
}
