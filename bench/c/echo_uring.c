// An echo server: one thread, io_uring, with multishot accept and receive into a ring of provided buffers. It prints
// its port, and ends when its standard input does.
//
//	echo_uring

#include "serve.h"
#include <poll.h>

#define BUFFERS 8192
#define SIZE 1024
#define GROUP 1
#define CONNS 65536
#define NONE 0xffffu

enum { ACCEPT, RECV, SEND, STDIN };

static struct ring r;
static struct io_uring_buf_ring *provided;
static char *memory;
static unsigned short provided_tail;

// What has been received waits in a list for each connection, and is sent in its order, one buffer at a time.
static struct { unsigned short next, len, sent; } bufs[BUFFERS];
static struct { unsigned short first, last; char over; } conns[CONNS];

static struct io_uring_sqe *sqe(int op, int fd, int what, unsigned bid)
{
	while (r.queued == r.sq_entries)
		ring_enter(&r, 0);
	struct io_uring_sqe *e = ring_sqe(&r);
	e->opcode = op;
	e->fd = fd;
	e->user_data = (uint64_t)what << 56 | (uint64_t)bid << 32 | (unsigned)fd;
	return e;
}

static void give_back(unsigned bid)
{
	struct io_uring_buf *b = &provided->bufs[provided_tail++ & (BUFFERS - 1)];
	b->addr = (uintptr_t)(memory + bid * SIZE);
	b->len = SIZE;
	b->bid = bid;
	store_release(&provided->tail, provided_tail);
}

static void provide(void)
{
	size_t size = BUFFERS * sizeof(struct io_uring_buf);
	provided = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	memory = mmap(NULL, BUFFERS * SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	if (provided == MAP_FAILED || memory == MAP_FAILED)
		die("mmap");
	struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)provided, .ring_entries = BUFFERS, .bgid = GROUP};
	if (syscall(__NR_io_uring_register, r.fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
		die("IORING_REGISTER_PBUF_RING");
	for (unsigned i = 0; i < BUFFERS; i++)
		give_back(i);
}

static void arm_accept(int listener)
{
	struct io_uring_sqe *e = sqe(IORING_OP_ACCEPT, listener, ACCEPT, 0);
	e->ioprio = IORING_ACCEPT_MULTISHOT;
	e->accept_flags = SOCK_CLOEXEC;
}

static void arm_recv(int fd)
{
	struct io_uring_sqe *e = sqe(IORING_OP_RECV, fd, RECV, 0);
	e->ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
	e->flags = IOSQE_BUFFER_SELECT;
	e->buf_group = GROUP;
}

static void send_first(int fd)
{
	unsigned bid = conns[fd].first;
	struct io_uring_sqe *e = sqe(IORING_OP_SEND, fd, SEND, bid);
	e->addr = (uintptr_t)(memory + bid * SIZE + bufs[bid].sent);
	e->len = bufs[bid].len - bufs[bid].sent;
	e->msg_flags = MSG_NOSIGNAL;
}

static void drop_first(int fd)
{
	unsigned bid = conns[fd].first;
	conns[fd].first = bufs[bid].next;
	give_back(bid);
}

static void accepted(int fd)
{
	if (fd < 0)
		return;
	if (fd >= CONNS) {
		close(fd);
		return;
	}
	serve_tune(fd);
	conns[fd].first = conns[fd].last = NONE;
	conns[fd].over = 0;
	arm_recv(fd);
}

static void received(int fd, int res, unsigned flags)
{
	if (res > 0) {
		unsigned bid = flags >> IORING_CQE_BUFFER_SHIFT;
		bufs[bid].next = NONE, bufs[bid].len = res, bufs[bid].sent = 0;
		if (conns[fd].first == NONE) {
			conns[fd].first = conns[fd].last = bid;
			send_first(fd);
		} else {
			bufs[conns[fd].last].next = bid;
			conns[fd].last = bid;
		}
	}
	if (flags & IORING_CQE_F_MORE)
		return;
	if (res > 0 || res == -ENOBUFS) {
		arm_recv(fd);
		return;
	}
	conns[fd].over = 1;
	if (conns[fd].first == NONE)
		close(fd);
}

static void sent(int fd, unsigned bid, int res)
{
	if (res > 0)
		bufs[bid].sent += res;
	if (res < 0) { // the peer is gone; the receive will say so
		while (conns[fd].first != NONE)
			drop_first(fd);
	} else if (bufs[bid].sent == bufs[bid].len) {
		drop_first(fd);
	}
	if (conns[fd].first != NONE)
		send_first(fd);
	else if (conns[fd].over)
		close(fd);
}

int main(void)
{
	int listener = serve_listen();
	ring_open(&r, 4096, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	provide();
	arm_accept(listener);
	sqe(IORING_OP_POLL_ADD, 0, STDIN, 0)->poll32_events = POLLIN;
	for (;;) {
		ring_enter(&r, 1);
		unsigned n = ring_ready(&r);
		for (unsigned i = 0; i < n; i++) {
			struct io_uring_cqe c = *ring_cqe(&r, 0);
			ring_seen(&r, 1);
			int fd = (int)(unsigned)c.user_data;
			switch (c.user_data >> 56) {
			case ACCEPT:
				accepted(c.res);
				if (!(c.flags & IORING_CQE_F_MORE))
					arm_accept(fd);
				break;
			case RECV:
				received(fd, c.res, c.flags);
				break;
			case SEND:
				sent(fd, c.user_data >> 32 & 0xffff, c.res);
				break;
			case STDIN:
				return 0;
			}
		}
	}
}
