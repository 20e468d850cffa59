/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drain.h"
#include "fake_series.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS (sizeof(struct tally_series) / sizeof(__u64))
#define ROWS 1000u

enum { SERIES, ROUTES, ADDRESSES, PROCESSES, CONNECTIONS, TRAFFIC };

static int make_maps(void **state)
{
	(void)state;
	fake_series_make(SERIES, ROWS);
	fake_map_make(ROUTES, sizeof(struct tally_route_key),
		      sizeof(struct tally_route), 4);
	fake_map_make(ADDRESSES, sizeof(__u64), sizeof(struct tally_address), 4);
	fake_map_make(PROCESSES, sizeof(__u32), sizeof(struct tally_process), ROWS);
	fake_map_make(TRAFFIC, sizeof(__u32), sizeof(struct tally_traffic), ROWS);
	fake_map_make(CONNECTIONS, sizeof(struct tally_connections_key),
		      sizeof(struct tally_connections), ROWS);
	return 0;
}

static int free_maps(void **state)
{
	(void)state;
	fake_maps_free();
	return 0;
}

static void put_row(uint32_t service, uint64_t first_count)
{
	struct tally_series_key key = {.service = service};
	struct tally_series value = {.duration = {first_count}};

	assert_int_equal(fake_series_put(FAKE_FD + SERIES, &key, &value), 0);
}

struct visits {
	unsigned int rows;
	unsigned int seen[ROWS];
};

static void count_row(void *context, const struct tally_series_key *key,
		      const struct tally_series *value)
{
	struct visits *visits = context;

	assert_true(key->service < ROWS);
	assert_int_equal(value->duration[0], key->service + 7);
	visits->seen[key->service]++;
	visits->rows++;
}

static void check_all_visited_once(uint32_t rows)
{
	struct visits visits = {0};

	for (uint32_t i = 0; i < rows; i++)
		put_row(i, i + 7);
	assert_int_equal(
	    drain_series(fake_series(FAKE_FD + SERIES), count_row, &visits), 0);
	assert_int_equal(visits.rows, rows);
	for (uint32_t i = 0; i < rows; i++)
		assert_int_equal(visits.seen[i], 1);
}

static void an_empty_map_has_no_rows(void **state)
{
	(void)state;
	check_all_visited_once(0);
}

static void every_row_is_visited_once_in_batches(void **state)
{
	(void)state;
	check_all_visited_once(ROWS);
	assert_true(fake_maps[SERIES].batches > 2);
	assert_true(fake_maps[SERIES].batches < ROWS / 10);
}

/* The kernel's -ENOSPC: all rows in one bucket, far more than the first batch. */
static void a_batch_grows_for_a_full_bucket(void **state)
{
	(void)state;
	fake_maps[SERIES].buckets = 1;
	check_all_visited_once(ROWS);
}

static void a_failed_lookup_is_returned(void **state)
{
	struct visits visits = {0};

	(void)state;
	put_row(0, 7);
	fake_maps[SERIES].batch_err = -EPERM;
	assert_int_equal(
	    drain_series(fake_series(FAKE_FD + SERIES), count_row, &visits), -EPERM);
	assert_int_equal(drain_series(fake_series(-1), count_row, &visits), -EBADF);
	assert_int_equal(visits.rows, 0);
}

static void a_batch_does_not_grow_for_ever(void **state)
{
	struct visits visits = {0};

	(void)state;
	fake_maps[SERIES].batch_err = -ENOSPC;
	assert_int_equal(
	    drain_series(fake_series(FAKE_FD + SERIES), count_row, &visits), -ENOSPC);
}

/* The kernel puts a row into the map, counts, and only then says whose it is. */
static void a_row_is_seen_once_its_key_is_there(void **state)
{
	const struct tally_series_key key = {.service = 3, .status = 200};
	const __u64 hash = series_key_hash(FAKE_SEED, &key);
	struct tally_row row = {.series = {.duration = {10}}};
	struct visits visits = {0};

	(void)state;
	for (unsigned int words = 0; words <= 2; words++) {
		if (words == 1) /* half of it */
			row.key.service = key.service;
		if (words == 2)
			row.key = key;
		bpf_map_update_elem(FAKE_FD + SERIES, &hash, &row, BPF_ANY);
		assert_int_equal(
		    drain_series(fake_series(FAKE_FD + SERIES), count_row, &visits), 0);
		assert_int_equal(visits.rows, words == 2);
	}
	assert_int_equal(visits.seen[3], 1);
}

static void a_row_is_made_where_there_is_none(void **state)
{
	const struct tally_series_key key = {.service = 3};
	const struct series_map map = fake_series(FAKE_FD + SERIES);
	struct tally_series value = {.duration = {9}}, nothing = {0};

	(void)state;
	assert_int_equal(drain_make_series(map, &key), 0);
	put_row(4, 41);
	assert_int_equal(
	    drain_make_series(map, &(struct tally_series_key){.service = 4}), -EEXIST);
	assert_int_equal(drain_take_series(map, &key, &value), 0);
	assert_memory_equal(&value, &nothing, sizeof(value));
	assert_int_equal(fake_maps[SERIES].count, 1);
}

static void sum_pid(void *context, uint32_t pid, const struct tally_process *process)
{
	assert_int_equal(process->service, pid * 2);
	assert_int_equal(process->flags, TALLY_PROCESS_PINNED);
	*(uint64_t *)context += pid;
}

static void processes_are_visited_with_their_pid(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (uint32_t pid = 1; pid <= 100; pid++) {
		struct tally_process process = {pid * 2, TALLY_PROCESS_PINNED};

		bpf_map_update_elem(FAKE_FD + PROCESSES, &pid, &process, BPF_ANY);
	}
	assert_int_equal(drain_processes(FAKE_FD + PROCESSES, sum_pid, &sum), 0);
	assert_int_equal(sum, 5050);
}

static void put_connections(uint32_t services)
{
	for (uint32_t i = 0; i < services; i++) {
		struct tally_connections_key key = {.service = i,
						    .role = TALLY_ROLE_CLIENT};
		struct tally_connections sum = {.open = i + 1, .in_flight = i};

		bpf_map_update_elem(FAKE_FD + CONNECTIONS, &key, &sum, BPF_NOEXIST);
	}
}

static void sum_connections(void *context, const struct tally_connections_key *key,
			    const struct tally_connections *sum)
{
	assert_int_equal(key->role, TALLY_ROLE_CLIENT);
	assert_int_equal(sum->open, key->service + 1);
	assert_int_equal(sum->in_flight, key->service);
	*(uint64_t *)context += sum->open;
}

static void connections_are_taken_out_as_they_are_visited(void **state)
{
	static const uint32_t buckets[] = {FAKE_BUCKETS, 1};

	(void)state;
	for (size_t i = 0; i < COUNT(buckets); i++) {
		uint64_t sum = 0;

		fake_maps[CONNECTIONS].buckets = buckets[i];
		put_connections(ROWS);
		for (unsigned int pass = 0; pass < 2; pass++)
			assert_int_equal(drain_take_connections(FAKE_FD + CONNECTIONS,
								sum_connections, &sum),
					 0);
		assert_int_equal(sum, ROWS * (ROWS + 1) / 2);
		assert_int_equal(fake_maps[CONNECTIONS].count, 0);
	}
}

static void connections_may_be_taken_out_unseen(void **state)
{
	(void)state;
	put_connections(100);
	assert_int_equal(drain_take_connections(FAKE_FD + CONNECTIONS, NULL, NULL), 0);
	assert_int_equal(fake_maps[CONNECTIONS].count, 0);
	put_connections(100);
	fake_maps[CONNECTIONS].batch_err = -EPERM;
	assert_int_equal(drain_take_connections(FAKE_FD + CONNECTIONS, NULL, NULL),
			 -EPERM);
	assert_int_equal(fake_maps[CONNECTIONS].count, 100);
}

static void see_traffic(void *context, uint32_t pid,
			const struct tally_traffic *traffic)
{
	assert_int_equal(pid, 7);
	assert_int_equal(traffic->received, 41);
	++*(unsigned int *)context;
}

static void traffic_is_visited_and_taken_by_its_pid(void **state)
{
	const struct tally_traffic put = {.received = 41, .sent = 42, .service = 3};
	struct tally_traffic taken = {0};
	unsigned int count = 0;
	const __u32 pid = 7;

	(void)state;
	bpf_map_update_elem(FAKE_FD + TRAFFIC, &pid, &put, BPF_ANY);
	assert_int_equal(drain_traffic(FAKE_FD + TRAFFIC, see_traffic, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(drain_take_traffic(FAKE_FD + TRAFFIC, 7, &taken), 0);
	assert_memory_equal(&taken, &put, sizeof(taken));
	assert_int_equal(drain_take_traffic(FAKE_FD + TRAFFIC, 7, &taken), -ENOENT);
}

static void put_route(uint64_t hash, uint32_t service, const char *text)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	struct tally_route route = {.len = (uint32_t)strlen(text)};

	memcpy(route.text, text, strlen(text));
	assert_int_equal(bpf_map_update_elem(FAKE_FD + ROUTES, &key, &route, BPF_ANY),
			 0);
}

static void count_route(void *context, const struct tally_route_key *key,
			const struct tally_route *route)
{
	assert_int_equal(key->hash, 9);
	assert_string_equal(route->text, "/a");
	++*(unsigned int *)context;
}

static void a_route_is_found_by_hash_and_service(void **state)
{
	struct tally_route route = {0};
	unsigned int count = 0;

	(void)state;
	put_route(9, 5, "/a");
	assert_int_equal(drain_route(FAKE_FD + ROUTES, 9, 5, &route), 0);
	assert_string_equal(route.text, "/a");
	assert_int_equal(drain_route(FAKE_FD + ROUTES, 9, 6, &route), -ENOENT);
	assert_int_equal(drain_route(FAKE_FD + ROUTES, 8, 5, &route), -ENOENT);
	assert_int_equal(drain_routes(FAKE_FD + ROUTES, count_route, &count), 0);
	assert_int_equal(count, 1);
}

static void a_route_is_put_where_there_is_room_and_none(void **state)
{
	const struct tally_route_key key = {.hash = 9, .service = 6};
	struct tally_route route = {.len = 2, .text = "/a"};

	(void)state;
	put_route(9, 5, "/from");
	assert_int_equal(drain_put_route(FAKE_FD + ROUTES, &key, &route), 0);
	route.text[1] = 'b'; /* it has one: that stays */
	assert_int_equal(drain_put_route(FAKE_FD + ROUTES, &key, &route), 0);
	assert_int_equal(drain_route(FAKE_FD + ROUTES, 9, 6, &route), 0);
	assert_string_equal(route.text, "/a");
	for (uint32_t i = 0; fake_maps[ROUTES].count < 4; i++)
		put_route(i, 1, "/x");
	assert_int_equal(drain_put_route(FAKE_FD + ROUTES,
					 &(struct tally_route_key){.hash = 99}, &route),
			 -E2BIG);
}

static void a_process_is_found_by_its_pid(void **state)
{
	const __u32 pid = 7;
	const struct tally_process process = {.service = 3, .flags = 1};
	struct tally_process found = {0};

	(void)state;
	bpf_map_update_elem(FAKE_FD + PROCESSES, &pid, &process, BPF_ANY);
	assert_int_equal(drain_process(FAKE_FD + PROCESSES, 7, &found), 0);
	assert_memory_equal(&found, &process, sizeof(found));
	assert_int_equal(drain_process(FAKE_FD + PROCESSES, 8, &found), -ENOENT);
}

static void an_address_is_found_by_its_hash(void **state)
{
	const __u64 hash = 77;
	const struct tally_address address = {
	    .family = 2, .len = 4, .bytes = {127, 0, 0, 1}};
	struct tally_address found = {0};

	(void)state;
	bpf_map_update_elem(FAKE_FD + ADDRESSES, &hash, &address, BPF_ANY);
	assert_int_equal(drain_address(FAKE_FD + ADDRESSES, 77, &found), 0);
	assert_memory_equal(&found, &address, sizeof(found));
	assert_int_equal(drain_address(FAKE_FD + ADDRESSES, 78, &found), -ENOENT);
}

static void a_row_is_taken_with_its_last_value(void **state)
{
	const struct tally_series_key key = {.service = 3};
	struct tally_series value = {0};

	(void)state;
	put_row(3, 41);
	assert_int_equal(drain_take_series(fake_series(FAKE_FD + SERIES), &key, &value),
			 0);
	assert_int_equal(value.duration[0], 41);
	assert_int_equal(fake_maps[SERIES].count, 0);
	assert_int_equal(drain_take_series(fake_series(FAKE_FD + SERIES), &key, &value),
			 -ENOENT);
}

static void deleting_what_is_not_there_succeeds(void **state)
{
	const struct tally_series_key key = {.service = 3};
	const struct tally_route_key route = {.hash = 9, .service = 5};

	(void)state;
	put_row(3, 1);
	put_route(9, 5, "/a");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    drain_delete_series(fake_series(FAKE_FD + SERIES), &key), 0);
		assert_int_equal(drain_delete_route(FAKE_FD + ROUTES, &route), 0);
	}
	assert_int_equal(fake_maps[SERIES].count, 0);
	assert_int_equal(fake_maps[ROUTES].count, 0);
	fake_maps[SERIES].delete_err = -EPERM;
	assert_int_equal(drain_delete_series(fake_series(FAKE_FD + SERIES), &key),
			 -EPERM);
}

static void the_capacity_is_the_maps(void **state)
{
	uint32_t rows = 5;

	(void)state;
	assert_int_equal(drain_capacity(FAKE_FD + SERIES, &rows), 0);
	assert_int_equal(rows, ROWS);
	assert_int_equal(drain_capacity(-1, &rows), -EBADF);
	assert_int_equal(rows, ROWS);
}

static void adding_adds_every_counter(void **state)
{
	struct tally_series a, b;
	__u64 *left = (__u64 *)&a, *right = (__u64 *)&b;

	(void)state;
	for (size_t i = 0; i < WORDS; i++) {
		left[i] = i;
		right[i] = 1000 * i + 1;
	}
	drain_add(&a, &b);
	for (size_t i = 0; i < WORDS; i++) {
		assert_int_equal(left[i], 1001 * i + 1);
		assert_int_equal(right[i], 1000 * i + 1);
	}
	assert_int_equal(a.response_bytes, 1001 * (WORDS - 1) + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_maps, free_maps)
	const struct CMUnitTest tests[] = {
	    TEST(an_empty_map_has_no_rows),
	    TEST(every_row_is_visited_once_in_batches),
	    TEST(a_batch_grows_for_a_full_bucket),
	    TEST(a_failed_lookup_is_returned),
	    TEST(a_batch_does_not_grow_for_ever),
	    TEST(a_row_is_seen_once_its_key_is_there),
	    TEST(a_row_is_made_where_there_is_none),
	    TEST(processes_are_visited_with_their_pid),
	    TEST(connections_are_taken_out_as_they_are_visited),
	    TEST(connections_may_be_taken_out_unseen),
	    TEST(traffic_is_visited_and_taken_by_its_pid),
	    TEST(a_route_is_found_by_hash_and_service),
	    TEST(a_route_is_put_where_there_is_room_and_none),
	    TEST(a_process_is_found_by_its_pid),
	    TEST(an_address_is_found_by_its_hash),
	    TEST(a_row_is_taken_with_its_last_value),
	    TEST(deleting_what_is_not_there_succeeds),
	    TEST(the_capacity_is_the_maps),
	    TEST(adding_adds_every_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
