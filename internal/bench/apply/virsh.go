//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// virsh does what the provider does, with the definition that the provider made.
type virsh struct {
	host *lab.Host
	dom  libvirtxml.Domain
}

// learn takes the definition of the first VM as the model of the others.
func (v *virsh) learn(ctx context.Context) error {
	doc, err := v.host.Virsh(ctx, "dumpxml", "--inactive", "bench-0")
	if err != nil {
		return err
	}
	v.dom = libvirtxml.Domain{} // decoding adds to what is there
	return v.dom.Unmarshal(doc)
}

// do runs a step on n VMs, ten at a time, one virsh for each command.
func (v *virsh) do(ctx context.Context, step string, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	slots := make(chan struct{}, 10)
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = v.one(ctx, step, fmt.Sprintf("floor-%d", i))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (v *virsh) one(ctx context.Context, step, name string) error {
	switch step {
	case "plan":
		return v.all(ctx, []string{"dumpxml", "--inactive", name})
	case "destroy":
		return v.all(ctx, []string{"destroy", name}, []string{"undefine", name, "--managed-save"}, []string{"vol-delete", "--pool", "default", name})
	}
	d := v.dom
	d.Name, d.UUID, d.Metadata = name, "", nil
	devices := *d.Devices
	devices.Disks = append([]libvirtxml.DomainDisk(nil), devices.Disks...)
	devices.Disks[0].Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: filepath.Join(v.host.Images(), name)}}
	devices.Interfaces = append([]libvirtxml.DomainInterface(nil), devices.Interfaces...)
	devices.Interfaces[0].MAC = nil
	d.Devices = &devices
	doc, err := d.Marshal()
	if err != nil {
		return err
	}
	file := filepath.Join(v.host.Dir, name+".xml")
	if err := write(file, doc); err != nil {
		return err
	}
	defer os.Remove(file)
	return v.all(ctx,
		[]string{"vol-create-as", "--pool", "default", "--name", name, "--capacity", "64MiB", "--format", "qcow2"},
		[]string{"define", file}, []string{"start", name})
}

func (v *virsh) all(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := v.host.Virsh(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
