package libvirtconn

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

func TestParseURIAccepts(t *testing.T) {
	cases := []struct {
		in     string
		want   URI
		daemon string
		out    string // "" means in
	}{
		{"qemu:///system", URI{Driver: "qemu", Transport: "unix", Path: "/system"}, "qemu:///system", ""},
		{"qemu:///session", URI{Driver: "qemu", Transport: "unix", Path: "/session"}, "qemu:///session", ""},
		{"qemu+unix:///system?socket=/run/a b/sock", URI{Driver: "qemu", Transport: "unix", Path: "/system", Socket: "/run/a b/sock"}, "qemu:///system", "qemu:///system?socket=/run/a+b/sock"},
		{"qemu:///session?socket=/x", URI{Driver: "qemu", Transport: "unix", Path: "/session", Socket: "/x"}, "qemu:///session", ""},
		{"qemu+tcp://kvm1/system", URI{Driver: "qemu", Transport: "tcp", Host: "kvm1", Path: "/system"}, "qemu:///system", ""},
		{"qemu+tcp://10.0.0.1:12/system", URI{Driver: "qemu", Transport: "tcp", Host: "10.0.0.1", Port: 12, Path: "/system"}, "qemu:///system", ""},
		{"qemu+tcp://[fe80::1%25eth0]:12/system", URI{Driver: "qemu", Transport: "tcp", Host: "fe80::1%eth0", Port: 12, Path: "/system"}, "qemu:///system", ""},
		{"test:///default", URI{Driver: "test", Transport: "unix", Path: "/default"}, "test:///default", ""},
		{"test+unix:///etc/a%20b.xml", URI{Driver: "test", Transport: "unix", Path: "/etc/a b.xml"}, "test:///etc/a%20b.xml", ""},
		{"test+tcp://h/default", URI{Driver: "test", Transport: "tcp", Host: "h", Path: "/default"}, "test:///default", ""},
	}
	for _, c := range cases {
		got, err := ParseURI(c.in)
		if err != nil {
			t.Errorf("ParseURI(%q): %v", c.in, err)
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("ParseURI(%q) (-want +got):\n%s", c.in, d)
		}
		if got.Daemon() != c.daemon {
			t.Errorf("ParseURI(%q).Daemon() = %q, want %q", c.in, got.Daemon(), c.daemon)
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if got.String() != want {
			t.Errorf("ParseURI(%q).String() = %q, want %q", c.in, got.String(), want)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	cases := []struct {
		name, in string
		kind     fault.Kind
		text     string
	}{
		{"nothing", "", fault.Invalid, "is empty"},
		{"a bare path", "/system", fault.Invalid, `its driver is ""`},
		{"another hypervisor", "xen:///system", fault.Invalid, `its driver is "xen"`},
		{"a transport that libvirt does not have", "qemu+udp://h/system", fault.Invalid, `its transport is "udp"`},
		{"tls", "qemu+tls://h/system", fault.Unsupported, "transport tls comes in a later release"},
		{"tls by libvirt's rule", "qemu://h/system", fault.Unsupported, "transport tls comes in a later release"},
		{"ssh", "qemu+ssh://ops@h/system", fault.Unsupported, "transport ssh comes in a later release"},
		{"libssh2", "qemu+libssh2://h/system?known_hosts=/x", fault.Unsupported, "later release"},
		{"a password", "qemu+ssh://ops:hunter2@h/system", fault.Invalid, "it has a password"},
		{"a password in what is no URI", "qemu+ssh://ops:hunter2@h:port:x/system", fault.Invalid, "it is not a URI"},
		{"a user on tcp", "qemu+tcp://ops@h/system", fault.Invalid, "tcp has no users"},
		{"tcp without a host", "qemu+tcp:///system", fault.Invalid, "it names no host"},
		{"tcp with only a port", "qemu+tcp://:16509/system", fault.Invalid, "it names no host"},
		{"an empty port", "qemu+tcp://h:/system", fault.Invalid, "its port is empty"},
		{"port zero", "qemu+tcp://h:0/system", fault.Invalid, "not between 1 and 65535"},
		{"a port too large", "qemu+tcp://h:65536/system", fault.Invalid, "not between 1 and 65535"},
		{"a host on unix", "qemu+unix://h/system", fault.Invalid, "has no host or user"},
		{"a relative socket", "qemu:///system?socket=run/sock", fault.Invalid, "is not an absolute path"},
		{"an empty socket", "qemu:///system?socket=", fault.Invalid, "is not an absolute path"},
		{"a socket twice", "qemu:///system?socket=/a&socket=/b", fault.Invalid, "is there 2 times"},
		{"an unknown parameter", "qemu:///system?sockt=/a", fault.Invalid, `parameter "sockt" is not known`},
		{"a socket on tcp", "qemu+tcp://h/system?socket=/a", fault.Invalid, `parameter "socket" is not known`},
		{"parameters that cannot be read", "qemu:///system?a;b", fault.Invalid, "cannot be read"},
		{"no path", "qemu://", fault.Invalid, `its path is ""`},
		{"another path", "qemu:///systems", fault.Invalid, `its path is "/systems"`},
		{"a session over tcp", "qemu+tcp://h/session", fault.Invalid, "does not listen on tcp"},
		{"a test file that is not clean", "test:///a/../b", fault.Invalid, "want /default or the absolute path"},
		{"a fragment", "qemu:///system#x", fault.Invalid, "want DRIVER"},
		{"an opaque URI", "qemu:system", fault.Invalid, "want DRIVER"},
	}
	for _, c := range cases {
		_, err := ParseURI(c.in)
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: ParseURI(%q) = %v (%s), want %s with %q", c.name, c.in, err, fault.KindOf(err), c.kind, c.text)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", c.name, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"qemu:///system", "qemu+tcp://h:1/system", "qemu+tcp://[::1%25a]/system", "test+unix:///a%00b",
		"qemu:///session?socket=/a%2Fb", "qemu+ssh://u:p@h/system", "test:///a?b", "qemu+tcp://a%20b/system"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.Unsupported {
				t.Fatalf("ParseURI(%q) = %v of kind %s, want Invalid or Unsupported", s, err, k)
			}
			return
		}
		again, err := ParseURI(u.String())
		if err != nil || again != u {
			t.Fatalf("ParseURI(%q).String() = %q, which parses to %+v, %v; want %+v", s, u.String(), again, err, u)
		}
		d, err := ParseURI(u.Daemon())
		if err != nil || d.Path != u.Path || d.Driver != u.Driver || !d.Local() {
			t.Fatalf("ParseURI(%q).Daemon() = %q: %+v, %v; want a local URI of the same driver and path", s, u.Daemon(), d, err)
		}
	})
}
