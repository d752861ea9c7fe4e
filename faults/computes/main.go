//go:build linux

// Computes is a program that computes in C while results come for operations which the thread that computes has begun. In each
// round it writes a byte to its standard output, and expects one from the address that it is given.
//
//	GOMAXPROCS=1 computes ADDRESS ROUNDS
package main

/*
#include <unistd.h>

// compute has the other side send, and computes until that has arrived at p. It makes no system call meanwhile: those would let
// the kernel finish what it has put off.
static int compute(int tell, volatile char *p) {
	if (write(tell, "x", 1) != 1)
		return 0;
	for (long long i = 0; i < 10LL * 1000 * 1000 * 1000; i++)
		if (*p)
			return 1;
	return 0;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/seed-9c58b644/rio"
)

func main() {
	runtime.LockOSThread()
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "computes:", err)
		os.Exit(1)
	}
}

func run(addr, rounds string) error {
	n, err := strconv.Atoi(rounds)
	if err != nil {
		return err
	}
	ring, err := rio.New(&rio.Config{Backend: rio.IOUring})
	if err != nil {
		return err
	}
	defer ring.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 1)
	for range n {
		buf[0] = 0
		recv := ring.Recv(c, buf)
		if err := ring.SubmitAll(); err != nil {
			return err
		}
		if C.compute(1, (*C.char)(unsafe.Pointer(&buf[0]))) == 0 {
			return errors.New("it didn't arrive while C computed")
		}
		if n, err := recv.Wait(); n != 1 || err != nil {
			return fmt.Errorf("received %d bytes: %w", n, err)
		}
	}
	return nil
}
