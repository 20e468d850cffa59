/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "backlog.h"

static struct backlog_item *item_of(int64_t id, int64_t collection, uint32_t samples)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch) + 10);
	struct backlog_item *item;

	assert_non_null(batch);
	batch->references = 1;
	batch->samples = samples;
	batch->histograms = 1;
	batch->len = 10;
	item = backlog_make(batch);
	assert_non_null(item);
	item->public.id = id;
	item->public.collection = collection;
	return item;
}

static void expect(const struct backlog *backlog, const int64_t *ids, size_t count)
{
	const struct backlog_item *item = backlog->first, *last = NULL;
	uint64_t samples = 0, bytes = 0;

	for (size_t i = 0; i < count; i++, last = item, item = item->next) {
		assert_non_null(item);
		assert_int_equal(item->public.id, ids[i]);
		samples += backlog_item_samples(item);
		bytes += backlog_item_bytes(item);
	}
	assert_null(item);
	assert_ptr_equal(backlog->last, last);
	assert_int_equal(backlog->count, count);
	assert_int_equal(backlog->samples, samples);
	assert_int_equal(backlog->bytes, bytes);
}

#define EXPECT(backlog, ...)                                                           \
	expect(backlog, (const int64_t[]){__VA_ARGS__},                                \
	       sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static int set_up(void **state)
{
	struct backlog *backlog = calloc(1, sizeof(*backlog));

	for (int64_t id = 1; backlog && id <= 5; id++)
		backlog_append(backlog, item_of(id, (id + 1) / 2, 10));
	*state = backlog;
	return backlog ? 0 : -1;
}

static int tear_down(void **state)
{
	backlog_clear(*state);
	expect(*state, NULL, 0);
	free(*state);
	return 0;
}

static void items_stay_in_order(void **state)
{
	EXPECT(*state, 1, 2, 3, 4, 5);
	assert_int_equal(((struct backlog *)*state)->samples, 55);
}

static void any_item_can_be_taken_out(void **state)
{
	static const int64_t ids[] = {3, 5, 1, 2, 4};
	struct backlog *backlog = *state;

	assert_null(backlog_find(backlog, 6));
	for (size_t i = 0; i < 5; i++) {
		struct backlog_item *item = backlog_find(backlog, ids[i]);

		assert_int_equal(item->public.id, ids[i]);
		backlog_remove(backlog, item);
		backlog_item_free(&item);
		backlog_item_free(&item); /* accepts NULL */
		if (i == 0)
			EXPECT(backlog, 1, 2, 4, 5);
		if (i == 1)
			EXPECT(backlog, 1, 2, 4);
		if (i == 2)
			EXPECT(backlog, 2, 4);
	}
	expect(backlog, NULL, 0);
	backlog_append(backlog, item_of(7, 7, 1));
	EXPECT(backlog, 7);
}

static void a_collection_is_dropped_whole(void **state)
{
	struct backlog *backlog = *state;

	assert_int_equal(backlog_drop_oldest(backlog), 22);
	EXPECT(backlog, 3, 4, 5);
	assert_int_equal(backlog_drop_oldest(backlog), 22);
	assert_int_equal(backlog_drop_oldest(backlog), 11);
	assert_int_equal(backlog_drop_oldest(backlog), 0);
	expect(backlog, NULL, 0);
}

static void one_moves_behind_the_other(void **state)
{
	struct backlog *backlog = *state, more = {0};

	backlog_move(backlog, &more);
	EXPECT(backlog, 1, 2, 3, 4, 5);
	backlog_append(&more, item_of(6, 6, 1));
	backlog_append(&more, item_of(7, 6, 1));
	backlog_move(backlog, &more);
	EXPECT(backlog, 1, 2, 3, 4, 5, 6, 7);
	expect(&more, NULL, 0);
	backlog_move(&more, backlog);
	EXPECT(&more, 1, 2, 3, 4, 5, 6, 7);
	expect(backlog, NULL, 0);
	backlog_clear(&more);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(items_stay_in_order),
	    TEST(any_item_can_be_taken_out),
	    TEST(a_collection_is_dropped_whole),
	    TEST(one_moves_behind_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
