//go:build linux

package lab

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Remove clears away what is left of a host that no longer runs: its keeper
// was killed, or the machine was restarted. A directory that holds no host is
// left alone; a host that runs is fault.Busy.
func Remove(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("remove the lab host: %w", err)
	}
	l, err := readLayout(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the lab host in %s: %w", dir, err)
	}
	if k, err := readKeeper(dir); err == nil && k.alive() {
		return fault.WithHint(fault.Errorf(fault.Busy, "remove the lab host in %s: it runs", dir), "Stop it instead.")
	}
	if err := l.clear(); err != nil {
		return fmt.Errorf("remove the lab host in %s: %w", dir, err)
	}
	return nil
}

// clear ends whatever still runs of a host without its keeper and removes its
// bridges, network namespace and files.
func (l layout) clear() error {
	return errors.Join(l.killRemains(), l.deleteBridges(), l.remove())
}

// killRemains kills the processes of a host whose keeper is gone.
func (l layout) killRemains() error {
	for deadline := time.Now().Add(orderly); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left, err := l.remains()
		if err != nil || len(left) == 0 {
			return err
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
		}
	}
	return errors.New("some processes of the host cannot be killed")
}

// remains returns the processes that belong to the host without being below a
// keeper: for a system host those in its mount namespace, for a session host
// daemons and guests that run in its directory.
func (l layout) remains() (left []int, err error) {
	k, err := readKeeper(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it never started
	}
	if err != nil {
		return nil, err
	}
	own, err := mountNS(os.Getpid())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err != nil || s.state == 'Z' {
			continue
		}
		ns, err := mountNS(pid)
		if err == nil && l.System && ns == k.MountNS && ns != own || !l.System && l.runsHere(pid) {
			left = append(left, pid)
		}
	}
	return left, nil
}

// mountNS names the mount namespace of a process.
func mountNS(pid int) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
}

// runsHere reports whether a process is a daemon or a guest of a session host.
// A client of the host has the same environment and is not meant.
func (l layout) runsHere(pid int) bool {
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	name := filepath.Base(string(bytes.SplitN(argv, []byte{0}, 2)[0]))
	switch {
	case strings.HasPrefix(name, "qemu-system-"):
		return bytes.Contains(argv, []byte(l.Dir+"/"))
	case name == "libvirtd", name == "virtlogd":
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return err == nil && bytes.Contains(env, []byte("XDG_RUNTIME_DIR="+filepath.Join(l.Dir, "run")+"\x00"))
	}
	return false
}

// deleteBridges removes the bridges of networks that libvirtd left running.
func (l layout) deleteBridges() error {
	if !l.System || l.NetNS != "" { // a session has none; others go with their namespace
		return nil
	}
	left, err := filepath.Glob(filepath.Join(l.Dir, "run", "network", "*.xml"))
	errs := []error{err}
	for _, path := range left {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // libvirtd removed it meanwhile
		}
		name, e := bridgeOf(b)
		if errs = append(errs, err, e); name == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join("/sys/class/net", name)); err != nil {
			continue
		}
		if out, err := exec.Command(program("ip"), "link", "delete", name).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("delete bridge %s: %w: %s", name, err, bytes.TrimSpace(out)))
		}
	}
	return errors.Join(errs...)
}

// bridgeOf returns the bridge in the state that libvirtd keeps of a network.
func bridgeOf(state []byte) (string, error) {
	var s struct {
		Network struct {
			Bridge struct {
				Name string `xml:"name,attr"`
			} `xml:"bridge"`
		} `xml:"network"`
	}
	err := xml.Unmarshal(state, &s)
	return s.Network.Bridge.Name, err
}
