package riotest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// names are the directory: what programs see, what is durable, and the changes in between. They become durable in their
// order: a power cut keeps the first few.
type names struct {
	now     map[string]*inode
	durable map[string]*inode
	journal []change
}

// A change gives an inode the name to, and takes from away.
type change struct {
	from, to string
	node     *inode
}

func (c change) apply(m map[string]*inode) {
	delete(m, c.from)
	if c.to != "" {
		m[c.to] = c.node
	}
}

func newNames(d *Disk) names {
	n := names{now: map[string]*inode{}, durable: map[string]*inode{}}
	for _, name := range d.Names() {
		b, _ := d.ReadFile(name)
		i := &inode{data: b, disk: slices.Clone(b), dirty: map[int][][]byte{}}
		n.now[name], n.durable[name] = i, i
	}
	return n
}

func (n *names) change(c change) {
	c.apply(n.now)
	n.journal = append(n.journal, c)
}

// commit makes the changes durable up to and with the last one that gave i a name; all of them, if i is nil.
func (n *names) commit(i *inode) {
	last := len(n.journal)
	for i != nil && last > 0 && n.journal[last-1].node != i {
		last--
	}
	for _, c := range n.journal[:last] {
		c.apply(n.durable)
	}
	n.journal = append(n.journal[:0], n.journal[last:]...)
}

// cut is what a power cut leaves.
func (n *names) cut(r *rand.Rand) *Disk {
	left := maps.Clone(n.durable)
	for _, c := range n.journal[:r.IntN(len(n.journal)+1)] {
		c.apply(left)
	}
	d := &Disk{files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		d.files[name] = left[name].cut(r)
	}
	return d
}
