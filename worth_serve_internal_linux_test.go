package rio

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
)

// A handler that gives back what comes, from the loop or by way of a goroutine.
type replies struct {
	all    atomic.Int32 // connections
	opened chan struct{}
	began  atomic.Bool
	left   atomic.Int64
	enough chan struct{}
	others chan echo
	pieces sync.Pool
}

type echo struct {
	c *Stream
	p *[128]byte
	n int
}

func (e *replies) Closed(*Stream, error) {}

func (e *replies) Data(c *Stream, p []byte) {
	if e.others == nil {
		c.Write(p)
	} else {
		for len(p) > 0 {
			piece := e.pieces.Get().(*[128]byte)
			n := copy(piece[:], p)
			p = p[n:]
			e.others <- echo{c, piece, n}
		}
	}
	if e.began.Load() && e.left.Add(-1) == 0 {
		close(e.enough)
	}
}

// serve is answer with Listener.Serve and one loop.
func serve(b *testing.B, connections int, others bool) {
	r := ringFor(b)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	e := &replies{opened: make(chan struct{}), enough: make(chan struct{})}
	var all sync.WaitGroup
	if others {
		e.pieces.New = func() any { return new([128]byte) }
		e.others = make(chan echo, connections)
		for range 4 {
			all.Go(func() {
				for m := range e.others {
					m.c.Write(m.p[:m.n])
					e.pieces.Put(m.p)
				}
			})
		}
	}
	e.left.Store(int64(b.N))
	client := exec.Command(os.Args[0], "-test.run=^TestTheClientOfAnswer$")
	client.Env = append(os.Environ(), "RIO_TEST_ANY=1", "RIO_TEST_ECHO="+l.Addr().String(), fmt.Sprint("RIO_TEST_CONNECTIONS=", connections),
		"GOMAXPROCS=1")
	if err := client.Start(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, &Server{Loops: 1, Open: func(*Stream) Handler {
			if e.all.Add(1) == int32(connections) {
				close(e.opened)
			}
			return e
		}})
	}()
	<-e.opened
	b.ResetTimer()
	cpu := cpuTime()
	e.began.Store(true)
	<-e.enough
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
	b.StopTimer()
	cancel()
	if err := <-served; err != nil {
		b.Error(err)
	}
	if others {
		close(e.others)
	}
	all.Wait()
	if err := client.Wait(); err != nil {
		b.Error(err)
	}
}

// A loop of Serve lets others run first, if those write to its Streams: four goroutines do.
func BenchmarkWorthLettingOthersWrite(b *testing.B) {
	for _, procs := range []int{1, 2} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/procs=%d", with, procs), func(b *testing.B) {
				withProcs(b, procs)
				if with == "without" {
					setFor(b, &loopOthers, 0)
				}
				serve(b, 64, true)
			})
		}
	}
}
