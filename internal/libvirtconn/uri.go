package libvirtconn

import (
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Transports. A URI without one uses unix, or tls when it names a host: that is
// libvirt's own rule.
const (
	unixTransport = "unix"
	tcpTransport  = "tcp"
)

// URI is a libvirt connection URI, parsed. It holds no secret: a URI with a
// password is refused. The zero value is not valid; ParseURI makes one.
type URI struct {
	Driver    string // "qemu" or "test"
	Transport string // "unix" or "tcp"
	Host      string // tcp only: a name or an address, IPv6 without brackets
	Port      int    // tcp only: 0 means libvirt's default, 16509
	Path      string // "/system", "/session", "/default", or the test driver's file
	Socket    string // unix only: the socket the user chose; "" means the usual one
}

// ParseURI reads a connection URI as libvirt's clients do, and refuses what it
// would not honour: fault.Invalid for a URI that is wrong, fault.Unsupported
// for a transport that comes in a later release. The error never shows a
// password.
func ParseURI(s string) (URI, error) {
	if s == "" {
		return URI{}, fault.Errorf(fault.Invalid, "connection URI is empty: write for example qemu:///system")
	}
	u, err := url.Parse(s)
	if err != nil {
		return URI{}, invalid(s, "it is not a URI")
	}
	if _, has := u.User.Password(); has {
		return URI{}, invalid(s, "it has a password: a URI is shown in plans and logs, so it never holds one")
	}
	driver, transport, explicit := strings.Cut(u.Scheme, "+")
	if driver != "qemu" && driver != "test" {
		return URI{}, invalid(s, "its driver is %q: want qemu (or test, libvirt's mock driver)", driver)
	}
	if !explicit {
		transport = unixTransport
		if u.Host != "" {
			transport = "tls"
		}
	}
	out := URI{Driver: driver, Transport: transport, Path: u.Path}
	switch transport {
	case unixTransport:
		err = out.unixPart(s, u)
	case tcpTransport:
		err = out.tcpPart(s, u)
	case "tls", "ssh", "libssh", "libssh2":
		return URI{}, fault.WithHint(
			fault.Errorf(fault.Unsupported, "connection URI %q: transport %s comes in a later release", redact(s), transport),
			"use qemu:///system on the host itself, or qemu+tcp:// inside a network you trust (an SSH tunnel to the host's socket works with ?socket=)")
	default:
		return URI{}, invalid(s, "its transport is %q: want unix or tcp", transport)
	}
	if err != nil {
		return URI{}, err
	}
	return out, out.check(s, u)
}

// unixPart takes the socket and refuses a host.
func (u *URI) unixPart(s string, in *url.URL) error {
	if in.Host != "" || in.User != nil {
		return invalid(s, "a unix socket is on this machine, so the URI has no host or user: write %s:///…", in.Scheme)
	}
	q, err := query(s, in, "socket")
	if err != nil {
		return err
	}
	u.Socket = q["socket"]
	if _, given := q["socket"]; given && !path.IsAbs(u.Socket) {
		return invalid(s, "its socket %q is not an absolute path", u.Socket)
	}
	return nil
}

// tcpPart takes host and port.
func (u *URI) tcpPart(s string, in *url.URL) error {
	if in.User != nil {
		return invalid(s, "tcp has no users: leave out %q", in.User.Username()+"@")
	}
	u.Host = in.Hostname()
	if u.Host == "" {
		return invalid(s, "it names no host: write %s+tcp://HOST/%s", u.Driver, strings.TrimPrefix(u.Path, "/"))
	}
	if strings.HasSuffix(in.Host, ":") {
		return invalid(s, "its port is empty")
	}
	if p := in.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return invalid(s, "its port %q is not between 1 and 65535", p)
		}
		u.Port = int(n)
	}
	_, err := query(s, in)
	return err
}

// check validates what is the same for every transport.
func (u *URI) check(s string, in *url.URL) error {
	if in.Fragment != "" || in.Opaque != "" {
		return invalid(s, "want DRIVER[+TRANSPORT]://[HOST]/PATH")
	}
	switch {
	case u.Driver == "qemu" && u.Path != "/system" && u.Path != "/session":
		return invalid(s, "its path is %q: want /system or /session", u.Path)
	case u.Driver == "qemu" && u.Path == "/session" && u.Transport == tcpTransport:
		return invalid(s, "a session daemon does not listen on tcp: want /system")
	case u.Driver == "test" && (!path.IsAbs(u.Path) || u.Path == "/" || path.Clean(u.Path) != u.Path):
		return invalid(s, "its path is %q: want /default or the absolute path of a file", u.Path)
	}
	return nil
}

// query returns the URI's parameters and refuses unknown and repeated ones: a
// parameter that is silently ignored is a setting that the user believes in.
func query(s string, in *url.URL, known ...string) (map[string]string, error) {
	vals, err := url.ParseQuery(in.RawQuery)
	if err != nil {
		return nil, invalid(s, "its parameters cannot be read")
	}
	out := make(map[string]string, len(vals))
	for k, v := range vals {
		if !slices.Contains(known, k) {
			return nil, invalid(s, "parameter %q is not known for %s (known: %s)", k, in.Scheme, orNone(known))
		}
		if len(v) != 1 {
			return nil, invalid(s, "parameter %q is there %d times", k, len(v))
		}
		out[k] = v[0]
	}
	return out, nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// invalid says what is wrong with the URI s, without its user part.
func invalid(s, format string, args ...any) error {
	args = append([]any{redact(s)}, args...)
	return fault.Errorf(fault.Invalid, "connection URI %q: "+format, args...)
}

// redact hides everything before the last @ of a URI that may not even parse.
func redact(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	scheme, _, ok := strings.Cut(s[:at], "://")
	if !ok {
		return "…" + s[at:]
	}
	return scheme + "://…" + s[at:]
}

// Local reports whether the daemon is on this machine.
func (u URI) Local() bool { return u.Transport == unixTransport }

// Session reports whether the URI asks for the user's own daemon.
func (u URI) Session() bool { return u.Path == "/session" }

// private reports whether every connection has a host of its own, which is gone
// with the connection: libvirt's test driver reading a file.
func (u URI) private() bool { return u.Driver == "test" && u.Path != "/default" }

// Daemon returns the name that the daemon is asked to open: the URI as seen on
// its own machine.
func (u URI) Daemon() string {
	return (&url.URL{Scheme: u.Driver, Path: u.Path}).String()
}

// String returns the URI in its canonical form, safe to show.
func (u URI) String() string {
	out := url.URL{Scheme: u.Driver, Path: u.Path}
	switch {
	case u.Transport == tcpTransport:
		out.Scheme += "+tcp"
		out.Host = u.Host
		if strings.Contains(u.Host, ":") {
			out.Host = "[" + u.Host + "]" // url escapes the zone's %
		}
		if u.Port != 0 {
			out.Host += ":" + strconv.Itoa(u.Port)
		}
	case u.Driver == "test" && u.private():
		out.Scheme += "+unix"
	}
	if u.Socket != "" {
		out.RawQuery = "socket=" + strings.ReplaceAll(url.QueryEscape(u.Socket), "%2F", "/")
	}
	return out.String()
}
