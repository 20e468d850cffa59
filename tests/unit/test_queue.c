/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "queue.h"

static int set_up(void **state)
{
	struct queue *queue;

	if (queue_create(10, &queue))
		return -1;
	*state = queue;
	return 0;
}

static int tear_down(void **state)
{
	struct queue *queue = *state;

	queue_free(&queue);
	queue_free(&queue); /* accepts NULL */
	return 0;
}

static struct wire_batch *batch_of(uint32_t samples, int64_t time_ms)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch));

	assert_non_null(batch);
	batch->references = 1;
	batch->samples = samples;
	batch->time_ms = time_ms;
	return batch;
}

/* Batches of one time are of one collection. */
static uint32_t put(struct queue *queue, struct wire_batch *batch)
{
	return queue_put(queue, (uint64_t)batch->time_ms, batch);
}

static void expect_next(struct queue *queue, int64_t time_ms)
{
	struct wire_batch *batch = queue_peek(queue);

	assert_non_null(batch);
	assert_int_equal(batch->time_ms, time_ms);
	queue_acknowledge(queue);
}

static void batches_come_out_in_the_order_they_went_in(void **state)
{
	struct queue *queue = *state;

	assert_null(queue_peek(queue));
	for (int64_t i = 1; i <= 3; i++)
		assert_int_equal(put(queue, batch_of(2, i)), 0);
	assert_int_equal(queue_samples(queue), 6);
	expect_next(queue, 1);
	assert_int_equal(queue_samples(queue), 4);
	assert_int_equal(put(queue, batch_of(2, 4)), 0);
	expect_next(queue, 2);
	expect_next(queue, 3);
	expect_next(queue, 4);
	assert_null(queue_peek(queue));
	assert_int_equal(queue_samples(queue), 0);
}

static void peeking_twice_gives_the_same_batch(void **state)
{
	struct queue *queue = *state;

	put(queue, batch_of(1, 1));
	put(queue, batch_of(1, 2));
	assert_ptr_equal(queue_peek(queue), queue_peek(queue));
	expect_next(queue, 1);
	expect_next(queue, 2);
}

static void acknowledging_what_was_not_peeked_loses_nothing(void **state)
{
	struct queue *queue = *state;

	queue_acknowledge(queue);
	put(queue, batch_of(1, 1));
	queue_acknowledge(queue);
	assert_int_equal(queue_samples(queue), 1);
	expect_next(queue, 1);
	put(queue, batch_of(1, 2));
	queue_acknowledge(queue);
	assert_int_equal(queue_samples(queue), 1);
}

static void the_oldest_falls_out_and_is_counted_in_samples(void **state)
{
	struct queue *queue = *state;

	assert_int_equal(put(queue, batch_of(4, 1)), 0);
	assert_int_equal(put(queue, batch_of(3, 2)), 0);
	assert_int_equal(put(queue, batch_of(3, 3)), 0);
	assert_int_equal(queue_samples(queue), 10); /* exactly full drops none */
	assert_int_equal(put(queue, batch_of(1, 4)), 4);
	assert_int_equal(queue_samples(queue), 7);
	assert_int_equal(put(queue, batch_of(9, 5)), 6);
	assert_int_equal(queue_samples(queue), 10);
	expect_next(queue, 4);
	expect_next(queue, 5);
}

static void what_is_being_sent_does_not_fall_out(void **state)
{
	struct queue *queue = *state;

	put(queue, batch_of(4, 1));
	put(queue, batch_of(3, 2));
	put(queue, batch_of(3, 3));
	assert_int_equal(queue_peek(queue)->time_ms, 1);
	assert_int_equal(put(queue, batch_of(2, 4)), 3);
	assert_int_equal(queue_samples(queue), 9);
	assert_int_equal(queue_peek(queue)->time_ms, 1);
	expect_next(queue, 1);
	expect_next(queue, 3);
	expect_next(queue, 4);
}

static void a_collection_falls_out_whole(void **state)
{
	struct queue *queue = *state;

	for (int i = 0; i < 3; i++)
		assert_int_equal(put(queue, batch_of(2, 1)), 0);
	assert_int_equal(put(queue, batch_of(4, 2)), 0);
	assert_int_equal(put(queue, batch_of(1, 3)), 6);
	assert_int_equal(queue_samples(queue), 5);
	expect_next(queue, 2);
	expect_next(queue, 3);
}

static void what_is_left_of_a_collection_being_sent_falls_out(void **state)
{
	struct queue *queue = *state;

	for (int i = 0; i < 3; i++)
		put(queue, batch_of(2, 1));
	put(queue, batch_of(4, 2));
	queue_peek(queue);
	assert_int_equal(put(queue, batch_of(1, 3)), 4);
	assert_int_equal(queue_samples(queue), 7);
	expect_next(queue, 1);
	expect_next(queue, 2);
	expect_next(queue, 3);
}

/* Ten samples are the capacity. */
static void the_newest_collection_stays_whatever_its_size(void **state)
{
	struct queue *queue = *state;

	put(queue, batch_of(4, 1));
	put(queue, batch_of(4, 2));
	assert_int_equal(put(queue, batch_of(8, 3)), 8);
	assert_int_equal(put(queue, batch_of(8, 3)), 0);
	assert_int_equal(put(queue, batch_of(11, 3)), 0);
	assert_int_equal(queue_samples(queue), 27);
	assert_int_equal(put(queue, batch_of(12, 4)), 27);
	assert_int_equal(queue_samples(queue), 12);
	assert_int_equal(put(queue, batch_of(1, 5)), 12);
	expect_next(queue, 5);
}

static void beside_what_is_being_sent_the_newest_collection_stays_too(void **state)
{
	struct queue *queue = *state;

	put(queue, batch_of(9, 1));
	put(queue, batch_of(9, 1));
	queue_peek(queue);
	assert_int_equal(put(queue, batch_of(11, 2)), 9);
	assert_int_equal(put(queue, batch_of(11, 2)), 0);
	assert_int_equal(queue_samples(queue), 31);
	expect_next(queue, 1);
	expect_next(queue, 2);
	expect_next(queue, 2);
}

static void order_survives_growth_with_a_wrapped_ring(void **state)
{
	struct queue *queue;
	int64_t next_in = 0, next_out = 0;

	(void)state;
	assert_int_equal(queue_create(1000, &queue), 0);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 20; i++)
			assert_int_equal(put(queue, batch_of(1, next_in++)), 0);
		for (int i = 0; i < 7; i++)
			expect_next(queue, next_out++);
		assert_int_equal(queue_samples(queue), next_in - next_out);
	}
	while (queue_samples(queue))
		expect_next(queue, next_out++);
	assert_int_equal(next_out, next_in);
	queue_free(&queue);
}

static void a_shared_batch_lives_until_its_last_queue_lets_go(void **state)
{
	struct queue *queue = *state, *other;
	struct wire_batch *batch = batch_of(5, 1);

	assert_int_equal(queue_create(4, &other), 0);
	assert_int_equal(put(queue, wire_batch_get(batch)), 0);
	assert_int_equal(put(other, wire_batch_get(batch)), 0);
	assert_int_equal(batch->references, 3);
	assert_int_equal(put(other, batch_of(1, 2)), 5);
	assert_int_equal(batch->references, 2);
	wire_batch_put(&batch);
	assert_null(batch);
	queue_free(&other);
	assert_int_equal(queue_peek(queue)->references, 1);
	expect_next(queue, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(batches_come_out_in_the_order_they_went_in),
	    TEST(peeking_twice_gives_the_same_batch),
	    TEST(acknowledging_what_was_not_peeked_loses_nothing),
	    TEST(the_oldest_falls_out_and_is_counted_in_samples),
	    TEST(what_is_being_sent_does_not_fall_out),
	    TEST(a_collection_falls_out_whole),
	    TEST(what_is_left_of_a_collection_being_sent_falls_out),
	    TEST(the_newest_collection_stays_whatever_its_size),
	    TEST(beside_what_is_being_sent_the_newest_collection_stays_too),
	    TEST(order_survives_growth_with_a_wrapped_ring),
	    TEST(a_shared_batch_lives_until_its_last_queue_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
