package rio

import "fmt"

// seats is a loop's table of Streams. user_data names one by its number and its generation: a CQE can't reach the Stream
// that has a seat after the one that it was for.
type seats struct {
	all   []seat
	free  []uint32
	taken int
}

type seat struct {
	c   *Stream
	gen uint32
}

const (
	seatBits = 32
	genMask  = 1<<(doesShift-seatBits) - 1
)

// take gives c a seat, and returns it as user_data has it.
func (s *seats) take(c *Stream) uint64 {
	if len(s.free) == 0 {
		s.all = append(s.all, seat{})
		s.free = append(s.free, uint32(len(s.all)-1))
	}
	n := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.taken++
	s.all[n].c = c
	return uint64(s.all[n].gen)<<seatBits | uint64(n)
}

// find is the Stream that a CQE is for.
func (s *seats) find(userData uint64) *Stream {
	n := uint32(userData)
	if int(n) < len(s.all) {
		if t := &s.all[n]; t.c != nil && t.gen == uint32(userData>>seatBits)&genMask {
			return t.c
		}
	}
	panic(fmt.Sprintf("rio: a CQE (user_data %#x) that fits no connection of this loop", userData))
}

// leave frees a seat. No request for it is in flight.
func (s *seats) leave(id uint64) {
	t := &s.all[uint32(id)]
	t.c = nil
	t.gen = (t.gen + 1) & genMask
	s.free = append(s.free, uint32(id))
	s.taken--
}
