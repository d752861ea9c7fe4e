package rio

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// lend puts o's file into the table of registered files, at its place (IORING_REGISTER_FILES_UPDATE).
func (r *Ring) lend(o *op, raw syscall.RawConn) error {
	place := o.x.place
	if k := r.k.Lender(); k != nil {
		return k.Lend(place, o.x.file)
	}
	var regErr error
	err := uring.Control(raw, func(fd uintptr) { regErr = r.setFile(place, int(fd)) })
	if err == nil {
		err = regErr
	}
	return err
}

// takeBack empties a place, for the next one.
func (r *Ring) takeBack(place uint32) {
	r.setFile(place, -1)
	r.sq.mu.Lock()
	r.sq.files = append(r.sq.files, place)
	r.sq.mu.Unlock()
}

func (r *Ring) setFile(place uint32, fd int) error {
	if !r.use() {
		return ErrClosed
	}
	defer r.unuse(0)
	return r.k.SetFile(place, fd)
}
