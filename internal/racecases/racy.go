package main

import (
	"errors"
	"net"
	"os"

	"github.com/seed-9c58b644/rio"
)

// The programs in this file have a bug: they use a buffer that the kernel has.

// pipe returns a pipe whose reading end is the ring's.
func pipe(ring *rio.Ring) (*rio.File, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	f, err := ring.NewFile(r)
	return f, w, err
}

// temp returns an empty file of the ring's that has no name any more.
func temp(ring *rio.Ring) (*rio.File, error) {
	f, err := os.CreateTemp("", "racecases")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	return ring.NewFile(f)
}

// connection returns both ends of one over loopback, the ring's.
func connection(ring *rio.Ring) (near, far *rio.Conn, err error) {
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return nil, nil, err
	}
	c.Close()
	if near, err = ring.NewConn(f); err != nil {
		return nil, nil, err
	}
	far, err = await(ring.Accept(l))
	return near, far, err
}

func touchedWhileRead(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 4)
	read := ring.ReadAt(r, buf, 0)
	buf[3] = 1
	w.WriteString("data")
	w.Close()
	return transferred(read, 4)
}

func lookedAtWhileRead(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 4)
	read := ring.ReadAt(r, buf, 0)
	sink = buf[0]
	w.WriteString("data")
	w.Close()
	return transferred(read, 4)
}

// sink keeps the reads from being optimised away.
var sink byte //lint:ignore U1000 it is only written to

func touchedWhileReceived(ring *rio.Ring) error {
	near, far, err := connection(ring)
	if err != nil {
		return err
	}
	defer near.Close()
	defer far.Close()
	buf := make([]byte, 4)
	recv := ring.Recv(near, buf)
	if err := transferred(ring.Send(far, []byte("data")), 4); err != nil {
		return err
	}
	buf[0] = 1 // the data is there, perhaps: nobody has waited
	return transferred(recv, 4)
}

func changedWhileWritten(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := []byte("data")
	write := ring.WriteAt(f, buf, 0)
	buf[0] = 'D'
	return transferred(write, 4)
}

func changedWhileSent(ring *rio.Ring) error {
	near, far, err := connection(ring)
	if err != nil {
		return err
	}
	defer near.Close()
	defer far.Close()
	buf := []byte("data")
	send := ring.Send(near, buf)
	buf[0] = 'D'
	return transferred(send, 4)
}

func changedInAChain(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := []byte("data")
	chain := ring.Chain()
	write := chain.WriteAt(f, buf, 0)
	sync := chain.Fdatasync(f)
	buf[0] = 'd' // nothing has started yet
	if err := chain.Submit(); err != nil {
		return err
	}
	buf[0] = 'D'
	_, err = await(sync)
	return errors.Join(err, transferred(write, 4))
}

func touchedOneOfManyBuffers(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	bufs := [][]byte{make([]byte, 2), make([]byte, 2)}
	last := bufs[1]
	read := ring.ReadvAt(r, bufs, 0)
	bufs[1] = nil // the slice of buffers is the caller's again
	last[1] = 1
	w.WriteString("data")
	w.Close()
	return transferred(read, 4)
}

func lentToTwoReads(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("data"), 0); err != nil {
		return err
	}
	buf := make([]byte, 4)
	one, two := ring.ReadAt(f, buf, 0), ring.ReadAt(f, buf, 0)
	return errors.Join(transferred(one, 4), transferred(two, 4))
}

func lentToAReadAndAWrite(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("data"), 0); err != nil {
		return err
	}
	buf := make([]byte, 4)
	read, write := ring.ReadAt(f, buf, 0), ring.WriteAt(f, buf, 100)
	return errors.Join(transferred(read, 4), transferred(write, 4))
}

func touchedByAnother(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 4)
	read := ring.ReadAt(r, buf, 0)
	touched := make(chan struct{})
	go func() {
		buf[2] = 1
		close(touched)
	}()
	<-touched
	w.WriteString("data")
	w.Close()
	return transferred(read, 4)
}
