// Package archtest keeps the architecture: which room may import which, that
// every room says what is in it, and how large the pieces have become.
package archtest
