/* SPDX-License-Identifier: Apache-2.0 */
/* The series rows of one endpoint against a table of what must be there: each
 * row exactly, and no other. */
#pragma once

#include "scene.h"

#include "drain.h"

#define ROWS_MAX 1024
#define BOTH_ROLES 0
#define ANY_BYTES UINT64_MAX

struct expected {
	uint8_t role; /* enum tally_role, or BOTH_ROLES: one row each */
	uint8_t method;
	uint16_t status;
	uint8_t error;
	const char *route; /* NULL: the row of TALLY_ROUTE_OTHER */
	uint64_t requests; /* 0 ends a table */
	uint64_t request_bytes;
	uint64_t response_bytes;
};

#define ROW(name, code, path, request_size, response_size)                             \
	{                                                                              \
		.method = TALLY_METHOD_##name, .status = (code), .route = (path),      \
		.requests = 1, .request_bytes = (request_size),                        \
		.response_bytes = (response_size)                                      \
	}
#define ROW_OF(end, name, code, path, request_size, response_size)                     \
	{                                                                              \
		.role = TALLY_ROLE_##end, .method = TALLY_METHOD_##name,               \
		.status = (code), .route = (path), .requests = 1,                      \
		.request_bytes = (request_size), .response_bytes = (response_size)     \
	}
#define BROKEN(end, name, code, path, request_size, response_size)                     \
	{                                                                              \
		.role = (end), .method = TALLY_METHOD_##name, .status = (code),        \
		.error = TALLY_ERROR_CLOSED, .route = (path), .requests = 1,           \
		.request_bytes = (request_size), .response_bytes = (response_size)     \
	}

struct row {
	uint8_t role, method, error;
	uint16_t status;
	uint64_t route_hash;
	char route[TALLY_ROUTE_LEN + 4];
	uint64_t requests;
	struct tally_series sum;
};

struct rows {
	const struct scene *scene;
	const struct endpoint *endpoint; /* NULL: of every address */
	unsigned int count;
	struct row row[ROWS_MAX];
};

static inline uint64_t sum_of(const uint64_t *values, unsigned int count)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += values[i];
	return sum;
}
#define SUM(buckets)                                                                   \
	sum_of((const uint64_t *)(buckets), sizeof(buckets) / sizeof((buckets)[0]))

/* --- reading ---------------------------------------------------------------- */

static inline bool address_is(const struct tally_address *address,
			      const struct endpoint *endpoint)
{
	const char *path = endpoint->address.unix_path.sun_path;

	if (address->family != endpoint->address.any.sa_family)
		return false;
	switch (endpoint->transport) {
	case IPV4:
		return address->len == 4 &&
		       !memcmp(address->bytes, &endpoint->address.ipv4.sin_addr, 4);
	case IPV6:
		return address->len == 16 &&
		       !memcmp(address->bytes, &endpoint->address.ipv6.sin6_addr, 16);
	default:
		/* The kernel's length of a path counts its NUL. */
		return strnlen((const char *)address->bytes, address->len) ==
			   strlen(path) &&
		       !memcmp(address->bytes, path, strlen(path));
	}
}

static inline bool is_row_of(const struct rows *rows,
			     const struct tally_series_key *key)
{
	int fd = probes_map_fd(rows->scene->probes, PROBES_ADDRESSES);
	struct tally_address address;

	if (!rows->endpoint)
		return true;
	if (key->port != rows->endpoint->port)
		return false;
	return !drain_address(fd, key->address, &address) &&
	       address_is(&address, rows->endpoint);
}

static inline struct row *rows_slot(struct rows *rows,
				    const struct tally_series_key *key)
{
	struct row *row = rows->row;

	for (; row < rows->row + rows->count; row++)
		if (row->role == key->role && row->method == key->method &&
		    row->error == key->error && row->status == key->status &&
		    row->route_hash == key->route)
			return row;
	REQUIRE(rows->count < ROWS_MAX);
	rows->count++;
	*row = (struct row){.role = key->role,
			    .method = key->method,
			    .error = key->error,
			    .status = key->status,
			    .route_hash = key->route};
	return row;
}

static inline void rows_add(void *context, const struct tally_series_key *key,
			    const struct tally_series *value)
{
	struct rows *rows = context;
	struct tally_route route;
	struct row *row;

	/* The overflow rows are there from the start, empty. */
	if (SUM(value->duration) == 0 || !is_row_of(rows, key))
		return;
	row = rows_slot(rows, key);
	if (key->route != TALLY_ROUTE_OTHER && key->route != TALLY_ROUTE_NONE &&
	    !drain_route(probes_map_fd(rows->scene->probes, PROBES_ROUTES), key->route,
			 key->service, &route))
		snprintf(row->route, sizeof(row->route), "%s", route.text);
	drain_add(&row->sum, value);
	row->requests = SUM(row->sum.duration);
}

/* Merges over services: a case may span processes. Freed by the caller. */
static inline struct rows *rows_read(const struct scene *scene,
				     const struct endpoint *endpoint)
{
	struct rows *rows = calloc(1, sizeof(*rows));

	REQUIRE(rows);
	rows->scene = scene;
	rows->endpoint = endpoint;
	REQUIRE(!drain_series(probes_series(scene->probes), rows_add, rows));
	return rows;
}

static inline uint64_t rows_requests(const struct rows *rows)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < rows->count; i++)
		sum += rows->row[i].requests;
	return sum;
}

static inline uint64_t rows_requests_of(const struct rows *rows, enum tally_role role)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < rows->count; i++)
		if (rows->row[i].role == role)
			sum += rows->row[i].requests;
	return sum;
}

/* --- judging ---------------------------------------------------------------- */

static inline bool is_route(const struct row *row, const char *route)
{
	if (!route)
		return row->route_hash == TALLY_ROUTE_OTHER;
	return row->route_hash != TALLY_ROUTE_OTHER && !strcmp(row->route, route);
}

static inline bool is_same_row(const struct row *row, const struct expected *expected,
			       uint8_t role, uint64_t runs)
{
	return row->role == role && row->method == expected->method &&
	       row->status == expected->status && row->error == expected->error &&
	       is_route(row, expected->route) &&
	       row->requests == expected->requests * runs &&
	       (expected->request_bytes == ANY_BYTES ||
		row->sum.request_bytes == expected->request_bytes * runs) &&
	       (expected->response_bytes == ANY_BYTES ||
		row->sum.response_bytes == expected->response_bytes * runs);
}

/* Every request is in each histogram once; without a response there is none of
 * its first byte or size, and only servers have a queue. */
static inline bool is_consistent(const struct row *row)
{
	uint64_t queue = SUM(row->sum.queue), answers = row->status ? row->requests : 0;

	return SUM(row->sum.native) == row->requests &&
	       SUM(row->sum.request_size) == row->requests &&
	       SUM(row->sum.response_size) == answers &&
	       SUM(row->sum.first_byte) == answers &&
	       (row->role == TALLY_ROLE_SERVER ? queue <= row->requests : queue == 0) &&
	       row->sum.first_byte_sum_ns <= row->sum.duration_sum_ns;
}

static inline bool has_row(const struct rows *rows, const struct expected *expected,
			   uint8_t role, uint64_t runs)
{
	for (unsigned int i = 0; i < rows->count; i++)
		if (is_same_row(&rows->row[i], expected, role, runs))
			return is_consistent(&rows->row[i]);
	return false;
}

static inline bool rows_equal(const struct rows *rows, const struct expected *table,
			      uint64_t runs)
{
	unsigned int wanted = 0;

	for (; table->requests; table++)
		for (uint8_t role = TALLY_ROLE_SERVER; role <= TALLY_ROLE_CLIENT;
		     role++) {
			if (table->role != BOTH_ROLES && table->role != role)
				continue;
			if (!has_row(rows, table, role, runs))
				return false;
			wanted++;
		}
	return rows->count == wanted;
}

static inline uint64_t expected_requests(const struct expected *table, uint64_t runs)
{
	uint64_t sum = 0;

	for (; table->requests; table++)
		sum += table->requests * runs * (table->role == BOTH_ROLES ? 2 : 1);
	return sum;
}

static inline void rows_print(const char *name, const struct rows *rows,
			      const struct expected *table, uint64_t runs)
{
	static const char *const role_name[] = {"both", "server", "client"};

	for (; table->requests; table++)
		print_error("%s: expected %s method %u status %u error %u route %s: "
			    "%lu requests, bytes %ld in %ld out\n",
			    name, role_name[table->role], table->method, table->status,
			    table->error, table->route ? table->route : "(other)",
			    table->requests * runs, (long)(table->request_bytes * runs),
			    (long)(table->response_bytes * runs));
	for (unsigned int i = 0; i < rows->count && i < 20; i++) {
		const struct row *row = &rows->row[i];

		print_error(
		    "%s: observed %s method %u status %u error %u route %s: "
		    "%lu requests, bytes %llu in %llu out%s\n",
		    name, role_name[row->role % 3], row->method, row->status,
		    row->error,
		    row->route_hash == TALLY_ROUTE_OTHER ? "(other)" : row->route,
		    row->requests, row->sum.request_bytes, row->sum.response_bytes,
		    is_consistent(row) ? "" : " (histograms disagree:");
		if (!is_consistent(row))
			print_error("%s:   first byte %lu queue %lu native %lu "
				    "request size %lu response size %lu)\n",
				    name, SUM(row->sum.first_byte), SUM(row->sum.queue),
				    SUM(row->sum.native), SUM(row->sum.request_size),
				    SUM(row->sum.response_size));
	}
}

static inline void misses_print(const char *name, const struct scene *scene)
{
	for (enum tally_missed reason = 0; reason < TALLY_MISSED_COUNT; reason++)
		if (missed_since(scene, reason))
			print_error("%s: missed %s: %lu\n", name, ledger_reason(reason),
				    missed_since(scene, reason));
}

/* Waits until as many requests are counted as must be. */
static inline struct rows *rows_await(const struct scene *scene,
				      const struct endpoint *endpoint,
				      uint64_t requests)
{
	uint64_t start_ns = now_ns();
	struct rows *rows = rows_read(scene, endpoint);

	while (rows_requests(rows) < requests && keep_waiting(start_ns)) {
		free(rows);
		rows = rows_read(scene, endpoint);
	}
	return rows;
}

/* The table, each row `runs` times; false after printing the difference. */
static inline bool check_rows(const struct scene *scene, struct endpoint *endpoint,
			      const char *name, const struct expected *table,
			      uint64_t runs)
{
	struct rows *rows = rows_await(scene, endpoint, expected_requests(table, runs));
	bool equal = rows_equal(rows, table, runs);

	endpoint->requests = rows_requests(rows);
	if (!equal) {
		rows_print(name, rows, table, runs);
		misses_print(name, scene);
	}
	free(rows);
	return equal;
}

static inline void assert_rows(const struct scene *scene, struct endpoint *endpoint,
			       const char *name, const struct expected *table)
{
	if (!check_rows(scene, endpoint, name, table, 1))
		fail();
}

/* The single row of one role of an endpoint. */
static inline struct row row_of(const struct rows *rows, enum tally_role role)
{
	struct row found = {0};

	for (unsigned int i = 0; i < rows->count; i++)
		if (rows->row[i].role == role) {
			assert_int_equal(found.requests, 0);
			found = rows->row[i];
		}
	assert_int_not_equal(found.requests, 0);
	return found;
}

/* The last test of a program: whatever ended since, no case was counted twice. */
static inline void no_case_is_counted_again_later(void **state)
{
	struct scene *scene = *state;

	for (unsigned int i = 0; i < scene->endpoint_count; i++) {
		struct endpoint *endpoint = &scene->endpoints[i];
		struct rows *rows = rows_read(scene, endpoint);

		assert_int_equal(rows_requests(rows), endpoint->requests);
		free(rows);
	}
}
