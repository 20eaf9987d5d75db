// Package fault names the kinds of failure that every layer agrees on.
//
// A driver turns the errors of its platform into a kind once; everybody above
// asks errors.Is(err, fault.NotFound) and never reads the text. An error may
// also carry the attribute it is about and a remedy, so that the user gets one
// diagnostic at the right place that says what to do.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind is one way in which an operation fails. Kinds are errors, so that a bare
// kind can be wrapped: fmt.Errorf("migrate VM %q: %w", id, fault.Unsupported).
type Kind string

// The kinds. Only NotFound may ever remove an object from Terraform's state.
const (
	NotFound    Kind = "not found"                                       // the platform answered that the object does not exist
	Conflict    Kind = "conflict"                                        // the name or identity is taken by something that is not ours
	Busy        Kind = "busy"                                            // another operation holds the object; trying again helps
	Denied      Kind = "permission denied"                               // the credentials do not allow it
	Unsupported Kind = "not supported"                                   // the target cannot do it, now or ever
	Unavailable Kind = "unavailable"                                     // the target could not be reached or the connection broke
	Canceled    Kind = "canceled"                                        // the caller gave up
	Invalid     Kind = "invalid"                                         // the request itself is wrong
	Exhausted   Kind = "no room left"                                    // disk, memory, quota or address space ran out
	Unknown     Kind = "failed for a reason the target did not classify" // everything else
)

// Error returns the kind's plain name.
func (k Kind) Error() string { return string(k) }

// Error is a failure with its kind and, where known, the attribute it is about
// and what the user can do. Errors are immutable once returned.
type Error struct {
	Kind  Kind
	Field string // attribute path as the user writes it, dot separated: "disks.root.volume"; may be empty
	Text  string // what failed, on which object, why
	Hint  string // what to do; may be empty
	Err   error  // the cause; may be nil

	cause error // a cause that Text already spells out
}

// Error returns the text and the cause, without the hint.
func (e *Error) Error() string {
	switch {
	case e.Text == "" && e.Err == nil:
		return string(e.Kind)
	case e.Text == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e.Err == nil {
		return e.cause
	}
	return e.Err
}

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Errorf returns an error of the kind. A %w argument becomes its cause.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Text: err.Error(), cause: errors.Unwrap(err)}
}

// As gives err the kind, keeping its text. A nil err stays nil.
func As(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Err: err}
}

// At says which attribute err is about, unless a cause already says it more
// precisely. A nil err stays nil.
func At(field string, err error) error {
	if err == nil || FieldOf(err) != "" {
		return err
	}
	return &Error{Kind: KindOf(err), Field: field, Err: err}
}

// WithHint adds what the user can do. The innermost hint is the one shown. A
// nil err stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil || HintOf(err) != "" {
		return err
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns err's outermost kind. A context error is Canceled, or
// Unavailable when its deadline passed; nil is the empty kind.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Unknown
}

// FieldOf returns the attribute that err is about, or "".
func FieldOf(err error) string {
	return find(err, func(e *Error) string { return e.Field })
}

// HintOf returns what to do about err, or "".
func HintOf(err error) string {
	return find(err, func(e *Error) string { return e.Hint })
}

// find returns the first non-empty answer along the chain of causes.
func find(err error, get func(*Error) string) string {
	for err != nil {
		if e, ok := err.(*Error); ok { //nolint:errorlint // this walks the chain itself
			if s := get(e); s != "" {
				return s
			}
		}
		err = errors.Unwrap(err)
	}
	return ""
}
