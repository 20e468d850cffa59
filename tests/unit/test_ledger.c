/* SPDX-License-Identifier: Apache-2.0 */
/* The probes are played by this file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "documented.h"
#include "ledger.h"
#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct probes {
	struct tally_counters counters;
	struct tally_connections_record connections[4];
	size_t connection_count;
	int connection_err;
	unsigned int looks;
	unsigned int settled_at; /* look at which what moved has arrived */
	uint64_t moving;         /* neither in flight nor ended until then */
};

const struct tally_counters *probes_counters(const struct probes *probes)
{
	return &probes->counters;
}

int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context)
{
	struct probes *changing = (struct probes *)probes;

	for (size_t i = 0; i < probes->connection_count; i++)
		visit(context, &probes->connections[i].key,
		      &probes->connections[i].sum);
	if (++changing->looks == probes->settled_at)
		changing->counters.unix_balance.ended += probes->moving;
	return probes->connection_err;
}

static const struct objects_program programs[] = {
    {"sock_recv_length", 1000, 2500000000, 3, 4000},
    {"sock_send_length", 0, 0, 0, 5000},
};

void probes_each_program(const struct probes *probes,
			 void (*visit)(void *context,
				       const struct objects_program *program),
			 void *context)
{
	(void)probes;
	for (size_t i = 0; i < COUNT(programs); i++)
		visit(context, &programs[i]);
}

uint64_t probes_map_bytes(const struct probes *probes)
{
	(void)probes;
	return 1234567;
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	struct probes probes;
	struct ledger *ledger;
	struct snapshot snapshot;
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	assert_int_equal(ledger_create(&scene->ledger), 0);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	snapshot_free(&scene->snapshot);
	ledger_free(&scene->ledger);
	assert_null(scene->ledger);
	free(scene);
	return 0;
}

static int collect(struct scene *scene)
{
	int err;

	snapshot_free(&scene->snapshot);
	snapshot_init(&scene->snapshot, 0);
	scene->probes.looks = 0;
	err = ledger_collect(scene->ledger, &scene->probes, NULL, &scene->snapshot);
	assert_int_equal(snapshot_finish(&scene->snapshot), 0);
	return err;
}

/* label: value of the metric's only label that is asked for; "" for any. */
static const struct metric *find(const struct scene *scene, const char *family,
				 const char *label)
{
	const struct metric *found = NULL;

	for (size_t i = 0; i < scene->snapshot.count; i++) {
		const struct metric *metric = &scene->snapshot.metrics[i];

		if (strcmp(metric->family->name, family) != 0)
			continue;
		if (*label && strcmp(metric->labels.labels[0].value, label) != 0)
			continue;
		assert_null(found);
		found = metric;
	}
	assert_non_null(found);
	return found;
}

static void check(const struct scene *scene, const char *family, const char *label,
		  double wanted)
{
	assert_true(find(scene, family, label)->value == wanted);
}

static double unseen(const struct scene *scene)
{
	return find(scene, "bpftally_missed", "unseen_close")->value;
}

/* --- the ledger --------------------------------------------------------------- */

static void every_reason_is_there_even_at_zero(void **state)
{
	struct scene *scene = *state;

	for (unsigned int i = 0; i < TALLY_MISSED_COUNT; i++)
		scene->probes.counters.missed[i] = i * 10;
	assert_int_equal(collect(scene), 0);
	for (unsigned int i = 0; i < TALLY_MISSED_COUNT; i++)
		check(scene, "bpftally_missed", ledger_reason(i), i * 10);
	check(scene, "bpftally_missed", "joined_midway", 0);
	check(scene, "bpftally_missed", "tls", TALLY_MISSED_TLS * 10);
}

static void reasons_are_short_names_with_explanations(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < TALLY_MISSED_COUNT; i++) {
		const char *name = ledger_reason(i);

		assert_non_null(name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789"),
				 strlen(name));
		assert_true(strlen(ledger_explain(i)) > 10);
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(name, ledger_reason(j));
	}
	assert_null(ledger_reason(TALLY_MISSED_COUNT));
	assert_null(ledger_explain(TALLY_MISSED_COUNT));
}

static void unix_connection(struct scene *scene, uint16_t in_flight, uint8_t flags)
{
	scene->probes.connections[scene->probes.connection_count++] =
	    (struct tally_connections_record){
		.key.protocol = (uint8_t)(TALLY_PROTOCOL_HTTP1 | flags),
		.sum = {.open = 1, .in_flight = in_flight},
	    };
}

static void what_vanished_on_unix_sockets_is_an_unseen_close(void **state)
{
	struct scene *scene = *state;

	unix_connection(scene, 3, TALLY_CONNECTION_UNIX);
	unix_connection(scene, 2, TALLY_CONNECTION_UNIX);
	unix_connection(scene, 9, 0); /* TCP */
	scene->probes.counters.unix_balance =
	    (struct tally_unix_balance){.begun = 20, .ended = 15};
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 0);
	scene->probes.counters.unix_balance.begun += 4;
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 4);
	scene->probes.counters.missed[TALLY_MISSED_UNSEEN_CLOSE] = 100;
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 104);
}

static void what_series_dropped_unjudged_is_in_the_ledger(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(collect(scene), 0);
	check(scene, "bpftally_missed", "unjudged", 0);
	ledger_set_unjudged(scene->ledger, 7);
	assert_int_equal(collect(scene), 0);
	check(scene, "bpftally_missed", "unjudged", 7);
}

static void the_unseen_never_fall(void **state)
{
	struct scene *scene = *state;

	scene->probes.counters.unix_balance.begun = 5;
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 5);
	scene->probes.counters.unix_balance.ended = 7; /* seen late */
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 5);
	scene->probes.counters.unix_balance.begun = 13;
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 6);
}

/* Just taken from the queue and not yet counted as ended, when first looked at. */
static void what_is_between_two_states_has_not_vanished(void **state)
{
	struct scene *scene = *state;

	scene->probes.counters.unix_balance =
	    (struct tally_unix_balance){.begun = 10, .ended = 7};
	scene->probes.moving = 3;
	scene->probes.settled_at = 3;
	assert_int_equal(collect(scene), 0);
	assert_true(unseen(scene) == 0);
	assert_int_equal(scene->probes.looks, 3);
}

static void sockets_are_looked_at_only_for_what_may_be_new(void **state)
{
	struct tally_unix_balance *balance;
	struct scene *scene = *state;

	balance = &scene->probes.counters.unix_balance;
	assert_int_equal(collect(scene), 0);
	assert_int_equal(scene->probes.looks, 0);
	*balance = (struct tally_unix_balance){.begun = 7, .ended = 5};
	assert_int_equal(collect(scene), 0);
	assert_true(scene->probes.looks > 1);
	assert_true(unseen(scene) == 2);
	assert_int_equal(collect(scene), 0);
	assert_int_equal(scene->probes.looks, 0);
	balance->begun += 4;
	unix_connection(scene, 4, TALLY_CONNECTION_UNIX);
	assert_int_equal(collect(scene), 0);
	assert_int_equal(scene->probes.looks, 1);
	assert_true(unseen(scene) == 2);
	scene->probes.connection_count = 0;
	balance->ended += 5; /* one of the two was but late */
	assert_int_equal(collect(scene), 0);
	assert_int_equal(scene->probes.looks, 0);
	assert_true(unseen(scene) == 2);
}

static void without_the_iterator_the_rest_is_there(void **state)
{
	struct scene *scene = *state;

	scene->probes.connection_err = -EIO;
	scene->probes.counters.unix_balance.begun = 1;
	scene->probes.counters.missed[TALLY_MISSED_TLS] = 3;
	assert_int_equal(collect(scene), -EIO);
	check(scene, "bpftally_missed", "tls", 3);
	check(scene, "bpftally_map_bytes", "", 1234567);
}

/* --- programs and build ------------------------------------------------------- */

static void each_program_says_what_it_costs(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(collect(scene), 0);
	check(scene, "bpftally_probe_seconds", "sock_recv_length", 2.5);
	check(scene, "bpftally_probe_runs", "sock_recv_length", 1000);
	check(scene, "bpftally_probe_skipped", "sock_recv_length", 3);
	check(scene, "bpftally_probe_verified_instructions", "sock_recv_length", 4000);
	check(scene, "bpftally_probe_verified_instructions", "sock_send_length", 5000);
	check(scene, "bpftally_map_bytes", "", 1234567);
}

/* --- the document -------------------------------------------------------------- */

static void the_document_names_exactly_these_metrics(void **state)
{
	static struct names documented, exposed;
	struct scene *scene = *state;

	assert_int_equal(collect(scene), 0);
	names_of_snapshot(&exposed, &scene->snapshot);
	names_add(&exposed, "bpftally_build_info"); /* of build_info.c */
	names_read(&documented, "The agent");
	names_check_same(&documented, &exposed);
}

static void the_document_names_exactly_these_reasons(void **state)
{
	static struct names documented, exposed;

	(void)state;
	exposed.count = 0;
	for (unsigned int i = 0; i < TALLY_MISSED_COUNT; i++)
		names_add(&exposed, ledger_reason(i));
	names_read(&documented, "Missed");
	names_check_same(&documented, &exposed);
}

/* A number is only worth something when it is said of what. */
static void the_document_says_what_one_count_is(void **state)
{
	FILE *file = fopen("docs/metrics.md", "re");
	unsigned int found = 0;
	char line[1024], reason[64], unit[64];

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		bool known = false;

		if (sscanf(line, "| `%63[a-z_0-9]` | %63s |", reason, unit) != 2)
			continue;
		for (unsigned int i = 0; i < TALLY_MISSED_COUNT; i++)
			known |= !strcmp(reason, ledger_reason(i));
		if (!known)
			continue;
		assert_true(!strcmp(unit, "request") || !strcmp(unit, "connection") ||
			    !strcmp(unit, "event"));
		found++;
	}
	fclose(file);
	assert_int_equal(found, TALLY_MISSED_COUNT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
	    TEST(every_reason_is_there_even_at_zero),
	    TEST(reasons_are_short_names_with_explanations),
	    TEST(what_vanished_on_unix_sockets_is_an_unseen_close),
	    TEST(what_series_dropped_unjudged_is_in_the_ledger),
	    TEST(the_unseen_never_fall),
	    TEST(what_is_between_two_states_has_not_vanished),
	    TEST(sockets_are_looked_at_only_for_what_may_be_new),
	    TEST(without_the_iterator_the_rest_is_there),
	    TEST(each_program_says_what_it_costs),
	    TEST(the_document_names_exactly_these_metrics),
	    TEST(the_document_names_exactly_these_reasons),
	    TEST(the_document_says_what_one_count_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
