/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_room.h"
#include "spool_case.h"

#define SHARE ((size_t)MIB)   /* of a lane: a quarter of 8 MiB, for two */
#define LITTLE ((size_t)4096) /* more than what a batch costs beside its bytes */
#define START_MS 5000000

struct scene {
	struct spool_case *files;
	struct config config;
	struct config_loki_write writes[2];
	struct spool_lane *lanes[2];
	struct log_room *room;
};

/* In memory: what waits there is what the lanes say. */
static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	void *files = NULL;

	if (!scene || case_set_up(&files))
		return -1;
	scene->files = files;
	scene->files->config.directory = NULL;
	case_open(scene->files);
	scene->writes[0].name = (char *)"first";
	scene->writes[1].name = (char *)"second";
	scene->config = (struct config){
	    .loki_writes = scene->writes,
	    .loki_write_count = 2,
	    .spool = {.bytes_max = 8ull * MIB},
	};
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	void *files = scene->files;

	log_room_free(&scene->room);
	assert_null(scene->room);
	free(scene);
	return case_tear_down(&files);
}

static void make(struct scene *scene)
{
	struct spool *spool = scene->files->spool;

	assert_int_equal(log_room_create(spool, &scene->config, START_MS, &scene->room),
			 0);
	assert_int_equal(spool_lane(spool, "loki:first", &scene->lanes[0]), 0);
	assert_int_equal(spool_lane(spool, "loki:second", &scene->lanes[1]), 0);
}

static void put(struct scene *scene, uint32_t number, size_t bytes)
{
	spool_begin(scene->files->spool, NOW_MS);
	log_room_put(scene->room, batch_of(number, 100, bytes));
	spool_commit(scene->files->spool, false);
	log_room_committed(scene->room);
}

static void acknowledge(struct spool_lane *lane)
{
	const struct spool_batch *batch = spool_take(lane);

	assert_non_null(batch);
	spool_acknowledge(lane, batch->id);
}

static uint64_t dropped(const struct spool_lane *lane)
{
	struct spool_waiting waiting;

	spool_waiting(lane, &waiting);
	return waiting.dropped[SPOOL_FULL];
}

static void a_batch_is_in_every_lane(void **state)
{
	struct scene *scene = *state;

	make(scene);
	put(scene, 1, 1000);
	for (size_t i = 0; i < 2; i++) {
		const struct spool_batch *batch = spool_take(scene->lanes[i]);

		assert_non_null(batch);
		assert_int_equal(batch->batch->time_ms, NOW_MS + 1);
		assert_int_equal(batch->batch->len, 1000);
	}
}

static void beyond_its_share_a_receiver_is_waited_for(void **state)
{
	struct scene *scene = *state;

	make(scene);
	put(scene, 1, SHARE - LITTLE);
	assert_true(log_room_is_there(scene->room, START_MS));
	assert_false(log_room_is_behind(scene->room));
	put(scene, 2, LITTLE);
	assert_false(log_room_is_there(scene->room, START_MS));
	assert_true(log_room_is_blocked(scene->room));
	assert_true(log_room_is_behind(scene->room));
	acknowledge(scene->lanes[0]); /* the other one is full still */
	assert_false(log_room_is_there(scene->room, START_MS));
	acknowledge(scene->lanes[1]);
	assert_true(log_room_is_there(scene->room, START_MS));
	assert_false(log_room_is_behind(scene->room));
}

/* Half of the share is to be free: else it would be told with every batch. */
static void the_end_of_being_behind_is_not_the_end_of_being_blocked(void **state)
{
	struct scene *scene = *state;

	make(scene);
	put(scene, 1, LITTLE);
	put(scene, 2, SHARE - LITTLE);
	assert_false(log_room_is_there(scene->room, START_MS));
	for (size_t i = 0; i < 2; i++)
		acknowledge(scene->lanes[i]);
	assert_true(log_room_is_there(scene->room, START_MS));
	assert_true(log_room_is_behind(scene->room));
}

static void who_takes_nothing_while_another_does_loses_its_oldest(void **state)
{
	struct scene *scene = *state;

	make(scene);
	put(scene, 1, SHARE / 2);
	put(scene, 2, SHARE / 2 + 1);
	acknowledge(scene->lanes[0]);
	assert_false(log_room_is_there(scene->room, START_MS));
	assert_false(
	    log_room_is_there(scene->room, START_MS + LOG_ROOM_STALLED_MS - 1));
	put(scene, 3, 1);
	assert_int_equal(dropped(scene->lanes[1]), 0);
	assert_true(log_room_is_there(scene->room, START_MS + LOG_ROOM_STALLED_MS));
	put(scene, 4, 1);
	assert_int_equal(dropped(scene->lanes[1]), 100);
	assert_int_equal(dropped(scene->lanes[0]), 0);
}

static void while_nobody_takes_anything_nothing_is_lost(void **state)
{
	struct scene *scene = *state;

	make(scene);
	put(scene, 1, SHARE + 1);
	assert_false(
	    log_room_is_there(scene->room, START_MS + 100 * LOG_ROOM_STALLED_MS));
	put(scene, 2, 1);
	assert_int_equal(dropped(scene->lanes[0]), 0);
	assert_int_equal(dropped(scene->lanes[1]), 0);
}

/* An earlier life left it: a minute from now on, not from whenever. */
static void what_waits_at_the_start_is_waited_for(void **state)
{
	struct scene *scene = *state;
	struct spool *spool = scene->files->spool;

	assert_int_equal(spool_lane(spool, "loki:second", &scene->lanes[1]), 0);
	spool_begin(spool, NOW_MS);
	spool_put(scene->lanes[1], batch_of(1, 100, SHARE + 1));
	spool_commit(spool, false);
	make(scene);
	assert_false(log_room_is_there(scene->room, START_MS));
	put(scene, 2, 1);
	assert_int_equal(dropped(scene->lanes[1]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_batch_is_in_every_lane),
	    TEST(beyond_its_share_a_receiver_is_waited_for),
	    TEST(the_end_of_being_behind_is_not_the_end_of_being_blocked),
	    TEST(who_takes_nothing_while_another_does_loses_its_oldest),
	    TEST(while_nobody_takes_anything_nothing_is_lost),
	    TEST(what_waits_at_the_start_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
