package collect

import (
	"strconv"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
)

// maxIndex bounds what a reply can make us allocate: no domain has more disks,
// interfaces or vCPUs than this.
const maxIndex = 4096

// reading is everything that one gather learned about one domain.
type reading struct {
	*domain // what is remembered of it
	dom     libvirt.Domain
	at      time.Time // of the answer about state and interfaces
	state   int64
	reason  int64
	nics    []nicReading

	asked   bool      // an answer about the groups below arrived
	deepAt  time.Time // when it did
	cpu     row
	balloon row
	vcpus   []vcpuReading
	disks   []diskReading
	online  uint64 // vCPUs; 0 when unknown
	stalled bool   // asked alone, and given up
	monitor bool   // the hypervisor process itself was heard
}

type vcpuReading struct {
	row
	state int64 // libvirt's number plus 1; 0 when unknown
}

type diskReading struct {
	row
	name, path string
}

type nicReading struct {
	row
	name string // on the host; "" in user mode
}

// parse adds what a record says to the reading.
func (r *reading) parse(params []libvirt.TypedParam) {
	for i := range params {
		group, rest, ok := strings.Cut(params[i].Field, ".")
		if !ok {
			continue
		}
		r.param(group, rest, params[i].Value.I)
	}
}

func (r *reading) param(group, name string, v any) {
	switch group {
	case "state":
		n, ok := toUint(v)
		switch {
		case !ok:
		case name == "state":
			r.state = int64(n)
		case name == "reason":
			r.reason = int64(n)
		}
	case "cpu":
		cpuTable.put(&r.cpu, name, v)
	case "balloon":
		r.monitor = r.monitor || name == "rss" || name == "last-update"
		if n, ok := toUint(v); ok && n == 0 && name == "last-update" {
			return // the guest never reported
		}
		memoryTable.put(&r.balloon, name, v)
	case "vcpu":
		if n, ok := toUint(v); ok && name == "current" {
			r.online = n
			return
		}
		if x, name := at(&r.vcpus, name); x != nil {
			x.param(name, v)
		}
	case "block":
		if x, name := at(&r.disks, name); x != nil {
			x.param(name, v)
			r.monitor = r.monitor || name == "rd.reqs"
		}
	case "net":
		if x, name := at(&r.nics, name); x != nil {
			x.param(name, v)
		}
	}
}

func (x *vcpuReading) param(name string, v any) {
	if n, ok := toUint(v); ok && name == "state" {
		x.state = int64(n) + 1 // 0 means unknown here
		return
	}
	if s, ok := v.(string); ok && name == "halted" {
		v = s == "yes"
	}
	vcpuTable.put(&x.row, name, v)
}

func (x *diskReading) param(name string, v any) {
	s, text := v.(string)
	switch {
	case text && name == "name":
		x.name = s
	case text && name == "path":
		x.path = s
	default:
		diskTable.put(&x.row, name, v)
	}
}

func (x *nicReading) param(name string, v any) {
	if s, ok := v.(string); ok && name == "name" {
		x.name = s
		return
	}
	nicTable.put(&x.row, name, v)
}

// at returns the element that a name such as "0.rd.reqs" is about, growing list
// as needed, and the rest of the name; nil when the name has no usable index.
func at[T any](list *[]T, name string) (*T, string) {
	index, rest, ok := strings.Cut(name, ".")
	if !ok {
		return nil, ""
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= maxIndex {
		return nil, ""
	}
	for len(*list) <= i {
		var zero T
		*list = append(*list, zero)
	}
	return &(*list)[i], rest
}
