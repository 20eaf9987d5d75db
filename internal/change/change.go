// Package change says what a change does to a guest before anything is done: it
// compares what is with what is wanted and gives each difference a class.
//
// It is pure, and both the plan (what will this do?) and the apply (do it, in
// this order) ask it, so they cannot disagree.
package change

import (
	"slices"
	"strings"
)

// Class is what an operation does to the guest. Classes are ordered: the class
// of a change is the greatest class among its operations.
type Class int

// The classes, from nothing to losing the machine.
const (
	None    Class = iota // the guest cannot tell
	Live                 // the guest sees it and keeps running
	Reboot               // the guest is shut down and started once
	Replace              // the object is destroyed and made anew
)

// String returns the name that users see.
func (c Class) String() string {
	return [...]string{"none", "live", "reboot", "replace"}[c]
}

// ParseClass returns the class of that name.
func ParseClass(name string) (c Class, ok bool) {
	for c := None; c <= Replace; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return None, false
}

// Op is one difference.
type Op struct {
	Class Class
	Field string // attribute path as the user writes it: "disks.data"
	Why   string // why it is no milder; empty for None and Live
}

// Plan is all differences between what is and what is wanted, mildest first. The
// zero Plan changes nothing.
type Plan struct {
	Ops []Op
}

// Class returns the greatest class in the plan.
func (p Plan) Class() Class {
	c := None
	for _, op := range p.Ops {
		c = max(c, op.Class)
	}
	return c
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Ops) == 0 }

// Changes reports whether the plan changes the field or anything under it.
func (p Plan) Changes(field string) bool {
	return slices.ContainsFunc(p.Ops, func(op Op) bool {
		return op.Field == field || strings.HasPrefix(op.Field, field+".")
	})
}

// Of returns the operations of the class.
func (p Plan) Of(c Class) []Op {
	return slices.DeleteFunc(slices.Clone(p.Ops), func(op Op) bool { return op.Class != c })
}

func (p *Plan) add(c Class, field, why string) {
	p.Ops = append(p.Ops, Op{c, field, why})
}

// sorted puts the mildest first, then by field: the order of the apply and of
// every message.
func (p Plan) sorted() Plan {
	slices.SortStableFunc(p.Ops, func(a, b Op) int {
		if a.Class != b.Class {
			return int(a.Class) - int(b.Class)
		}
		return strings.Compare(a.Field, b.Field)
	})
	return p
}
