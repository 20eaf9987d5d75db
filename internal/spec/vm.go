package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Power is whether a VM runs.
type Power string

// The power states. Paused and Crashed are only ever read, never asked for.
const (
	Running Power = "running"
	Stopped Power = "stopped"
	Paused  Power = "paused"
	Crashed Power = "crashed"
)

// VM is a virtual machine as a user asks for it, or as a platform holds it.
type VM struct {
	UUID        string // identity; drivers never make one up
	Owner       string // who made it; empty when nobody of ours did
	Name        string
	Description string
	Labels      map[string]string

	CPUs   int // vCPUs, at least 1
	Memory Size

	Boot  *DirectBoot     // nil: boots from its disks
	Disks map[string]Disk // by the user's key
	NICs  map[string]NIC  // by the user's key

	CloudInit *CloudInit // nil: no seed
	SSHKeys   []string   // authorised for the guest's default user through the seed

	Power     Power // wanted, or as it is
	Autostart bool  // starts with its host
}

// DirectBoot boots a kernel from files on the host that runs the VM.
type DirectBoot struct {
	Kernel, Initrd, Cmdline string // absolute paths on the host; Initrd and Cmdline may be empty
}

// The buses of a disk.
const (
	BusVirtio = "virtio"
	BusSATA   = "sata"
	BusSCSI   = "scsi"
)

// Disk is one disk of a VM: an existing volume (Volume set), or one that the VM
// owns and that goes with it (Size or Backing set).
type Disk struct {
	Volume   string // id of an existing volume, "pool/name"
	Size     Size   // size of an owned disk; 0 with Backing: as large as the backing volume
	Backing  string // id of the volume that an owned disk is an overlay of
	Pool     string // where an owned disk lives; "" is the target's default pool
	Bus      string // "" is the platform's best: virtio on KVM
	ReadOnly bool
}

// Owned reports whether the disk is made and deleted with its VM.
func (d Disk) Owned() bool { return d.Volume == "" }

// NIC is one network interface of a VM.
type NIC struct {
	Network string            // network name or id; "" is user networking: outbound only, plus Forward
	MAC     string            // "" is derived from the VM's UUID and the key
	Model   string            // "" is virtio
	Forward map[uint16]uint16 // user networking: TCP port on the host's loopback -> port of the guest
}

// CloudInit is what the guest's cloud-init reads from its seed.
type CloudInit struct {
	UserData      string
	NetworkConfig string
	VendorData    string

	// Digest is set on a VM that was read: it is all that a platform tells of a
	// seed, whose contents never leave it. See VM.SeedDigest.
	Digest string
}

// Shutdown says how a VM is powered off.
type Shutdown struct {
	Timeout time.Duration // how long the guest may take; 0 means off at once
	Force   bool          // power off when the guest did not obey in time; false is an error then
}

// VMInfo is a VM as its platform holds it now.
type VMInfo struct {
	VM
	Transient  bool              // the platform forgets it when it stops
	Addresses  []Address         // known addresses, best first
	OwnedDisks map[string]string // volume id of each owned disk, by key
	Unmanaged  []string          // devices that nobody of ours added, in the platform's words
}

// Address is one address of a running VM.
type Address struct {
	NIC    string // the user's key; empty for an interface that is unmanaged
	MAC    string
	IP     netip.Addr
	Source string // lease, agent, arp or static
}

// SeedDigest identifies what the VM's seed tells the guest: SHA-256 in hex, a
// colon, and a letter for each part that the seed has (see SeedParts); or "" when
// the VM has no seed. A VM that was read answers what was written.
func (v *VM) SeedDigest() string {
	if v.CloudInit != nil && v.CloudInit.Digest != "" {
		return v.CloudInit.Digest
	}
	if v.CloudInit == nil && len(v.SSHKeys) == 0 {
		return ""
	}
	var c CloudInit
	if v.CloudInit != nil {
		c = *v.CloudInit
	}
	h := sha256.New()
	for _, part := range append([]string{v.Name, c.UserData, c.NetworkConfig, c.VendorData}, v.SSHKeys...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	parts := ":"
	if v.CloudInit != nil {
		parts += seedCloudInit
	}
	if len(v.SSHKeys) > 0 {
		parts += seedSSHKeys
	}
	return hex.EncodeToString(h.Sum(nil)) + parts
}

// The letters of a seed's parts in its digest.
const (
	seedCloudInit = "c"
	seedSSHKeys   = "k"
)

// SeedParts returns what the seed with the digest was made of.
func SeedParts(digest string) (cloudInit, sshKeys bool) {
	_, parts, _ := strings.Cut(digest, ":")
	return strings.Contains(parts, seedCloudInit), strings.Contains(parts, seedSSHKeys)
}

var vmName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
var deviceKey = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,19}$`)
var macAddress = regexp.MustCompile(`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`)

// Problem is one thing wrong with a spec, and where.
type Problem struct {
	Field string // attribute path, dot separated
	Text  string
}

// Validate returns what is wrong with the VM whatever platform it goes to.
func (v *VM) Validate() []Problem {
	var p problems
	p.check(vmName.MatchString(v.Name), "name", "%q is not a name: up to 63 letters, digits, '.', '_' and '-', starting with a letter or digit", v.Name)
	p.check(v.CPUs >= 1, "cpus", "%d is fewer than 1", v.CPUs)
	p.check(v.CPUs <= 4096, "cpus", "%d is more than 4096", v.CPUs)
	p.check(v.Memory >= MiB, "memory", "%s is less than 1MiB", v.Memory)
	p.check(v.Memory < MiB || v.Memory%MiB == 0, "memory", "%s is not a whole number of MiB: the next is %s", v.Memory, v.Memory.RoundUp(MiB))
	p.check(v.Power == Running || v.Power == Stopped, "power_state", "%q is neither %q nor %q", v.Power, Running, Stopped)
	if v.Boot != nil {
		p.check(strings.HasPrefix(v.Boot.Kernel, "/"), "kernel", "%q is not an absolute path on the host", v.Boot.Kernel)
		p.check(v.Boot.Initrd == "" || strings.HasPrefix(v.Boot.Initrd, "/"), "initrd", "%q is not an absolute path on the host", v.Boot.Initrd)
	}
	for key, d := range v.Disks {
		d.validate(&p, "disks."+key, key)
	}
	macs, ports := map[string]string{}, map[uint16]string{}
	for _, key := range slices.Sorted(maps.Keys(v.NICs)) {
		n := v.NICs[key]
		n.validate(&p, "nics."+key, key)
		if other, taken := macs[v.MACFor(key)]; taken {
			p.add("nics."+key+".mac", "%s is also the MAC of nics.%s", v.MACFor(key), other)
		}
		macs[v.MACFor(key)] = key
		for _, port := range slices.Sorted(maps.Keys(n.Forward)) {
			if other, taken := ports[port]; taken {
				p.add("nics."+key+".forward", "port %d of the host is also forwarded by nics.%s", port, other)
			}
			ports[port] = key
		}
	}
	return p.sorted()
}

func (d Disk) validate(p *problems, field, key string) {
	p.check(deviceKey.MatchString(key), field, "%q is not a key: up to 20 lower-case letters, digits, '_' and '-'", key)
	switch {
	case d.Volume != "":
		p.check(d.Size == 0 && d.Backing == "" && d.Pool == "", field, "volume names an existing volume: size, backing and pool belong to that volume")
	default:
		p.check(d.Size > 0 || d.Backing != "", field, "set volume (an existing one), or size or backing (a disk of its own)")
	}
	p.check(d.Volume == "" || isVolumeID(d.Volume), field+".volume", "%q is not the id of a volume: pool/name", d.Volume)
	p.check(d.Backing == "" || isVolumeID(d.Backing), field+".backing", "%q is not the id of a volume: pool/name", d.Backing)
	p.check(d.Size >= 0 && d.Size%Sector == 0, field+".size", "%s is not a whole number of sectors: the next is %s", d.Size, d.Size.RoundUp(Sector))
	p.check(d.Bus == "" || d.Bus == BusVirtio || d.Bus == BusSATA || d.Bus == BusSCSI, field+".bus", "%q is not one of virtio, sata, scsi", d.Bus)
}

func (n NIC) validate(p *problems, field, key string) {
	p.check(deviceKey.MatchString(key), field, "%q is not a key: up to 20 lower-case letters, digits, '_' and '-'", key)
	p.check(n.MAC == "" || macAddress.MatchString(n.MAC), field+".mac", "%q is not a unicast MAC address in lower case, such as 52:54:00:12:34:56", n.MAC)
	p.check(len(n.Forward) == 0 || n.Network == "", field+".forward", "ports are forwarded by user networking only: a guest on network %q is reached at its own address", n.Network)
	for host, guest := range n.Forward {
		p.check(host != 0 && guest != 0, field+".forward", "port 0 cannot be forwarded")
	}
}

// MACFor returns the MAC address of the NIC: its own, or one derived from the
// VM's identity and the key, in the range that KVM uses (52:54:00).
func (v *VM) MACFor(key string) string {
	if mac := v.NICs[key].MAC; mac != "" {
		return mac
	}
	h := Identity(v.UUID, "nic", key)
	return fmt.Sprintf("52:54:00:%s:%s:%s", h[0:2], h[2:4], h[4:6])
}
