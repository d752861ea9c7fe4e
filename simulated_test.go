package rio_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/seed-9c58b644/rio/internal/hook"
	_ "github.com/seed-9c58b644/rio/riotest" // fills hook.Simulate
)

// With RIO_TEST_SIM=seed every Ring of these tests runs on the simulated kernel of package riotest, which reorders, delays,
// interrupts, takes half and overflows, so that the tests hold the simulation against the kernel, and the Ring against
// what a kernel may do. The descriptors are the process's own.

// notSimulated are the tests that need the kernel itself, and what for.
var notSimulated = []leftOut{
	{"they break a ring by its descriptor", `TestBrokenRing.*|Test.*OfABrokenRing.*|TestWhatWasCancelledBeforeItBeganAgainDoesNot|TestRingBreaksUnderLoad|TestLoggerHearsOnceThatTheRingBroke`},
	{"they count what is allocated or mapped", `Test.*DoNotAllocate|Test.*DoesNotAllocate|TestDefaultRingCostsAtMost256KiB|TestWhatAnOperationInFlightCosts|TestTheStackOfAnIdleConnStaysSmall|` +
		`TestCloseLeavesNoMappingsAndNoDescriptors|TestKernelHoldsThePagesOfBuffersUntilClose`},
	{"they count what was submitted, or when it ended: here a request may be taken late, and more than once", `TestArmingLooksAtTheQueueOnceMore|` +
		`TestFurtherOperationBlocksUntilAPlaceIsFree|TestStats.*|ExampleRing_Stats|TestBurstsOfCachedReadsGoTogether|TestBurstsOfOneFileAreNotAnothers|TestCachedReadsNeedNoEnter|TestOneEnterSubmitsAll|TestFewShareTheirEntersIfThatPays|TestFewLetEachOtherRun|TestFilesReadWhatIsCached|TestDepthIsRoundedUp`},
	{"IORING_SETUP_* flags, SQPoll", `TestCompletionsInterruptOnlyWhereThatHelps|TestTryWaitOfWhoSpinsCatchesUp|TestBadConfigsAreErrors|TestConfigThatCanNotBeIsRefused|TestCloseLetsOperationsOnRegularFilesFinish|` +
		`TestDrainBeginsAfterAllEarlierOnesAndHoldsNoneUp|TestPendingReadStaysWithItsPipe|TestNoOperationReachesAnotherFile|TestFlagsThatTheRingCanLiveWithWork`},
	{"the simulation duplicates descriptors, which drops fcntl locks and needs some to be free", `TestFcntlLocks.*|TestForeignFilesKeepTheirLocks|TestOutOfDescriptors|` +
		`TestLoggerHearsOfFewPlacesForLentDescriptors`},
	{"pipes and sockets are simulated by what doesn't wait, which differs at their edges", `TestPipesIgnoreTheOffset|TestReadAtAndWriteAtOnSocketsIgnoreTheOffset|` +
		`TestConnectConnects|TestBadAddressesAreErrors|TestAcceptOnWhatDoesNotListenIsAnError`},
	{"transfers of 2 GiB", `TestHugeTransfers`},
	{"New doesn't choose", `TestEnvironmentOverridesTheBackend`},
}

// simulated is set where all Rings run on the simulated kernel.
var simulated bool

// simulate makes all tests run on the simulated kernel, if that is asked for.
func simulate() {
	s := os.Getenv("RIO_TEST_SIM")
	if s == "" {
		return
	}
	seed, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		fmt.Println("RIO_TEST_SIM is no seed:", err)
		os.Exit(2)
	}
	simulated = true
	if r, w, err := os.Pipe(); err == nil { // the runtime's poller has descriptors; a Ring has none here
		r.Close()
		w.Close()
	}
	hook.Everywhere(hook.Simulate(seed))
	leaveOut(notSimulated)
	fmt.Println("on a simulated kernel, seed", seed)
}

// leftOut are tests, as a regular expression, that can't be run in some way.
type leftOut struct{ why, tests string }

// leaveOut skips all of them, and what -skip says.
func leaveOut(tests []leftOut) {
	var names []string
	for _, n := range tests {
		names = append(names, n.tests)
	}
	flag.Parse()
	if v := flag.Lookup("test.skip").Value.String(); v != "" {
		names = append(names, v)
	}
	flag.Set("test.skip", "^("+strings.Join(names, "|")+")$")
}
