package collect

import (
	"strconv"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var nicTable = table{
	{param: "rx.bytes", field: "rx_bytes", counter: true, rate: "rx_bytes_per_sec"},
	{param: "rx.pkts", field: "rx_packets", counter: true, rate: "rx_packets_per_sec"},
	{param: "rx.errs", field: "rx_errs", counter: true, rate: "rx_errs_per_sec"},
	{param: "rx.drop", field: "rx_drop", counter: true, rate: "rx_drop_per_sec"},
	{param: "tx.bytes", field: "tx_bytes", counter: true, rate: "tx_bytes_per_sec"},
	{param: "tx.pkts", field: "tx_packets", counter: true, rate: "tx_packets_per_sec"},
	{param: "tx.errs", field: "tx_errs", counter: true, rate: "tx_errs_per_sec"},
	{param: "tx.drop", field: "tx_drop", counter: true, rate: "tx_drop_per_sec"},
}

// emitNICs sends the network interfaces of a domain. One in user mode lives
// inside QEMU and has neither a name on the host nor statistics.
func (g *gather) emitNICs(r *reading) {
	for i := range r.nics {
		x := &r.nics[i]
		if x.name == "" || x.empty() {
			continue
		}
		device, mac := r.profile.nic(x.name)
		if device == "" {
			device = "net" + strconv.Itoa(i) // what libvirt calls it unless devices were unplugged
		}
		s := meterOf(&r.meters.nics, device, g.now).next(r.at, nicTable, &x.row)
		counters, gauges := nicTable.fields(&x.row, &s)
		gauges = append(gauges, sample.Field{Key: "interface", Value: x.name})
		tags := r.tags(g, sample.Tag{Key: "device", Value: device}, sample.Tag{Key: "mac", Value: mac})
		g.emitBoth("novacron_net", tags, counters, gauges)
	}
}
