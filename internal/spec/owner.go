package spec

import (
	"crypto/sha1"
	"fmt"
	"strings"
)

// namespace is the UUID of the name space in which identities are made; fixed
// for ever, since identities are written into the platforms.
var namespace = [16]byte{0x6b, 0x1f, 0x4c, 0x52, 0x0d, 0x3e, 0x47, 0x8a, 0x9b, 0x51, 0x2e, 0x6c, 0x90, 0x77, 0xa4, 0x13}

// Identity returns the UUID (version 5, RFC 9562) of the object of the kind that
// the owner calls name. forcing are the values whose change forces a replacement:
// they make the replacement a different object than the one that it replaces.
//
// It is a pure function of configuration, so it is known before the first side
// effect, and a second run after a crash finds what the first one left.
func Identity(owner, kind, name string, forcing ...string) string {
	h := sha1.New()
	h.Write(namespace[:])
	for _, part := range append([]string{owner, kind, name}, forcing...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// ShortID returns the first eight hex digits of a UUID: what owned storage
// carries in its name.
func ShortID(uuid string) string {
	short, _, _ := strings.Cut(uuid, "-")
	return short
}
