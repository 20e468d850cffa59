/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "length.h"
#include "snapshot.h"
#include "wire_labels.h"

/* Which labels were made, and what it answers to the next one. */
struct maker {
	char made[256];
	int err;
};

/* The texts live in its memory, as those of 1.0. An item is the first letters. */
static int make(void *context, const struct label *label, struct wire_label *known,
		void *item)
{
	struct maker *maker = context;
	size_t name_len = strlen(label->name), value_len = strlen(label->value);
	char *at;

	assert_null(known->name);
	if (maker->err)
		return maker->err;
	snprintf(maker->made + strlen(maker->made),
		 sizeof(maker->made) - strlen(maker->made), " %s=%s", label->name,
		 label->value);
	buf_clear(&known->memory);
	at = buf_reserve(&known->memory, name_len + value_len + 2);
	assert_non_null(at);
	memcpy(at, label->name, name_len + 1);
	memcpy(at + name_len + 1, label->value, value_len + 1);
	known->name = at;
	known->value = at + name_len + 1;
	known->text_bytes = name_len + value_len;
	memcpy(item, (char[3]){label->name[0], label->value[0], 0}, 3);
	return 0;
}

/* Checks which were made, and each item. */
static void check_set(struct wire_labels *labels, const struct label *from,
		      size_t count, const char *made)
{
	struct maker maker = {0};
	size_t text_bytes, wanted = 0;

	assert_int_equal(
	    wire_labels_set(labels, from, count, make, &maker, &text_bytes), 0);
	assert_string_equal(maker.made, made);
	for (size_t i = 0; i < count; i++) {
		const char *item = (const char *)labels->items + 3 * i;

		assert_int_equal(item[0], from[i].name[0]);
		assert_int_equal(item[1], from[i].value[0]);
		wanted += strlen(from[i].name) + strlen(from[i].value);
	}
	assert_int_equal(text_bytes, wanted);
}

static const struct label first[] = {{"__name__", "up"}, {"code", "200"}};

static void a_label_that_stays_is_not_made_again(void **state)
{
	struct label other[] = {{"__name__", "up"}, {"code", "404"}};
	struct label renamed[] = {{"__name__", "up"}, {"port", "404"}};
	struct wire_labels labels;

	(void)state;
	wire_labels_init(&labels, 3);
	check_set(&labels, first, 2, " __name__=up code=200");
	check_set(&labels, first, 2, "");
	check_set(&labels, other, 2, " code=404");
	check_set(&labels, renamed, 2, " port=404");
	check_set(&labels, first, 2, " code=200");
	wire_labels_reset(&labels);
}

/* At another place it is another one. */
static void fewer_and_more_labels_leave_the_others_known(void **state)
{
	const struct label more[] = {
	    {"__name__", "up"}, {"a", "1"}, {"code", "200"}, {"d", "4"}};
	struct wire_labels labels;

	(void)state;
	wire_labels_init(&labels, 3);
	check_set(&labels, NULL, 0, "");
	check_set(&labels, first, 2, " __name__=up code=200");
	check_set(&labels, more, LENGTH(more), " a=1 code=200 d=4");
	check_set(&labels, first, 1, "");
	check_set(&labels, more, LENGTH(more), "");
	wire_labels_reset(&labels);
}

static void what_was_forgotten_is_made_anew(void **state)
{
	struct wire_labels labels;

	(void)state;
	wire_labels_init(&labels, 3);
	check_set(&labels, first, 2, " __name__=up code=200");
	wire_labels_forget(&labels);
	check_set(&labels, first, 2, " __name__=up code=200");
	wire_labels_reset(&labels);
	assert_null(labels.items);
	assert_null(labels.known);
	check_set(&labels, first, 2, " __name__=up code=200");
	wire_labels_reset(&labels);
	wire_labels_reset(&labels);
}

/* Of the old text nothing may be left: its memory may hold half of the new one. */
static void one_that_failed_is_unknown(void **state)
{
	const struct label other = {"__name__", "down"};
	struct maker maker = {.err = -E2BIG};
	struct wire_labels labels;
	size_t text_bytes;

	(void)state;
	wire_labels_init(&labels, 3);
	check_set(&labels, first, 2, " __name__=up code=200");
	assert_int_equal(wire_labels_set(&labels, &other, 1, make, &maker, &text_bytes),
			 -E2BIG);
	check_set(&labels, first, 2, " __name__=up");
	wire_labels_reset(&labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_label_that_stays_is_not_made_again),
	    cmocka_unit_test(fewer_and_more_labels_leave_the_others_known),
	    cmocka_unit_test(what_was_forgotten_is_made_anew),
	    cmocka_unit_test(one_that_failed_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
