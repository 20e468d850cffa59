/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "otlp_answer.h"

#define ANSWER(status, bytes) otlp_read_answer(status, bytes, sizeof(bytes) - 1)

static void an_empty_answer_is_full_success(void **state)
{
	const struct otlp_answer answer = otlp_read_answer(200, "", 0);

	(void)state;
	assert_int_equal(answer.rejected, 0);
	assert_string_equal(answer.message, "");
}

static void partial_success_says_how_many_and_why(void **state)
{
	const struct otlp_answer answer =
	    ANSWER(200, "\x0a\x0a\x08\xac\x02\x12\x05out\nx");

	(void)state;
	assert_int_equal(answer.rejected, 300);
	assert_string_equal(answer.message, "out_x");
}

static void a_warning_rejects_nothing(void **state)
{
	const struct otlp_answer answer = ANSWER(200, "\x0a\x06\x12\x04slow");

	(void)state;
	assert_int_equal(answer.rejected, 0);
	assert_string_equal(answer.message, "slow");
}

static void a_negative_number_rejects_nothing(void **state)
{
	const struct otlp_answer answer =
	    ANSWER(200, "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");

	(void)state;
	assert_int_equal(answer.rejected, 0);
}

static void a_failure_is_a_status(void **state)
{
	const struct otlp_answer answer = ANSWER(400, "\x08\x03\x12\x03"
						      "bad");

	(void)state;
	assert_int_equal(answer.rejected, 0);
	assert_string_equal(answer.message, "bad");
}

static void what_is_no_message_says_nothing(void **state)
{
	static const char text[] = "<html>nothing here</html>";
	static const char cut[] = "\x0a\x0a\x08\xac\x02\x12\x05ou";
	const struct otlp_answer html = ANSWER(502, text);
	const struct otlp_answer accepted = ANSWER(200, text);
	const struct otlp_answer short_one = ANSWER(200, cut);

	(void)state;
	assert_string_equal(html.message, "");
	assert_string_equal(accepted.message, "");
	assert_int_equal(accepted.rejected, 0);
	assert_int_equal(short_one.rejected, 0);
}

static void a_long_message_is_cut(void **state)
{
	char body[4 + 2000] = "\x12\xd0\x0f";
	struct otlp_answer answer;

	(void)state;
	memset(body + 3, 'x', 2000);
	answer = otlp_read_answer(503, body, 3 + 2000);
	assert_int_equal(strlen(answer.message), OTLP_MESSAGE_LEN - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_answer_is_full_success),
	    cmocka_unit_test(partial_success_says_how_many_and_why),
	    cmocka_unit_test(a_warning_rejects_nothing),
	    cmocka_unit_test(a_negative_number_rejects_nothing),
	    cmocka_unit_test(a_failure_is_a_status),
	    cmocka_unit_test(what_is_no_message_says_nothing),
	    cmocka_unit_test(a_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
