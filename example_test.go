package rio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/seed-9c58b644/rio"
)

// Start operations, as many as you like, then wait for them.
func Example() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := os.CreateTemp("", "rio")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	hello := ring.WriteAt(f, []byte("hello, "), 0)
	world := ring.WriteAt(f, []byte("world"), 7)
	for _, write := range []rio.Completion[int]{hello, world} {
		if _, err := write.Wait(); err != nil {
			log.Fatal(err)
		}
	}

	buf := make([]byte, 100)
	n, err := ring.ReadAt(f, buf, 0).Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", buf[:n])
	// Output: hello, world
}

// A read may be short, as pread(2) may. File.ReadAt, io.ReadFull and the like don't.
func ExampleRing_ReadAt() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := os.Open("/dev/zero")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	buf := []byte("not zero")
	n, err := ring.ReadAt(f, buf, 0).Wait()
	fmt.Println(buf[:n], err)
	// Output: [0 0 0 0 0 0 0 0] <nil>
}

// Files that the ring has opened cost least: operations on them are submitted together.
func ExampleRing_WriteAt() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := ring.OpenFile(os.TempDir()+"/rio-example", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	var writes []rio.Completion[int]
	for i, line := range []string{"one\n", "two\n", "six\n"} {
		writes = append(writes, ring.WriteAt(f, []byte(line), int64(4*i)))
	}
	for _, w := range writes {
		if _, err := w.Wait(); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := io.Copy(os.Stdout, f); err != nil { // a File is an io.Reader, too
		log.Fatal(err)
	}
	// Output:
	// one
	// two
	// six
}

func ExampleRing_Accept() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	echo := func() error {
		conn, err := ring.Accept(l).Wait()
		if err != nil {
			return err
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
		}
	}
	served := make(chan error, 1)
	go func() { served <- echo() }()

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(client, "is anybody there?")
	client.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(client)
	if err != nil {
		log.Fatal(err)
	}
	client.Close()
	fmt.Printf("%s\n", answer)
	fmt.Println(<-served)
	// Output:
	// is anybody there?
	// <nil>
}

// A record and its sync, in one go: the sync begins only if all of the record has been written.
func ExampleChain() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	journal, err := os.CreateTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(journal.Name())
	defer journal.Close()

	chain := ring.Chain()
	write := chain.WriteAt(journal, []byte("a record\n"), 0)
	sync := chain.Fdatasync(journal)
	if err := chain.Submit(); err != nil {
		log.Fatal(err)
	}
	if _, err := sync.Wait(); err != nil {
		log.Fatal(err) // ECANCELED: write failed, or was short: look at what it says
	}
	n, err := write.Wait()
	fmt.Println(n, "bytes are on disk,", err)
	// Output: 9 bytes are on disk, <nil>
}

// On a Ring of one's own Link does without a Chain.
func ExampleOrdering() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := os.CreateTemp("", "rio")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	buf := make([]byte, 10)
	short := ring.ReadAt(f, buf, 0, rio.Link) // the file is empty: not all of buf is read
	next := ring.WriteAt(f, []byte("x"), 0)   // so this does not begin
	n, err := short.Wait()
	fmt.Println(n, err)
	_, err = next.Wait()
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// pwrite: operation canceled
}

func ExampleCompletion_Done() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	buf := make([]byte, 100)
	read := ring.ReadAt(r, buf, 0)
	tick := time.After(time.Millisecond)
	for {
		select {
		case <-tick:
			fmt.Println("nothing yet")
			fmt.Fprint(w, "something")
		case <-read.Done():
			n, err := read.Wait() // doesn't block any more
			fmt.Printf("%s %v\n", buf[:n], err)
			return
		}
	}
	// Output:
	// nothing yet
	// something <nil>
}

// When WaitContext returns, the kernel has let go of the buffer, whatever the result is.
func ExampleCompletion_WaitContext() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	buf := make([]byte, 100)
	_, err = ring.ReadAt(r, buf, 0).WaitContext(ctx) // nobody writes
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

func ExampleConfig() {
	ring, err := rio.New(&rio.Config{Depth: 32, CQDepth: 128})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	var nops []rio.Completion[struct{}]
	for range 20 {
		nops = append(nops, ring.Nop())
	}
	for _, nop := range nops {
		if _, err := nop.Wait(); err != nil {
			log.Fatal(err)
		}
	}
	stats := ring.Stats()
	fmt.Println(stats.Started, "started,", stats.Completed, "completed")
	fmt.Println(stats.InFlight, "of", stats.Capacity, "places in use")
	// Output:
	// 20 started, 20 completed
	// 0 of 128 places in use
}

// Buffers for O_DIRECT that the kernel knows: a pool of them, made once.
func ExampleRing_Buffers() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := ring.OpenFile(os.TempDir()+"/rio-buffers", os.O_RDWR|os.O_CREATE|os.O_TRUNC|rio.O_DIRECT, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	pool, err := ring.Buffers(16, 64<<10)
	if err != nil {
		log.Fatal(err)
	}
	copy(pool[0], "sixty-four kibibytes")
	if _, err := ring.WriteAt(f, pool[0], 0).Wait(); err != nil { // IORING_OP_WRITE_FIXED
		log.Fatal(err)
	}
	n, err := ring.ReadAt(f, pool[1], 0).Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes: %s\n", n, pool[1][:20])
	// Output: 65536 bytes: sixty-four kibibytes
}

// O_DIRECT bypasses the page cache: buffers, offsets and lengths have to be aligned.
func ExampleAligned() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	f, err := ring.OpenFile(os.TempDir()+"/rio-direct", os.O_RDWR|os.O_CREATE|os.O_TRUNC|rio.O_DIRECT, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	block := rio.Aligned(4096, 0) // to 4096 bytes, which is enough almost everywhere; File.Alignment knows
	copy(block, "straight from the disk")
	if _, err := ring.WriteAt(f, block, 8192).Wait(); err != nil {
		log.Fatal(err)
	}
	clear(block)
	n, err := ring.ReadAt(f, block, 8192).Wait()
	if err != nil {
		log.Fatal(err)
	}
	text, _, _ := bytes.Cut(block, []byte{0})
	fmt.Printf("%d bytes: %s\n", n, text)
	// Output: 4096 bytes: straight from the disk
}
