// The bar of the NOP rows: threads with a ring each, that keep so many NOPs in flight.
//
//	nop THREADS INFLIGHT MILLISECONDS
//
// A thread fills its SQEs, enters once, reads the CQEs, and begins again.

#include "ring.h"
#include <pthread.h>

static unsigned inflight;
static double length, deadline;
static pthread_barrier_t ready, go;

struct worker {
	pthread_t thread;
	unsigned long ops, enters;
};

static void batch(struct ring *r)
{
	unsigned first = r->tail;
	for (unsigned i = 0; i < inflight; i++) {
		struct io_uring_sqe *e = ring_sqe(r);
		e->opcode = IORING_OP_NOP;
		e->fd = -1;
		e->user_data = first + i;
	}
	for (unsigned done = 0; done < inflight;) {
		ring_enter(r, inflight - done);
		unsigned n = ring_ready(r);
		for (unsigned i = 0; i < n; i++) {
			struct io_uring_cqe *c = ring_cqe(r, i);
			if (c->res != 0 || (unsigned)c->user_data - first >= inflight) {
				fprintf(stderr, "nop: a completion nobody asked for: %llu, %d\n", c->user_data, c->res);
				exit(1);
			}
		}
		ring_seen(r, n);
		done += n;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct ring r;
	ring_open(&r, inflight < 64 ? 64 : inflight, 0);
	unsigned turns = inflight < 64 ? 64 / inflight : 1; // between two looks at the clock
	for (unsigned i = 0; i < 4096; i += inflight)
		batch(&r);
	r.enters = 0;
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	do {
		for (unsigned i = 0; i < turns; i++)
			batch(&r);
		w->ops += (unsigned long)turns * inflight;
	} while (wall_ns() < deadline);
	w->enters = r.enters;
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads = argc == 4 ? atoi(argv[1]) : 0;
	inflight = argc == 4 ? atoi(argv[2]) : 0;
	length = argc == 4 ? atof(argv[3]) * 1e6 : 0;
	if (threads == 0 || inflight == 0 || inflight > 32768 || length <= 0) {
		fprintf(stderr, "usage: nop THREADS INFLIGHT MILLISECONDS\n");
		return 2;
	}
	struct worker *workers = calloc(threads, sizeof *workers);
	pthread_barrier_init(&ready, NULL, threads + 1);
	pthread_barrier_init(&go, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++)
		if ((errno = pthread_create(&workers[i].thread, NULL, work, &workers[i])))
			die("pthread_create");
	pthread_barrier_wait(&ready);
	double w = wall_ns(), c = cpu_ns();
	deadline = w + length;
	pthread_barrier_wait(&go);
	unsigned long ops = 0, enters = 0;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		ops += workers[i].ops;
		enters += workers[i].enters;
	}
	report(ops, wall_ns() - w, cpu_ns() - c, enters);
	return 0;
}
