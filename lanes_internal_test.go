package rio

import (
	"os"
	"strconv"
	"testing"
)

// With RIO_TEST_LANES=2 all tests run on Rings that have so many side lanes from the start, and take them in turn.
func init() { spreadLanes, _ = strconv.Atoi(os.Getenv("RIO_TEST_LANES")) }

// firstLaneOnly is for tests that look into the first lane.
func firstLaneOnly(t *testing.T) {
	n := spreadLanes
	spreadLanes = 0
	t.Cleanup(func() { spreadLanes = n })
}
