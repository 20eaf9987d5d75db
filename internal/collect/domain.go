package collect

import (
	"fmt"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// domain is what a collector remembers of one domain between gathers: the last
// counters of one life of it (from start to stop), and how big it is.
type domain struct {
	id   int32 // libvirt's, new at every start; -1 while it does not run
	name string
	uuid string
	seen time.Time

	size    size
	profile profile
	stuck   control // how its hypervisor process last answered
	meters  meters
}

// size is how big a domain is, as far as is known.
type size struct {
	vcpus  uint64 // online
	memory uint64 // bytes it may have at most
}

// meters are those of a domain and its devices.
type meters struct {
	cpu, memory meter
	vcpus       []meter
	disks, nics map[string]*device
}

// device is the meter of a device that can be unplugged.
type device struct {
	meter
	seen time.Time
}

// control is what Control said, and since when we ask.
type control struct {
	hung bool
	ms   uint64
}

// tags returns the tags of the domain's series, with more, sorted. The caller
// may keep them.
func (d *domain) tags(g *gather, more ...sample.Tag) []sample.Tag {
	tags := make([]sample.Tag, 0, 3+len(more))
	tags = append(tags, sample.Tag{Key: "domain", Value: d.name}, sample.Tag{Key: "host", Value: g.host}, sample.Tag{Key: "uuid", Value: d.uuid})
	return sample.SortTags(append(tags, more...))
}

// vcpu returns the meter of a virtual CPU.
func (m *meters) vcpu(i int) *meter {
	for len(m.vcpus) <= i {
		m.vcpus = append(m.vcpus, meter{})
	}
	return &m.vcpus[i]
}

// meterOf returns the meter of a device in list, a new one if it was not there.
func meterOf(list *map[string]*device, name string, now time.Time) *meter {
	if *list == nil {
		*list = make(map[string]*device)
	}
	x := (*list)[name]
	if x == nil {
		x = new(device)
		(*list)[name] = x
	}
	x.seen = now
	return &x.meter
}

// restart forgets what belongs to a life of the domain that is over: its
// counters begin again, and from a higher number it would look like a rate.
func (d *domain) restart(id int32) {
	*d = domain{id: id, name: d.name, uuid: d.uuid, seen: d.seen}
}

// prune forgets devices that have not been seen for a while.
func (d *domain) prune(before time.Time) {
	for _, list := range []map[string]*device{d.meters.disks, d.meters.nics} {
		for name, x := range list {
			if x.seen.Before(before) {
				delete(list, name)
			}
		}
	}
}

// domain returns what is remembered of the domain, up to date with dom.
func (c *Collector) domain(dom libvirt.Domain, now time.Time) *domain {
	d := c.domains[dom.UUID]
	if d == nil {
		u := dom.UUID
		d = &domain{id: dom.ID, uuid: fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])}
		c.domains[dom.UUID] = d
	}
	if d.id != dom.ID {
		d.restart(dom.ID)
	}
	d.name, d.seen = dom.Name, now
	return d
}

// forget drops what has not been seen for longer than keep: a domain that was
// removed or moved away must not cost memory for ever.
func (c *Collector) forget(now time.Time) {
	before := now.Add(-c.o.Keep)
	for key, d := range c.domains {
		if d.seen.Before(before) {
			delete(c.domains, key)
			continue
		}
		d.prune(before)
	}
}
