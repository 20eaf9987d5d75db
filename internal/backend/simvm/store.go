package simvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// schema is the version of the state file's format.
const schema = 1

// store keeps a platform. do runs f alone on it; with change set, what f did is
// kept if it returns nil. f must not change the platform and then fail.
type store interface {
	do(ctx context.Context, change bool, f func(*platform) error) error
}

// memory is a platform that ends with the process.
type memory struct {
	mu       sync.Mutex
	platform *platform
}

func (m *memory) do(_ context.Context, _ bool, f func(*platform) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f(m.platform)
}

// file is a platform in a JSON file, which several processes may use at once:
// each call holds the lock beside it, and replaces the file as a whole.
type file struct{ path string }

type document struct {
	Schema   int       `json:"schema"`
	Platform *platform `json:"platform"`
}

func (s *file) do(ctx context.Context, change bool, f func(*platform) error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return s.failed("create the directory of", err)
	}
	unlock, err := lock(ctx, s.path+".lock")
	if err != nil {
		return s.failed("lock", err)
	}
	defer unlock()
	p, err := s.load()
	if err != nil {
		return err
	}
	if err := f(p); err != nil || !change {
		return err
	}
	return s.save(p)
}

func (s *file) load() (*platform, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return newPlatform(), nil
	}
	if err != nil {
		return nil, s.failed("read", err)
	}
	doc := document{Platform: newPlatform()}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, s.damaged(err.Error())
	}
	if doc.Schema != schema {
		return nil, s.damaged(fmt.Sprintf("its schema is %d, and this version reads %d", doc.Schema, schema))
	}
	if err := doc.Platform.whole(); err != nil {
		return nil, s.damaged(err.Error())
	}
	return doc.Platform, nil
}

func (s *file) save(p *platform) error {
	data, err := json.MarshalIndent(document{schema, p}, "", "\t")
	if err != nil {
		return s.failed("encode", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".tmp-*")
	if err != nil {
		return s.failed("write", err)
	}
	defer os.Remove(tmp.Name()) // fails when all went well: it was renamed
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return s.failed("write", err)
	}
	if err := os.Rename(tmp.Name(), s.path); err != nil {
		return s.failed("replace", err)
	}
	return nil
}

// failed is an error of the file system: the platform cannot be reached, which
// is never "not found".
func (s *file) failed(verb string, err error) error {
	kind := fault.Unavailable
	switch {
	case errors.Is(err, context.Canceled):
		kind = fault.Canceled
	case errors.Is(err, fs.ErrPermission):
		kind = fault.Denied
	}
	return fault.Errorf(kind, "%s the simulator's state %s: %w", verb, s.path, err)
}

func (s *file) damaged(why string) error {
	return fault.WithHint(fault.Errorf(fault.Invalid, "the simulator's state %s cannot be used: %s", s.path, why),
		"restore %s, or delete it to begin with an empty platform", s.path)
}
