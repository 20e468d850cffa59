/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pair - both ends of one loopback connection in one process, taking turns: write a
 * request, read it, write the response, read it. Nothing else runs and nobody waits, so
 * what a round takes is the same each time: what it takes more when observed can be
 * told to the instruction.
 *   pair ROUNDS      prints "round 12345.6": nanoseconds of one
 * Before and behind them it runs an instruction each that does nothing, for who counts
 * those of a machine that is emulated (tests/vm/profile.c).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define PORT 8080
#define ROUNDS_MAX 100000000ul
#define WARM_ROUNDS 1000 /* to begin with, which are not among these */
#define BODY "hello\n"

/* Those of wrk, and of nginx, which writes head and body as two pieces. */
static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
static const char head[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n"
    "Date: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    "Content-Length: 6\r\nConnection: keep-alive\r\n\r\n";

struct pair {
	int client;
	int server;
};

static void pair_close(struct pair *pair)
{
	if (pair->client >= 0)
		close(pair->client);
	if (pair->server >= 0)
		close(pair->server);
}

static int set(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) ? -errno : 0;
}

static int pair_open(struct pair *pair)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons(PORT),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr *to = (const struct sockaddr *)&address;
	AUTO_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || set(listener, SOL_SOCKET, SO_REUSEADDR) ||
	    bind(listener, to, sizeof(address)) || listen(listener, 1))
		return -errno;
	pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair->client < 0 || connect(pair->client, to, sizeof(address)))
		return -errno;
	pair->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair->server < 0 || set(pair->client, IPPROTO_TCP, TCP_NODELAY) ||
	    set(pair->server, IPPROTO_TCP, TCP_NODELAY))
		return -errno;
	return 0;
}

static int pair_round(const struct pair *pair)
{
	static char input[8192];
	const struct iovec response[] = {
	    {.iov_base = (void *)head, .iov_len = sizeof(head) - 1},
	    {.iov_base = (void *)BODY, .iov_len = sizeof(BODY) - 1},
	};
	const ssize_t request_len = sizeof(request) - 1;
	const ssize_t response_len = sizeof(head) - 1 + sizeof(BODY) - 1;

	if (write(pair->client, request, sizeof(request) - 1) != request_len ||
	    recv(pair->server, input, 1024, 0) != request_len ||
	    writev(pair->server, response, 2) != response_len ||
	    read(pair->client, input, sizeof(input)) != response_len)
		return -EIO;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int pair_rounds(const struct pair *pair, unsigned long rounds)
{
	int err = 0;

	for (unsigned long i = 0; i < rounds && !err; i++)
		err = pair_round(pair);
	return err;
}

static int pair_run(unsigned long rounds)
{
	CLEANUP(pair_close) struct pair pair = {.client = -1, .server = -1};
	int err = pair_open(&pair);
	uint64_t begun;

	if (!err)
		err = pair_rounds(&pair, WARM_ROUNDS);
	if (err)
		return err;
	begun = now_ns();
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 'p', 'a', 'i', 'r'" ::: "memory");
	err = pair_rounds(&pair, rounds);
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 'r', 'i', 'a', 'p'" ::: "memory");
	if (!err)
		printf("round %.1f\n", (double)(now_ns() - begun) / (double)rounds);
	return err;
}

int main(int argc, char **argv)
{
	char *end = NULL;
	unsigned long rounds = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
	int err;

	if (!end || *end || !rounds || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: %s ROUNDS\n", argv[0]);
		return 2;
	}
	err = pair_run(rounds);
	if (err)
		fprintf(stderr, "pair: %s\n", strerror(-err));
	return err ? 1 : 0;
}
