/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loki.h"
#include "loki_decoder.h"

static void requests_have_streams_with_their_entries(void **state)
{
	const struct loki_entry a[] = {{1700000000000000001, {"one", 3}},
				       {1700000000000000002, {"", 0}}};
	const struct loki_entry b[] = {{1999999999, {"two\nlines", 9}}};
	const struct loki_stream streams[] = {{"{job=\"a\"}", a, 2},
					      {"{job=\"b\"}", b, 1}};
	struct wire_batch *batch;
	char *text;

	(void)state;
	assert_int_equal(loki_encode(streams, 2, &batch), 0);
	assert_int_equal(batch->samples, 3);
	assert_int_equal(batch->histograms, 0);
	assert_int_equal(batch->time_ms, 1700000000000);
	assert_int_equal(batch->references, 1);
	text = loki_text(batch);
	assert_string_equal(text, "{job=\"a\"}\n"
				  "  1700000000000000001 one\n"
				  "  1700000000000000002 \n"
				  "{job=\"b\"}\n"
				  "  1999999999 two\nlines\n");
	free(text);
	wire_batch_put(&batch);
}

static void labels_are_sorted_and_quoted(void **state)
{
	struct config_label items[] = {
	    {(char *)"z", (char *)"a\"b\\c"},
	    {(char *)"a", (char *)"\xc3\xa4"},
	    {(char *)"empty", (char *)""},
	    {(char *)"m", (char *)"x\n\x7f"},
	};
	char *labels = loki_labels(&(struct config_labels){items, 4});

	(void)state;
	assert_string_equal(labels,
			    "{a=\"\xc3\xa4\", m=\"x\\x0a\\x7f\", z=\"a\\\"b\\\\c\"}");
	free(labels);
	labels = loki_labels(&(struct config_labels){0});
	assert_string_equal(labels, "{}");
	free(labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_have_streams_with_their_entries),
	    cmocka_unit_test(labels_are_sorted_and_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
