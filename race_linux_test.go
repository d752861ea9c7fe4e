package rio_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The programs that have to be reported: they use a buffer that the kernel has. All others of internal/racecases are
// clean.
var racyPrograms = map[string]bool{
	"TouchedWhileRead":        true,
	"LookedAtWhileRead":       true,
	"TouchedWhileReceived":    true,
	"ChangedWhileWritten":     true,
	"ChangedWhileSent":        true,
	"ChangedInAChain":         true,
	"TouchedOneOfManyBuffers": true,
	"LentToTwoReads":          true,
	"LentToAReadAndAWrite":    true,
	"TouchedByAnother":        true,
}

// buildRaceCases builds internal/racecases with the race detector, or skips where there is none.
func buildRaceCases(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "racecases")
	out, err := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", program, "./internal/racecases").CombinedOutput()
	if err == nil {
		return program
	}
	for _, cause := range []string{"requires cgo", "-race is not supported", "C compiler", "not found in $PATH"} {
		if strings.Contains(string(out)+err.Error(), cause) && os.Getenv("RIO_TEST_REQUIRE") == "" {
			t.Skip("no race detector: ", err, string(out))
		}
	}
	t.Fatal(err, string(out))
	return ""
}

func TestRaceDetectorSeesTheKernel(t *testing.T) {
	program := buildRaceCases(t)
	list, err := exec.Command(program, "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(list))
	if len(names) <= len(racyPrograms) {
		t.Fatal("the programs are", names)
	}
	listed := map[string]bool{}
	ways := []string{"wait", "done"}
	if testing.Short() {
		ways = ways[:1]
	}
	for _, name := range names {
		listed[name] = true
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) { runRaceCase(t, program, way, name) })
		}
	}
	for name := range racyPrograms {
		if !listed[name] {
			t.Error("there is no program", name)
		}
	}
}

func runRaceCase(t *testing.T, program, way, name string) {
	cmd := exec.Command(program, way, name)
	cmd.Env = append(os.Environ(), "GORACE=exitcode=66 atexit_sleep_ms=0")
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	output, err := cmd.CombinedOutput()
	stuck.Stop()
	out := string(output)
	reported := strings.Contains(out, "DATA RACE")
	code := cmd.ProcessState.ExitCode()
	switch {
	case !racyPrograms[name] && (err != nil || out != ""):
		t.Errorf("a clean program ended with %v, exit code %d:\n%s", err, code, out)
	case racyPrograms[name] && (!reported || code != 66):
		t.Errorf("the race was not reported: %v, exit code %d\n%s", err, code, out)
	case racyPrograms[name] && !strings.Contains(out, "racecases/racy.go"):
		t.Errorf("the report doesn't name the program's own line:\n%s", out)
	case racyPrograms[name] && strings.Contains(out, "racecases: "):
		t.Errorf("the program failed:\n%s", out)
	}
}
