package rio_test

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// readOnly is a file that can't be written to: a WriteAt on it fails with EBADF.
func readOnly(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open(tempFile(t, "read only").Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLinkedOperationsRunInTheirOrder(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, ""))
			for i := range 30 {
				x, y := byte('a'+i%26), byte('A'+i%26)
				got := make([]byte, 4)
				w1 := r.WriteAt(f, []byte{x, x, x, x}, 0, rio.Link)
				w2 := r.WriteAt(f, []byte{y, y}, 0, rio.Link)
				rd := r.ReadAt(f, got, 0)
				if n := ok(t, rd); n != 4 || string(got) != string([]byte{y, y, x, x}) {
					t.Fatalf("round %d: read %d bytes, %q", i, n, got)
				}
				if n, m := ok(t, w1), ok(t, w2); n != 4 || m != 2 {
					t.Fatalf("round %d: wrote %d and %d bytes", i, n, m)
				}
			}
		})
	})
}

func TestFailureBreaksTheLinkAndOnlyThat(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			bad, f := own(r, readOnly(t)), own(r, tempFile(t, "...."))
			a := r.WriteAt(bad, []byte("x"), 0, rio.Link)
			b := r.WriteAt(f, []byte("B"), 0, rio.Link)
			c := r.WriteAt(f, []byte("C"), 1)
			d := r.WriteAt(f, []byte("D"), 2)
			ok(t, d)
			fails(t, c, syscall.ECANCELED)
			fails(t, b, syscall.ECANCELED)
			fails(t, a, syscall.EBADF)
			if got := content(t, f.(interface{ Name() string })); got != "..D." {
				t.Fatalf("the file has %q", got)
			}
		})
	})
}

func TestShortReadBreaksTheLink(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, "12345"))
			for _, vec := range []bool{false, true} {
				buf := make([]byte, 6)
				var a rio.Completion[int]
				if vec {
					a = r.ReadvAt(f, [][]byte{buf[:3], buf[3:]}, 0, rio.Link)
				} else {
					a = r.ReadAt(f, buf, 0, rio.Link)
				}
				b := r.WriteAt(f, []byte("X"), 0)
				fails(t, b, syscall.ECANCELED)
				if n := ok(t, a); n != 5 {
					t.Fatal(n)
				}
			}
			if got := content(t, f.(interface{ Name() string })); got != "12345" {
				t.Fatalf("the file has %q", got)
			}
		})
	})
}

// The kernel does not end a chain at a failed fsync, sync_file_range or fallocate.
func TestFailedSyncBreaksTheLink(t *testing.T) {
	kinds := map[string]func(r *rio.Ring, c *rio.Chain, f syscall.Conn) rio.Completion[struct{}]{
		"fsync": func(r *rio.Ring, c *rio.Chain, f syscall.Conn) rio.Completion[struct{}] {
			if c != nil {
				return c.Fsync(f)
			}
			return r.Fsync(f, rio.Link)
		},
		"fdatasync": func(r *rio.Ring, c *rio.Chain, f syscall.Conn) rio.Completion[struct{}] {
			if c != nil {
				return c.Fdatasync(f)
			}
			return r.Fdatasync(f, rio.Link)
		},
		"sync_file_range": func(r *rio.Ring, c *rio.Chain, f syscall.Conn) rio.Completion[struct{}] {
			if c != nil {
				return c.SyncFileRange(f, 0, 1)
			}
			return r.SyncFileRange(f, 0, 1, rio.Link)
		},
		"fallocate": func(r *rio.Ring, c *rio.Chain, f syscall.Conn) rio.Completion[struct{}] {
			if c != nil {
				return c.Fallocate(f, 0, 0, 1)
			}
			return r.Fallocate(f, 0, 0, 1, rio.Link)
		},
	}
	for name, start := range kinds {
		t.Run(name, func(t *testing.T) {
			if onWindows && name != "fallocate" {
				t.Skip("a pipe can be synced there")
			}
			owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
				r := newRing(t, &rio.Config{Depth: 8})
				pr, _ := tempPipe(t)
				p, f := own(r, pr), own(r, tempFile(t, "......"))
				a := start(r, nil, p)
				b := r.WriteAt(f, []byte("B"), 0, rio.Link)
				c := r.WriteAt(f, []byte("C"), 1)
				if _, err := a.Wait(); err == nil {
					t.Fatal("a pipe can't be synced, but was")
				}
				fails(t, c, syscall.ECANCELED)
				fails(t, b, syscall.ECANCELED)

				chain := r.Chain()
				w := chain.WriteAt(f, []byte("w"), 5)
				a = start(nil, chain, p)
				b, c = chain.WriteAt(f, []byte("B"), 2), chain.WriteAt(f, []byte("C"), 3)
				if err := chain.Submit(); err != nil {
					t.Fatal(err)
				}
				fails(t, b, syscall.ECANCELED)
				fails(t, c, syscall.ECANCELED)
				if _, err := a.Wait(); err == nil {
					t.Fatal("a pipe can't be synced, but was")
				}
				ok(t, w)
				if got := content(t, f.(interface{ Name() string })); got != ".....w" {
					t.Fatalf("the file has %q", got)
				}
			})
		})
	}
}

func TestLinkOutlivesWhateverSubmitsInBetween(t *testing.T) {
	between := map[string]func(t *testing.T, r *rio.Ring, other rio.Completion[int], pred rio.Completion[int], landed func() bool){
		"nothing":   func(*testing.T, *rio.Ring, rio.Completion[int], rio.Completion[int], func() bool) {},
		"SubmitAll": func(t *testing.T, r *rio.Ring, _, _ rio.Completion[int], _ func() bool) { r.SubmitAll() },
		"TryWait":   func(t *testing.T, r *rio.Ring, other, _ rio.Completion[int], _ func() bool) { other.TryWait() },
		"Done":      func(t *testing.T, r *rio.Ring, other, _ rio.Completion[int], _ func() bool) { other.Done() },
		"Cancel":    func(t *testing.T, r *rio.Ring, other, _ rio.Completion[int], _ func() bool) { other.Cancel() },
		"sweeper": func(t *testing.T, r *rio.Ring, _, _ rio.Completion[int], landed func() bool) {
			eventually(t, "an operation with Link that nobody waits for reaches the kernel", landed)
		},
		"finished": func(t *testing.T, r *rio.Ring, _, pred rio.Completion[int], _ func() bool) { pred.Wait() },
	}
	for name, submit := range between {
		t.Run(name, func(t *testing.T) {
			owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
				r := newRing(t, nil)
				pr, pw := tempPipe(t)
				p := own(r, pr)
				f := own(r, tempFile(t, "....."))
				bad := own(r, readOnly(t))
				for range 5 {
					other := r.ReadAt(p, make([]byte, 1), 0)

					started := r.Stats().Completed
					a := r.WriteAt(bad, []byte("x"), 0, rio.Link)
					submit(t, r, other, a, func() bool { return r.Stats().Completed > started })
					b := r.WriteAt(f, []byte("X"), 0)
					fails(t, b, syscall.ECANCELED)

					a = r.WriteAt(f, []byte("A"), 1, rio.Link)
					submit(t, r, other, a, func() bool { return content(t, f.(interface{ Name() string }))[1] == 'A' })
					got := make([]byte, 5)
					b = r.ReadAt(f, got, 0)
					ok(t, b)
					if string(got) != ".A..." {
						t.Fatalf("the successor saw %q", got)
					}
					ok(t, r.WriteAt(f, []byte("."), 1))
					pw.Write([]byte("p"))
					other.Wait()
				}
			})
		})
	}
}

// A slow first operation, submitted long before its successor is there.
func TestLinkHoldsTheSuccessorOfASlowOperation(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			pr, pw := tempPipe(t)
			p, f := own(r, pr), own(r, tempFile(t, "...."))
			for _, short := range []bool{false, true} {
				for _, early := range []bool{false, true} {
					a := r.ReadAt(p, make([]byte, 2), 0, rio.Link)
					if !early {
						r.SubmitAll()
					}
					b := r.WriteAt(f, []byte("B"), 0)
					r.SubmitAll()
					pending(t, b)
					if got := content(t, f.(interface{ Name() string })); got != "...." {
						t.Fatalf("the successor ran before the first was done: %q", got)
					}
					if short {
						pw.Write([]byte("1"))
						fails(t, b, syscall.ECANCELED)
						ok(t, a)
						continue
					}
					pw.Write([]byte("12"))
					ok(t, b)
					ok(t, a)
					if got := content(t, f.(interface{ Name() string })); got != "B..." {
						t.Fatalf("the file has %q", got)
					}
					ok(t, r.WriteAt(f, []byte("."), 0))
				}
			}
		})
	})
}

func TestLinkReachesTheNextOperationOfAnotherGoroutine(t *testing.T) {
	r := newRing(t, nil)
	bad, f := own(t, r, readOnly(t)), own(t, r, tempFile(t, "."))
	for range 50 {
		first := make(chan rio.Completion[int])
		go func() { first <- r.WriteAt(bad, []byte("x"), 0, rio.Link) }()
		a := <-first
		second := make(chan error)
		go func() {
			_, err := r.WriteAt(f, []byte("X"), 0).Wait()
			second <- err
		}()
		if err := <-second; err == nil || !strings.Contains(err.Error(), syscall.ECANCELED.Error()) {
			t.Fatal("the next operation, another goroutine's:", err)
		}
		fails(t, a, syscall.EBADF)
	}
	if got := content(t, f); got != "." {
		t.Fatalf("the file has %q", got)
	}
}

func TestLinkWithNothingBehindHoldsNothingUp(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, ".."))
			ok(t, r.WriteAt(f, []byte("1"), 0, rio.Link))
			ok(t, r.Nop())
			r.WriteAt(f, []byte("2"), 1, rio.Link) // nobody waits
			eventually(t, "the write with Link lands", func() bool { return content(t, f.(interface{ Name() string })) == "12" })
		})
	})
}

func TestCloseRunsALinkThatWaitsForItsSuccessor(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, ".")
	c := r.WriteAt(f, []byte("L"), 0, rio.Link)
	r.Close()
	if got := content(t, f); got != "L" {
		t.Fatalf("the file has %q", got)
	}
	ok(t, c)
}

func TestLinksMayBeLongerThanTheQueue(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for _, depth := range []int{1, 2, 4} {
			r := newRing(t, &rio.Config{Depth: depth})
			f, bad := own(r, appendFile(t)), own(r, readOnly(t))
			const n, breaks = 60, 40
			var want []byte
			var cs []rio.Completion[int]
			for i := range n {
				b := byte('0' + i)
				switch {
				case i == breaks:
					cs = append(cs, r.WriteAt(bad, []byte{b}, 0, rio.Link))
					continue
				case i < breaks:
					want = append(want, b)
				}
				if i == n-1 {
					cs = append(cs, r.WriteAt(f, []byte{b}, 0))
				} else {
					cs = append(cs, r.WriteAt(f, []byte{b}, 0, rio.Link))
				}
			}
			for i, c := range cs {
				switch {
				case i < breaks:
					ok(t, c)
				case i == breaks:
					fails(t, c, syscall.EBADF)
				default:
					fails(t, c, syscall.ECANCELED)
				}
			}
			if got := content(t, f.(interface{ Name() string })); got != string(want) {
				t.Fatalf("depth %d: the file has\n%q, not\n%q", depth, got, want)
			}
		}
	})
}

func TestLinkedRecvIsCompleteWhenItsBufferIsFull(t *testing.T) {
	for _, chained := range []bool{false, true} {
		r := newRing(t, nil)
		a, b := tcpPair(t)
		f := tempFile(t, ".")
		buf := make([]byte, 8000)
		var rc, w rio.Completion[int]
		if chained {
			c := r.Chain()
			rc, w = c.Recv(a, buf), c.WriteAt(f, []byte("W"), 0)
			if err := c.Submit(); err != nil {
				t.Fatal(err)
			}
		} else {
			rc, w = r.Recv(a, buf, rio.Link), r.WriteAt(f, []byte("W"), 0)
		}
		r.SubmitAll()
		for i := range 8 {
			pending(t, w)
			if got := content(t, f); got != "." {
				t.Fatalf("the successor ran after %d bytes", i*1000)
			}
			if _, err := b.Write([]byte(strings.Repeat(string(rune('0'+i)), 1000))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond) // lets the piece arrive alone
		}
		ok(t, w)
		if n := ok(t, rc); n != 8000 || buf[0] != '0' || buf[7999] != '7' {
			t.Fatalf("received %d bytes", n)
		}

		rc, w = r.Recv(a, buf, rio.Link), r.WriteAt(f, []byte("X"), 0)
		b.Write(make([]byte, 100))
		b.Close()
		fails(t, w, syscall.ECANCELED)
		if n := ok(t, rc); n != 100 {
			t.Fatalf("received %d bytes", n)
		}
	}
}

func TestLinkedSendIsCompleteWhenAllIsSent(t *testing.T) {
	for _, chained := range []bool{false, true} {
		r := newRing(t, nil)
		a, b := tcpPair(t)
		f := tempFile(t, ".")
		a.(*net.TCPConn).SetWriteBuffer(1 << 17)
		b.(*net.TCPConn).SetReadBuffer(1 << 17)
		data := make([]byte, 4<<20) // more than the sockets' buffers
		for i := range data {
			data[i] = byte(i >> 10)
		}
		var sn, w rio.Completion[int]
		if chained {
			c := r.Chain()
			sn, w = c.Send(a, data), c.WriteAt(f, []byte("W"), 0)
			if err := c.Submit(); err != nil {
				t.Fatal(err)
			}
		} else {
			sn, w = r.Send(a, data, rio.Link), r.WriteAt(f, []byte("W"), 0)
		}
		r.SubmitAll()
		pending(t, sn)
		pending(t, w)
		got := make([]byte, len(data))
		for n := 0; n < len(got); {
			m, err := b.Read(got[n:min(len(got), n+100_000)])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		if string(got) != string(data) {
			t.Fatal("other bytes arrived")
		}
		ok(t, w)
		if n := ok(t, sn); n != len(data) {
			t.Fatalf("sent %d bytes", n)
		}

		data = make([]byte, 64<<20) // by now the buffers have grown
		sn, w = r.Send(a, data, rio.Link), r.WriteAt(f, []byte("X"), 0)
		io.ReadFull(b, got[:1000])
		b.Close() // with unread data: a reset
		fails(t, w, syscall.ECANCELED)
		if n, err := sn.Wait(); err == nil && n == len(data) {
			t.Fatal("all was sent to a peer that reads no more")
		}
	}
}
