//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// What a host asks of its keeper: one verb per connection, answered by "ok" or
// by a line that says what went wrong.
const (
	verbRestart = "restart"
	verbSuspend = "suspend"
	verbResume  = "resume"
	verbStop    = "stop"

	answerOK = "ok"
)

// ask sends a verb to the keeper and returns its answer. A keeper that is gone
// is fault.Unavailable.
func (h *Host) ask(ctx context.Context, verb string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(h.Dir, control))
	if err != nil {
		return fault.As(fault.Unavailable, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintln(conn, verb); err != nil {
		return fault.As(fault.Unavailable, err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fault.Errorf(fault.Unavailable, "the keeper did not answer: %w", errors.Join(err, ctx.Err()))
	}
	if line = strings.TrimSpace(line); line != answerOK {
		return errors.New(line)
	}
	return nil
}

// answer reads a verb from the connection, does it and says how it went.
func answer(conn net.Conn, do func(verb string) error) (verb string, err error) {
	defer conn.Close()
	verb, err = bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	verb = strings.TrimSpace(verb)
	line := answerOK
	if err := do(verb); err != nil {
		line = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	_, err = fmt.Fprintln(conn, line)
	return verb, err
}
