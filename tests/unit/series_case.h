/* SPDX-License-Identifier: Apache-2.0 */
/* A collection of series: the kernel's maps, the probes and the targets are played by
 * this file; what is checked are the lines that a scraper would get. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_series.h"
#include "series.h"
#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROWS 64u
#define ROUTES_MAX 8u
#define PROVISIONAL(n) (TALLY_SERVICE_PROVISIONAL | (uint32_t)(n))
#define NOW 100000
#define WEB "service_name=\"web\",service_namespace=\"eu\""

/* --- the probes --------------------------------------------------------------- */

struct probes {
	struct tally_connections_record connections[8];
	size_t connection_count;
	int connection_err;
};

int probes_map_fd(const struct probes *probes, enum probes_map map)
{
	(void)probes;
	return FAKE_FD + (int)map;
}

struct series_map probes_series(const struct probes *probes)
{
	return fake_series(probes_map_fd(probes, PROBES_SERIES));
}

int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context)
{
	for (size_t i = 0; i < probes->connection_count; i++)
		visit(context, &probes->connections[i].key,
		      &probes->connections[i].sum);
	return probes->connection_err;
}

/* --- the targets -------------------------------------------------------------- */

#define SERVICES 8
#define ALIASES 256

struct fake_alias {
	uint32_t id, service;
	bool ignored;
	bool unjudged;
	int64_t since_ms;
};

struct targets {
	struct service services[SERVICES]; /* id 0: no such service */
	struct fake_alias aliases[ALIASES];
	size_t alias_count;
	uint32_t expired;
	bool seen[SERVICES + 1]; /* by the service's id */
	int64_t live_end_ms;
};

static inline struct fake_alias *fake_alias(const struct targets *targets, uint32_t id)
{
	for (size_t i = 0; i < targets->alias_count; i++)
		if (targets->aliases[i].id == id)
			return (struct fake_alias *)&targets->aliases[i];
	return NULL;
}

static inline uint32_t fake_own_id(const struct targets *targets, uint32_t id)
{
	const struct fake_alias *alias = fake_alias(targets, id);

	return alias && !alias->ignored ? alias->service : id;
}

const struct service *targets_service(const struct targets *targets, uint32_t id)
{
	uint32_t own = fake_own_id(targets, id);

	for (size_t i = 0; i < SERVICES; i++)
		if (own && targets->services[i].id == own)
			return &targets->services[i];
	return NULL;
}

bool targets_ignored(const struct targets *targets, uint32_t id)
{
	const struct fake_alias *alias = fake_alias(targets, id);

	return alias && alias->ignored;
}

bool targets_unjudged(const struct targets *targets, uint32_t id)
{
	const struct fake_alias *alias = fake_alias(targets, id);

	return alias && alias->unjudged;
}

int64_t targets_alias_age_ms(const struct targets *targets, uint32_t id, int64_t now_ms)
{
	const struct fake_alias *alias = fake_alias(targets, id);

	return alias ? now_ms - alias->since_ms : -1;
}

uint32_t targets_alias_after(const struct targets *targets, uint32_t id)
{
	uint32_t next = 0;

	for (size_t i = 0; i < targets->alias_count; i++)
		if (targets->aliases[i].id > id &&
		    (!next || targets->aliases[i].id < next))
			next = targets->aliases[i].id;
	return next;
}

void targets_drop_alias(struct targets *targets, uint32_t id)
{
	struct fake_alias *alias = fake_alias(targets, id);

	assert_non_null(alias); /* only what is one */
	*alias = targets->aliases[--targets->alias_count];
}

void targets_live_begin(struct targets *targets)
{
	memset(targets->seen, 0, sizeof(targets->seen));
}

void targets_live_seen(struct targets *targets, uint32_t id)
{
	uint32_t own = fake_own_id(targets, id);

	if (own <= SERVICES)
		targets->seen[own] = true;
}

void targets_live_end(struct targets *targets, int64_t now_ms)
{
	targets->live_end_ms = now_ms;
}

const struct service *targets_expired(const struct targets *targets, int64_t now_ms)
{
	assert_int_equal(now_ms, targets->live_end_ms);
	return targets->expired ? targets_service(targets, targets->expired) : NULL;
}

uint32_t targets_routes_max(const struct targets *targets)
{
	(void)targets;
	return ROUTES_MAX;
}

void targets_drop_service(struct targets *targets, uint32_t id)
{
	assert_int_equal(id, targets->expired);
	targets->expired = 0;
	for (size_t i = 0; i < SERVICES; i++)
		if (targets->services[i].id == id)
			targets->services[i] = (struct service){0};
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	struct probes probes;
	struct targets targets;
	struct series *series;
	struct buf text; /* of the last collection, NUL terminated */
	int err;         /* of the last collection */
};

static inline int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_series_make(PROBES_SERIES, ROWS);
	fake_map_make(PROBES_ROUTES, sizeof(struct tally_route_key),
		      sizeof(struct tally_route), ROWS);
	fake_map_make(PROBES_ADDRESSES, sizeof(__u64), sizeof(struct tally_address), 8);
	fake_map_make(PROBES_PROCESSES, sizeof(__u32), sizeof(struct tally_process),
		      ROWS);
	fake_map_make(PROBES_ROUTE_COUNTS, sizeof(__u32), sizeof(__u32), ROWS);
	scene->text = (struct buf)BUF_INIT((size_t)16 << 20);
	scene->targets.services[0] =
	    (struct service){.id = 1, .name = "web", .name_space = "eu"};
	scene->targets.services[1] =
	    (struct service){.id = 2, .name = "db", .name_space = ""};
	assert_int_equal(series_create(ROWS, false, &scene->series), 0);
	*state = scene;
	return 0;
}

static inline int close_scene(void **state)
{
	struct scene *scene = *state;

	series_free(&scene->series);
	assert_null(scene->series);
	buf_free(&scene->text);
	fake_maps_free();
	free(scene);
	return 0;
}

static inline struct tally_series_key server_key(uint32_t service)
{
	return (struct tally_series_key){
	    .service = service,
	    .status = 200,
	    .protocol = TALLY_PROTOCOL_HTTP1,
	    .role = TALLY_ROLE_SERVER,
	    .method = TALLY_METHOD_GET,
	};
}

/* Adds requests of 1 ms and no bytes to a row, as the kernel would. */
static inline void count(const struct tally_series_key *key, uint64_t requests)
{
	struct tally_series value = {0};

	fake_series_get(FAKE_FD + PROBES_SERIES, key, &value);
	value.duration[3] += requests;
	value.first_byte[3] += requests;
	value.queue[0] += requests;
	value.request_size[0] += requests;
	value.response_size[0] += requests;
	value.native[80] += requests;
	value.duration_sum_ns += requests * 1000000;
	value.first_byte_sum_ns += requests * 1000000;
	assert_int_equal(fake_series_put(FAKE_FD + PROBES_SERIES, key, &value), 0);
}

static inline void count_plain(uint32_t service, uint64_t requests)
{
	struct tally_series_key key = server_key(service);

	count(&key, requests);
}

static inline void put_route(uint64_t hash, uint32_t service, const char *text)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	struct tally_route route = {.len = (uint32_t)strlen(text)};

	memcpy(route.text, text, strlen(text));
	assert_int_equal(bpf_map_update_elem(FAKE_FD + PROBES_ROUTES, &key, &route, 0),
			 0);
}

static inline bool has_route(uint64_t hash, uint32_t service)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	struct tally_route route;

	return !bpf_map_lookup_elem(FAKE_FD + PROBES_ROUTES, &key, &route);
}

static inline void put_route_count(uint32_t service)
{
	__u32 count = 1;

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + PROBES_ROUTE_COUNTS, &service, &count, 0), 0);
}

static inline bool has_route_count(uint32_t service)
{
	__u32 count;

	return !bpf_map_lookup_elem(FAKE_FD + PROBES_ROUTE_COUNTS, &service, &count);
}

static inline void put_address(uint64_t hash, const struct tally_address *address)
{
	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + PROBES_ADDRESSES, &hash, address, 0), 0);
}

static inline void put_process(uint32_t pid, uint32_t service, uint32_t flags)
{
	struct tally_process process = {service, flags};

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + PROBES_PROCESSES, &pid, &process, 0), 0);
}

static inline void end_process(uint32_t pid)
{
	assert_int_equal(bpf_map_delete_elem(FAKE_FD + PROBES_PROCESSES, &pid), 0);
}

#define IGNORED UINT32_MAX
#define UNJUDGED (UINT32_MAX - 1)

static inline void name_alias(struct scene *scene, uint32_t id, uint32_t service,
			      int64_t since_ms)
{
	assert_true(scene->targets.alias_count < ALIASES);
	scene->targets.aliases[scene->targets.alias_count++] = (struct fake_alias){
	    .id = id,
	    .service = service,
	    .ignored = service == IGNORED || service == UNJUDGED,
	    .unjudged = service == UNJUDGED,
	    .since_ms = since_ms,
	};
}

static inline size_t kernel_rows(void)
{
	return fake_maps[PROBES_SERIES].count;
}

static inline void collect(struct scene *scene, int64_t now_ms)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	scene->err = series_collect(scene->series, &scene->probes, &scene->targets,
				    now_ms, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	buf_clear(&scene->text);
	text_write(&scene->text, &snapshot, TEXT_OPENMETRICS_1_0);
	buf_append(&scene->text, "", 1);
	assert_int_equal(scene->text.error, 0);
	snapshot_free(&snapshot);
}

static inline void collect_well(struct scene *scene, int64_t now_ms)
{
	collect(scene, now_ms);
	assert_int_equal(scene->err, 0);
}

/* A whole line; never the first, which is a comment. */
static inline bool has_line(const struct scene *scene, const char *line)
{
	char wanted[1024];

	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	return strstr(scene->text.data, wanted);
}

static inline void check_line(const struct scene *scene, const char *line)
{
	if (!has_line(scene, line))
		fail_msg("no line \"%s\" in\n%s", line, scene->text.data);
}

static inline void check_absent(const struct scene *scene, const char *text)
{
	if (strstr(scene->text.data, text))
		fail_msg("\"%s\" in\n%s", text, scene->text.data);
}

/* The number of requests of a plain row's labels. */
static inline void check_plain(const struct scene *scene, const char *service_labels,
			       unsigned int requests)
{
	char line[512];

	snprintf(
	    line, sizeof(line),
	    "http_server_request_duration_seconds_count{http_request_method=\"GET\","
	    "http_response_status_code=\"200\",%s,url_scheme=\"http\"} %u",
	    service_labels, requests);
	check_line(scene, line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
