package libvirtvm

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// hmp is the flag of the human monitor protocol, the only way to QEMU's port
// forwarding that works while the guest runs.
const hmp = 1

// flow is one line of QEMU's "info usernet".
type flow struct {
	state       string // HOST_FORWARD, ESTABLISHED, SYN_SENT, …
	source      uint16 // port
	destination uint16 // port
}

// parseFlows reads "info usernet": the TCP flows by network device. Lines that
// it does not know are other protocols and headings.
func parseFlows(out string) map[string][]flow {
	flows := map[string][]flow{}
	dev := ""
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "("); ok && strings.HasPrefix(line, "Hub ") {
			dev, _, _ = strings.Cut(rest, ")")
			continue
		}
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "TCP[") || !strings.HasSuffix(f[0], "]") {
			continue
		}
		source, err1 := strconv.ParseUint(f[3], 10, 16)
		destination, err2 := strconv.ParseUint(f[5], 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		flows[dev] = append(flows[dev], flow{f[0][4 : len(f[0])-1], uint16(source), uint16(destination)})
	}
	return flows
}

// forwarded returns the forwards of each network device of a running guest.
func forwarded(l *libvirt.Libvirt, dom libvirt.Domain) (map[string]map[uint16]uint16, error) {
	out, err := l.QEMUDomainMonitorCommand(dom, "info usernet", hmp)
	if err != nil {
		return nil, err
	}
	have := map[string]map[uint16]uint16{}
	for dev, flows := range parseFlows(out) {
		have[dev] = map[uint16]uint16{}
		for _, f := range flows {
			if f.state == "HOST_FORWARD" {
				have[dev][f.source] = f.destination
			}
		}
	}
	return have, nil
}

// forward makes the forwards of the running VM those of its definition. QEMU
// forgets them when the guest stops.
func forward(l *libvirt.Libvirt, dom libvirt.Domain) error {
	doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
	if err != nil {
		return err
	}
	p, err := domxml.Parse(doc)
	if err != nil || !usesForwards(p) {
		return err
	}
	devices, err := netDevices(l, dom)
	if err != nil {
		return err
	}
	have, err := forwarded(l, dom)
	if err != nil {
		return err
	}
	for _, r := range p.Meta.NICs {
		dev, ok := devices[r.MAC]
		if !ok {
			continue
		}
		if err := forwardDevice(l, dom, dev, have[dev], p.NICs[r.Key].Forward); err != nil {
			return fault.At("nics."+r.Key+".forward", err)
		}
	}
	return nil
}

// usesForwards reports whether the VM forwards ports or did once.
func usesForwards(p *domxml.Parsed) bool {
	for _, nic := range p.NICs {
		if nic.Network == "" {
			return true
		}
	}
	return false
}

// netDevices returns QEMU's name of each network device of a running guest, by
// MAC.
func netDevices(l *libvirt.Libvirt, dom libvirt.Domain) (map[string]string, error) {
	doc, err := l.DomainGetXMLDesc(dom, 0)
	if err != nil {
		return nil, err
	}
	p, err := domxml.Parse(doc)
	if err != nil {
		return nil, err
	}
	devices := map[string]string{}
	for _, el := range p.Domain.Devices.Interfaces {
		if el.MAC != nil && el.Alias != nil {
			devices[strings.ToLower(el.MAC.Address)] = "host" + el.Alias.Name
		}
	}
	return devices, nil
}

// forwardDevice removes the forwards that are not wanted and adds the missing.
func forwardDevice(l *libvirt.Libvirt, dom libvirt.Domain, dev string, have, want map[uint16]uint16) error {
	for host, guest := range have {
		if want[host] == guest {
			continue
		}
		cmd := fmt.Sprintf("hostfwd_remove %s tcp:127.0.0.1:%d", dev, host)
		if _, err := l.QEMUDomainMonitorCommand(dom, cmd, hmp); err != nil {
			return err
		}
	}
	for host, guest := range want {
		if have[host] == guest {
			continue
		}
		out, err := l.QEMUDomainMonitorCommand(dom, fmt.Sprintf("hostfwd_add %s tcp:127.0.0.1:%d-:%d", dev, host, guest), hmp)
		if err != nil {
			return err
		}
		if out = strings.TrimSpace(out); out != "" { // the monitor answers success with nothing
			err := fault.Errorf(fault.Conflict, "port %d of the host's loopback cannot be forwarded: %s", host, out)
			return fault.WithHint(err, "something else may listen on it: choose another port")
		}
	}
	return nil
}

// ReachVM connects to the forwarded port and asks QEMU whether its own
// connection into the guest came about: QEMU itself accepts at once.
func (d *Driver) ReachVM(ctx context.Context, id string, port uint16) error {
	info, err := d.VM(ctx, id)
	if err != nil {
		return err
	}
	host, ok := forwardTo(info, port)
	if !ok {
		if len(info.Addresses) == 0 && hasNetwork(info) {
			return fault.Errorf(fault.Busy, "the guest has no address yet")
		}
		err := fault.Errorf(fault.Invalid, "no interface of the VM leads to port %d of the guest", port)
		return fault.At("wait_for.tcp", fault.WithHint(err, "put an interface on a network, or forward a port to %d", port))
	}
	if !d.conn.URI().Local() {
		return fault.At("wait_for.tcp", fault.Errorf(fault.Unsupported, "port %d is forwarded on the remote host's loopback, where it cannot be reached from here", port))
	}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(host))))
	if err != nil {
		return fault.As(fault.Busy, err)
	}
	defer c.Close()
	return d.connected(ctx, id, host)
}

// connected waits a moment until a connection through the host's port has come
// about in the guest.
func (d *Driver) connected(ctx context.Context, id string, host uint16) error {
	state := "not there"
	for range 10 {
		err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
			out, err := l.QEMUDomainMonitorCommand(dom, "info usernet", hmp)
			state = flowState(parseFlows(out), host)
			return err
		})
		if err != nil || state == "ESTABLISHED" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fault.Errorf(fault.Busy, "the connection into the guest is %s", state)
}

// flowState returns the state of the connections through the host's port: the
// best one, since one that came about proves that the guest accepts.
func flowState(all map[string][]flow, host uint16) string {
	state := "closed"
	for _, flows := range all {
		for _, f := range flows {
			if f.source != host || f.state == "HOST_FORWARD" {
				continue
			}
			if state = f.state; state == "ESTABLISHED" {
				return state
			}
		}
	}
	return state
}

// forwardTo returns the host port that leads to the guest's port.
func forwardTo(info spec.VMInfo, port uint16) (uint16, bool) {
	for _, nic := range info.NICs {
		for host, guest := range nic.Forward {
			if guest == port {
				return host, true
			}
		}
	}
	return 0, false
}

func hasNetwork(info spec.VMInfo) bool {
	for _, nic := range info.NICs {
		if nic.Network != "" {
			return true
		}
	}
	return false
}
