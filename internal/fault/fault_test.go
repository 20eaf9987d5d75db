package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKindSurvivesEveryWrap(t *testing.T) {
	cases := []struct {
		name string
		err  error
		kind Kind
		text string
	}{
		{"a bare kind", fmt.Errorf("migrate VM %q: %w", "x", Unsupported), Unsupported, `migrate VM "x": not supported`},
		{"Errorf with a cause", Errorf(Busy, "start: %w", io.EOF), Busy, "start: EOF"},
		{"As keeps the text", As(Denied, io.EOF), Denied, "EOF"},
		{"At keeps kind and text", At("nics.lan", Errorf(Invalid, "no such network")), Invalid, "no such network"},
		{"the outermost kind wins", As(Conflict, NotFound), Conflict, "not found"},
		{"cancelled by the caller", fmt.Errorf("call: %w", context.Canceled), Canceled, "call: context canceled"},
		{"a deadline", context.DeadlineExceeded, Unavailable, "context deadline exceeded"},
		{"anything else", io.EOF, Unknown, "EOF"},
	}
	for _, c := range cases {
		if got := KindOf(c.err); got != c.kind {
			t.Errorf("%s: KindOf = %q, want %q", c.name, got, c.kind)
		}
		if got := c.err.Error(); got != c.text {
			t.Errorf("%s: Error() = %q, want %q", c.name, got, c.text)
		}
	}
	if err := Errorf(Busy, "start: %w", io.EOF); !errors.Is(err, io.EOF) || !errors.Is(err, Busy) || errors.Is(err, NotFound) {
		t.Errorf("errors.Is on %v: want EOF and Busy, not NotFound", err)
	}
}

func TestFieldAndHintOfTheInnermostCause(t *testing.T) {
	err := At("disks", fmt.Errorf("create: %w", At("disks.root.volume", WithHint(NotFound, "create %s first", "it"))))
	if got := FieldOf(err); got != "disks.root.volume" {
		t.Errorf("FieldOf = %q, want the innermost", got)
	}
	if got := HintOf(WithHint(err, "outer")); got != "create it first" {
		t.Errorf("HintOf = %q, want the innermost", got)
	}
	if As(Busy, nil) != nil || At("x", nil) != nil || WithHint(nil, "x") != nil {
		t.Error("wrapping nil must stay nil")
	}
}
