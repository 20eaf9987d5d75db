package collect

import (
	"encoding/xml"
	"time"
)

// profile is what only the definition of a domain tells: its size, and names of
// its interfaces that survive a restart.
type profile struct {
	at     time.Time // when it was read; zero when never
	vcpus  uint64
	memory uint64 // bytes
	nics   []nicProfile
}

type nicProfile struct{ name, alias, mac string }

// nic returns the alias and MAC address of the interface with that name on the
// host, or nothing.
func (p *profile) nic(name string) (alias, mac string) {
	for _, n := range p.nics {
		if n.name == name {
			return n.alias, n.mac
		}
	}
	return "", ""
}

// stale reports whether the definition must be read again: never read, old
// enough for a live change of the size to show, or without an interface that
// the domain now has.
func (p *profile) stale(now time.Time, nics []nicReading) bool {
	age := now.Sub(p.at)
	if p.at.IsZero() || age >= profileKeep {
		return true
	}
	for i := range nics {
		alias, _ := p.nic(nics[i].name)
		if alias == "" && nics[i].name != "" && age >= profileRetry {
			return true
		}
	}
	return false
}

// parseProfile reads the definition of a running domain, whose memory libvirt
// always gives in KiB.
func parseProfile(definition string, now time.Time) (profile, error) {
	var x struct {
		VCPU struct {
			Current uint64 `xml:"current,attr"`
			Max     uint64 `xml:",chardata"`
		} `xml:"vcpu"`
		Memory     uint64 `xml:"memory"`
		Interfaces []struct {
			MAC struct {
				Address string `xml:"address,attr"`
			} `xml:"mac"`
			Target struct {
				Dev string `xml:"dev,attr"`
			} `xml:"target"`
			Alias struct {
				Name string `xml:"name,attr"`
			} `xml:"alias"`
		} `xml:"devices>interface"`
	}
	if err := xml.Unmarshal([]byte(definition), &x); err != nil {
		return profile{}, err
	}
	p := profile{at: now, vcpus: x.VCPU.Current, memory: x.Memory * kib}
	if p.vcpus == 0 {
		p.vcpus = x.VCPU.Max
	}
	for _, n := range x.Interfaces {
		if n.Target.Dev != "" {
			p.nics = append(p.nics, nicProfile{name: n.Target.Dev, alias: n.Alias.Name, mac: n.MAC.Address})
		}
	}
	return p, nil
}
