// Package attr is what the noun rooms of the provider share: the configured
// provider that they receive, attribute paths, and the wording of diagnostics.
package attr
