// The bar of the rows that read and write files: one thread, one ring, so many blocks in flight.
//
//	file read|write FILE cached|direct BLOCK INFLIGHT MILLISECONDS
//
// It reads at random, and writes from the beginning to the end, again and again. From the page cache it starts all,
// waits for all, and begins again, because they end in enter anyway; with O_DIRECT it starts another as soon as one ends.

#include "ring.h"
#include <fcntl.h>
#include <sys/stat.h>

static struct ring r;
static int fd, writing;
static size_t block, blocks, next;
static char *bufs;

static uint64_t rnd = 88172645463325252ull;

static size_t place(void)
{
	if (writing)
		return next++ % blocks;
	rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
	return rnd % blocks;
}

static void start(unsigned slot)
{
	struct io_uring_sqe *e = ring_sqe(&r);
	e->opcode = writing ? IORING_OP_WRITE : IORING_OP_READ;
	e->fd = fd;
	e->addr = (uintptr_t)(bufs + slot * block);
	e->len = block;
	e->off = place() * block;
	e->user_data = slot;
}

static void check(struct io_uring_cqe *c)
{
	if (c->res == (int)block)
		return;
	errno = c->res < 0 ? -c->res : EIO;
	die(writing ? "write" : "read");
}

int main(int argc, char **argv)
{
	unsigned inflight = argc == 7 ? atoi(argv[5]) : 0;
	if (inflight == 0 || (block = atol(argv[4])) == 0) {
		fprintf(stderr, "usage: file read|write FILE cached|direct BLOCK INFLIGHT MILLISECONDS\n");
		return 2;
	}
	writing = !strcmp(argv[1], "write");
	int direct = !strcmp(argv[3], "direct");
	fd = open(argv[2], (writing ? O_WRONLY : O_RDONLY) | (direct ? O_DIRECT : 0));
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		die(argv[2]);
	blocks = st.st_size / block;
	// Huge pages where they are to be had: a large write has fewer segments then.
	if (blocks == 0 || posix_memalign((void **)&bufs, 2 << 20, inflight * block)) {
		fprintf(stderr, "file: nothing to read, or no memory\n");
		return 1;
	}
	madvise(bufs, inflight * block, MADV_HUGEPAGE);
	memset(bufs, 'x', inflight * block);
	ring_open(&r, inflight < 64 ? 64 : inflight,
		  direct ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0);

	double w = wall_ns(), c = cpu_ns(), deadline = w + atof(argv[6]) * 1e6;
	unsigned long ops = 0;
	unsigned flying = 0, looks = 0;
	int more = 1;
	for (unsigned i = 0; direct && i < inflight; i++, flying++)
		start(i);
	while (more || flying) {
		if (!direct && more) {
			for (unsigned i = 0; i < inflight; i++, flying++)
				start(i);
		}
		ring_enter(&r, direct ? 1 : flying);
		unsigned n = ring_ready(&r);
		for (unsigned i = 0; i < n; i++) {
			struct io_uring_cqe *e = ring_cqe(&r, i);
			check(e);
			flying--;
			if (direct && more) {
				start(e->user_data);
				flying++;
			}
		}
		ring_seen(&r, n);
		ops += n;
		if (direct || inflight > 1 || ++looks % 8 == 0) // the clock is dear beside one cached read
			more = more && wall_ns() < deadline;
	}
	report(ops, wall_ns() - w, cpu_ns() - c, r.enters);
	return 0;
}
