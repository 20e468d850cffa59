/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "buf.h"

/* As malloc does: ASan's default is to abort the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void assert_content(const struct buf *buf, const char *content)
{
	assert_int_equal(buf->error, 0);
	assert_int_equal(buf->len, strlen(content));
	if (buf->len)
		assert_memory_equal(buf->data, content, buf->len);
}

static void appends_join_in_order(void **state)
{
	struct buf buf = BUF_INIT(1000);

	(void)state;
	buf_append(&buf, "ab", 2);
	buf_string(&buf, "cd");
	buf_printf(&buf, "%d-%s", 42, "ef");
	buf_string(&buf, "");
	buf_append(&buf, NULL, 0);
	assert_content(&buf, "abcd42-ef");
	buf_free(&buf);
}

static void bytes_of_any_value_are_kept(void **state)
{
	struct buf buf = BUF_INIT(10);

	(void)state;
	buf_append(&buf, "\0\n\xff", 3);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "\0\n\xff", 3);
	buf_free(&buf);
}

/* Every length on both sides of each growth, by both ways of writing. */
static void growth_loses_nothing_at_any_length(void **state)
{
	struct buf appended = BUF_INIT(5000), printed = BUF_INIT(5000);

	(void)state;
	for (unsigned int i = 0; i < 5000; i++) {
		char c = (char)('a' + i % 26);

		buf_append(&appended, &c, 1);
		buf_printf(&printed, "%c", c);
	}
	for (unsigned int i = 0; i < 5000; i++)
		assert_int_equal(appended.data[i], 'a' + i % 26);
	assert_int_equal(appended.len, 5000);
	assert_int_equal(printed.len, 5000);
	assert_memory_equal(appended.data, printed.data, 5000);
	buf_free(&appended);
	buf_free(&printed);
}

static void a_print_longer_than_the_room_is_whole(void **state)
{
	struct buf buf = BUF_INIT(100000);
	char text[3001];

	(void)state;
	memset(text, 'y', 3000);
	text[3000] = '\0';
	buf_string(&buf, "start ");
	buf_printf(&buf, "%s|%s", text, text);
	assert_int_equal(buf.error, 0);
	assert_int_equal(buf.len, 6 + 3000 + 1 + 3000);
	assert_int_equal(buf.data[6 + 3000], '|');
	assert_int_equal(buf.data[buf.len - 1], 'y');
	buf_free(&buf);
}

static void reserved_room_is_content_once_it_is_counted(void **state)
{
	struct buf buf = BUF_INIT(1000);
	char *room;

	(void)state;
	buf_string(&buf, "ab");
	room = buf_reserve(&buf, 998);
	memset(room, 'x', 998);
	assert_content(&buf, "ab");
	buf.len += 1;
	assert_content(&buf, "abx");
	assert_null(buf_reserve(&buf, 998));
	assert_int_equal(buf.error, -E2BIG);
	assert_null(buf_reserve(&buf, 1));
	buf_free(&buf);
}

static void the_ceiling_itself_is_reached(void **state)
{
	struct buf appended = BUF_INIT(4), printed = BUF_INIT(4);

	(void)state;
	buf_append(&appended, "1234", 4);
	assert_content(&appended, "1234");
	buf_printf(&printed, "%d", 1234);
	assert_content(&printed, "1234");
	buf_free(&appended);
	buf_free(&printed);
}

static void past_the_ceiling_nothing_of_the_append_is_kept(void **state)
{
	struct buf appended = BUF_INIT(4), printed = BUF_INIT(4);

	(void)state;
	buf_string(&appended, "123");
	buf_string(&appended, "45");
	assert_int_equal(appended.error, -E2BIG);
	assert_int_equal(appended.len, 3);
	buf_string(&printed, "123");
	buf_printf(&printed, "%d", 45);
	assert_int_equal(printed.error, -E2BIG);
	assert_int_equal(printed.len, 3);
	buf_free(&appended);
	buf_free(&printed);
}

static void the_ceiling_holds_where_room_is_left_in_memory(void **state)
{
	struct buf buf = BUF_INIT(1000);

	(void)state;
	for (unsigned int i = 0; i < 1000; i++)
		buf_append(&buf, "x", 1);
	assert_true(buf.capacity <= 1001);
	buf_printf(&buf, "%s", "x");
	assert_int_equal(buf.error, -E2BIG);
	assert_int_equal(buf.len, 1000);
	buf_free(&buf);
}

static void the_first_error_sticks(void **state)
{
	struct buf buf = BUF_INIT(4);

	(void)state;
	buf_string(&buf, "12345");
	buf_string(&buf, "1");
	buf_printf(&buf, "%d", 1);
	assert_int_equal(buf.error, -E2BIG);
	assert_int_equal(buf.len, 0);
	buf_free(&buf);
}

static void a_length_near_the_end_of_size_t_does_not_wrap(void **state)
{
	struct buf buf = BUF_INIT(100);

	(void)state;
	buf_string(&buf, "abc");
	buf_append(&buf, "x", SIZE_MAX);
	assert_int_equal(buf.error, -E2BIG);
	assert_int_equal(buf.len, 3);
	buf_free(&buf);
}

static void without_memory_the_content_stays_and_the_error_says_so(void **state)
{
	/* More than any address space holds: malloc refuses. */
	struct buf buf = BUF_INIT(SIZE_MAX - 1);

	(void)state;
	buf_string(&buf, "abc");
	buf_append(&buf, "x", SIZE_MAX / 2);
	assert_int_equal(buf.error, -ENOMEM);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "abc", 3);
	buf_free(&buf);
}

static void clear_forgets_content_and_error_and_keeps_the_memory(void **state)
{
	struct buf buf = BUF_INIT(4);
	const char *data;

	(void)state;
	buf_string(&buf, "123");
	data = buf.data;
	buf_string(&buf, "45");
	buf_clear(&buf);
	assert_content(&buf, "");
	buf_string(&buf, "6789");
	assert_content(&buf, "6789");
	assert_ptr_equal(buf.data, data);
	buf_free(&buf);
}

static void a_freed_buffer_can_be_used_and_freed_again(void **state)
{
	struct buf buf = BUF_INIT(4);

	(void)state;
	buf_free(&buf);
	buf_string(&buf, "1");
	buf_free(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.capacity, 0);
	buf_string(&buf, "2345");
	assert_content(&buf, "2345");
	buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(appends_join_in_order),
	    cmocka_unit_test(bytes_of_any_value_are_kept),
	    cmocka_unit_test(growth_loses_nothing_at_any_length),
	    cmocka_unit_test(a_print_longer_than_the_room_is_whole),
	    cmocka_unit_test(reserved_room_is_content_once_it_is_counted),
	    cmocka_unit_test(the_ceiling_itself_is_reached),
	    cmocka_unit_test(past_the_ceiling_nothing_of_the_append_is_kept),
	    cmocka_unit_test(the_ceiling_holds_where_room_is_left_in_memory),
	    cmocka_unit_test(the_first_error_sticks),
	    cmocka_unit_test(a_length_near_the_end_of_size_t_does_not_wrap),
	    cmocka_unit_test(without_memory_the_content_stays_and_the_error_says_so),
	    cmocka_unit_test(clear_forgets_content_and_error_and_keeps_the_memory),
	    cmocka_unit_test(a_freed_buffer_can_be_used_and_freed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
