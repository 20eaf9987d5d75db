//go:build linux

package lab

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// orderly is how long libvirtd may take to end guests and networks before they
// are ended without it.
const orderly = 10 * time.Second

// teardown ends the guests, the networks and every process of the host. Only
// the first call does it.
func (k *keeper) teardown() (err error) {
	k.once.Do(func() { err = k.end() })
	return err
}

func (k *keeper) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), orderly)
	defer cancel()
	if pid := int(k.libvirtd.Load()); pid != 0 {
		_ = unix.Kill(pid, unix.SIGCONT) // it may be suspended
	}
	// libvirtd takes away what guests and networks have in the kernel: packet
	// filters, bridges. If it does not, the rest is done without it.
	if err := errors.Join(
		k.each(ctx, []string{"list", "--name"}, "destroy"),
		k.each(ctx, []string{"net-list", "--name"}, "net-destroy"),
	); err != nil {
		fmt.Fprintln(os.Stderr, "keeper: end the host without libvirtd:", err)
	}
	k.stopping.Store(true)
	return errors.Join(k.killAll(), k.deleteBridges(ctx))
}

// each runs a virsh command on every object that another lists, all at once.
func (k *keeper) each(ctx context.Context, list []string, command string) error {
	out, err := k.virsh(ctx, list...)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	names := strings.Fields(out)
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() { _, errs[i] = k.virsh(ctx, command, name) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// killAll ends every process below the keeper.
func (k *keeper) killAll() error {
	for deadline := time.Now().Add(orderly); time.Now().Before(deadline); {
		below, err := descendants(os.Getpid())
		if err != nil {
			return err
		}
		if len(below) == 0 {
			return nil
		}
		for _, pid := range below {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("some processes of the host cannot be killed")
}

// deleteBridges removes the bridges of networks that libvirtd left running.
func (k *keeper) deleteBridges(ctx context.Context) error {
	if !k.System {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(k.Dir, "run", "network", "*.xml"))
	var errs []error
	for _, path := range left {
		b, e := os.ReadFile(path)
		if e != nil {
			continue // libvirtd removed it meanwhile
		}
		name, e := bridgeOf(b)
		errs = append(errs, e)
		if _, e := os.Stat(filepath.Join("/sys/class/net", name)); name == "" || e != nil {
			continue
		}
		errs = append(errs, k.deleteLink(ctx, name))
	}
	return errors.Join(append(errs, err)...)
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

func (k *keeper) deleteLink(ctx context.Context, name string) error {
	_, ended, err := k.spawn("ip", "link", "delete", name)
	if err != nil {
		return err
	}
	select {
	case status := <-ended:
		if status != 0 {
			return fmt.Errorf("ip link delete %s: status %d", name, status.ExitStatus())
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
