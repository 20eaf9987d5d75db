// Package spec holds the nouns of the VM river: what a user asks for and what a
// platform answers, in terms that no platform owns.
//
// Values here are plain data: comparable by content, free of connections, safe
// to copy. A nil map of disks, interfaces or labels means "unmanaged: leave it as it
// is"; an empty map means "none". What a nil pointer means is said where it is.
package spec
