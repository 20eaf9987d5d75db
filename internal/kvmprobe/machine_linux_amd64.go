package kvmprobe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The part of <linux/kvm.h> that a machine of one page of code needs.
const (
	kvmGetAPIVersion       = 0xAE00
	kvmCreateVM            = 0xAE01
	kvmGetVCPUMmapSize     = 0xAE04
	kvmCreateVCPU          = 0xAE41
	kvmSetUserMemoryRegion = 0x4020AE46
	kvmRun                 = 0xAE80
	kvmSetRegs             = 0x4090AE82
	kvmGetSregs            = 0x8138AE83
	kvmSetSregs            = 0x4138AE84

	kvmAPIVersion = 12
	kvmExitIO     = 2

	immediateExit = 1 << 8 // byte 1 of the first word of struct kvm_run

	// Offsets in struct kvm_run.
	offExitReason   = 8
	offIOPort       = 34
	offIODataOffset = 40
)

// The memory of the guest.
const (
	memorySize = 64 << 10
	codeAt     = 0x1000
	gdtrAt     = 0x1100
	gdtAt      = 0x1200
	debugPort  = 0xf4
	goodbye    = 'P'
)

// code starts in real mode, enters protected mode, counts down from 20 million
// and says goodbye on the debug port. Real mode alone would prove nothing: some
// kernels emulate it, correctly, where nothing else runs.
var code = [...]byte{
	0xfa,                               // cli
	0x66, 0x0f, 0x01, 0x16, 0x00, 0x11, // lgdtl 0x1100
	0x0f, 0x20, 0xc0, // mov %cr0,%eax
	0x66, 0x83, 0xc8, 0x01, // or $1,%eax
	0x0f, 0x22, 0xc0, // mov %eax,%cr0
	0x66, 0xea, 0x19, 0x10, 0x00, 0x00, 0x08, 0x00, // ljmpl $8,$0x1019
	0x66, 0xb8, 0x10, 0x00, // mov $16,%ax
	0x8e, 0xd8, // mov %ax,%ds
	0x8e, 0xc0, // mov %ax,%es
	0x8e, 0xd0, // mov %ax,%ss
	0xb9, 0x00, 0x2d, 0x31, 0x01, // mov $20000000,%ecx
	0x49,       // 1: dec %ecx
	0x75, 0xfd, // jnz 1b
	0x66, 0xba, debugPort, 0x00, // mov $0xf4,%dx
	0xb0, goodbye, // mov $'P',%al
	0xee, // out %al,%dx
	0xf4, // hlt
}

// machine is one virtual machine with one virtual processor.
type machine struct {
	vm, vcpu int
	memory   []byte
	state    []byte // struct kvm_run, shared with the kernel
}

// newMachine creates the machine with the code loaded. The caller closes it.
func newMachine(kvm int) (m *machine, err error) {
	m = &machine{vm: -1, vcpu: -1}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	version, err := ioctl(kvm, kvmGetAPIVersion, nil, "KVM_GET_API_VERSION")
	if err != nil {
		return m, err
	}
	if version != kvmAPIVersion {
		return m, fmt.Errorf("its API version is %d, want %d", version, kvmAPIVersion)
	}
	if m.vm, err = ioctl(kvm, kvmCreateVM, nil, "KVM_CREATE_VM"); err != nil {
		return m, err
	}
	if err = m.mapMemory(); err != nil {
		return m, err
	}
	if m.vcpu, err = ioctl(m.vm, kvmCreateVCPU, nil, "KVM_CREATE_VCPU"); err != nil {
		return m, err
	}
	size, err := ioctl(kvm, kvmGetVCPUMmapSize, nil, "KVM_GET_VCPU_MMAP_SIZE")
	if err != nil {
		return m, err
	}
	if m.state, err = unix.Mmap(m.vcpu, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return m, fmt.Errorf("map the processor's state: %w", err)
	}
	return m, m.reset()
}

// mapMemory gives the guest its memory with the code and a flat segment table.
func (m *machine) mapMemory() error {
	mem, err := unix.Mmap(-1, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map the guest's memory: %w", err)
	}
	m.memory = mem
	copy(mem[codeAt:], code[:])
	binary.LittleEndian.PutUint16(mem[gdtrAt:], 3*8-1)
	binary.LittleEndian.PutUint32(mem[gdtrAt+2:], gdtAt)
	binary.LittleEndian.PutUint64(mem[gdtAt+8:], 0x00cf9b000000ffff)  // code, 4 GiB
	binary.LittleEndian.PutUint64(mem[gdtAt+16:], 0x00cf93000000ffff) // data, 4 GiB
	region := struct {
		slot, flags                   uint32
		guestAddress, size, userspace uint64
	}{size: memorySize, userspace: uint64(uintptr(unsafe.Pointer(&mem[0])))}
	_, err = ioctl(m.vm, kvmSetUserMemoryRegion, unsafe.Pointer(&region), "KVM_SET_USER_MEMORY_REGION")
	return err
}

// reset points the processor at the code, in real mode.
func (m *machine) reset() error {
	var sregs [0x138]byte // struct kvm_sregs; cs comes first: u64 base, u32 limit, u16 selector
	if _, err := ioctl(m.vcpu, kvmGetSregs, unsafe.Pointer(&sregs), "KVM_GET_SREGS"); err != nil {
		return err
	}
	clear(sregs[0:8])
	clear(sregs[12:14])
	if _, err := ioctl(m.vcpu, kvmSetSregs, unsafe.Pointer(&sregs), "KVM_SET_SREGS"); err != nil {
		return err
	}
	var regs [18]uint64 // struct kvm_regs; rip and rflags come last
	regs[16], regs[17] = codeAt, 2
	_, err := ioctl(m.vcpu, kvmSetRegs, unsafe.Pointer(&regs), "KVM_SET_REGS")
	return err
}

// run returns nil once the guest has said goodbye, and an error when it ended
// in another way or was interrupted.
func (m *machine) run() error {
	for {
		_, err := ioctl(m.vcpu, kvmRun, nil, "KVM_RUN")
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) || atomic.LoadUint32(m.stop()) != 0 {
			return err
		}
	}
	reason := binary.LittleEndian.Uint32(m.state[offExitReason:])
	if reason != kvmExitIO {
		return fmt.Errorf("the test guest ended with exit reason %d, want %d", reason, kvmExitIO)
	}
	port := binary.LittleEndian.Uint16(m.state[offIOPort:])
	data := binary.LittleEndian.Uint64(m.state[offIODataOffset:])
	if port != debugPort || data >= uint64(len(m.state)) || m.state[data] != goodbye {
		return fmt.Errorf("the test guest wrote something else than it was told to on port %#x", port)
	}
	return nil
}

// stop is the word of struct kvm_run that holds immediate_exit.
func (m *machine) stop() *uint32 { return (*uint32)(unsafe.Pointer(&m.state[0])) }

// interrupt makes run return and waits for it.
func (m *machine) interrupt(thread int, done <-chan error) {
	atomic.StoreUint32(m.stop(), immediateExit)
	for {
		// SIGURG is the signal that the Go runtime itself uses to interrupt
		// a thread, and that it ignores when unexpected.
		_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
		select {
		case <-done: //nolint:errcheck // how it ended is known: it was interrupted
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// close releases whatever newMachine got.
func (m *machine) close() {
	if m.state != nil {
		_ = unix.Munmap(m.state)
	}
	if m.vcpu >= 0 {
		unix.Close(m.vcpu)
	}
	if m.vm >= 0 {
		unix.Close(m.vm)
	}
	if m.memory != nil {
		_ = unix.Munmap(m.memory)
	}
}

// ioctl calls the kernel and names the call in its error.
func ioctl(fd int, request uintptr, argument unsafe.Pointer, name string) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if errno != 0 {
		return -1, fmt.Errorf("%s: %w", name, errno)
	}
	return int(r), nil
}
