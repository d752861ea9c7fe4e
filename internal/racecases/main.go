// Command racecases holds the programs that race_linux_test.go runs with the race detector built in: some use a buffer
// that the kernel has, and have to be reported, the others are clean, and must not be. To see one:
//
//	go run -race ./internal/racecases done TouchedWhileRead
//
// The first argument says how results are waited for: with wait it is the waiter who reads the completion, with done it
// is the ring's own goroutine.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/seed-9c58b644/rio"
)

var cases = map[string]func(*rio.Ring) error{
	"TouchedWhileRead":         touchedWhileRead,
	"LookedAtWhileRead":        lookedAtWhileRead,
	"TouchedWhileReceived":     touchedWhileReceived,
	"ChangedWhileWritten":      changedWhileWritten,
	"ChangedWhileSent":         changedWhileSent,
	"ChangedInAChain":          changedInAChain,
	"TouchedOneOfManyBuffers":  touchedOneOfManyBuffers,
	"LentToTwoReads":           lentToTwoReads,
	"LentToAReadAndAWrite":     lentToAReadAndAWrite,
	"TouchedByAnother":         touchedByAnother,
	"LookedAtWhileWritten":     lookedAtWhileWritten,
	"LentToTwoWrites":          lentToTwoWrites,
	"UsedAgainAfterWait":       usedAgainAfterWait,
	"UsedAgainAfterDone":       usedAgainAfterDone,
	"UsedAgainAfterCancel":     usedAgainAfterCancel,
	"UsedAgainAfterClose":      usedAgainAfterClose,
	"CompletionHandedOver":     completionHandedOver,
	"BufferHandedOver":         bufferHandedOver,
	"OwnBuffers":               ownBuffers,
	"PoolOfBuffers":            poolOfBuffers,
	"Chains":                   chains,
	"Copies":                   copies,
	"ChainWaitedForAtItsEnd":   chainWaitedForAtItsEnd,
	"DrainBehindWrites":        drainBehindWrites,
	"PipeFromOs":               pipeFromOs,
	"PipeToOs":                 pipeToOs,
	"SliceOfBuffersUsedAgain":  sliceOfBuffersUsedAgain,
	"RioServesRio":             rioServesRio,
	"RioServesRioByOperations": rioServesRioByOperations,
	"RioServesNet":             rioServesNet,
	"RioServesNetByOperations": rioServesNetByOperations,
	"NetServesRio":             netServesRio,
	"NetServesRioByOperations": netServesRioByOperations,
	"EchoOfManyConnections":    echoOfManyConnections,
}

// byDone says that results are waited for with Done.
var byDone bool

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "list" {
		for name := range cases {
			fmt.Println(name)
		}
		return
	}
	if len(os.Args) != 3 || cases[os.Args[2]] == nil {
		log.Fatal("usage: racecases wait|done CASE")
	}
	byDone = os.Args[1] == "done"
	if err := run(cases[os.Args[2]]); err != nil {
		log.Fatal(err)
	}
}

func run(f func(*rio.Ring) error) error {
	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	return errors.Join(f(ring), ring.Close())
}

// await waits for c in the way that was asked for.
func await[T any](c rio.Completion[T]) (T, error) {
	if byDone {
		<-c.Done()
		v, ok, err := c.TryWait()
		if !ok {
			log.Fatal("Done, but not done")
		}
		return v, err
	}
	return c.Wait()
}

// transferred is await for n bytes.
func transferred(c rio.Completion[int], n int) error {
	got, err := await(c)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes, not %d", got, n)
	}
	return err
}
