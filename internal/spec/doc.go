// Package spec holds the nouns of the VM river: what a user asks for and what a
// platform answers, in terms that no platform owns.
//
// Values here are plain data: comparable by content, free of connections, safe
// to copy. A nil map or nil pointer means "unmanaged: leave it as it is"; an
// empty map means "none".
package spec
