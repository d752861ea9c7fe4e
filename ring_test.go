package rio_test

import (
	"testing"

	"github.com/seed-9c58b644/rio"
)

func TestSmoke(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 100000 {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	var cs [1000]rio.Completion[struct{}]
	for range 100 {
		for i := range cs {
			cs[i] = r.Nop()
		}
		for i := range cs {
			if _, err := cs[i].Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%+v", r.Stats())
	n := testing.AllocsPerRun(1000, func() { r.Nop().Wait() })
	t.Log(n)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkX(b *testing.B) {
	r, _ := rio.New(nil)
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		r.Nop().Wait()
	}
}
func BenchmarkX64(b *testing.B) {
	r, _ := rio.New(nil)
	defer r.Close()
	b.ReportAllocs()
	var cs [64]rio.Completion[struct{}]
	for i := 0; i < b.N; i += 64 {
		for i := range cs {
			cs[i] = r.Nop()
		}
		for i := range cs {
			cs[i].Wait()
		}
	}
}
