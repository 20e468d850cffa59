/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "config_internal.h"

static void *copy(const void *bytes, size_t len)
{
	void *memory = malloc(len);

	assert_non_null(memory);
	return memcpy(memory, bytes, len);
}

/* The leak checker is the judge. */
static void freeing_takes_all_of_a_rule(void **state)
{
	struct config config = {0};
	struct config_function *function = config_add_function(&config);
	char *exe = strdup("/a"), *lib = strdup("b");

	(void)state;
	assert_non_null(function);
	function->where = strdup("f:1");
	function->metric = strdup("m");
	function->help = strdup("h");
	assert_true(config_add_string(&function->exes, &exe));
	assert_true(config_add_string(&function->libs, &lib));
	function->function = strdup("f");
	function->usdt_provider = strdup("p");
	function->usdt_name = strdup("n");
	function->labels =
	    copy(&(struct config_function_label){0}, sizeof(*function->labels));
	function->label_count = 1;
	function->labels->name = strdup("l");
	function->labels->constant = strdup("c");
	function->labels->values =
	    copy(&(struct config_label_value){.text = strdup("t")},
		 sizeof(*function->labels->values));
	function->labels->value_count = 1;
	function->bounds = copy(&(double){1}, sizeof(double));
	function->quantiles = copy(&(double){1}, sizeof(double));
	assert_non_null(config_add_function(&config));
	assert_int_equal(config.function_count, 2);
	config_free(&config);
	assert_int_equal(config.function_count, 0);
	config_free(&config); /* frees nothing twice */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(freeing_takes_all_of_a_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
