package rio

import (
	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// What package riotest needs of this one, and nobody else: Rings on another kernel than Linux, and Files on that.

// kernelOfTests is what every Ring runs on, if its Make is not nil.
var kernelOfTests hook.Kernel

func init() {
	hook.NewRing = func(config any, k hook.Kernel) (any, error) { return newOn(config.(*Config), k) }
	hook.NewFile = func(ring any, f uring.Virtual) (any, error) { return ring.(*Ring).newVirtual(f) }
	hook.Everywhere = func(k hook.Kernel) { kernelOfTests = k }
}

// newVirtual is newFile for a file of the Ring's Kernel.
func (r *Ring) newVirtual(v uring.Virtual) (*File, error) {
	if err := r.usable("open"); err != nil {
		return nil, err
	}
	f := &File{f: &virtualFile{Virtual: v, fd: uring.NewVirtual(v)}, seekable: true}
	fd := f.f.(*virtualFile).fd
	f.init(r, fd)
	f.bounded = true
	f.direct = v.Flags()&uring.FileDirect != 0
	f.appends = v.Flags()&uring.FileAppend != 0
	return f, nil
}

// A virtualFile owns the descriptor of a Virtual.
type virtualFile struct {
	uring.Virtual
	fd int
}

func (f *virtualFile) Close() error {
	uring.FreeVirtual(f.fd)
	return f.Virtual.Close()
}
