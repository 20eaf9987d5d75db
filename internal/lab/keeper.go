//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lifelineFD is the read end of the pipe whose other end the starter holds.
const lifelineFD = 3

// A libvirtd that ends mostTries times in a row before it has lived for
// settled will not get better: the keeper gives up.
const (
	mostTries = 5
	settled   = 2 * time.Second
)

// keeper is the parent of everything that runs for a host.
type keeper struct {
	layout
	reaper   *reaper
	env      []string
	libvirtd atomic.Int64 // its process ID now; 0 between two of them
	once     sync.Once    // of teardown
	stopping atomic.Bool
	done     chan struct{} // closed when the host is stopped
}

// keep is the life of a keeper; it returns the exit status.
func keep(dir string) int {
	k := &keeper{done: make(chan struct{})}
	if err := k.run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		return 1
	}
	return 0
}

func (k *keeper) run(dir string) (err error) {
	if k.layout, err = readLayout(dir); err != nil {
		return err
	}
	if !k.Detached {
		unix.CloseOnExec(lifelineFD)
	}
	if k.System {
		if err := k.enter(); err != nil {
			return err
		}
	}
	if k.reaper, err = newReaper(); err != nil {
		return err
	}
	k.env = k.environment()
	l, err := net.Listen("unix", filepath.Join(dir, control))
	if err != nil {
		return err
	}
	if err := k.introduce(); err != nil {
		return err
	}
	if k.System {
		if err := k.startLogger(); err != nil {
			return err
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- k.respawn() }()
	go k.serve(l)
	abandoned := k.abandoned()
	select {
	case <-k.done:
		return nil
	case err = <-failed:
		return errors.Join(err, k.teardown())
	case <-abandoned:
		return errors.Join(k.teardown(), k.deleteBridges(), k.remove())
	}
}

// introduce writes down which process the keeper is, for Attach.
func (k *keeper) introduce() error {
	p, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	if p.MountNS, err = mountNS(p.PID); err != nil {
		return err
	}
	j, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(k.Dir, keeperFile), j, 0o644)
}

// environment is what libvirtd and virsh run with: that of the starter without
// what would lead them to another host.
func (k *keeper) environment() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == keeperMark || strings.HasPrefix(name, "LIBVIRT_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LC_") {
			continue
		}
		env = append(env, v)
	}
	if !k.System {
		env = append(env, sessionEnv(k.Dir)...)
	}
	return env
}

// abandoned is closed when the process that started the host is gone, or when
// the keeper is told to end by a signal.
func (k *keeper) abandoned() <-chan struct{} {
	c := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(c) }) }
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	go func() { <-signals; end() }()
	if !k.Detached {
		go func() {
			_, _ = io.Copy(io.Discard, os.NewFile(lifelineFD, "lifeline")) // any end means the same
			end()
		}()
	}
	return c
}

// spawn starts a program whose output goes to the log of the keeper.
func (k *keeper) spawn(argv ...string) (int, <-chan unix.WaitStatus, error) {
	path, err := exec.LookPath(program(argv[0]))
	if err != nil {
		return 0, nil, err
	}
	argv[0] = path
	return k.reaper.start(k.attributes(os.Stderr), argv...)
}

// attributes are how the programs of the host run: as its user, with its
// environment, complaining to the log of the keeper.
func (k *keeper) attributes(stdout *os.File) *os.ProcAttr {
	h := Host{layout: k.layout}
	return &os.ProcAttr{
		Dir: "/", Env: k.env, Files: []*os.File{nil, stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: h.Credential()},
	}
}

// program finds daemons that ordinary users do not have in their path.
func program(name string) string {
	if path := filepath.Join("/usr/sbin", name); name != filepath.Base(name) || unix.Access(path, unix.X_OK) == nil {
		return path
	}
	return name
}

// startLogger starts virtlogd, which libvirtd gives the output of guests to.
func (k *keeper) startLogger() error {
	_, _, err := k.spawn("virtlogd", "--pid-file", "/run/libvirt/virtlogd.pid")
	return err
}

// respawn keeps a libvirtd running until the host stops. It returns an error
// when libvirtd will not stay up.
func (k *keeper) respawn() error {
	argv := []string{"libvirtd"}
	if k.System {
		argv = append(argv, "--pid-file", "/run/libvirt/libvirtd.pid")
	}
	if k.TCP != "" {
		argv = append(argv, "--listen")
	}
	for tries := 0; ; {
		started := time.Now()
		pid, ended, err := k.spawn(append([]string{}, argv...)...)
		if err != nil {
			return err
		}
		k.libvirtd.Store(int64(pid))
		status := <-ended
		k.libvirtd.Store(0)
		if k.stopping.Load() {
			return nil
		}
		if tries++; time.Since(started) > settled || status.Signaled() {
			tries = 0
		}
		if tries == mostTries {
			return fmt.Errorf("libvirtd ended %d times in a row, last with status %d", tries, status.ExitStatus())
		}
	}
}

// serve answers the host; a stop has its answer before the keeper ends.
func (k *keeper) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			verb, err := answer(conn, k.do)
			if err != nil {
				fmt.Fprintln(os.Stderr, "keeper:", err)
			}
			if verb == verbStop {
				close(k.done)
			}
		}()
	}
}

// do does what the host asks for.
func (k *keeper) do(verb string) error {
	switch verb {
	case verbRestart:
		return k.kill(unix.SIGKILL)
	case verbSuspend:
		return k.kill(unix.SIGSTOP)
	case verbResume:
		return k.kill(unix.SIGCONT)
	case verbStop:
		return k.teardown()
	}
	return fmt.Errorf("the keeper does not know %q", verb)
}

// kill sends a signal to libvirtd, and after a SIGKILL waits until it is gone.
func (k *keeper) kill(sig unix.Signal) error {
	pid := int(k.libvirtd.Load())
	if pid == 0 {
		return errors.New("libvirtd is just being started")
	}
	if err := unix.Kill(pid, sig); err != nil {
		return err
	}
	for sig == unix.SIGKILL && int(k.libvirtd.Load()) == pid {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// virsh runs virsh on the host and returns what it printed.
func (k *keeper) virsh(ctx context.Context, args ...string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	path, err := exec.LookPath("virsh")
	if err != nil {
		w.Close()
		return "", err
	}
	h := Host{layout: k.layout}
	pid, ended, err := k.reaper.start(k.attributes(w), append([]string{path, "--quiet", "--connect", h.URI()}, args...)...)
	w.Close()
	if err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = unix.Kill(pid, unix.SIGKILL) })()
	out, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if status := <-ended; status != 0 {
		return string(out), fmt.Errorf("virsh %s: status %d", strings.Join(args, " "), status.ExitStatus())
	}
	return string(out), nil
}
