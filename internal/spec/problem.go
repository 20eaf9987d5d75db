package spec

import (
	"fmt"
	"slices"
	"strings"
)

// problems collects what is wrong with a spec.
type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

// check adds the problem unless ok.
func (p *problems) check(ok bool, field, format string, args ...any) {
	if !ok {
		p.add(field, format, args...)
	}
}

// sorted returns the problems by field, so that the same spec always reads the same.
func (p problems) sorted() []Problem {
	slices.SortStableFunc(p, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
	return p
}
