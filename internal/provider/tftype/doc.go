// Package tftype holds the value types of the Terraform room: sizes and durations
// that are written as text and checked while the plan is made.
package tftype
