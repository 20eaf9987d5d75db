//go:build linux

package lab

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"
)

// The files of a host's directory beside the directories in stateDirs.
const (
	layoutFile = "host.json"
	keeperFile = "keeper.json"
	keeperLog  = "keeper.log"
	control    = "control"
)

// stateDirs are the directories of a host and, for a system host, where its
// libvirtd sees them.
var stateDirs = map[string]string{
	"etc":   "/etc/libvirt",
	"lib":   "/var/lib/libvirt",
	"cache": "/var/cache/libvirt",
	"log":   "/var/log/libvirt",
	"run":   "/run/libvirt",
}

// extraDirs are the other directories of a host.
var extraDirs = []string{"images", "config", "data"}

// sessionEnv points the session libvirtd, and its clients, to the host.
func sessionEnv(dir string) []string {
	var env []string
	for variable, name := range map[string]string{
		"HOME": "", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data",
	} {
		env = append(env, variable+"="+filepath.Join(dir, name))
	}
	return env
}

// configDir is where libvirtd's own configuration files are.
func (l layout) configDir() string {
	if l.System {
		return filepath.Join(l.Dir, "etc")
	}
	return filepath.Join(l.Dir, "config", "libvirt")
}

// write creates the host's directory with everything that libvirtd reads.
func (l layout) write() error {
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(l.Dir, 0o755); err != nil { // guests and dnsmasq run as other users
		return err
	}
	dirs := append([]string{}, extraDirs...)
	for d := range stateDirs {
		dirs = append(dirs, d)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(l.Dir, d), 0o755); err != nil {
			return err
		}
	}
	j, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return err
	}
	pool, err := l.pool()
	if err != nil {
		return err
	}
	files := map[string]string{
		filepath.Join(l.Dir, layoutFile):                       string(j),
		filepath.Join(l.configDir(), "libvirtd.conf"):          l.libvirtdConf(),
		filepath.Join(l.configDir(), "qemu.conf"):              l.qemuConf(),
		filepath.Join(l.configDir(), "storage", "default.xml"): pool,
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := l.autostart(); err != nil {
		return err
	}
	if l.System {
		return l.copyFilters()
	}
	return l.own()
}

// own gives the directory of a session host to its user.
func (l layout) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(l.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, l.UID, l.GID)
	})
}

// copyFilters gives the host the network filters that libvirt ships.
func (l layout) copyFilters() error {
	from, to := "/etc/libvirt/nwfilter", filepath.Join(l.configDir(), "nwfilter")
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}

func (l layout) libvirtdConf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "host_uuid = %q\n", uuid.NewString())
	b.WriteString("auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nlisten_tls = 0\n")
	if l.System {
		b.WriteString("unix_sock_group = \"root\"\nunix_sock_ro_perms = \"0777\"\nunix_sock_rw_perms = \"0770\"\n")
	}
	if l.TCP == "" {
		b.WriteString("listen_tcp = 0\n")
		return b.String()
	}
	host, port, _ := net.SplitHostPort(l.TCP) // checked by resolveTCP
	fmt.Fprintf(&b, "listen_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = %q\ntcp_port = %q\n", host, port)
	return b.String()
}

func (l layout) qemuConf() string {
	if !l.System {
		return ""
	}
	return `user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
`
}

// pool is the definition of the storage pool that every libvirt user has.
func (l layout) pool() (string, error) {
	b, err := xml.Marshal(libvirtxml.StoragePool{
		Type:   "dir",
		Name:   "default",
		UUID:   uuid.NewString(),
		Target: &libvirtxml.StoragePoolTarget{Path: filepath.Join(l.Dir, "images")},
	})
	return string(b), err
}

// autostart marks the pool to be started, by the link that libvirtd itself
// would make.
func (l layout) autostart() error {
	seen := filepath.Join(l.configDir(), "storage")
	link := filepath.Join(seen, "autostart", "default.xml")
	if l.System {
		seen = filepath.Join(stateDirs["etc"], "storage")
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(filepath.Join(seen, "default.xml"), link)
}

// remove deletes the network namespace and the files of the host. What others
// put into a directory of their own stays.
func (l layout) remove() error {
	var errs []error
	if l.NetNS != "" {
		if _, err := os.Stat(filepath.Join("/run/netns", l.NetNS)); err == nil {
			if out, err := exec.Command("ip", "netns", "delete", l.NetNS).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("delete network namespace %s: %w: %s", l.NetNS, err, strings.TrimSpace(string(out))))
			}
		}
	}
	names := append([]string{layoutFile, keeperFile, keeperLog, control}, extraDirs...)
	for d := range stateDirs {
		names = append(names, d)
	}
	for _, n := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(l.Dir, n)))
	}
	if l.OwnDir {
		errs = append(errs, os.RemoveAll(l.Dir))
	} else if left, err := os.ReadDir(l.Dir); err == nil && len(left) == 0 {
		errs = append(errs, os.Remove(l.Dir))
	}
	return errors.Join(errs...)
}
