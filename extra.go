package rio

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// extra is what only some operations need. It stays with the op when that is used again.
type extra struct {
	file   syscall.Conn // a foreign descriptor's owner, kept alive until the end
	place  uint32       // with bitFixed
	remote bool         // the file is: see isRemote
	want   int          // what a vectored transfer is in full
	vec    []uring.Iovec

	sa   uring.Sockaddr
	conn *Conn // what accept returns
	in   *inbox
}

// clear lets go of what a result needs no more.
func (x *extra) clear() {
	x.file = nil
	if cap(x.vec) > 64 {
		x.vec = nil
	}
}

// extra returns o.x, which it makes if there is none yet.
func (o *op) extra() *extra {
	if o.x == nil {
		o.x = new(extra)
	}
	return o.x
}
