//go:build ignore

// The bar for the NOP benchmarks: the same work in C, over the raw system calls, on one thread.
//
//	cc -O2 -Wall -o nop nop.c
//	./nop one 1000000     one NOP in flight: fill, enter(1, 1), read the CQE
//	./nop 64 1000000      64 in flight: fill 64, enter(64, 64), read 64 CQEs
//
// It prints the wall and the CPU time of one NOP in nanoseconds, and how many system calls it took:
//
//	nop_one 312.4
//	nop_one_cpu 312.1
//	nop_one_enters 1.000
//
// The build constraint keeps the go command from compiling it; see Build in cbar.go.

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 256
#define WARMUP 4096

#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

static int ring_fd;
static unsigned *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static unsigned long enters;

static void die(const char *what)
{
	fprintf(stderr, "nop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *map(size_t n, off_t off)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, off);
	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void setup(void)
{
	struct io_uring_params p;
	memset(&p, 0, sizeof p);
	ring_fd = syscall(__NR_io_uring_setup, DEPTH, &p);
	if (ring_fd < 0)
		die("io_uring_setup");
	if (!(p.features & IORING_FEAT_SINGLE_MMAP)) {
		errno = ENOSYS;
		die("IORING_FEAT_SINGLE_MMAP");
	}
	size_t sq = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *r = map(sq > cq ? sq : cq, IORING_OFF_SQ_RING);
	sqes = map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	sq_tail = (unsigned *)(r + p.sq_off.tail);
	sq_mask = *(unsigned *)(r + p.sq_off.ring_mask);
	cq_head = (unsigned *)(r + p.cq_off.head);
	cq_tail = (unsigned *)(r + p.cq_off.tail);
	cq_mask = *(unsigned *)(r + p.cq_off.ring_mask);
	cqes = (struct io_uring_cqe *)(r + p.cq_off.cqes);
	unsigned *array = (unsigned *)(r + p.sq_off.array);
	for (unsigned i = 0; i < p.sq_entries; i++)
		array[i] = i;
}

// batch does k NOPs with one io_uring_enter, unless a signal cuts it short.
static void batch(unsigned k)
{
	unsigned tail = *sq_tail;
	for (unsigned i = 0; i < k; i++) {
		struct io_uring_sqe *e = &sqes[(tail + i) & sq_mask];
		memset(e, 0, sizeof *e);
		e->opcode = IORING_OP_NOP;
		e->fd = -1;
		e->user_data = tail + i;
	}
	store_release(sq_tail, tail + k);

	unsigned submit = k, done = 0, head = *cq_head;
	while (done < k) {
		long n = syscall(__NR_io_uring_enter, ring_fd, submit, k - done, IORING_ENTER_GETEVENTS, NULL, 0);
		enters++;
		if (n < 0 && errno != EINTR)
			die("io_uring_enter");
		if (n > 0)
			submit -= n;
		unsigned ready = load_acquire(cq_tail) - head;
		for (unsigned i = 0; i < ready; i++) {
			struct io_uring_cqe *c = &cqes[(head + i) & cq_mask];
			if (c->res != 0 || (unsigned)c->user_data - tail >= k) {
				fprintf(stderr, "nop: a completion nobody asked for: user_data %llu, res %d\n",
					(unsigned long long)c->user_data, c->res);
				exit(1);
			}
		}
		head += ready;
		done += ready;
		store_release(cq_head, head);
	}
}

static void run(unsigned long n, unsigned k)
{
	for (; n > k; n -= k)
		batch(k);
	batch(n);
}

static double wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv)
{
	unsigned k = 0;
	unsigned long n = 0;
	if (argc == 3) {
		k = !strcmp(argv[1], "one") ? 1 : !strcmp(argv[1], "64") ? 64 : 0;
		n = strtoul(argv[2], NULL, 10);
	}
	if (k == 0 || n == 0) {
		fprintf(stderr, "usage: nop one|64 N\n");
		return 2;
	}
	setup();
	run(WARMUP, k);
	enters = 0;
	double w = wall(), c = cpu();
	run(n, k);
	w = wall() - w, c = cpu() - c;
	printf("nop_%s %.1f\nnop_%s_cpu %.1f\nnop_%s_enters %.3f\n",
	       argv[1], w / n, argv[1], c / n, argv[1], (double)enters / n);
	return 0;
}
