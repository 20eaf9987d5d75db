// Package sample holds the nouns of the metric river: a sample, the series it
// belongs to, and how a counter becomes a rate.
package sample

import (
	"slices"
	"strings"
	"time"
)

// Type says how the fields of a sample behave over time.
type Type uint8

// The types of a sample.
const (
	Gauge   Type = iota // a level: memory in use, a utilisation, a rate
	Counter             // only grows, until what it counts is reset
)

// Sample is one measurement of one object at one instant: the unit that
// collectors produce and the analytics consume. Its slices belong to whoever
// holds the sample; nobody keeps them after passing it on.
type Sample struct {
	Name   string    // measurement: "novacron_domain", "novacron_block"
	Time   time.Time // when it was measured, never when it was sent
	Type   Type
	Tags   []Tag   // sorted by Key, no Key twice
	Fields []Field // at least one
}

// Tag is one label of a series.
type Tag struct{ Key, Value string }

// Field is one value of a sample: an int64, uint64, float64, bool or string. A
// field of a given name never changes its type.
type Field struct {
	Key   string
	Value any
}

// SortTags sorts tags by key, as Sample wants them, and drops empty values.
func SortTags(tags []Tag) []Tag {
	tags = slices.DeleteFunc(tags, func(t Tag) bool { return t.Value == "" })
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

// Tag returns the value of the tag, or "".
func (s *Sample) Tag(key string) string {
	for _, t := range s.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// Float returns the field as a number; ok is false when the field is missing or
// is not a number. A bool counts as 0 or 1.
func (s *Sample) Float(key string) (v float64, ok bool) {
	for _, f := range s.Fields {
		if f.Key == key {
			return f.Float()
		}
	}
	return 0, false
}

// Float returns the value as a number; ok is false for a string.
func (f Field) Float() (v float64, ok bool) {
	switch x := f.Value.(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// AppendKey appends the series key of one field of the sample to dst: the name,
// the sorted tags and the field, separated by bytes that none of them contains.
// Two fields share a key only when they are the same series.
func (s *Sample) AppendKey(dst []byte, field string) []byte {
	dst = append(dst, s.Name...)
	for _, t := range s.Tags {
		dst = append(dst, 0)
		dst = append(dst, t.Key...)
		dst = append(dst, 1)
		dst = append(dst, t.Value...)
	}
	dst = append(dst, 2)
	return append(dst, field...)
}
