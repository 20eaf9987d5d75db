package libvirtvm

import (
	"context"
	"sync"
)

// locks lets one goroutine at a time work on what has an identity. The zero
// value is ready to use.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is free again
}

// lock waits for the identity and returns what frees it, or why ctx ended.
func (k *locks) lock(ctx context.Context, id string) (unlock func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k.mu.Lock()
		free := k.held[id]
		if free == nil {
			break
		}
		k.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
		}
	}
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = map[string]chan struct{}{}
	}
	free := make(chan struct{})
	k.held[id] = free
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.held, id)
		close(free)
	}, nil
}
