package rio_test

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
)

// With RIO_BACKEND=threads all of these tests run on threads but a few; with RIO_TEST_PORTABLE=1 as well on those that other
// systems have.

// notOnThreads are the tests that need io_uring itself, and what for.
var notOnThreads = []leftOut{
	{"they break a ring by its descriptor", `TestBrokenRing.*|Test.*OfABrokenRing.*|TestWhatWasCancelledBeforeItBeganAgainDoesNot|TestRingBreaksUnderLoad|TestLoggerHearsOnceThatTheRingBroke`},
	{"there is one lane, and no lock in the kernel to stand in line for", `TestLanesShareTheWork|TestSideLanesOpen.*`},
	{"nothing is mapped, nothing in flight lies in the kernel", `TestKernelHoldsThePagesOfBuffersUntilClose|TestDefaultRingCostsAtMost256KiB|TestWhatAnOperationInFlightCosts|TestTheStackOfAnIdleConnStaysSmall|TestCloseLeavesNoMappingsAndNoDescriptors`},
	{"the table of lent files has no limit", `TestLoggerHearsOfFewPlacesForLentDescriptors`},
	{"IORING_SETUP_* flags", `TestFlagsThatTheRingCanLiveWithWork`},
}

// onThreads is set where all Rings run on threads.
var onThreads = os.Getenv("RIO_BACKEND") == "threads" || runtime.GOOS != "linux"

// notPortable are those of the rest that need what only Linux's descriptors have.
var notPortable = []leftOut{
	{"cached reads, O_DIRECT, fallocate are Linux's", `TestCachedReadsNeedNoEnter|TestFilesReadWhatIsCached|TestBurstsOfCachedReadsGoTogether|TestBurstsOfOneFileAreNotAnothers|TestAlignmentIsWhatDirectIONeeds|` +
		`TestUnalignedDirectIOSaysWhatIsWrong|TestReadsOfNothingDontWait|TestWriteToAnEventfdWakesWhoReadsIt|TestCloseEndsAReadOfTracefs|TestFallocateAllocatesAndPunchesHoles|TestBadNumbersAreErrors|TestOneChainTakesEveryOperationOnFiles|TestChainHasEveryOperation|` +
		`TestProfileCountsEveryKind|TestFileOperationsOutliveTheThreadThatSubmittedThem|TestForeignSyncAndFallocateReachTheFileTheyWereGiven`},
	{"what says it is a listener is taken for one, and what listens for a connection", `TestAcceptOnWhatDoesNotListenIsAnError|TestConnsOfOddSockets`},
	{"packages os and net have no MSG_NOSIGNAL", `TestSendToNobodyIsEPIPEAndNoSignal`},
	{"packages os and net allocate, and wait on a goroutine each", `Test.*DoNotAllocate|Test.*DoesNotAllocate|TestPendingCallsHaveNoGoroutines|` +
		`TestServeKeepsManyConnectionsApart`},
	{"a RawConn waits on Go's poller, which the Ring doesn't count; a listener's can't", `TestSyscallConnOfAConn|TestMethodsNeverSayECANCELED|` +
		`TestSyscallConnReadWaitsForThePipe|TestRawConnsObeyMovedDeadlinesAndClose|TestErrorsOfARawConnAreThoseOfPackageNet`},
	{"NewFile duplicates, which drops fcntl locks, doesn't know O_APPEND, and closes", `TestFcntlLocksSurviveNewFile|TestForeignFilesKeepTheirLocks|` +
		`TestFileDoesWhatAnOsFileDoes|TestNewFileTakesOver|TestNewFileOfADirectoryThatIsPartlyRead`},
	{"a foreign file is its owner's: closed meanwhile, it is an error", `TestChainReachesItsFilesAfterTheyWereClosed|TestNoOperationReachesAnotherFile|` +
		`TestPendingReadStaysWithItsPipe|TestClosedFilesAndSocketsAreErrors`},
	{"it has to be one of package os's or net's", `TestNumberOfAForeignFileIsUsedOnlyInControl`},
	{"the errno isn't Linux's", `TestPipesIgnoreTheOffset`},
	{"it reads by the descriptor", `TestCloseWaitsForReadsOfRemoteFiles`},
	{"package net remembers the first peer", `TestTheAddressOfASecondPeer`},
	{"a File leads to what has it closed", `TestNothingLeadsToItself`},
	{"Listen duplicates nothing", `TestListenThatFailsLeavesNoPath`},
}

// threads leaves out what can't be run on threads.
func threads() {
	if !onThreads {
		return
	}
	if runtime.GOOS != "linux" {
		os.Setenv("RIO_BACKEND", "threads") // there is nothing else
	}
	tests := notOnThreads
	if os.Getenv("RIO_TEST_PORTABLE") != "" || runtime.GOOS != "linux" {
		hook.Portable()
		if r, w, err := os.Pipe(); err == nil { // the runtime's poller has descriptors; a Ring has none here
			r.Close()
			w.Close()
		}
		tests = append(tests, notPortable...)
		if underRace {
			tests = append(tests, leftOut{"for the race detector buffers are copied", `TestMappedMemoryIsABuffer|TestFileMethodsOnADirectFile|TestBuffersCarryWhatTheyShould`})
		}
	}
	if onWindows {
		tests = append(tests, notOnWindows...)
	}
	leaveOut(tests)
}

// On other systems a Recv is a Read of package net's, which ends at the deadline that its owner has set.
func TestTheDeadlineOfAForeignConnIsItsOwners(t *testing.T) {
	if !onThreads || os.Getenv("RIO_TEST_PORTABLE") == "" && runtime.GOOS == "linux" {
		t.Skip("where descriptors can be used, their owner's deadlines don't count")
	}
	r := newRing(t, nil)
	a, b := tcpPair(t)
	recv := r.Recv(a, make([]byte, 1))
	a.SetReadDeadline(time.Now())
	if n, err := recv.Wait(); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("%d, %v; want ETIMEDOUT", n, err)
	}
	a.SetReadDeadline(time.Time{})
	b.Write([]byte("x"))
	if n, err := r.Recv(a, make([]byte, 1)).Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
}
