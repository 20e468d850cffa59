/* SPDX-License-Identifier: Apache-2.0 */
/* Whose requests are whose: who is observed, under which service, and what the
 * daemon is told of a process that it has not named. */
#include "talk.h"

#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define REQUEST "GET /who HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define LEN(text) (sizeof(text) - 1)
#define WHO ROW(GET, 200, "/who", 0, 5)
#define WHO_SERVER ROW_OF(SERVER, GET, 200, "/who", 0, 5)
#define WHO_CLIENT ROW_OF(CLIENT, GET, 200, "/who", 0, 5)

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

/* Every process, but only on this endpoint: others of this machine stay out. */
static struct tally_config config_of_port(const struct endpoint *endpoint)
{
	struct tally_config config = scene_config();

	config.ignore_unknown = 0;
	config.port_count = 1;
	config.ports[0] = endpoint->port;
	return config;
}

static void exchange(const struct pair *pair)
{
	put(pair->fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair->fd[SERVER], REQUEST, LEN(REQUEST), 0);
	put(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

static void await_child(pid_t child)
{
	int status;

	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(status == 0);
}

/* Serves one connection of the endpoint in a child; asks here. */
static pid_t serve_in_child(const struct endpoint *endpoint, unsigned int count)
{
	pid_t child = fork();

	if (child == 0) {
		int fd;

		/* after a failure nobody would connect, and we would hold stdout */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = endpoint_accept(endpoint);
		while (count--) {
			take(fd, REQUEST, LEN(REQUEST), 0);
			put(fd, RESPONSE, LEN(RESPONSE));
		}
		_exit(0);
	}
	return child;
}

static void ask(const struct endpoint *endpoint, unsigned int count)
{
	int fd = endpoint_connect(endpoint);

	while (count--) {
		put(fd, REQUEST, LEN(REQUEST));
		take(fd, RESPONSE, LEN(RESPONSE), 0);
	}
	close(fd);
}

/* --- who is observed -------------------------------------------------------- */

static void the_agent_itself_is_not_observed(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct tally_config config = config_of_port(endpoint);
	pid_t child;

	config.self_pid = (uint32_t)getpid();
	scene_attach(scene, &config);
	child = serve_in_child(endpoint, 1);
	ask(endpoint, 1);
	await_child(child);
	assert_rows(scene, endpoint, "self", ROWS(WHO_SERVER));
	assert_missed(scene, "self", nothing_missed);
}

static void only_the_ports_that_are_asked_for_are_observed(void **state)
{
	struct scene *scene = *state;
	struct endpoint *asked = endpoint_open(scene, IPV4);
	struct endpoint *also = endpoint_open(scene, IPV6);
	struct endpoint *other = endpoint_open(scene, IPV4);
	struct endpoint *path = endpoint_open(scene, UNIX);
	struct endpoint *endpoints[] = {asked, also, other, path};
	struct tally_config config = config_of_port(asked);

	config.port_count = 2;
	config.ports[1] = also->port;
	scene_attach(scene, &config);
	for (int i = 0; i < 4; i++) {
		struct pair pair = pair_open(endpoints[i]);

		exchange(&pair);
		pair_close(&pair);
	}
	assert_rows(scene, asked, "asked for", ROWS(WHO));
	assert_rows(scene, also, "asked for too", ROWS(WHO));
	assert_rows(scene, other, "not asked for", NO_ROWS);
	assert_rows(scene, path, "no port at all", NO_ROWS);
	assert_missed(scene, "ports", nothing_missed);
}

static void unknown_processes_are_left_alone_when_told_so(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = scene_config();
	const struct tally_process ignored = {.flags = TALLY_PROCESS_IGNORED};
	pid_t child = serve_in_child(endpoint, 3); /* older than the attachment */

	scene_attach(scene, &config);
	ask(endpoint, 3);
	await_child(child);
	assert_rows(scene, endpoint, "unknown",
		    ROWS({.role = TALLY_ROLE_CLIENT,
			  .method = TALLY_METHOD_GET,
			  .status = 200,
			  .route = "/who",
			  .requests = 3,
			  .response_bytes = 15}));
	REQUIRE(!probes_set_process(scene->probes, (uint32_t)getpid(), &ignored));
	child = serve_in_child(endpoint, 3);
	ask(endpoint, 3);
	await_child(child);
	assert_rows(scene, endpoint, "ignored",
		    ROWS({.role = TALLY_ROLE_CLIENT,
			  .method = TALLY_METHOD_GET,
			  .status = 200,
			  .route = "/who",
			  .requests = 3,
			  .response_bytes = 15}));
	assert_missed(scene, "unknown", nothing_missed);
}

/* On a connection that is open already: what is in flight then is not begun
 * under one verdict and ended under another. */
static void a_change_of_selection_reaches_open_connections(void **state)
{
	static const struct tally_process selected = {.service = SCENE_SERVICE};
	static const struct tally_process ignored = {.flags = TALLY_PROCESS_IGNORED};
	struct scene *scene = *state;
	const struct tally_config config = scene_config();

	scene_attach(scene, &config);
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct pair pair = pair_open(endpoint);
		uint32_t self = (uint32_t)getpid();
		struct expected row = WHO;

		for (int i = 0; i < 3; i++) {
			exchange(&pair);
			REQUIRE(!probes_set_process(scene->probes, self, &ignored));
			exchange(&pair);
			exchange(&pair);
			REQUIRE(!probes_set_process(scene->probes, self, &selected));
		}
		row.requests = 3;
		row.response_bytes = 15;
		assert_rows(scene, endpoint, transport_name(transport), ROWS(row));
		assert_missed(scene, transport_name(transport), nothing_missed);
		pair_close(&pair);
	}
}

/* --- under which service ---------------------------------------------------- */

static void select_self(struct scene *scene, bool selected)
{
	const struct tally_process self = {
	    .service = SCENE_SERVICE, .flags = selected ? 0 : TALLY_PROCESS_IGNORED};

	REQUIRE(!probes_set_process(scene->probes, (uint32_t)getpid(), &self));
}

/* What was under way when the selection changed is in no later number. */
static void nothing_of_before_is_in_a_request_after(void **state)
{
	static const char half[] =
	    "POST /half HTTP/1.1\r\nContent-Length: 8\r\n\r\nabcd";
	static const char next[] =
	    "POST /next HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = scene_config();
	struct pair pair = pair_open(endpoint);
	uint64_t begin_ns;
	struct rows *rows;
	struct row row;

	scene_attach(scene, &config);
	put_text(pair.fd[CLIENT], half);
	take_text(pair.fd[SERVER], half);
	select_self(scene, false);
	put_text(pair.fd[CLIENT], "efgh");
	take_text(pair.fd[SERVER], "efgh");
	put_text(pair.fd[SERVER], RESPONSE);
	take_text(pair.fd[CLIENT], RESPONSE);
	take_time(100000000);
	select_self(scene, true);
	begin_ns = now_ns();
	put_text(pair.fd[CLIENT], next);
	take_text(pair.fd[SERVER], next);
	put_text(pair.fd[SERVER], RESPONSE);
	take_text(pair.fd[CLIENT], RESPONSE);
	assert_rows(scene, endpoint, "selected again",
		    ROWS(ROW(POST, 200, "/next", 3, 5)));
	rows = rows_read(scene, endpoint);
	row = row_of(rows, TALLY_ROLE_SERVER);
	assert_true(row.sum.queue_sum_ns < now_ns() - begin_ns);
	free(rows);
	pair_close(&pair);
}

struct services {
	const struct scene *scene;
	uint64_t requests[100]; /* by service, provisional ones without their bit */
	uint64_t provisional, other;
	uint32_t last_provisional;
};

static void count_services(void *context, const struct tally_series_key *key,
			   const struct tally_series *value)
{
	struct services *services = context;
	uint64_t requests = SUM(value->duration);

	if (!requests)
		return;
	if (key->service & TALLY_SERVICE_PROVISIONAL) {
		services->provisional += requests;
		if (key->service > services->last_provisional)
			services->last_provisional = key->service;
	} else if (key->service < 100) {
		services->requests[key->service] += requests;
	} else {
		services->other += requests;
	}
}

static struct services read_services(const struct scene *scene)
{
	struct services services = {.scene = scene};

	REQUIRE(!drain_series(probes_series(scene->probes), count_services, &services));
	return services;
}

static void a_named_service_carries_its_number_from_the_next_request(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = scene_config();
	const struct tally_process renamed = {.service = 42};
	struct pair pair = pair_open(endpoint);
	struct services services;

	scene_attach(scene, &config);
	exchange(&pair);
	REQUIRE(!probes_set_process(scene->probes, (uint32_t)getpid(), &renamed));
	exchange(&pair);
	exchange(&pair);
	services = read_services(scene);
	assert_int_equal(services.requests[SCENE_SERVICE], 2);
	assert_int_equal(services.requests[42], 4);
	assert_int_equal(services.provisional + services.other, 0);
	{
		/* the route is known under both */
		struct rows *rows = rows_read(scene, endpoint);

		for (unsigned int i = 0; i < rows->count; i++)
			assert_string_equal(rows->row[i].route, "/who");
		free(rows);
	}
	pair_close(&pair);
}

struct events {
	unsigned int count;
	struct tally_process_event last;
};

static void keep_event(void *context, const struct tally_process_event *event)
{
	struct events *events = context;

	events->count++;
	events->last = *event;
}

static void a_process_without_a_name_is_announced_once(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct events events = {0};
	char command_line[TALLY_ARGS_LEN] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, command_line, sizeof(command_line));
	char exe[PATH_MAX] = "";

	close(fd);
	REQUIRE(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	REQUIRE(!prctl(PR_SET_NAME, "who-is-it"));
	scene_attach(scene, &config);
	for (int i = 0; i < 5; i++) {
		struct pair pair = pair_open(endpoint);

		exchange(&pair);
		exchange(&pair);
		pair_close(&pair);
	}
	REQUIRE(probes_poll(scene->probes, keep_event, &events) >= 0);
	assert_int_equal(events.count, 1);
	assert_int_equal(events.last.pid, (uint32_t)getpid());
	assert_string_equal(events.last.comm, "who-is-it");
	assert_string_equal(events.last.exe, strrchr(exe, '/') + 1);
	assert_true(events.last.args_len >= (uint32_t)len);
	assert_memory_equal(events.last.args, command_line, (size_t)len);
	{
		struct services services = read_services(scene);

		assert_int_equal(services.provisional, 20);
		assert_int_equal(services.last_provisional, events.last.service);
	}
	assert_missed(scene, "announced", nothing_missed);
}

static void who_speaks_nothing_we_know_is_not_announced(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct events events = {0};
	struct pair pair;

	scene_attach(scene, &config);
	pair = pair_open(endpoint);
	put_text(pair.fd[CLIENT], "*1\r\n$4\r\nPING\r\n");
	take_text(pair.fd[SERVER], "*1\r\n$4\r\nPING\r\n");
	put_text(pair.fd[SERVER], "+PONG\r\n");
	take_text(pair.fd[CLIENT], "+PONG\r\n");
	pair_close(&pair);
	REQUIRE(probes_poll(scene->probes, keep_event, &events) >= 0);
	assert_int_equal(events.count, 0);
}

static void a_forked_child_is_its_parents_service_at_once(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct events events = {0};
	struct services services;

	scene_attach(scene, &config);
	{
		struct pair pair = pair_open(endpoint);

		exchange(&pair); /* this process gets its provisional number */
		pair_close(&pair);
	}
	for (int i = 0; i < 4; i++) {
		pid_t child = serve_in_child(endpoint, 5);

		ask(endpoint, 5);
		await_child(child);
	}
	free(rows_await(scene, endpoint, 42));
	REQUIRE(probes_poll(scene->probes, keep_event, &events) >= 0);
	assert_int_equal(events.count, 1);
	services = read_services(scene);
	assert_int_equal(services.provisional, 42);
	assert_int_equal(services.requests[0], 0);
	assert_missed(scene, "forked", nothing_missed);
}

/* inetd's way: the connection is standard input and output of a program that
 * knows of no socket, and reads byte by byte. */
static void serve_by_shell(const struct endpoint *endpoint)
{
	int fd = endpoint_accept(endpoint);

	REQUIRE(dup2(fd, 0) == 0 && dup2(fd, 1) == 1);
	execl("/bin/sh", "sh", "-c",
	      "read -r line && read -r line && read -r line && "
	      "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello'",
	      (char *)NULL);
	_exit(1);
}

static void an_executed_program_is_another_service(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct events events = {0};
	pid_t child;

	scene_attach(scene, &config);
	child = fork();
	if (child == 0)
		serve_by_shell(endpoint);
	ask(endpoint, 1);
	await_child(child);
	assert_rows(scene, endpoint, "inetd", ROWS(WHO));
	REQUIRE(probes_poll(scene->probes, keep_event, &events) >= 0);
	assert_int_equal(events.count, 2); /* the client here, the shell there */
	assert_missed(scene, "inetd", nothing_missed);
}

/* Who answers may be one of whom nothing is known: a child from before the attach
 * that was handed the connection, or a new program. The request is the reader's. */
static void a_request_that_a_stranger_answers_is_its_readers(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct pair pair = pair_open(endpoint);
	struct services services;
	int gate[2];
	pid_t child;
	char go;

	REQUIRE(!pipe2(gate, O_CLOEXEC));
	child = fork();
	if (child == 0) {
		REQUIRE(read(gate[0], &go, 1) == 1);
		put(pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
		_exit(0);
	}
	scene_attach(scene, &config);
	put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
	REQUIRE(write(gate[1], "g", 1) == 1);
	await_child(child);
	take(pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
	assert_rows(scene, endpoint, "answered by a stranger", ROWS(WHO));
	services = read_services(scene);
	assert_int_equal(services.provisional, 2);
	assert_int_equal(services.requests[TALLY_SERVICE_OTHER], 0);
	assert_missed(scene, "answered by a stranger", nothing_missed);
	pair_close(&pair);
	close(gate[0]);
	close(gate[1]);
}

/* Judged after its request was seen: no hand-over, and nothing to miss. */
static void one_that_turns_out_not_to_be_selected_is_not_missed(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct pair pair = pair_open(endpoint);

	scene_attach(scene, &config);
	put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
	select_self(scene, false);
	put(pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
	pair_close(&pair);
	assert_rows(scene, endpoint, "judged late", (const struct expected[1]){0});
	assert_missed(scene, "judged late", nothing_missed);
}

/* Selected is who reads, not who answers: the ledger has it. */
static void a_request_that_one_not_selected_answers_is_named(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = scene_config();
	struct pair pair = pair_open(endpoint);
	int gate[2];
	pid_t child;
	char go;

	REQUIRE(!pipe2(gate, O_CLOEXEC));
	child = fork();
	if (child == 0) {
		REQUIRE(read(gate[0], &go, 1) == 1);
		put(pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
		_exit(0);
	}
	scene_attach(scene, &config);
	put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
	REQUIRE(write(gate[1], "g", 1) == 1);
	await_child(child);
	take(pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
	assert_rows(scene, endpoint, "handed over", ROWS(WHO_CLIENT));
	assert_missed(scene, "handed over", MISSES({TALLY_MISSED_HANDED_OVER, 1}));
	pair_close(&pair);
	close(gate[0]);
	close(gate[1]);
}

/* A program that reads the request and becomes another, which answers. */
static void a_request_that_a_new_program_answers_is_counted(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = config_of_port(endpoint);
	struct services services;
	pid_t child;

	scene_attach(scene, &config);
	child = fork();
	if (child == 0) {
		int fd = endpoint_accept(endpoint);

		take(fd, REQUEST, LEN(REQUEST), 0);
		REQUIRE(dup2(fd, 1) == 1);
		execl(
		    "/bin/sh", "sh", "-c",
		    "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello'",
		    (char *)NULL);
		_exit(1);
	}
	ask(endpoint, 1);
	await_child(child);
	assert_rows(scene, endpoint, "answered by a new program", ROWS(WHO));
	services = read_services(scene);
	assert_int_equal(services.provisional, 2);
	assert_missed(scene, "answered by a new program", nothing_missed);
}

static void see_process(void *context, uint32_t pid,
			const struct tally_process *process)
{
	uint32_t *wanted = context;

	(void)process;
	if (pid == *wanted)
		*wanted = 0;
}

static bool is_known(const struct scene *scene, pid_t pid)
{
	uint32_t wanted = (uint32_t)pid;

	REQUIRE(!drain_processes(probes_map_fd(scene->probes, PROBES_PROCESSES),
				 see_process, &wanted));
	return !wanted;
}

/* A process pinned by pid stays so across exec, as a program yet to be named, whether
 * the one before was selected or not; others are unknown. */
static void a_pinned_process_is_judged_anew_after_exec(void **state)
{
	static const struct tally_process processes[] = {
	    {.service = 9, .flags = TALLY_PROCESS_PINNED},
	    {.flags = TALLY_PROCESS_PINNED | TALLY_PROCESS_IGNORED},
	    {.service = 8},
	};
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	int gate[2];
	struct services services;
	struct events events = {0};

	scene_attach(scene, &config);
	for (int i = 0; i < 3; i++) {
		struct endpoint *endpoint = endpoint_open(scene, IPV4);
		pid_t child;
		char byte;

		REQUIRE(!pipe2(gate, O_CLOEXEC));
		child = fork();
		if (child == 0) {
			REQUIRE(read(gate[0], &byte, 1) == 1);
			serve_by_shell(endpoint);
		}
		REQUIRE(
		    !probes_set_process(scene->probes, (uint32_t)child, &processes[i]));
		put(gate[1], "x", 1);
		ask(endpoint, 1);
		await_child(child);
		close(gate[0]);
		close(gate[1]);
	}
	services = read_services(scene);
	assert_int_equal(services.provisional, 2);
	assert_int_equal(services.requests[9], 0);
	assert_int_equal(services.requests[8], 0);
	assert_int_equal(services.requests[SCENE_SERVICE], 3);
	REQUIRE(probes_poll(scene->probes, keep_event, &events) >= 0);
	assert_int_equal(events.count, 2);
	assert_int_equal(events.last.service, services.last_provisional);
	assert_missed(scene, "pinned", nothing_missed);
}

static void a_process_that_ends_leaves_the_table(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	const struct tally_config config = scene_config();
	uint64_t start_ns = now_ns();
	int gate[2];
	pid_t child;

	scene_attach(scene, &config);
	REQUIRE(!pipe2(gate, O_CLOEXEC));
	child = fork();
	if (child == 0) {
		char byte;
		int fd;

		close(gate[1]);
		fd = endpoint_accept(endpoint);
		take(fd, REQUEST, LEN(REQUEST), 0);
		put(fd, RESPONSE, LEN(RESPONSE));
		REQUIRE(read(gate[0], &byte, 1) == 0);
		_exit(0);
	}
	close(gate[0]);
	ask(endpoint, 1);
	assert_true(is_known(scene, child));
	close(gate[1]);
	await_child(child);
	while (is_known(scene, child) && keep_waiting(start_ns))
		;
	assert_false(is_known(scene, child));
	assert_rows(scene, endpoint, "ended", ROWS(WHO)); /* its counts stay */
}

#define NOBODY 4194304u /* no pid is that large */

static void an_entry_is_made_and_taken_back_where_nothing_else_is(void **state)
{
	static const struct tally_process first = {.service = 5},
					  other = {.service = 6};
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	struct probes *probes;

	scene_attach(scene, &config);
	probes = scene->probes;
	assert_int_equal(probes_add_process(probes, NOBODY, &first), 0);
	assert_int_equal(probes_add_process(probes, NOBODY, &other), -EEXIST);
	assert_int_equal(probes_remove_process(probes, NOBODY, &other), -ENOENT);
	assert_true(is_known(scene, NOBODY));
	assert_int_equal(probes_remove_process(probes, NOBODY, &first), 0);
	assert_false(is_known(scene, NOBODY));
	assert_int_equal(probes_remove_process(probes, NOBODY, &first), -ENOENT);
}

static void an_entry_beyond_the_table_is_refused_as_too_many(void **state)
{
	static const struct tally_process process = {.service = 5};
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	uint32_t count = 0;
	int err = 0;

	scene_attach(scene, &config);
	for (; !err && count <= TALLY_PROCESS_ROWS; count++)
		err = probes_add_process(scene->probes, NOBODY + count, &process);
	assert_int_equal(err, -E2BIG);
}

/* --- addresses -------------------------------------------------------------- */

/* Both ends name the server's end, by the address that the client used. */
static void ipv4_in_ipv6_is_named_alike_by_both_ends(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV6), seen;
	const struct tally_config config = scene_config();
	const struct sockaddr_in6 any = {.sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_ANY_INIT};
	socklen_t len = sizeof(endpoint->address.ipv6);
	int off = 0;
	struct pair pair;

	close(endpoint->fd);
	endpoint->fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(endpoint->fd >= 0);
	REQUIRE(
	    !setsockopt(endpoint->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)));
	REQUIRE(!bind(endpoint->fd, (const struct sockaddr *)&any, sizeof(any)));
	REQUIRE(!listen(endpoint->fd, 16));
	REQUIRE(!getsockname(endpoint->fd, &endpoint->address.any, &len));
	endpoint->port = ntohs(endpoint->address.ipv6.sin6_port);
	seen = (struct endpoint){.transport = IPV4, .port = endpoint->port};
	seen.address.ipv4 =
	    (struct sockaddr_in){.sin_family = AF_INET,
				 .sin_port = htons(endpoint->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	seen.address_len = sizeof(seen.address.ipv4);
	scene_attach(scene, &config);
	pair.fd[CLIENT] = endpoint_connect(&seen);
	pair.fd[SERVER] = endpoint_accept(endpoint);
	exchange(&pair);
	assert_rows(scene, &seen, "IPv4 in IPv6", ROWS(WHO));
	pair_close(&pair);
}

static void an_unnamed_pair_of_unix_sockets_is_counted(void **state)
{
	struct scene *scene = *state;
	const struct tally_config config = scene_config();
	struct pair pair;
	struct rows *rows;

	scene_attach(scene, &config);
	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.fd));
	for (int i = 0; i < 5; i++)
		exchange(&pair);
	rows = rows_await(scene, NULL, 10);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), 5);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_CLIENT), 5);
	assert_missed(scene, "socketpair", nothing_missed);
	pair_close(&pair);
	free(rows);
}

static void an_abstract_unix_name_is_an_address(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, UNIX);
	const struct tally_config config = scene_config();
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct rows *rows;
	struct pair pair;

	close(endpoint->fd);
	REQUIRE(!unlink(endpoint->address.unix_path.sun_path));
	name.sun_path[0] = '\0';
	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "bpftally-test-%d",
		 getpid());
	endpoint->address.unix_path = name;
	endpoint->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					    strlen(name.sun_path + 1));
	endpoint->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(!bind(endpoint->fd, &endpoint->address.any, endpoint->address_len));
	REQUIRE(!listen(endpoint->fd, 16));
	scene_attach(scene, &config);
	pair = pair_open(endpoint);
	exchange(&pair);
	rows = rows_await(scene, NULL, 2);
	assert_int_equal(rows_requests(rows), 2);
	pair_close(&pair);
	free(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_agent_itself_is_not_observed),
	    TEST(only_the_ports_that_are_asked_for_are_observed),
	    TEST(unknown_processes_are_left_alone_when_told_so),
	    TEST(a_change_of_selection_reaches_open_connections),
	    TEST(nothing_of_before_is_in_a_request_after),
	    TEST(a_named_service_carries_its_number_from_the_next_request),
	    TEST(a_process_without_a_name_is_announced_once),
	    TEST(who_speaks_nothing_we_know_is_not_announced),
	    TEST(a_forked_child_is_its_parents_service_at_once),
	    TEST(an_executed_program_is_another_service),
	    TEST(a_request_that_a_stranger_answers_is_its_readers),
	    TEST(one_that_turns_out_not_to_be_selected_is_not_missed),
	    TEST(a_request_that_one_not_selected_answers_is_named),
	    TEST(a_request_that_a_new_program_answers_is_counted),
	    TEST(a_pinned_process_is_judged_anew_after_exec),
	    TEST(a_process_that_ends_leaves_the_table),
	    TEST(an_entry_is_made_and_taken_back_where_nothing_else_is),
	    TEST(an_entry_beyond_the_table_is_refused_as_too_many),
	    TEST(ipv4_in_ipv6_is_named_alike_by_both_ends),
	    TEST(an_unnamed_pair_of_unix_sockets_is_counted),
	    TEST(an_abstract_unix_name_is_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
