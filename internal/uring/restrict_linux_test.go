package uring

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restricted skips where the kernel can't restrict.
func restricted(t *testing.T, is bool) {
	t.Helper()
	if is {
		return
	}
	if os.Getenv("RIO_TEST_REQUIRE") != "" {
		t.Fatal("the ring is not restricted; Linux 5.10 has IORING_REGISTER_RESTRICTIONS")
	}
	t.Skip("this kernel has no IORING_REGISTER_RESTRICTIONS")
}

// refusesTheRest sends every opcode that this kernel knows, and every SQE flag: what is not used is to be refused, and
// nothing else.
func refusesTheRest(t *testing.T, send func(op Opcode, flags SQEFlags) int32, used func(Operation) bool, usedFlags SQEFlags) {
	t.Helper()
	const eacces = -int32(unix.EACCES)
	known, err := Supported()
	if err != nil {
		t.Fatal(err)
	}
	uses := map[Opcode]bool{}
	for _, o := range Operations {
		uses[o.Op] = used(o)
	}
	ops, flags := 0, 0
	const opNop128, opUringCmd128 = 63, 64 // in an SQE of 64 bytes they are EINVAL, restricted or not
	for op := range Opcode(255) {
		if !known[op] || op == opNop128 || op == opUringCmd128 {
			continue
		}
		ops++
		if refused := send(op, 0) == eacces; refused == uses[op] {
			t.Errorf("opcode %d: refused %v, used %v", op, refused, uses[op])
		}
	}
	for f := SQEFlags(1); f != 0 && f < 1<<7; f <<= 1 { // of the eighth bit a kernel says EINVAL
		res := send(OpRecv, f)
		if res == -int32(unix.EINVAL) { // it doesn't know this one
			continue
		}
		flags++
		if refused, uses := res == eacces, usedFlags&f != 0; refused == uses {
			t.Errorf("SQE flag %#x: refused %v, used %v", f, refused, uses)
		}
	}
	if ops < 30 || flags < 6 {
		t.Errorf("only %d opcodes and %d flags were tried", ops, flags)
	}
}

// sendOn sends an SQE that says nothing: no descriptor, no address. If the ring takes it, it ends with another error than
// EACCES, and soon.
func sendOn(t *testing.T, r *Ring) func(Opcode, SQEFlags) int32 {
	data := uint64(0)
	return func(op Opcode, flags SQEFlags) int32 {
		data++
		return do(t, r, Request{Op: op, Flags: flags, FD: -1}, data).Res
	}
}

func TestKernelRefusesWhatARingDoesNotUse(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: 2})
	restricted(t, r.Restricted)
	refusesTheRest(t, sendOn(t, r), func(o Operation) bool { return o.Ring }, ringSQEFlags)
}

// Some that no ring uses.
const (
	opOpenat   Opcode   = 18
	opOpenat2  Opcode   = 28
	opUringCmd Opcode   = 46
	sqeDrain   SQEFlags = 1 << 1
)

// A personality is somebody else's credentials, a URING_CMD an ioctl: nobody gets them who has not asked for them.
func TestNoPersonalityNoCommandAndNoThreadUnlessAskedFor(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: 2})
	restricted(t, r.Restricted)
	if r.Flags&(SetupSQPoll|SetupIOPoll|SetupSQAff) != 0 {
		t.Errorf("the ring has the flags %#x", r.Flags)
	}
	l := openLoop(t, false)
	if l.Flags&(SetupSQPoll|SetupIOPoll|SetupSQAff) != 0 {
		t.Errorf("the loop has the flags %#x", l.Flags)
	}
	for _, k := range []*Ring{r, l.ring} {
		const register, unregister = 9, 10 // IORING_REGISTER_PERSONALITY
		for _, op := range []uint32{register, unregister} {
			if errno := k.register(op, nil, 0); errno != unix.EACCES {
				t.Errorf("registration %d gives errno %d", op, errno)
			}
		}
	}
	for _, o := range Operations {
		if o.Op == opUringCmd || o.Op == opOpenat || o.Op == opOpenat2 {
			t.Error(o.Name, "is used")
		}
	}
	if known, err := Supported(); err == nil && known[opUringCmd] {
		if res := sendOn(t, r)(opUringCmd, 0); res != -int32(unix.EACCES) {
			t.Error("a URING_CMD gives", res)
		}
	}
	// No SQE names a personality.
	var s SQE
	s.personality = 1
	s.Fill(OpNop, 0, -1, 0, Addr{}, 0, 0, 0)
	if s.personality != 0 {
		t.Error("Fill leaves a personality")
	}
}

func TestKernelTakesEverythingFromAFreeRing(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Free: true})
	if r.Restricted {
		t.Error("it is restricted")
	}
	send := sendOn(t, r)
	for _, op := range []Opcode{opOpenat, opOpenat2, opUringCmd} {
		if res := send(op, 0); res == -int32(unix.EACCES) || res >= 0 {
			t.Errorf("opcode %d gives %d", op, res)
		}
	}
	if res := send(OpNop, sqeDrain); res != 0 {
		t.Error("IOSQE_IO_DRAIN gives", res)
	}
}

func TestRestrictedRingRegistersFilesAndNothingElse(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: 2})
	restricted(t, r.Restricted)
	for op := range uint32(27) {
		if op == regFilesUpdate {
			continue
		}
		if errno := r.register(op, nil, 0); errno != unix.EACCES && errno != unix.EINVAL {
			t.Errorf("registration %d: errno %d", op, errno)
		}
	}
	if err := r.SetFile(1, 0); err != nil {
		t.Error("a file:", err)
	}
	// What was taken away does not come back.
	all := restriction{kind: restrictOp, what: uint8(opOpenat)}
	if errno := r.register(regRestrictions, unsafe.Pointer(&all), 1); errno == 0 {
		t.Error("the restrictions can be changed")
	}
}

func TestKernelRefusesWhatALoopDoesNotUse(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			l := openLoop(t, plain)
			restricted(t, l.Restricted)
			refusesTheRest(t, sendOnLoop(t, l), func(o Operation) bool { return o.Loop }, loopSQEFlags)
		})
	}
}

func TestFreeLoopTakesANop(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := OpenLoop(8, 64, false, true, nil)
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	if res := sendOnLoop(t, l)(OpNop, 0); res != 0 || l.Restricted {
		t.Errorf("a NOP gives %d, restricted %v", res, l.Restricted)
	}
}

// sendOnLoop is sendOn for a Loop.
func sendOnLoop(t *testing.T, l *Loop) func(Opcode, SQEFlags) int32 {
	return func(op Opcode, flags SQEFlags) int32 {
		fill(l.SQ.Claim(), Request{Op: op, Flags: flags, FD: -1}, 7)
		l.SQ.Publish()
		for range 100 {
			if errno := l.Enter(1); errno != 0 && errno != unix.EINTR {
				t.Fatal("io_uring_enter:", errno)
			}
			if l.CQ.Ready() > 0 {
				c := l.CQ.Next()
				l.CQ.Done()
				return c.Res
			}
		}
		t.Fatal("no CQE came")
		panic("unreachable")
	}
}

// An opcode that has a name here, but no line among the Operations, would be refused when it is first used.
func TestEveryOpcodeWithANameIsAnOperation(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Skip("the sources are not here: ", err)
	}
	fset, named := token.NewFileSet(), map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if ok {
				if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Opcode" {
					num, err := strconv.Atoi(v.Values[0].(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(v.Names[0], err)
					}
					named[v.Names[0].Name] = true
					if _, ok := find(Opcode(num)); !ok {
						t.Errorf("%s (%d) is not among the Operations", v.Names[0], num)
					}
				}
			}
			return true
		})
	}
	if len(named) != len(Operations) {
		t.Errorf("%d opcodes have names, there are %d Operations", len(named), len(Operations))
	}
	for i, o := range Operations {
		if !o.Ring && !o.Loop || o.Use == "" || o.Name == "" || i > 0 && o.Op <= Operations[i-1].Op {
			t.Errorf("%+v: nobody uses it, or it is out of order", o)
		}
	}
}

func find(op Opcode) (Operation, bool) {
	for _, o := range Operations {
		if o.Op == op {
			return o, true
		}
	}
	return Operation{}, false
}

// BenchmarkRestriction is what it costs that the kernel looks at each SQE once more. A free ring and a restricted one take
// turns of a few hundred NOPs, and what counts is the median turn.
func BenchmarkRestriction(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			var rings [2]*Ring
			var turns [2][]float64
			for i := range rings {
				r, err := Open(Config{Entries: 64, Wait: time.Millisecond, Free: i == 0})
				if err != nil {
					b.Skip(err)
				}
				defer r.Close()
				rings[i] = r
			}
			const turn = 512
			for i := range b.N {
				for j := range rings {
					j = (i + j) & 1 // neither is always the first
					r, began := rings[j], time.Now()
					for range turn / n {
						for range n {
							r.SQ.Claim().Fill(OpNop, 0, -1, 0, Addr{}, 0, 0, 1)
						}
						r.SQ.Publish()
						r.Submit()
						for range n {
							if r.CQ.Ready() == 0 {
								b.Fatal("a NOP has not ended")
							}
							r.CQ.Next()
						}
						r.CQ.Done()
					}
					turns[j] = append(turns[j], float64(time.Since(began).Nanoseconds())/turn)
				}
			}
			for i, name := range []string{"free-ns", "restricted-ns"} {
				slices.Sort(turns[i])
				b.ReportMetric(turns[i][len(turns[i])/2], name)
			}
		})
	}
}
