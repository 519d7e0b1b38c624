//go:build ignore

/*
 * pair is the reference: libzmq in C, one record a message.
 *
 *   pair pub FILE COUNT [LOG]        sends COUNT lines of FILE, over and over, as fast as it can
 *   pair sub ENDPOINT COUNT [LOG]    receives and counts them
 *   pair paced-pub FILE COUNT RATE   sends RATE a second, each with the time of its sending
 *   pair paced-sub ENDPOINT COUNT    tells the quantiles of how long each was on its way
 *
 * With LOG each record is also written to that file, with one write(2), before it is
 * sent or when it was received; the receiver syncs the file at the end.
 *
 * The publisher blocks at the high-water mark (libzmq's default, 1000) instead of
 * dropping. Both talk to the process that started them by lines: ready, go, done, stop,
 * usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

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
	else
		return 2;
	return 0;
}
