package rio

// An entry of the table: user_data is an index into it and a generation, never a pointer.
type entry struct {
	op  *op
	gen uint32
}

// controlData is the user_data of requests that belong to no operation: cancels.
const controlData = 1<<64 - 1

// userData is what an operation in that place, used for the gen-th time, is known by to the kernel.
func userData(gen, place uint32) uint64 { return uint64(gen)<<32 | uint64(place) }

// place is o's in the table.
func (o *op) place() uint32 { return uint32(o.data) }

// find returns the operation with that user_data; nil if it is not in flight. Under cq.mu.
func (l *lane) find(userData uint64) *op {
	if place := uint32(userData); uint64(place) < uint64(len(l.table)) && l.table[place].gen == uint32(userData>>32) {
		return l.table[place].op
	}
	return nil
}

// places are the free places of a lane's table: as many as there are tickets, so who has a ticket finds one. It is a
// queue with one producer (under cq.mu) and one consumer (under sq.mu): neither waits for the other, the ticket orders them.
type places struct {
	free []uint32 // a ring
	mask uint32
	head uint32 // under sq.mu
	tail uint32 // under cq.mu
}

func (p *places) init(n uint32) {
	p.free = make([]uint32, n)
	for i := range p.free {
		p.free[i] = uint32(i)
	}
	p.mask, p.tail = n-1, n // the kernel's queues are powers of two
}

func (p *places) take() uint32 {
	i := p.free[p.head&p.mask]
	p.head++
	return i
}

func (p *places) put(place uint32) {
	p.free[p.tail&p.mask] = place
	p.tail++
}

// spare are places for operations that nobody holds a Completion of (what a Conn or a Listener waits for): a thousand
// idle connections must not use up the tickets. The table grows for them. Should they all complete at once the kernel
// keeps the CQEs that find no room (IORING_FEAT_NODROP).
type spare []uint32

// placeQuiet returns a place that is no ticket. Under sq.mu and cq.mu.
func (l *lane) placeQuiet() uint32 {
	if len(l.spare) == 0 {
		n := len(l.table)
		grown := make([]entry, n+max(64, n/4))
		copy(grown, l.table)
		l.table = grown
		for i := len(grown) - 1; i >= n; i-- {
			l.spare = append(l.spare, uint32(i))
		}
	}
	p := l.spare[len(l.spare)-1]
	l.spare = l.spare[:len(l.spare)-1]
	return p
}
