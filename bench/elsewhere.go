//go:build linux

package main

// elsewhere quotes what was measured, on another day and machine, of libraries that not everybody can fetch.
const elsewhere = `## Measured elsewhere

Existing Go libraries for io_uring, which are not part of this run, and the bars that they were measured beside; Linux 6.18,
two cores, Go 1.26. Only the ratios say something here.

| row | bar | Go library | library : bar |
|---|---|---|---|
| NOP, one at a time | C 346 ns | best binding 440 ns | 1.27 × the time |
| | | best goroutine-safe one 2,160 ns | 6.24 × the time |
| NOP, 64 in flight, one goroutine | C 75 ns | best binding 87 ns | 1.16 × the time |
| | | best goroutine-safe one 380 ns | 5.07 × the time |
| NOP, 64 goroutines | a ring each 231 ns | one shared ring 1,203 ns | 5.21 × the time |
| 4 KiB cached read, 64 goroutines | pread 0.57 µs | a ring each 0.73–0.9 µs | 1.28–1.58 × the time |
| | | one shared ring 3.2 µs | 5.61 × the time |
| O_DIRECT, 64 goroutines | pread 50–58 k/s at 12–15 µs CPU | one shared ring 63–78 k/s at 5–9 µs CPU | 1.1–1.6 × the throughput |
| TCP echo, 128 B | net 134 k/s at 6.8 µs CPU | one-loop bindings 131–136 k/s at 4.9–5.1 µs CPU | 0.98–1.01 × the throughput, 0.72–0.75 × the CPU |
`
