//go:build linux

package lab

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reaper starts processes and waits for every process that becomes a child of
// this one, also for those that it did not start: orphans of its children. It
// is the only one in the process that may wait for children. Safe for
// concurrent use.
type reaper struct {
	mu    sync.Mutex
	ended map[int]chan unix.WaitStatus
}

// newReaper makes the process the parent of the orphans below it and waits for
// them as long as the process lives, each within an instant of its end.
func newReaper() (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of orphans: %w", err)
	}
	r := &reaper{ended: map[int]chan unix.WaitStatus{}}
	go r.loop()
	return r, nil
}

func (r *reaper) loop() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // no child at the moment
			time.Sleep(5 * time.Millisecond)
			continue
		}
		r.mu.Lock()
		if c, ok := r.ended[pid]; ok {
			delete(r.ended, pid)
			c <- status
		}
		r.mu.Unlock()
	}
}

// start starts a program and returns its process ID and the channel that gets
// its status.
func (r *reaper) start(attr *os.ProcAttr, argv ...string) (int, <-chan unix.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		return 0, nil, err
	}
	pid, c := p.Pid, make(chan unix.WaitStatus, 1)
	r.ended[pid] = c
	return pid, c, p.Release()
}
