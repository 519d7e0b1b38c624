//go:build ignore

/*
 * pair is the reference: libzmq in C, one record a message.
 *
 *   pair pub FILE COUNT [LOG]        sends COUNT lines of FILE, over and over, as fast as it can
 *   pair sub ENDPOINT COUNT [LOG]    receives and counts them
 *   pair paced-pub FILE COUNT RATE   sends RATE a second, each with the time of its sending
 *   pair paced-sub ENDPOINT COUNT    tells the quantiles of how long each was on its way
 *   pair ask PORT LOG COUNT RATE N   no reference but a client, on N connections to 127.0.0.1: asks
 *                                    RATE a second for what downcase answers, reads the log file as it
 *                                    grows, and tells when lines came, since sending and since the answer
 *
 * With LOG each record is also written to that file, with one write(2), before it is
 * sent or when it was received; the receiver syncs the file at the end.
 *
 * The publisher blocks at the high-water mark (libzmq's default, 1000) instead of
 * dropping. Both talk to the process that started them by lines: ready, go, done, stop,
 * usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif

enum { QUIET_MS = 10000 }; /* nothing for so long: the rest is lost */

static void *context, *sock;
static int log_file = -1;
static double began;

static void fail(const char *what)
{
	fprintf(stderr, "pair: %s: %s\n", what, zmq_strerror(errno));
	exit(1);
}

static void check(int rc, const char *what)
{
	if (rc < 0)
		fail(what);
}

static double cpu(void)
{
	struct rusage u;
	check(getrusage(RUSAGE_SELF, &u), "getrusage");
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int64_t now(void)
{
	struct timespec t;
	check(clock_gettime(CLOCK_MONOTONIC, &t), "clock_gettime");
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void open_log(const char *path)
{
	log_file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	check(log_file, path);
}

static void write_log(const void *record, size_t len)
{
	if (log_file >= 0 && write(log_file, record, len) != (ssize_t)len)
		fail("write");
}

static void hear(const char *word)
{
	char line[64];
	if (!fgets(line, sizeof line, stdin) || strncmp(line, word, strlen(word)) != 0)
		exit(1); /* whoever started this process is gone */
}

static void go(void)
{
	hear("go");
	began = cpu();
}

static void stop(void)
{
	hear("stop");
	printf("usage cpu=%.0f\n", cpu() - began);
	zmq_close(sock);
	zmq_ctx_term(context);
}

/* read_lines reads a file of lines; at[i] is where line i begins, at[n] the end. */
static size_t read_lines(const char *path, char **text, size_t **at)
{
	FILE *f = fopen(path, "rb");
	long size;
	size_t n = 0, i;
	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) <= 0 || fseek(f, 0, SEEK_SET))
		fail(path);
	*text = malloc((size_t)size);
	*at = malloc(((size_t)size + 1) * sizeof **at);
	if (!*text || !*at || fread(*text, 1, (size_t)size, f) != (size_t)size)
		fail(path);
	fclose(f);
	(*at)[0] = 0;
	for (i = 0; i < (size_t)size; i++)
		if ((*text)[i] == '\n')
			(*at)[++n] = i + 1;
	return n;
}

static void sleep_until(int64_t due)
{
	int64_t left;
	while ((left = due - now()) > 0) {
		struct timespec t = {left / 1000000000, left % 1000000000};
		nanosleep(&t, NULL);
	}
}

static void pub(const char *file, long count, long rate)
{
	char *text, endpoint[256], topic[8];
	size_t *at, lines = read_lines(file, &text, &at), len = sizeof endpoint;
	int one = 1, zero = 0;
	long i;
	sock = zmq_socket(context, ZMQ_XPUB);
	if (!sock)
		fail("socket");
	check(zmq_setsockopt(sock, ZMQ_XPUB_NODROP, &one, sizeof one), "XPUB_NODROP");
	check(zmq_setsockopt(sock, ZMQ_LINGER, &zero, sizeof zero), "LINGER");
	check(zmq_bind(sock, "tcp://127.0.0.1:*"), "bind");
	check(zmq_getsockopt(sock, ZMQ_LAST_ENDPOINT, endpoint, &len), "LAST_ENDPOINT");
	printf("bound feed=%s\n", endpoint);
	check(zmq_recv(sock, topic, sizeof topic, 0), "subscription");
	printf("ready\n");
	go();
	for (i = 0; i < count; i++) {
		size_t k = (size_t)i % lines;
		if (rate > 0) {
			static int64_t start;
			int64_t sent;
			if (!start)
				start = now();
			sleep_until(start + i * (1000000000 / rate));
			sent = now();
			memcpy(text + at[k], &sent, sizeof sent);
		}
		write_log(text + at[k], at[k + 1] - at[k]);
		check(zmq_send(sock, text + at[k], at[k + 1] - at[k], 0), "send");
	}
	printf("done\n");
	stop();
}

static int order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void sub(const char *endpoint, long count, int paced)
{
	int quiet = QUIET_MS, zero = 0;
	long n = 0;
	zmq_msg_t m;
	int64_t *took = paced ? calloc((size_t)count + 1, sizeof *took) : NULL;
	sock = zmq_socket(context, ZMQ_SUB);
	if (!sock || (paced && !took))
		fail("socket");
	check(zmq_setsockopt(sock, ZMQ_SUBSCRIBE, "", 0), "SUBSCRIBE");
	check(zmq_setsockopt(sock, ZMQ_RCVTIMEO, &quiet, sizeof quiet), "RCVTIMEO");
	check(zmq_setsockopt(sock, ZMQ_LINGER, &zero, sizeof zero), "LINGER");
	check(zmq_connect(sock, endpoint), "connect");
	check(zmq_msg_init(&m), "msg_init");
	printf("ready\n");
	go();
	while (n < count && zmq_msg_recv(&m, sock, 0) >= 0) {
		if (paced) {
			int64_t sent;
			memcpy(&sent, zmq_msg_data(&m), sizeof sent);
			took[n] = now() - sent;
		}
		write_log(zmq_msg_data(&m), zmq_msg_size(&m));
		n++;
	}
	if (log_file >= 0)
		check(fdatasync(log_file), "fdatasync");
	printf("done records=%ld quiet=%d", n, n < count ? QUIET_MS * 1000 : 0);
	if (paced && n > 0) {
		qsort(took, (size_t)n, sizeof *took, order);
		printf(" p50=%.1f p99=%.1f", (double)took[n / 2] / 1e3, (double)took[n * 99 / 100] / 1e3);
	}
	printf("\n");
	stop();
}

static void wrong(const char *what)
{
	fprintf(stderr, "pair: %s\n", what);
	exit(1);
}

/* ask_conn is a connection, and what has come of the answer that it waits for. */
struct ask_conn {
	int fd;
	long n; /* the request on its way, or -1 */
	size_t have;
	char in[4096];
};

static void ask_send(struct ask_conn *c, long n)
{
	char text[128];
	int len = snprintf(text, sizeof text, "GET /downcase/?param=%ld HTTP/1.1\r\nHost: bench\r\n\r\n", n);
	c->n = n;
	if (write(c->fd, text, (size_t)len) != len)
		fail("send");
}

/* ask_read reads of an answer what is here, and tells whether it is whole. One that is not
 * the right one ends the program. */
static int ask_read(struct ask_conn *c)
{
	char want[80], *body, *length;
	ssize_t n = read(c->fd, c->in + c->have, sizeof c->in - 1 - c->have);
	size_t size;
	if (n <= 0)
		wrong("the connection is closed");
	c->have += (size_t)n;
	c->in[c->have] = 0;
	body = strstr(c->in, "\r\n\r\n");
	if (!body)
		return 0;
	length = strcasestr(c->in, "\r\nContent-Length: ");
	if (strncmp(c->in, "HTTP/1.1 200 ", 13) || !length || length > body)
		wrong(c->in);
	body += 4;
	size = (size_t)atol(length + 18);
	if ((size_t)(c->in + c->have - body) < size)
		return 0;
	snprintf(want, sizeof want, "lower case of %ld is %ld", c->n, c->n);
	if (size != strlen(want) || strcmp(body, want))
		wrong(c->in);
	c->have = 0;
	c->n = -1;
	return 1;
}

/* ask_log is the log file as it grows. */
struct ask_log {
	int fd, grown;
	size_t have;
	char in[1 << 16];
};

static void ask_follow(struct ask_log *l, const char *path)
{
	l->fd = open(path, O_RDONLY);
	check(l->fd, path);
	check(lseek(l->fd, 0, SEEK_END) < 0 ? -1 : 0, path);
#ifdef __linux__
	l->grown = inotify_init1(IN_NONBLOCK);
	check(l->grown, "inotify");
	check(inotify_add_watch(l->grown, path, IN_MODIFY), path);
#endif
}

/* ask_lines notes when the lines were there that have come. */
static long ask_lines(struct ask_log *l, int64_t *seen, long count)
{
	long lines = 0;
	ssize_t n;
	while ((n = read(l->fd, l->in + l->have, sizeof l->in - l->have)) > 0) {
		char *line = l->in, *end;
		int64_t at = now();
		l->have += (size_t)n;
		while ((end = memchr(line, '\n', (size_t)(l->in + l->have - line)))) {
			char *text = memmem(line, (size_t)(end - line), "lower case of ", 14);
			long k = text ? strtol(text + 14, NULL, 10) : -1;
			if (k >= 0 && k < count && !seen[k]) {
				seen[k] = at;
				lines++;
			}
			line = end + 1;
		}
		l->have = (size_t)(l->in + l->have - line);
		memmove(l->in, line, l->have);
	}
	check((int)n, "read the log");
	return lines;
}

static void tell(const char *name, const int64_t *from, const int64_t *to, long count)
{
	int64_t *took = malloc(((size_t)count + 1) * sizeof *took);
	long i, n = 0;
	for (i = 0; took && i < count; i++)
		if (to[i])
			took[n++] = to[i] - from[i];
	if (n > 0) {
		qsort(took, (size_t)n, sizeof *took, order);
		printf(" %s50=%.1f %s99=%.1f", name, (double)took[n / 2] / 1e3, name, (double)took[n * 99 / 100] / 1e3);
	}
	free(took);
}

/* ask does all in one thread: a server that is measured gets the cores. Of what is here at the
 * same time answers are read first, so that a line is rather late than early. */
static void ask(int port, const char *path, long count, long rate, int conns)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct ask_conn *all = calloc((size_t)conns, sizeof *all);
	struct pollfd *fds = calloc((size_t)conns + 1, sizeof *fds);
	int64_t *sent = calloc((size_t)count, sizeof *sent), *answered = calloc((size_t)count, sizeof *answered);
	int64_t *seen = calloc((size_t)count, sizeof *seen), start, last;
	static struct ask_log log;
	long next = 0, answers = 0, lines = 0;
	double took = 0;
	int i, one = 1;
	if (!all || !fds || !sent || !answered || !seen)
		fail("memory");
	for (i = 0; i < conns; i++) {
		all[i].n = -1;
		fds[i].fd = all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		fds[i].events = POLLIN;
		check(all[i].fd, "socket");
		check(connect(all[i].fd, (struct sockaddr *)&to, sizeof to), "connect");
		check(setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
	}
	ask_follow(&log, path);
	fds[conns].fd = log.grown > 0 ? log.grown : -1;
	fds[conns].events = POLLIN;
	printf("ready\n");
	go();
	start = last = now();
	while ((answers < count || lines < count) && now() - last < (int64_t)QUIET_MS * 1000000) {
		int64_t t = now(), due, wait;
		int idle = 0, heard;
		for (i = 0; i < conns; i++) {
			due = start + next * (1000000000 / rate);
			if (all[i].n < 0 && next < count && due <= t) {
				sent[next] = now();
				ask_send(&all[i], next++);
			}
			idle += all[i].n < 0;
		}
		due = start + next * (1000000000 / rate);
		wait = idle > 0 && next < count ? due - now() : 100000000;
		if (fds[conns].fd < 0 && wait > 100000)
			wait = 100000; /* nothing tells when the log has grown */
		if (wait < 0)
			wait = 0;
#ifdef __linux__
		struct timespec limit = {wait / 1000000000, wait % 1000000000};
		heard = ppoll(fds, (nfds_t)conns + 1, &limit, NULL);
#else
		heard = poll(fds, (nfds_t)conns + 1, (int)(wait / 1000000));
#endif
		check(heard, "poll");
		for (i = 0; i < conns; i++) {
			long n = all[i].n;
			if ((fds[i].revents & (POLLIN | POLLERR | POLLHUP)) && ask_read(&all[i])) {
				answered[n] = last = now();
				if (++answers == count)
					took = (double)(last - start) / 1e9;
			}
		}
		if (fds[conns].revents & POLLIN) {
			char events[4096];
			while (read(log.grown, events, sizeof events) > 0)
				;
		}
		if (fds[conns].fd < 0 || fds[conns].revents & POLLIN) {
			long came = ask_lines(&log, seen, count);
			lines += came;
			if (came)
				last = now();
		}
	}
	if (answers < count)
		wrong("not all was answered");
	printf("done lines=%ld rate=%.0f", lines, (double)count / took);
	tell("sent", sent, seen, count);
	tell("answer", answered, seen, count);
	printf("\n");
	stop();
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	context = zmq_ctx_new();
	if (argc == 5 && (!strcmp(argv[1], "pub") || !strcmp(argv[1], "sub"))) {
		open_log(argv[4]);
		argc = 4;
	}
	if (argc == 4 && !strcmp(argv[1], "pub"))
		pub(argv[2], atol(argv[3]), 0);
	else if (argc == 5 && !strcmp(argv[1], "paced-pub"))
		pub(argv[2], atol(argv[3]), atol(argv[4]));
	else if (argc == 4 && !strcmp(argv[1], "sub"))
		sub(argv[2], atol(argv[3]), 0);
	else if (argc == 4 && !strcmp(argv[1], "paced-sub"))
		sub(argv[2], atol(argv[3]), 1);
	else if (argc == 7 && !strcmp(argv[1], "ask") && atol(argv[4]) > 0 && atol(argv[5]) > 0 && atoi(argv[6]) > 0)
		ask(atoi(argv[2]), argv[3], atol(argv[4]), atol(argv[5]), atoi(argv[6]));
	else
		return 2;
	return 0;
}
