package rio_test

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// What an operation costs on threads: 4 KiB written to the page cache, and a byte there and back over a connection, beside
// what plain system calls take in as many goroutines.
func BenchmarkBackend(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/file")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, depth := range []int{1, 64} {
		b.Run(fmt.Sprintf("write/via=os/depth=%d", depth), func(b *testing.B) {
			var all sync.WaitGroup
			for g := range depth {
				all.Go(func() {
					p := make([]byte, 4096)
					for range b.N / depth {
						f.WriteAt(p, int64(g)*4096)
					}
				})
			}
			all.Wait()
		})
		for _, backend := range []rio.Backend{rio.Threads, rio.IOUring} {
			b.Run(fmt.Sprintf("write/via=%v/depth=%d", backend, depth), func(b *testing.B) {
				r := ringFor(b, backend)
				own, err := r.OpenFile(f.Name(), os.O_RDWR, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer own.Close()
				var all sync.WaitGroup
				for g := range depth {
					all.Go(func() {
						p := make([]byte, 4096)
						for range b.N / depth {
							r.WriteAt(own, p, int64(g)*4096).Wait()
						}
					})
				}
				all.Wait()
			})
		}
	}
	for _, backend := range []rio.Backend{rio.Threads, rio.IOUring} {
		b.Run(fmt.Sprintf("ping/via=%v", backend), func(b *testing.B) {
			r := ringFor(b, backend)
			x, y := connPair(b, r, "tcp4")
			pingPong(b, x, y)
		})
	}
	b.Run("ping/via=net", func(b *testing.B) {
		x, y := tcpPair(b)
		pingPong(b, x, y)
	})
}

func ringFor(b *testing.B, backend rio.Backend) *rio.Ring {
	r := newRing(b, &rio.Config{Backend: backend})
	if got, _ := r.Backend(); got != backend {
		b.Skip("RIO_BACKEND says otherwise")
	}
	return r
}

func pingPong(b *testing.B, x, y net.Conn) {
	go func() {
		p := make([]byte, 1)
		for {
			if _, err := y.Read(p); err != nil {
				return
			}
			y.Write(p)
		}
	}()
	p := make([]byte, 1)
	for range b.N {
		if _, err := x.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := x.Read(p); err != nil {
			b.Fatal(err)
		}
	}
	x.Close()
}
