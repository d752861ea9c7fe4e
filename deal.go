package rio

// dealt is a P's lane. A goroutine that is preempted where it has it in its hands takes it along to another P, and its own asks for
// one more: so in time Ps have one lane together, and others are empty, until they are dealt out anew.
type dealt struct {
	lane *lane
	deal uint32
}

// minUneven is for how many ticks one lane may have nothing to do, and another much, and maxUneven if dealing them out anew was of no
// use. A benchmark changes them.
var minUneven, maxUneven = 4, 256

// choose is route where there are side lanes.
func (r *Ring) choose(k kind, h *handle, ord Ordering) *lane {
	if ord != None || !kinds[k].inline || h != nil && (!h.bounded || h.direct) || r.following.Load() {
		return &r.lane
	}
	s := &r.side
	d, _ := s.local.Get().(*dealt)
	if d == nil {
		d = new(dealt)
	}
	if deal := s.deal.Load(); d.lane == nil || d.deal != deal || spreadLanes > 0 {
		d.lane, d.deal = &r.lane, deal
		all := r.sides()
		if n := s.next.Add(1) % uint32(len(all)+1); n > 0 {
			d.lane = all[n-1]
		}
	}
	l := d.lane
	s.local.Put(d)
	return l
}

// even deals the lanes out anew if one has had nothing to do for some ticks, and another much; less and less often if that changes
// nothing, since fewer Ps are at work than there are lanes. Once a tick.
func (r *Ring) even() {
	s := &r.side
	if s.open.Load() == nil {
		return
	}
	idle, busy := false, false
	for l := range r.lanes() {
		n := l.flushed.Load() - l.swept.flushed
		idle = idle || n == 0
		busy = busy || uint64(n) >= crowd
	}
	switch {
	case !idle:
		s.uneven, s.patience = 0, 0
	case !busy:
		s.uneven = 0
	case s.uneven < max(s.patience, minUneven):
		s.uneven++
	default:
		s.uneven, s.patience = 0, min(2*max(s.patience, minUneven), maxUneven)
		s.deal.Add(1)
	}
}
