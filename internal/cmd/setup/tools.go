package main

// purpose is what the machine is set up for. Tests need all that the
// demonstration needs.
type purpose int

const (
	forDemo purpose = iota
	forTest
)

// tool is one thing that must be on the machine.
type tool struct {
	name     string
	anyOf    []string // programs, one of which is enough; empty: the name
	files    []string // patterns of files, one of which is enough, instead of programs
	purpose  purpose
	packages map[family]string // none: not in the distributions; then get says how to get it
	get      string
}

// tools is everything that demo and tests start or read, in the order in which
// it is reported.
func tools() []tool {
	p := func(debian, fedora, suse, arch string) map[family]string {
		return map[family]string{familyDebian: debian, familyFedora: fedora, familySUSE: suse, familyArch: arch}
	}
	return []tool{
		{name: "terraform", anyOf: []string{"terraform"},
			get: "install Terraform from https://developer.hashicorp.com/terraform/install and put it in the path"},
		{name: "libvirtd", packages: p("libvirt-daemon-system", "libvirt-daemon-kvm", "libvirt-daemon", "libvirt")},
		{name: "libvirt's QEMU driver", packages: p("libvirt-daemon-driver-qemu", "libvirt-daemon-driver-qemu", "libvirt-daemon-driver-qemu", "libvirt"),
			files: []string{"/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so", "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so", "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so"}},
		{name: "virtlogd", packages: p("libvirt-daemon-system", "libvirt-daemon-log", "libvirt-daemon-log", "libvirt")},
		{name: "virsh", packages: p("libvirt-clients", "libvirt-client", "libvirt-client", "libvirt")},
		{name: "qemu-system-x86_64", packages: p("qemu-system-x86", "qemu-system-x86", "qemu-x86", "qemu-system-x86")},
		{name: "qemu-img", packages: p("qemu-utils", "qemu-img", "qemu-tools", "qemu-img")},
		{name: "dnsmasq", packages: p("dnsmasq-base", "dnsmasq", "dnsmasq", "dnsmasq")},
		{name: "iptables", packages: p("iptables", "iptables-nft", "iptables", "iptables-nft")},
		{name: "ip", packages: p("iproute2", "iproute", "iproute2", "iproute2")},
		{name: "influxd", packages: p("influxdb", "influxdb", "influxdb", "influxdb")},
		{name: "influx", packages: p("influxdb-client", "influxdb", "influxdb", "influxdb")},
		{name: "busybox", packages: p("busybox-static", "busybox", "busybox-static", "busybox")},
		{name: "syslinux", packages: p("syslinux", "syslinux", "syslinux", "syslinux")},
		{name: "syslinux' boot record", packages: p("syslinux-common", "syslinux-nonlinux", "syslinux", "syslinux"),
			files: []string{"/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin", "/usr/lib/syslinux/bios/mbr.bin", "/usr/share/syslinux/mbr.bin"}},
		{name: "mcopy", packages: p("mtools", "mtools", "mtools", "mtools")},
		{name: "mkfs.vfat", packages: p("dosfstools", "dosfstools", "dosfstools", "dosfstools")},
		{name: "xz", packages: p("xz-utils", "xz", "xz", "xz")},
		{name: "zstd", packages: p("zstd", "zstd", "zstd", "zstd")},
		{name: "cpio", purpose: forTest, packages: p("cpio", "cpio", "cpio", "cpio")},
		{name: "gcc", purpose: forTest, packages: p("gcc", "gcc", "gcc", "gcc")}, // of the race detector
		{name: "the C library's headers", purpose: forTest, packages: p("libc6-dev", "glibc-devel", "glibc-devel", "glibc"),
			files: []string{"/usr/include/stdlib.h"}},
	}
}
