/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that were there before the programs, and what is left after. */
#include "talk.h"

#include <sched.h>

#define REQUEST "POST /attach HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define HEAD_LEN (sizeof(REQUEST) - 1 - 5)
#define LEN(text) (sizeof(text) - 1)

static struct expected attached(uint64_t count)
{
	return (struct expected){.method = TALLY_METHOD_POST,
				 .status = 200,
				 .route = "/attach",
				 .requests = count,
				 .request_bytes = count * 5,
				 .response_bytes = count * 5};
}

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

static void exchange(const struct pair *pair)
{
	put(pair->fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair->fd[SERVER], REQUEST, LEN(REQUEST), 0);
	put(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

/* Moves the bytes [from, to) of a request and its response, as one text. */
static void move_part(const struct pair *pair, size_t from, size_t to)
{
	size_t request_to = to < LEN(REQUEST) ? to : LEN(REQUEST);
	size_t response_from = from > LEN(REQUEST) ? from - LEN(REQUEST) : 0;

	if (from < request_to) {
		put(pair->fd[CLIENT], REQUEST + from, request_to - from);
		take(pair->fd[SERVER], REQUEST + from, request_to - from, 0);
	}
	if (to > LEN(REQUEST)) {
		size_t response_to = to - LEN(REQUEST);

		put(pair->fd[SERVER], RESPONSE + response_from,
		    response_to - response_from);
		take(pair->fd[CLIENT], RESPONSE + response_from,
		     response_to - response_from, 0);
	}
}

static void attach(struct scene *scene)
{
	const struct tally_config config = scene_config();

	scene_attach(scene, &config);
}

static void a_connection_used_before_the_attach_is_counted_from_then_on(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoints[TRANSPORTS];
	struct pair pairs[TRANSPORTS];

	for (int i = 0; i < TRANSPORTS; i++) {
		endpoints[i] = endpoint_open(scene, i);
		pairs[i] = pair_open(endpoints[i]);
		exchange(&pairs[i]);
		exchange(&pairs[i]);
	}
	attach(scene);
	for (int i = 0; i < TRANSPORTS; i++) {
		exchange(&pairs[i]);
		exchange(&pairs[i]);
		exchange(&pairs[i]);
		assert_rows(scene, endpoints[i], transport_name(i), ROWS(attached(3)));
		pair_close(&pairs[i]);
	}
	assert_missed(scene, "used before", nothing_missed);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	REQUIRE(!sched_setaffinity(0, sizeof(set), &set));
}

/* A kernel may keep one piece of memory ready on each processor, and fetch more only
 * when the program is over; the first write makes the state of both ends. */
static void a_first_exchange_on_each_processor_misses_nothing(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, UNIX);
	uint64_t exchanges = 0;
	cpu_set_t allowed;

	REQUIRE(!sched_getaffinity(0, sizeof(allowed), &allowed));
	attach(scene);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		struct pair pair;

		if (!CPU_ISSET((unsigned int)cpu, &allowed))
			continue;
		run_on(cpu);
		pair = pair_open(endpoint);
		exchange(&pair);
		pair_close(&pair);
		exchanges++;
	}
	REQUIRE(!sched_setaffinity(0, sizeof(allowed), &allowed));
	assert_rows(scene, endpoint, "first exchanges", ROWS(attached(exchanges)));
	assert_missed(scene, "first exchanges", nothing_missed);
}

#define HEAD_REQUEST "HEAD /attach HTTP/1.1\r\n\r\n"
#define HEAD_RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

/* Nobody saw that it was a HEAD: its response must not swallow the next ones. */
static void a_head_in_flight_at_the_attach_costs_only_itself(void **state)
{
	static const struct miss joined[] = {{TALLY_MISSED_JOINED_MIDWAY, 2}, {0}};
	struct scene *scene = *state;

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct pair pair = pair_open(endpoint);

		probes_close(&scene->probes);
		put(pair.fd[CLIENT], HEAD_REQUEST, LEN(HEAD_REQUEST));
		take(pair.fd[SERVER], HEAD_REQUEST, LEN(HEAD_REQUEST), 0);
		attach(scene);
		put(pair.fd[SERVER], HEAD_RESPONSE, LEN(HEAD_RESPONSE));
		take(pair.fd[CLIENT], HEAD_RESPONSE, LEN(HEAD_RESPONSE), 0);
		for (int i = 0; i < 3; i++)
			exchange(&pair);
		assert_rows(scene, endpoint, transport_name(transport),
			    ROWS(attached(3)));
		assert_missed(scene, transport_name(transport), joined);
		pair_close(&pair);
	}
}

/* Where the first exchange stands when the programs come. */
#define JOIN_COUNT (LEN(REQUEST) + LEN(RESPONSE) - 1)

#define METHOD_LEN 4

/* What must be told of the exchange that was under way at its `byte`th byte. The
 * rest of a method is a method, of no one's list; a response that comes later
 * answers a request that predates us; from its second byte on there is none to
 * recognise. */
static void expect_joined(size_t byte, struct expected *other,
			  const struct miss **ret_missed)
{
	static const struct miss joined[] = {{TALLY_MISSED_JOINED_MIDWAY, 2}, {0}};

	*ret_missed = nothing_missed;
	if (byte < METHOD_LEN) {
		other->requests = byte;
		other->request_bytes = other->response_bytes = byte * 5;
	} else if (byte <= LEN(REQUEST)) {
		*ret_missed = joined;
	}
}

/* Each at its own byte of the exchange; what comes after it is counted. */
static void join_at_every_byte(struct scene *scene, enum transport transport)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct pair pairs[JOIN_COUNT];
	struct expected other = ROW(OTHER, 200, "/attach", 0, 0);

	for (size_t i = 0; i < JOIN_COUNT; i++) {
		pairs[i] = pair_open(endpoint);
		move_part(&pairs[i], 0, i + 1);
	}
	attach(scene);
	for (size_t i = 0; i < JOIN_COUNT; i++) {
		const struct miss *missed;
		char name[64];

		expect_joined(i + 1, &other, &missed);
		snprintf(name, sizeof(name), "joined at byte %zu", i + 1);
		scene_mark(scene);
		move_part(&pairs[i], i + 1, JOIN_COUNT + 1);
		exchange(&pairs[i]);
		exchange(&pairs[i]);
		assert_rows(scene, endpoint, name, ROWS(attached(2 * (i + 1)), other));
		assert_missed(scene, name, missed);
	}
	for (size_t i = 0; i < JOIN_COUNT; i++)
		pair_close(&pairs[i]);
}

static void joined_at_any_byte_over_ipv4_the_next_request_is_counted(void **state)
{
	join_at_every_byte(*state, IPV4);
}

static void joined_at_any_byte_over_ipv6_the_next_request_is_counted(void **state)
{
	join_at_every_byte(*state, IPV6);
}

static void joined_at_any_byte_over_unix_the_next_request_is_counted(void **state)
{
	join_at_every_byte(*state, UNIX);
}

/* A body of a megabyte, half of it before: what is left holds requests by the
 * look of it, but is the rest of a body that nobody saw begin. */
static void the_rest_of_a_binary_body_is_passed_over(void **state)
{
	enum { BODY = 1000000 };
	static char text[BODY + 100], zeros[BODY];
	struct scene *scene = *state;
	struct endpoint *endpoints[TRANSPORTS];
	struct pair pairs[TRANSPORTS];
	size_t head = (size_t)sprintf(
	    text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);

	for (int i = 0; i < TRANSPORTS; i++) {
		endpoints[i] = endpoint_open(scene, i);
		pairs[i] = pair_open(endpoints[i]);
		put(pairs[i].fd[CLIENT], REQUEST, LEN(REQUEST));
		take(pairs[i].fd[SERVER], REQUEST, LEN(REQUEST), 0);
		put(pairs[i].fd[SERVER], text, head);
		take(pairs[i].fd[CLIENT], text, head, 0);
	}
	attach(scene);
	for (int i = 0; i < TRANSPORTS; i++) {
		for (size_t sent = 0; sent < BODY; sent += 10000) {
			put(pairs[i].fd[SERVER], zeros, 10000);
			take(pairs[i].fd[CLIENT], zeros, 10000, 0);
		}
		exchange(&pairs[i]);
		assert_rows(scene, endpoints[i], transport_name(i), ROWS(attached(1)));
		pair_close(&pairs[i]);
	}
	assert_missed(scene, "inside a body", nothing_missed);
}

/* The listener predates us, its connection does not. */
static void a_listener_from_before_serves_new_connections_exactly(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoints[TRANSPORTS];

	for (int i = 0; i < TRANSPORTS; i++)
		endpoints[i] = endpoint_open(scene, i);
	attach(scene);
	for (int i = 0; i < TRANSPORTS; i++) {
		struct pair pair = pair_open(endpoints[i]);

		exchange(&pair);
		pair_close(&pair);
		assert_rows(scene, endpoints[i], transport_name(i), ROWS(attached(1)));
	}
	assert_missed(scene, "an old listener", nothing_missed);
}

/* Connections outlive the programs; a second attachment starts from nothing. */
static void closing_and_opening_again_counts_from_zero(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);

	for (int i = 0; i < 3; i++) {
		attach(scene);
		exchange(&pair);
		exchange(&pair);
		assert_rows(scene, endpoint, "again", ROWS(attached(2)));
		assert_missed(scene, "again", nothing_missed);
		probes_close(&scene->probes);
		assert_null(scene->probes);
		exchange(&pair);
	}
	pair_close(&pair);
}

/* Closed in the middle of a message that the next attachment then joins. */
static void closing_inside_a_message_leaves_no_state_behind(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);

	attach(scene);
	exchange(&pair);
	move_part(&pair, 0, HEAD_LEN);
	probes_close(&scene->probes);
	move_part(&pair, HEAD_LEN, JOIN_COUNT + 1);
	attach(scene);
	exchange(&pair);
	assert_rows(scene, endpoint, "afterwards", ROWS(attached(1)));
	assert_missed(scene, "afterwards", nothing_missed);
	pair_close(&pair);
}

/* Two agents on one machine count each for itself. */
static void two_attachments_at_once_do_not_disturb_each_other(void **state)
{
	struct scene *scene = *state, *other = scene_new();
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);

	attach(scene);
	exchange(&pair);
	attach(other);
	exchange(&pair);
	assert_rows(scene, endpoint, "the first", ROWS(attached(2)));
	assert_rows(other, endpoint, "the second", ROWS(attached(1)));
	probes_close(&other->probes);
	exchange(&pair);
	assert_rows(scene, endpoint, "the first", ROWS(attached(3)));
	assert_missed(scene, "the first", nothing_missed);
	pair_close(&pair);
	scene_free(&other);
}

static void see_program(void *context, const struct objects_program *program)
{
	unsigned int *count = context;

	(*count)++;
	assert_non_null(program->name);
	assert_int_not_equal(program->name[0], '\0');
	assert_int_equal(program->skipped, 0);
}

static void every_program_is_reported_and_none_missed_an_event(void **state)
{
	struct scene *scene = *state;
	unsigned int count = 0;

	attach(scene);
	probes_each_program(scene->probes, see_program, &count);
	assert_int_not_equal(count, 0);
	assert_int_not_equal(probes_map_bytes(scene->probes), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_connection_used_before_the_attach_is_counted_from_then_on),
	    TEST(a_first_exchange_on_each_processor_misses_nothing),
	    TEST(a_head_in_flight_at_the_attach_costs_only_itself),
	    TEST(joined_at_any_byte_over_ipv4_the_next_request_is_counted),
	    TEST(joined_at_any_byte_over_ipv6_the_next_request_is_counted),
	    TEST(joined_at_any_byte_over_unix_the_next_request_is_counted),
	    TEST(the_rest_of_a_binary_body_is_passed_over),
	    TEST(a_listener_from_before_serves_new_connections_exactly),
	    TEST(closing_and_opening_again_counts_from_zero),
	    TEST(closing_inside_a_message_leaves_no_state_behind),
	    TEST(two_attachments_at_once_do_not_disturb_each_other),
	    TEST(every_program_is_reported_and_none_missed_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
