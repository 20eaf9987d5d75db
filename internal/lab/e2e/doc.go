// Package e2e holds the end-to-end tests: the built provider under the real
// terraform on a real libvirtd with real QEMU, with faults in between.
package e2e
