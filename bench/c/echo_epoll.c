// An echo server: one thread, epoll. It prints its port, and ends when its standard input does.
//
//	echo_epoll

#include "serve.h"
#include <poll.h>
#include <sys/epoll.h>

static void echo(int fd)
{
	static char buf[4096];
	ssize_t n = recv(fd, buf, sizeof buf, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	for (ssize_t sent = 0; sent < n;) {
		ssize_t m = send(fd, buf + sent, n - sent, MSG_NOSIGNAL);
		if (m >= 0) {
			sent += m;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};
			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			close(fd);
			return;
		}
	}
}

int main(void)
{
	int listener = serve_listen(), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[512], ev = {.events = EPOLLIN};
	for (int fd = 0; fd <= listener; fd += listener) {
		ev.data.fd = fd;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0 && errno != EPERM)
			die("epoll_ctl");
	}
	for (;;) {
		int n = epoll_wait(ep, events, 512, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == 0)
				return 0;
			if (fd != listener) {
				echo(fd);
				continue;
			}
			ev.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (ev.data.fd < 0)
				continue;
			serve_tune(ev.data.fd);
			if (epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev) < 0)
				die("epoll_ctl");
		}
	}
}
