//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	k.wake()
	// libvirtd takes away what guests and networks have in the kernel: packet
	// filters, bridges. If it does not, the rest is done without it.
	if err := errors.Join(
		k.each([]string{"list", "--name"}, "destroy"),
		k.each([]string{"net-list", "--name"}, "net-destroy"),
	); err != nil {
		fmt.Fprintln(os.Stderr, "keeper: end the host without libvirtd:", err)
	}
	k.stopping.Store(true)
	return k.killAll()
}

// wake lets suspended processes run: a suspended libvirtd answers nothing, and
// for a suspended guest libvirtd waits long.
func (k *keeper) wake() {
	below, err := descendants(os.Getpid())
	if err != nil {
		return // what does not wake is killed in the end
	}
	for _, pid := range below {
		_ = unix.Kill(pid, unix.SIGCONT) // it may have ended meanwhile
	}
}

// each runs a virsh command on every object that another lists, all at once.
func (k *keeper) each(list []string, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), orderly)
	defer cancel()
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
