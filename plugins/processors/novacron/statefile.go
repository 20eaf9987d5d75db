package novacron

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/novacron/terraform-provider-novacron/internal/analytics"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// statefile keeps the engine's state across restarts. It is replaced as a whole
// (written beside, synced, renamed), so that a crash leaves the old one or the
// new one. One plugin owns it at a time.
type statefile struct {
	path string
	lock *os.File
	log  telegraf.Logger
}

// openStatefile claims the file for this plugin. A folder that cannot be
// written to is an error here rather than at the end of the day.
func openStatefile(path string, log telegraf.Logger) (*statefile, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.WithHint(fault.At("state_file", err), "state_file must be in a folder that exists and that Telegraf may write to")
	}
	if err := claim(lock); err != nil {
		lock.Close()
		return nil, fault.WithHint(fault.At("state_file", fault.Errorf(fault.Conflict, "state file %s is in use by another processor: %w", path, err)),
			"give each processors.novacron a state_file of its own; Telegraf starts each processor twice when there are aggregators, unless skip_processors_after_aggregators is true")
	}
	return &statefile{path: path, lock: lock, log: log}, nil
}

// load fills the engine. No file is a fresh start. A damaged file is set aside,
// loudly, and is a fresh start, too; one that cannot be read is an error.
func (f *statefile) load(e *analytics.Engine) error {
	r, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.log.Infof("No state in %s yet: every series starts with a warm-up", f.path)
		return nil
	}
	if err != nil {
		return fault.At("state_file", err)
	}
	defer r.Close()
	bad := e.Load(r)
	if bad == nil {
		f.log.Infof("Took the state of %d series from %s", e.Stats().Series, f.path)
		return nil
	}
	if !errors.Is(bad, fault.Invalid) {
		return fault.At("state_file", fmt.Errorf("read state file %s: %w", f.path, bad))
	}
	aside := f.path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(f.path, aside); err != nil {
		return fault.At("state_file", fmt.Errorf("set the damaged state file aside: %w", err))
	}
	f.log.Errorf("The state file cannot be used, it is now %s and every series starts anew with a warm-up: %v", aside, bad)
	return nil
}

// save writes the state of e; mu is held only while it is taken, not while it
// is written.
func (f *statefile) save(mu *sync.Mutex, e *analytics.Engine) error {
	var buf bytes.Buffer
	mu.Lock()
	err := e.Save(&buf)
	mu.Unlock()
	if err != nil {
		return err
	}
	return replace(f.path, buf.Bytes())
}

// replace makes content the whole content of the file, or changes nothing.
func replace(path string, content []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(content); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close gives the file up for another plugin.
func (f *statefile) close() { f.lock.Close() }
