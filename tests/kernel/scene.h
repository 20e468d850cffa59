/* SPDX-License-Identifier: Apache-2.0 */
/* What a test program stands on: the loaded programs, and listeners whose
 * address no other case shares, so that a row belongs to exactly one case. */
#pragma once

#include "require.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ledger.h"
#include "probes.h"

enum side { CLIENT, SERVER };
enum transport { IPV4, IPV6, UNIX, TRANSPORTS };

#define ENDPOINTS_MAX 4096
#define SCENE_SERVICE 7

/* Listeners stay open until the scene closes: their address stays theirs. */
struct endpoint {
	enum transport transport;
	int fd;
	uint16_t port; /* 0 for Unix */
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
		struct sockaddr_un unix_path;
	} address;
	socklen_t address_len;
	uint64_t requests; /* counted when the case was judged */
};

struct scene {
	struct probes *probes;
	char directory[32];
	unsigned int endpoint_count;
	struct endpoint endpoints[ENDPOINTS_MAX];
	uint64_t missed[TALLY_MISSED_COUNT]; /* at the start of the case */
};

struct miss {
	enum tally_missed reason;
	uint64_t count; /* 0 ends a table */
};

static const struct miss nothing_missed[1];

static inline const char *transport_name(enum transport transport)
{
	return (const char *[]){"IPv4", "IPv6", "Unix"}[transport];
}

/* --- the programs ----------------------------------------------------------- */

static inline struct tally_config scene_config(void)
{
	struct tally_config config = {
	    .routes_per_service = TALLY_ROUTES_MAX,
	    .series_max = TALLY_SERIES_MAX,
	    /* Other programs of this machine must not move the ledger. */
	    .ignore_unknown = 1,
	};

	config.no_shortcuts = getenv("BPFTALLY_NO_SHORTCUTS") != NULL;
	REQUIRE(getrandom(&config.seed, sizeof(config.seed), 0) == sizeof(config.seed));
	return config;
}

static inline void scene_mark(struct scene *scene)
{
	memcpy(scene->missed, probes_counters(scene->probes)->missed,
	       sizeof(scene->missed));
}

static inline void scene_attach(struct scene *scene, const struct tally_config *config)
{
	const struct tally_process self = {.service = SCENE_SERVICE};
	char error[PROBES_ERROR_LEN] = "";
	const char *forced = getenv("BPFTALLY_CAPTURE");
	enum capture wanted = CAPTURE_AUTO;
	int err;

	REQUIRE(!forced || capture_parse(forced, &wanted));
	err = probes_open(config, wanted, &scene->probes, error);
	if (err) {
		fprintf(stderr, "probes_open: %s (%s)\n", error, strerror(-err));
		REQUIRE(err == 0);
	}
	if (config->ignore_unknown)
		REQUIRE(!probes_set_process(scene->probes, (uint32_t)getpid(), &self));
	scene_mark(scene);
}

static inline struct scene *scene_new(void)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	REQUIRE(scene);
	strcpy(scene->directory, "/tmp/bpftally.XXXXXX");
	REQUIRE(mkdtemp(scene->directory));
	return scene;
}

static inline void scene_free(struct scene **scene)
{
	for (unsigned int i = 0; i < (*scene)->endpoint_count; i++) {
		struct endpoint *endpoint = &(*scene)->endpoints[i];

		close(endpoint->fd);
		if (endpoint->transport == UNIX)
			unlink(endpoint->address.unix_path.sun_path);
	}
	rmdir((*scene)->directory);
	probes_close(&(*scene)->probes);
	free(*scene);
	*scene = NULL;
}

/* Group set-up and tear-down of a program whose cases share one attachment. */
static inline int scene_set_up(void **state)
{
	const struct tally_config config = scene_config();
	struct scene *scene = scene_new();

	scene_attach(scene, &config);
	*state = scene;
	return 0;
}

static inline int scene_tear_down(void **state)
{
	struct scene *scene = *state;

	scene_free(&scene);
	return 0;
}

/* --- listeners and connections ---------------------------------------------- */

static inline void endpoint_name(struct scene *scene, struct endpoint *endpoint)
{
	switch (endpoint->transport) {
	case IPV4:
		endpoint->address.ipv4 = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		endpoint->address_len = sizeof(endpoint->address.ipv4);
		break;
	case IPV6:
		endpoint->address.ipv6 = (struct sockaddr_in6){
		    .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		endpoint->address_len = sizeof(endpoint->address.ipv6);
		break;
	default:
		endpoint->address.unix_path =
		    (struct sockaddr_un){.sun_family = AF_UNIX};
		snprintf(endpoint->address.unix_path.sun_path,
			 sizeof(endpoint->address.unix_path.sun_path), "%s/%u",
			 scene->directory, scene->endpoint_count);
		endpoint->address_len = sizeof(endpoint->address.unix_path);
	}
}

/* Kept by the scene until it is freed. */
static inline struct endpoint *endpoint_open(struct scene *scene,
					     enum transport transport)
{
	struct endpoint *endpoint = &scene->endpoints[scene->endpoint_count];

	REQUIRE(scene->endpoint_count < ENDPOINTS_MAX);
	*endpoint = (struct endpoint){.transport = transport};
	endpoint_name(scene, endpoint);
	scene->endpoint_count++;
	endpoint->fd =
	    socket(endpoint->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(endpoint->fd >= 0);
	REQUIRE(!bind(endpoint->fd, &endpoint->address.any, endpoint->address_len));
	REQUIRE(!listen(endpoint->fd, 1024));
	if (transport != UNIX) {
		REQUIRE(!getsockname(endpoint->fd, &endpoint->address.any,
				     &endpoint->address_len));
		endpoint->port = ntohs(endpoint->address.ipv4.sin_port);
	}
	return endpoint;
}

/* A peer that does not answer fails the test instead of hanging it; segments
 * leave when they are written. */
static inline void socket_prepare(int fd, enum transport transport)
{
	const struct timeval limit = {DEADLINE_NS / 1000000000,
				      DEADLINE_NS % 1000000000 / 1000};
	const int on = 1;

	REQUIRE(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	REQUIRE(!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	if (transport != UNIX)
		REQUIRE(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
}

static inline int endpoint_connect(const struct endpoint *endpoint)
{
	int fd = socket(endpoint->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	REQUIRE(fd >= 0);
	socket_prepare(fd, endpoint->transport);
	/* what io_uring has still to tell the thread interrupts it, as the socket has a
	 * time limit; asked again, it waits on */
	while ((err = connect(fd, &endpoint->address.any, endpoint->address_len)) &&
	       errno == EINTR)
		;
	REQUIRE(!err);
	return fd;
}

static inline int endpoint_accept(const struct endpoint *endpoint)
{
	int fd = accept4(endpoint->fd, NULL, NULL, SOCK_CLOEXEC);

	REQUIRE(fd >= 0);
	socket_prepare(fd, endpoint->transport);
	return fd;
}

/* Both ends of one connection, indexed by enum side. */
struct pair {
	int fd[2];
};

static inline struct pair pair_open(const struct endpoint *endpoint)
{
	struct pair pair;

	pair.fd[CLIENT] = endpoint_connect(endpoint);
	pair.fd[SERVER] = endpoint_accept(endpoint);
	return pair;
}

static inline void pair_close_side(struct pair *pair, enum side side)
{
	if (pair->fd[side] >= 0)
		REQUIRE(!close(pair->fd[side]));
	pair->fd[side] = -1;
}

static inline void pair_close(struct pair *pair)
{
	pair_close_side(pair, CLIENT);
	pair_close_side(pair, SERVER);
}

/* --- the miss ledger -------------------------------------------------------- */

static inline uint64_t missed_since(const struct scene *scene, enum tally_missed reason)
{
	const volatile uint64_t *now =
	    (const volatile uint64_t *)&probes_counters(scene->probes)->missed[reason];

	return *now - scene->missed[reason];
}

static inline uint64_t miss_expected(const struct miss *table, enum tally_missed reason)
{
	for (; table->count; table++)
		if (table->reason == reason)
			return table->count;
	return 0;
}

static inline bool missed_as_expected(const struct scene *scene,
				      const struct miss *table)
{
	for (enum tally_missed reason = 0; reason < TALLY_MISSED_COUNT; reason++)
		if (missed_since(scene, reason) != miss_expected(table, reason))
			return false;
	return true;
}

/* Every reason, those that must not move too, since scene_mark. */
static inline void assert_missed(const struct scene *scene, const char *name,
				 const struct miss *table)
{
	uint64_t start_ns = now_ns();

	while (!missed_as_expected(scene, table) && keep_waiting(start_ns))
		;
	if (missed_as_expected(scene, table))
		return;
	for (enum tally_missed reason = 0; reason < TALLY_MISSED_COUNT; reason++) {
		uint64_t expected = miss_expected(table, reason);
		uint64_t observed = missed_since(scene, reason);

		if (expected != observed)
			print_error("%s: missed %s: expected %lu, observed %lu\n", name,
				    ledger_reason(reason), expected, observed);
	}
	fail();
}

/* --- events that no program saw --------------------------------------------- */

static inline void see_skipped(void *context, const struct objects_program *program)
{
	(void)context;
	/* of splices alone; of ends that tcp_destroy_sock tells too; of threads */
	if (!strcmp(program->name, "tcp_rcv_space_adjust") ||
	    !strcmp(program->name, "inet_sock_set_state") ||
	    !strcmp(program->name, "process_exit"))
		return;
	if (program->skipped)
		fail_msg("%s never saw %lu events", program->name, program->skipped);
}

static inline void assert_none_skipped(const struct scene *scene)
{
	probes_each_program(scene->probes, see_skipped, NULL);
}
