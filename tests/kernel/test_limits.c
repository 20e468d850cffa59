/* SPDX-License-Identifier: Apache-2.0 */
/* Every table at its end: what finds no room is still in the totals, under
 * `other`, and the ledger says how much that was. Each case loads the programs
 * with limits of its own. */
#include "talk.h"
#include "workspaces.h"

#include <bpf/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)

static int set_up(void **state)
{
	*state = scene_new();
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	scene_free(&scene);
	return 0;
}

static void exchange(const struct pair *pair, const char *request, const char *response)
{
	put_text(pair->fd[CLIENT], request);
	take_text(pair->fd[SERVER], request);
	put_text(pair->fd[SERVER], response);
	take_text(pair->fd[CLIENT], response);
}

static void exchange_status(const struct pair *pair, unsigned int status)
{
	char response[64];

	snprintf(response, sizeof(response),
		 "HTTP/1.1 %u X\r\nContent-Length: 3\r\n\r\nabc", status);
	exchange(pair, "GET /limit HTTP/1.1\r\n\r\n", response);
}

/* --- series ----------------------------------------------------------------- */

struct tally_of_series {
	uint64_t rows, named, other;
};

static void count_series(void *context, const struct tally_series_key *key,
			 const struct tally_series *value)
{
	struct tally_of_series *tally = context;
	uint64_t requests = SUM(value->duration);

	if (key->service == TALLY_SERVICE_OTHER) {
		tally->other += requests;
		return;
	}
	tally->rows++;
	tally->named += requests;
}

/* 40 statuses at two ends are 80 series; 16 have room. Three rounds: a series
 * that is in stays in. */
static void series_beyond_the_limit_are_counted_as_other(void **state)
{
	enum { STATUSES = 40, ROUNDS = 3, ROOM = 16 };
	struct scene *scene = *state;
	struct tally_config config = scene_config();
	struct tally_of_series tally = {0};
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);
	struct rows *rows;

	config.series_max = ROOM;
	scene_attach(scene, &config);
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (unsigned int i = 0; i < STATUSES; i++)
			exchange_status(&pair, 400 + i);
	rows = rows_await(scene, NULL, 2 * STATUSES * ROUNDS);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), STATUSES * ROUNDS);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_CLIENT), STATUSES * ROUNDS);
	REQUIRE(!drain_series(probes_series(scene->probes), count_series, &tally));
	assert_int_equal(tally.rows, ROOM);
	assert_int_equal(tally.named, ROOM * ROUNDS);
	assert_int_equal(tally.other, (2 * STATUSES - ROOM) * ROUNDS);
	assert_missed(scene, "series", MISSES({TALLY_MISSED_SERIES_FULL, tally.other}));
	pair_close(&pair);
	free(rows);
}

static void sum_bytes(void *context, const struct tally_series_key *key,
		      const struct tally_series *value)
{
	(void)key;
	drain_add(context, value);
}

/* Sizes and times of what went to `other` are kept too. */
static void the_overflow_series_holds_whole_histograms(void **state)
{
	struct scene *scene = *state;
	struct tally_config config = scene_config();
	struct tally_series sum = {0};
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);

	config.series_max = 2;
	scene_attach(scene, &config);
	for (unsigned int i = 0; i < 100; i++)
		exchange_status(&pair, 400 + i);
	free(rows_await(scene, NULL, 200));
	REQUIRE(!drain_series(probes_series(scene->probes), sum_bytes, &sum));
	assert_int_equal(SUM(sum.duration), 200);
	assert_int_equal(SUM(sum.native), 200);
	assert_int_equal(SUM(sum.first_byte), 200);
	assert_int_equal(SUM(sum.queue), 100);
	assert_int_equal(SUM(sum.request_size), 200);
	assert_int_equal(SUM(sum.response_size), 200);
	assert_int_equal(sum.response_bytes, 600);
	assert_missed(scene, "series", MISSES({TALLY_MISSED_SERIES_FULL, 198}));
	pair_close(&pair);
}

static void take_away_overflow(void *context, const struct tally_series_key *key,
			       const struct tally_series *value)
{
	(void)value;
	if (key->service == TALLY_SERVICE_OTHER)
		REQUIRE(!drain_delete_series(*(struct series_map *)context, key));
}

static void fill_series(struct series_map map)
{
	for (uint32_t i = 0; i < 1000; i++) {
		const struct tally_series_key key = {.service = 1000 + i};

		if (drain_make_series(map, &key))
			return;
	}
	REQUIRE(!"the series map has an end");
}

/* Room for `other` is kept from the start. Without that row, which only someone
 * who takes it away can bring about, nothing is counted, and that is said. */
static void what_even_the_overflow_series_refuses_is_named(void **state)
{
	struct scene *scene = *state;
	struct tally_config config = scene_config();
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);
	struct rows *rows;
	struct series_map map;

	config.series_max = 4;
	scene_attach(scene, &config);
	map = probes_series(scene->probes);
	REQUIRE(!drain_series(map, take_away_overflow, &map));
	fill_series(map);
	exchange_status(&pair, 400);
	exchange_status(&pair, 401);
	rows = rows_read(scene, NULL);
	assert_int_equal(rows_requests(rows), 0);
	assert_missed(scene, "refused", MISSES({TALLY_MISSED_TALLY_FAILED, 4}));
	pair_close(&pair);
	free(rows);
}

/* --- routes ----------------------------------------------------------------- */

static void exchange_path(const struct pair *pair, const char *path)
{
	char request[256];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", path);
	exchange(pair, request, OK_EMPTY);
}

static void routes_beyond_the_limit_are_counted_as_other(void **state)
{
	static const char *const paths[] = {"/a", "/b", "/c", "/d", "/e",
					    "/f", "/g", "/h", "/i", "/j"};
	static const struct expected rows[] = {
	    ROW(GET, 200, "/a", 0, 0),
	    ROW(GET, 200, "/b", 0, 0),
	    ROW(GET, 200, "/c", 0, 0),
	    ROW(GET, 200, "/d", 0, 0),
	    {.method = TALLY_METHOD_GET, .status = 200, .route = NULL, .requests = 6},
	    {0}};
	struct scene *scene = *state;
	struct tally_config config = scene_config();

	config.routes_per_service = 4;
	scene_attach(scene, &config);
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct pair pair = pair_open(endpoint);

		scene_mark(scene);
		for (size_t i = 0; i < 10; i++)
			exchange_path(&pair, paths[i]);
		assert_rows(scene, endpoint, transport_name(transport), rows);
		assert_missed(scene, transport_name(transport),
			      MISSES({TALLY_MISSED_ROUTE_FULL, 12}));
		pair_close(&pair);
	}
}

/* --- a hundred thousand paths ----------------------------------------------- */

#define PATHS 100000
#define BATCH 16

/* Letters only: no part of it is replaced. */
static void name_path(char *ret_path, size_t size, unsigned int number)
{
	char letters[8];

	for (int i = 0; i < 6; i++, number /= 26)
		letters[i] = (char)('a' + number % 26);
	snprintf(ret_path, size, "/%.6s", letters);
}

static void number_path(char *ret_path, size_t size, unsigned int number)
{
	snprintf(ret_path, size, "/users/%u/posts", number);
}

static void send_batch(const struct pair *pair, unsigned int first,
		       void (*path_of)(char *, size_t, unsigned int))
{
	char requests[BATCH * 64], responses[BATCH * 64], path[32];
	size_t len = 0, response_len = 0;

	for (unsigned int i = first; i < first + BATCH; i++) {
		path_of(path, sizeof(path), i);
		len += (size_t)sprintf(requests + len, "GET %s HTTP/1.1\r\n\r\n", path);
		response_len += (size_t)sprintf(responses + response_len, OK_EMPTY);
	}
	put(pair->fd[CLIENT], requests, len);
	take(pair->fd[SERVER], requests, len, 0);
	put(pair->fd[SERVER], responses, response_len);
	take(pair->fd[CLIENT], responses, response_len, 0);
}

static void see_route(void *context, const struct tally_route_key *key,
		      const struct tally_route *route)
{
	unsigned int *count = context;

	(void)key;
	(void)route;
	(*count)++;
}

static unsigned int count_routes(const struct scene *scene)
{
	unsigned int count = 0;

	REQUIRE(!drain_routes(probes_map_fd(scene->probes, PROBES_ROUTES), see_route,
			      &count));
	return count;
}

static void send_paths(struct scene *scene, struct endpoint *endpoint,
		       void (*path_of)(char *, size_t, unsigned int))
{
	const struct tally_config config = scene_config();
	struct pair pair = pair_open(endpoint);
	uint64_t map_bytes = 0;

	scene_attach(scene, &config);
	for (unsigned int i = 0; i < PATHS; i += BATCH) {
		send_batch(&pair, i, path_of);
		if (i == PATHS / 10)
			map_bytes = probes_map_bytes(scene->probes);
	}
	free(rows_await(scene, endpoint, 2 * PATHS));
	assert_int_equal(probes_map_bytes(scene->probes), map_bytes);
	pair_close(&pair);
}

static void a_hundred_thousand_numbers_are_one_route(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct expected row = ROW(GET, 200, "/users/*/posts", 0, 0);

	row.requests = PATHS;
	send_paths(scene, endpoint, number_path);
	assert_rows(scene, endpoint, "numbers", ROWS(row));
	assert_missed(scene, "numbers", nothing_missed);
	assert_int_equal(count_routes(scene), 1);
}

static void a_hundred_thousand_names_fill_the_cap_and_the_rest_is_other(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	uint64_t other[3] = {0};
	struct rows *rows;

	send_paths(scene, endpoint, name_path);
	rows = rows_read(scene, endpoint);
	assert_int_equal(rows->count, 2 * (TALLY_ROUTES_MAX + 1));
	for (unsigned int i = 0; i < rows->count; i++) {
		const struct row *row = &rows->row[i];

		if (row->route_hash == TALLY_ROUTE_OTHER)
			other[row->role % 3] += row->requests;
		else
			assert_int_equal(row->requests, 1);
	}
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), PATHS);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_CLIENT), PATHS);
	assert_int_equal(other[TALLY_ROLE_SERVER], PATHS - TALLY_ROUTES_MAX);
	assert_int_equal(other[TALLY_ROLE_CLIENT], PATHS - TALLY_ROUTES_MAX);
	assert_int_equal(count_routes(scene), TALLY_ROUTES_MAX);
	assert_missed(
	    scene, "names",
	    MISSES({TALLY_MISSED_ROUTE_FULL, 2 * (PATHS - TALLY_ROUTES_MAX)}));
	free(rows);
}

/* --- workspaces ------------------------------------------------------------- */

#define POST "POST /limit HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc"

static struct endpoint *attach_and_open(struct scene *scene, struct pair *ret_pair)
{
	const struct tally_config config = scene_config();
	struct endpoint *endpoint;

	scene_attach(scene, &config);
	endpoint = endpoint_open(scene, IPV4);
	*ret_pair = pair_open(endpoint);
	return endpoint;
}

static void a_body_ends_where_there_is_no_workspace(void **state)
{
	struct scene *scene = *state;
	struct pair pair;
	struct endpoint *endpoint = attach_and_open(scene, &pair);

	put_text(pair.fd[CLIENT], POST);
	take_text(pair.fd[SERVER], POST);
	workspaces_take();
	put_text(pair.fd[CLIENT], "def");
	take_text(pair.fd[SERVER], "def");
	workspaces_give();
	put_text(pair.fd[SERVER], OK_EMPTY);
	take_text(pair.fd[CLIENT], OK_EMPTY);
	exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	pair_close(&pair);
	assert_rows(
	    scene, endpoint, "body",
	    ROWS(ROW(POST, 200, "/limit", 6, 0), ROW(GET, 200, "/limit", 0, 0)));
	assert_missed(scene, "body", nothing_missed);
}

/* One for each end: the request is not seen, so its response is paid for. */
static void a_message_without_a_workspace_is_named(void **state)
{
	struct scene *scene = *state;
	struct pair pair;
	struct endpoint *endpoint = attach_and_open(scene, &pair);

	exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	workspaces_take();
	exchange(&pair, "GET /lost HTTP/1.1\r\n\r\n", OK_EMPTY);
	workspaces_give();
	exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	pair_close(&pair);
	assert_rows(scene, endpoint, "message",
		    ROWS({.method = TALLY_METHOD_GET,
			  .status = 200,
			  .route = "/limit",
			  .requests = 2}));
	assert_missed(scene, "message", MISSES({TALLY_MISSED_CONCURRENT_IO, 2}));
}

/* What is counted without a workspace was known by its head. Heads that differ are kept
 * now and then only: what is said again is known after the 16th time. */
static void a_head_is_known_again_after_others(void **state)
{
	enum { OTHERS = 40, SAME = 17 };
	struct scene *scene = *state;
	struct pair pair;
	struct endpoint *endpoint = attach_and_open(scene, &pair);
	char request[64];

	if (scene_config().no_shortcuts ||
	    probes_capture(scene->probes) == CAPTURE_FENTRY) {
		pair_close(&pair);
		skip(); /* there a receive takes one to find the bytes */
	}
	for (int i = 0; i < OTHERS + SAME; i++) {
		snprintf(request, sizeof(request),
			 "GET /limit HTTP/1.1\r\nX: %d\r\n\r\n",
			 10 + (i < OTHERS ? i : OTHERS));
		exchange(&pair, request, OK_EMPTY);
	}
	workspaces_take();
	exchange(&pair, request, OK_EMPTY);
	workspaces_give();
	pair_close(&pair);
	assert_rows(scene, endpoint, "heads",
		    ROWS({.method = TALLY_METHOD_GET,
			  .status = 200,
			  .route = "/limit",
			  .requests = OTHERS + SAME + 1}));
	assert_missed(scene, "heads", nothing_missed);
}

/* --- processes and events --------------------------------------------------- */

/* No process that exists has a number above the kernel's own limit. */
#define NO_SUCH_PID 0x40000000u

static void fill_processes(struct scene *scene)
{
	const struct tally_process ignored = {.flags = TALLY_PROCESS_IGNORED};
	int map = probes_map_fd(scene->probes, PROBES_PROCESSES);

	for (uint32_t i = 0; i <= TALLY_PROCESS_ROWS; i++) {
		uint32_t pid = NO_SUCH_PID + i;

		if (bpf_map_update_elem(map, &pid, &ignored, BPF_NOEXIST))
			return;
	}
	REQUIRE(!"the process table has an end");
}

/* Everything is selected, nothing is named. */
static struct tally_config open_config(const struct endpoint *endpoint)
{
	struct tally_config config = scene_config();

	config.ignore_unknown = 0;
	config.port_count = 1; /* leaves the rest of the machine alone */
	config.ports[0] = endpoint->port;
	return config;
}

/* As with series: one for each request that went to `other`. */
static void a_process_without_room_is_counted_as_other(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = open_config(endpoint);
	struct tally_of_series tally = {0};
	struct pair pair;

	scene_attach(scene, &config);
	fill_processes(scene);
	scene_mark(scene);
	pair = pair_open(endpoint);
	for (int i = 0; i < 5; i++)
		exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	free(rows_await(scene, NULL, 10));
	REQUIRE(!drain_series(probes_series(scene->probes), count_series, &tally));
	assert_int_equal(tally.other, 10);
	assert_int_equal(tally.named, 0);
	assert_missed(scene, "processes", MISSES({TALLY_MISSED_PROCESS_FULL, 10}));
	pair_close(&pair);
}

static void see_event(void *context, const struct tally_process_event *event)
{
	uint64_t *count = context;

	(*count)++;
	assert_int_equal(event->pid, (uint32_t)getpid());
	assert_true(event->service & TALLY_SERVICE_PROVISIONAL);
}

/* The process is forgotten after each exchange, so that each is that of a new
 * one; nobody reads the events until there is no room. */
static void events_beyond_the_ring_are_named_and_their_requests_counted(void **state)
{
	enum { PROCESSES = 2000 };
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = open_config(endpoint);
	struct expected row = ROW(GET, 200, "/limit", 0, 0);
	uint32_t self = (uint32_t)getpid();
	uint64_t events = 0, lost;

	scene_attach(scene, &config);
	for (int i = 0; i < PROCESSES; i++) {
		struct pair pair = pair_open(endpoint);

		exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
		pair_close(&pair);
		REQUIRE(!bpf_map_delete_elem(
		    probes_map_fd(scene->probes, PROBES_PROCESSES), &self));
	}
	row.requests = PROCESSES;
	assert_rows(scene, endpoint, "events", ROWS(row));
	lost = missed_since(scene, TALLY_MISSED_EVENT_FULL);
	REQUIRE(probes_poll(scene->probes, see_event, &events) >= 0);
	assert_int_not_equal(lost, 0);
	assert_int_equal(events + lost, PROCESSES);
	assert_missed(scene, "events", MISSES({TALLY_MISSED_EVENT_FULL, lost}));
}

/* --- addresses -------------------------------------------------------------- */

static int listen_on_every_address(struct sockaddr_in *ret_address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret_address);

	*ret_address = (struct sockaddr_in){.sin_family = AF_INET};
	REQUIRE(fd >= 0 && !bind(fd, (struct sockaddr *)ret_address, len));
	REQUIRE(!listen(fd, 16));
	REQUIRE(!getsockname(fd, (struct sockaddr *)ret_address, &len));
	return fd;
}

static void ask_at(int listener, struct sockaddr_in address, unsigned int i)
{
	struct pair pair = {{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1}};

	address.sin_addr.s_addr = htonl(0x7f010000 + i);
	socket_prepare(pair.fd[CLIENT], IPV4);
	REQUIRE(
	    !connect(pair.fd[CLIENT], (struct sockaddr *)&address, sizeof(address)));
	pair.fd[SERVER] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(pair.fd[SERVER] >= 0);
	socket_prepare(pair.fd[SERVER], IPV4);
	exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	pair_close(&pair);
}

/* Both ends of a connection name its server: of each address beyond, two miss it. */
static void
addresses_beyond_the_limit_are_named_and_their_requests_counted(void **state)
{
	enum { MORE = 5, ADDRESSES = TALLY_ADDRESS_ROWS + MORE };
	struct scene *scene = *state;
	struct tally_config config = scene_config();
	struct sockaddr_in address;
	int listener = listen_on_every_address(&address);
	struct rows *rows;

	config.series_max = 2 * ADDRESSES;
	scene_attach(scene, &config);
	for (unsigned int i = 1; i <= ADDRESSES; i++)
		ask_at(listener, address, i);
	rows = rows_await(scene, NULL, 2 * ADDRESSES);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), ADDRESSES);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_CLIENT), ADDRESSES);
	assert_missed(scene, "addresses",
		      MISSES({TALLY_MISSED_ADDRESS_FULL, 2 * MORE}));
	free(rows);
	close(listener);
}

/* --- connections ------------------------------------------------------------ */

static void bring_loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

/* Socket storage is charged to the socket's option memory (net.core.optmem_max),
 * which a network namespace has of its own since 6.8; before, it is the machine's. */
static int open_option_memory(int flags)
{
	return open("/proc/sys/net/core/optmem_max", flags | O_CLOEXEC);
}

static void allow_option_memory(int fd, const char *bytes)
{
	REQUIRE(fd >= 0 && lseek(fd, 0, SEEK_SET) == 0);
	put_text(fd, bytes);
}

static void serve_without_memory(struct scene *scene)
{
	int machine = open_option_memory(O_RDWR), own;
	char before[32] = "";
	struct endpoint *endpoint;
	struct pair pair;

	REQUIRE(machine >= 0 && read(machine, before, sizeof(before) - 1) > 0);
	REQUIRE(!unshare(CLONE_NEWNET));
	bring_loopback_up();
	own = open_option_memory(O_RDWR);
	allow_option_memory(own >= 0 ? own : machine, "256");
	endpoint = endpoint_open(scene, IPV4);
	pair = pair_open(endpoint);
	exchange(&pair, "GET /limit HTTP/1.1\r\n\r\n", OK_EMPTY);
	pair_close(&pair);
	if (own < 0)
		allow_option_memory(machine, before);
	_exit(0);
}

/* Without state nothing remembers that it was said: each of two sends and two receives
 * says it, once. */
static void connections_without_memory_are_named_and_work(void **state)
{
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	struct rows *rows;
	int status;
	pid_t child;

	scene_attach(scene, &config);
	child = fork();
	if (child == 0)
		serve_without_memory(scene);
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	rows = rows_read(scene, NULL);
	assert_int_equal(rows_requests(rows), 0);
	assert_missed(scene, "no memory", MISSES({TALLY_MISSED_CONNECTION_FULL, 4}));
	free(rows);
}

/* --- sums of connections ---------------------------------------------------- */

/* Each service has a sum of its servers' ends and one of its clients': more than the
 * kernel's table holds, and what finds no room is more than one read returns. */
enum {
	CROWD_SERVICES = 1100,
	CROWD_PAIRS = 2, /* of each service */
	CROWD_FIRST = 2000,
	CROWD_SUMS = 2 * CROWD_SERVICES,
};

struct crowd {
	struct pair pairs[CROWD_SERVICES][CROWD_PAIRS];
	struct tally_connections sums[CROWD_SERVICES][2]; /* by enum side */
	unsigned int visits;
};

static uint8_t crowd_protocol(unsigned int service)
{
	return TALLY_PROTOCOL_HTTP1 | (service % 2 ? TALLY_CONNECTION_UNIX : 0);
}

/* Requests under way at either end. */
static unsigned int crowd_in_flight(unsigned int service, unsigned int i)
{
	return (service + i) % 3;
}

static void crowd_open(struct scene *scene, struct crowd *crowd)
{
	static const char request[] = "GET /limit HTTP/1.1\r\n\r\n";
	const struct rlimit files = {3 * CROWD_PAIRS * CROWD_SERVICES,
				     3 * CROWD_PAIRS * CROWD_SERVICES};
	const struct endpoint *endpoints[] = {endpoint_open(scene, IPV4),
					      endpoint_open(scene, UNIX)};

	REQUIRE(!setrlimit(RLIMIT_NOFILE, &files));
	for (unsigned int service = 0; service < CROWD_SERVICES; service++) {
		const struct tally_process self = {.service = CROWD_FIRST + service};

		REQUIRE(!probes_set_process(scene->probes, (uint32_t)getpid(), &self));
		for (unsigned int i = 0; i < CROWD_PAIRS; i++) {
			struct pair *pair = &crowd->pairs[service][i];

			*pair = pair_open(endpoints[service % 2]);
			exchange(pair, request, OK_EMPTY);
			for (unsigned int n = crowd_in_flight(service, i); n; n--) {
				put_text(pair->fd[CLIENT], request);
				take_text(pair->fd[SERVER], request);
			}
		}
	}
}

static void see_crowd(void *context, const struct tally_connections_key *key,
		      const struct tally_connections *sum)
{
	struct crowd *crowd = context;
	unsigned int service = key->service - CROWD_FIRST;
	struct tally_connections *all;

	REQUIRE(service < CROWD_SERVICES);
	REQUIRE(key->protocol == crowd_protocol(service));
	REQUIRE(key->role == TALLY_ROLE_SERVER || key->role == TALLY_ROLE_CLIENT);
	all = &crowd->sums[service][key->role == TALLY_ROLE_SERVER ? SERVER : CLIENT];
	all->open += sum->open;
	all->in_flight += sum->in_flight;
	crowd->visits++;
}

/* Each service has so many pairs. */
static bool crowd_is(struct crowd *crowd, const struct scene *scene, unsigned int pairs)
{
	memset(crowd->sums, 0, sizeof(crowd->sums));
	crowd->visits = 0;
	REQUIRE(!probes_count_connections(scene->probes, see_crowd, crowd));
	for (unsigned int service = 0; service < CROWD_SERVICES; service++) {
		struct tally_connections whole = {.open = pairs};

		for (unsigned int i = 0; i < pairs; i++)
			whole.in_flight += crowd_in_flight(service, i);
		for (enum side side = CLIENT; side <= SERVER; side++)
			if (memcmp(&crowd->sums[service][side], &whole, sizeof(whole)))
				return false;
	}
	return true;
}

/* Closes the last pair of each service. */
static void crowd_shrink(struct crowd *crowd, const struct scene *scene,
			 unsigned int pairs)
{
	uint64_t start_ns = now_ns();

	for (unsigned int service = 0; service < CROWD_SERVICES; service++)
		pair_close(&crowd->pairs[service][pairs]);
	while (!crowd_is(crowd, scene, pairs) && keep_waiting(start_ns))
		;
	assert_true(crowd_is(crowd, scene, pairs));
}

static void connections_beyond_the_table_of_sums_are_in_the_sums(void **state)
{
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	REQUIRE(crowd);
	scene_attach(scene, &config);
	crowd_open(scene, crowd);
	/* twice: nothing of a pass is in the next one */
	for (unsigned int pass = 0; pass < 2; pass++) {
		assert_true(crowd_is(crowd, scene, CROWD_PAIRS));
		assert_int_equal(crowd->visits,
				 TALLY_CONNECTION_ROWS +
				     (CROWD_SUMS - TALLY_CONNECTION_ROWS) *
					 CROWD_PAIRS);
	}
	crowd_shrink(crowd, scene, 1);
	assert_int_equal(crowd->visits, CROWD_SUMS);
	crowd_shrink(crowd, scene, 0);
	assert_int_equal(crowd->visits, 0);
	free(crowd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(series_beyond_the_limit_are_counted_as_other),
	    TEST(the_overflow_series_holds_whole_histograms),
	    TEST(what_even_the_overflow_series_refuses_is_named),
	    TEST(routes_beyond_the_limit_are_counted_as_other),
	    TEST(a_hundred_thousand_numbers_are_one_route),
	    TEST(a_hundred_thousand_names_fill_the_cap_and_the_rest_is_other),
	    TEST(a_process_without_room_is_counted_as_other),
	    TEST(events_beyond_the_ring_are_named_and_their_requests_counted),
	    TEST(addresses_beyond_the_limit_are_named_and_their_requests_counted),
	    TEST(a_body_ends_where_there_is_no_workspace),
	    TEST(a_message_without_a_workspace_is_named),
	    TEST(a_head_is_known_again_after_others),
	    TEST(connections_without_memory_are_named_and_work),
	    TEST(connections_beyond_the_table_of_sums_are_in_the_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
