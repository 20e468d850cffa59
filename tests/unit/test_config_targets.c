/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "config_targets.h"
#include "length.h"

/* The error, or "" and what was read. */
static void read_text(const char *text, struct config_groups *ret_groups,
		      char ret_error[CONFIG_ERROR_LEN])
{
	int fd = memfd_create("targets", MFD_CLOEXEC);
	char path[64], error[CONFIG_ERROR_LEN] = "";
	size_t len;
	int err;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = strlen(path);
	err = config_read_groups_file(path, ret_groups, error);
	assert_int_equal(err, *error ? -EINVAL : 0);
	close(fd);
	strcpy(ret_error, *error ? error + len + 1 : "");
}

static void json_and_yaml_say_the_same(void **state)
{
	static const char *const texts[] = {
	    "[{\"targets\":[\"a:1\",\"b:2\"],\"labels\":{\"x\":\"y\"}},\n"
	    "\t{\"targets\":[]}]\n",
	    "- targets: ['a:1', b:2]\n  labels:\n    x: y\n- targets: []\n",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++) {
		struct config_groups groups = {0};
		char error[CONFIG_ERROR_LEN];

		read_text(texts[i], &groups, error);
		assert_string_equal(error, "");
		assert_int_equal(groups.count, 2);
		assert_int_equal(groups.items[0].targets.count, 2);
		assert_string_equal(groups.items[0].targets.items[0], "a:1");
		assert_string_equal(groups.items[0].targets.items[1], "b:2");
		assert_int_equal(groups.items[0].labels.count, 1);
		assert_string_equal(groups.items[0].labels.items[0].name, "x");
		assert_string_equal(groups.items[0].labels.items[0].value, "y");
		assert_int_equal(groups.items[1].targets.count, 0);
		config_free_groups(&groups);
	}
}

static void a_file_may_have_no_targets(void **state)
{
	static const char *const texts[] = {"", "[]", "# none\n", "~\n"};

	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++) {
		struct config_groups groups = {0};
		char error[CONFIG_ERROR_LEN];

		read_text(texts[i], &groups, error);
		assert_string_equal(error, "");
		assert_int_equal(groups.count, 0);
	}
}

static void broken_files_name_the_line_and_give_nothing(void **state)
{
	static const char *const cases[][2] = {
	    {"{\"targets\": [\"a:1\"]}\n",
	     "1: 'the file' must be a list, not a mapping"},
	    {"- targets: [a]\n- target: [b]\n",
	     "2: unknown key 'target' in a group of targets (did you mean 'targets'?)"},
	    {"- targets: [a]\n- targets: [b\n",
	     "3: not valid YAML: did not find expected ',' or ']' while parsing a flow "
	     "sequence"},
	    {"- a\n",
	     "1: a group of targets must be a mapping (key: value), not a single "
	     "value"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_groups groups = {0};
		char error[CONFIG_ERROR_LEN];

		read_text(cases[i][0], &groups, error);
		assert_string_equal(error, cases[i][1]);
		assert_int_equal(groups.count, 0);
		assert_null(groups.items);
	}
}

/* Who writes such a file need not be who may see the environment. */
static void variables_stay_as_they_are_written(void **state)
{
	struct config_groups groups = {0};
	char error[CONFIG_ERROR_LEN];

	(void)state;
	setenv("CONFIG_TARGETS_SECRET", "s3cret", 1);
	read_text("- targets: ['${env:CONFIG_TARGETS_SECRET}']\n"
		  "  labels: {x: '${env:CONFIG_TARGETS_NONE}'}\n",
		  &groups, error);
	assert_string_equal(error, "");
	assert_string_equal(groups.items[0].targets.items[0],
			    "${env:CONFIG_TARGETS_SECRET}");
	assert_string_equal(groups.items[0].labels.items[0].value,
			    "${env:CONFIG_TARGETS_NONE}");
	config_free_groups(&groups);
}

static void a_missing_file_is_an_error(void **state)
{
	struct config_groups groups = {0};
	char error[CONFIG_ERROR_LEN];

	(void)state;
	assert_int_equal(config_read_groups_file("/nowhere.json", &groups, error),
			 -EINVAL);
	assert_string_equal(
	    error, "/nowhere.json: cannot be opened: No such file or directory");
}

static void addresses_are_hosts_with_or_without_a_port(void **state)
{
	static const char *const good[] = {"a", "a:1", "1.2.3.4:65535", "[::1]",
					   "[::1]:9"};
	char much[400];

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_null(config_address_problem(good[i]));
	assert_string_equal(config_address_problem(""), "is empty");
	memset(much, 'a', sizeof(much));
	much[sizeof(much) - 1] = 0;
	assert_string_equal(config_address_problem(much), "is too long");
	much[290] = 0;
	assert_string_equal(config_address_problem(much), "has no valid host");
	assert_string_equal(config_address_problem("::1"), "has no valid host");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_and_yaml_say_the_same),
	    cmocka_unit_test(a_file_may_have_no_targets),
	    cmocka_unit_test(broken_files_name_the_line_and_give_nothing),
	    cmocka_unit_test(variables_stay_as_they_are_written),
	    cmocka_unit_test(a_missing_file_is_an_error),
	    cmocka_unit_test(addresses_are_hosts_with_or_without_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
