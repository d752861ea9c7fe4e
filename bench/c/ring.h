// A ring over the raw system calls, for one thread: what the bars in this directory share.

#ifndef RING_H
#define RING_H

#define _GNU_SOURCE
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

#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

struct ring {
	int fd;
	unsigned *sq_tail, sq_mask, sq_entries;
	unsigned *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned tail;   // of what is filled
	unsigned queued; // filled, and not yet taken by the kernel
	unsigned long enters;
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void *ring_map(int fd, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static inline int ring_setup(unsigned entries, struct io_uring_params *p, unsigned flags)
{
	memset(p, 0, sizeof *p);
	p->flags = flags;
	return syscall(__NR_io_uring_setup, entries, p);
}

// ring_open asks for flags, and does without them where the kernel doesn't know them.
static inline void ring_open(struct ring *r, unsigned entries, unsigned flags)
{
	struct io_uring_params p;
	memset(r, 0, sizeof *r);
	r->fd = ring_setup(entries, &p, flags);
	if (r->fd < 0 && errno == EINVAL && flags)
		r->fd = ring_setup(entries, &p, 0);
	if (r->fd < 0)
		die("io_uring_setup");
	if (!(p.features & IORING_FEAT_SINGLE_MMAP)) {
		errno = ENOSYS;
		die("IORING_FEAT_SINGLE_MMAP");
	}
	size_t sq = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *m = ring_map(r->fd, sq > cq ? sq : cq, IORING_OFF_SQ_RING);
	r->sqes = ring_map(r->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned *)(m + p.sq_off.tail);
	r->sq_mask = *(unsigned *)(m + p.sq_off.ring_mask);
	r->sq_entries = p.sq_entries;
	r->cq_head = (unsigned *)(m + p.cq_off.head);
	r->cq_tail = (unsigned *)(m + p.cq_off.tail);
	r->cq_mask = *(unsigned *)(m + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(m + p.cq_off.cqes);
	r->tail = *r->sq_tail;
	unsigned *array = (unsigned *)(m + p.sq_off.array);
	for (unsigned i = 0; i < p.sq_entries; i++)
		array[i] = i;
}

// ring_sqe is the next SQE, cleared. There must be room for it.
static inline struct io_uring_sqe *ring_sqe(struct ring *r)
{
	struct io_uring_sqe *e = &r->sqes[r->tail++ & r->sq_mask];
	memset(e, 0, sizeof *e);
	r->queued++;
	return e;
}

// ring_enter submits what is queued and waits for so many CQEs. A signal may cut it short.
static inline void ring_enter(struct ring *r, unsigned wait)
{
	store_release(r->sq_tail, r->tail);
	long n = syscall(__NR_io_uring_enter, r->fd, r->queued, wait, IORING_ENTER_GETEVENTS, NULL, 0);
	r->enters++;
	if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY)
		die("io_uring_enter");
	if (n > 0)
		r->queued -= n;
}

// ring_ready is how many CQEs there are to read, ring_cqe the i-th of them, ring_seen gives n of them back.
static inline unsigned ring_ready(struct ring *r) { return load_acquire(r->cq_tail) - *r->cq_head; }
static inline struct io_uring_cqe *ring_cqe(struct ring *r, unsigned i) { return &r->cqes[(*r->cq_head + i) & r->cq_mask]; }
static inline void ring_seen(struct ring *r, unsigned n) { store_release(r->cq_head, *r->cq_head + n); }

static inline double wall_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline double cpu_ns(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

// report prints what was done, for the benchmark to read.
static inline void report(double ops, double wall, double cpu, double enters)
{
	printf("{\"ops\": %.0f, \"wall\": %.0f, \"cpu\": %.0f, \"enters\": %.0f}\n", ops, wall, cpu, enters);
}

#endif
