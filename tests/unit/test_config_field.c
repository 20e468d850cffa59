/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "config_case.h"
#include "config_internal.h"
#include "length.h"

struct sample {
	char *text;
	char *path, *pem;
	bool flag;
	uint32_t number;
	uint64_t duration_ms;
	uint64_t bytes;
	uint32_t inner;
};

#define FIELD(member) .offset = offsetof(struct sample, member)

static const struct config_field inner_fields[] = {
    {"number", config_read_number, FIELD(inner), 0, 9, .required = true},
};
static const struct config_section inner_section = {"inner", inner_fields, 1, NULL};

static const struct config_field fields[] = {
    {"text", config_read_text, FIELD(text), .choice = 1},
    {"path", config_read_file_path, FIELD(path), .choice = 1},
    {"pem", config_read_pem_path, FIELD(pem)},
    {"flag", config_read_flag, FIELD(flag)},
    {"number", config_read_number, FIELD(number), 2, 4294967295},
    {"duration", config_read_duration, FIELD(duration_ms), 1000, 60000},
    {"bytes", config_read_bytes, FIELD(bytes), 1 << 20, 1ull << 40},
    {"inner", config_read_section, .section = &inner_section},
    {"old_flag", config_read_unused_flag, CONFIG_NO_TARGET},
    {"old_number", config_read_unused_number, .max = 9},
    {"old_duration", config_read_unused_duration, .max = 60000},
    {"old_text", config_read_unused_text, CONFIG_NO_TARGET},
    {"old_texts", config_read_unused_texts, CONFIG_NO_TARGET},
    {"never", config_read_unsupported, CONFIG_NO_TARGET},
    {"instead", config_read_unsupported, .hint = "use text"},
    {"only_false", config_read_only_false, CONFIG_NO_TARGET},
    {"only_zero", config_read_only_zero, .max = 60000},
    {"text_or_empty", config_read_text_or_empty, FIELD(text)},
};
static const struct config_section section = {"sample", fields, LENGTH(fields), NULL};

/* Reads folder/a.yaml holding the text; the error without the file's name. */
static int read_in(const char *folder, const char *yaml, struct sample *ret_sample,
		   char error[CONFIG_ERROR_LEN])
{
	char path[128], full[CONFIG_ERROR_LEN] = "";
	FILE *file;
	int err;

	snprintf(path, sizeof(path), "%s/a.yaml", folder);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(yaml, file);
	fclose(file);
	*ret_sample = (struct sample){0};
	err = config_read_file(path, &section, ret_sample, full);
	strcpy(error, err ? full + strlen(path) + 1 : "");
	unlink(path);
	return err;
}

static void sample_free(struct sample *sample)
{
	free(sample->text);
	free(sample->path);
	free(sample->pem);
}

static int make_folder(void **state)
{
	*state = mkdtemp(strdup("/tmp/bpftally-config-XXXXXX"));
	return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
	int err = rmdir(*state);

	free(*state);
	return err;
}

static void values_arrive_where_the_table_points(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct sample sample;

	assert_int_equal(read_in(*state,
				 "text: 12\nflag: yes\nnumber: 4294967295\n"
				 "duration: 1m\nbytes: 3MB\n"
				 "inner: {number: 0}\n",
				 &sample, error),
			 0);
	assert_string_equal(sample.text, "12");
	assert_true(sample.flag);
	assert_true(sample.number == UINT32_MAX);
	assert_int_equal(sample.duration_ms, 60000);
	assert_int_equal(sample.bytes, 3 << 20);
	assert_int_equal(sample.inner, 0);
	assert_null(sample.path);
	sample_free(&sample);
}

static void unused_values_are_judged_and_change_nothing(void **state)
{
	static const struct sample untouched;
	char error[CONFIG_ERROR_LEN];
	struct sample sample;

	assert_int_equal(read_in(*state,
				 "old_flag: true\nold_number: 9\nold_duration: 1m\n"
				 "old_text: a\nold_texts: [a, b]\n"
				 "only_false: false\nonly_zero: 0s\n",
				 &sample, error),
			 0);
	assert_memory_equal(&sample, &untouched, sizeof(sample));
}

static void a_list_may_be_nothing_or_empty(void **state)
{
	static const char *const lists[] = {"old_texts:\n", "old_texts: []\n"};
	char error[CONFIG_ERROR_LEN];
	struct sample sample;

	for (size_t i = 0; i < LENGTH(lists); i++)
		assert_int_equal(read_in(*state, lists[i], &sample, error), 0);
}

static void a_text_may_be_empty_only_where_the_reader_says_so(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct sample sample;

	assert_int_equal(read_in(*state, "text_or_empty: ''\n", &sample, error), 0);
	assert_string_equal(sample.text, "");
	free(sample.text);
	assert_int_equal(read_in(*state, "text: ''\n", &sample, error), -EINVAL);
	assert_string_equal(error, "1: 'text' has no value");
}

static const struct {
	const char *yaml, *error;
} refusals[] = {
    {"flag: 1\n", "1: 'flag' must be true or false, not '1'"},
    {"flag: [true]\n", "1: 'flag' must be a single value, not a list"},
    {"number: 1\n", "1: 'number' must be a whole number from 2 to 4294967295, not "
		    "'1'"},
    {"number: 4294967296\n", "1: 'number' must be a whole number from 2 to "
			     "4294967295, not '4294967296'"},
    {"number: 2.0\n", "1: 'number' must be a whole number from 2 to 4294967295, "
		      "not '2.0'"},
    {"duration: 999ms\n", "1: 'duration' must be a duration from 1s to 1m (like "
			  "1m30s), not '999ms'"},
    {"duration: 61s\n", "1: 'duration' must be a duration from 1s to 1m (like "
			"1m30s), not '61s'"},
    {"duration: 30\n", "1: 'duration' must be a duration from 1s to 1m (like "
		       "1m30s), not '30'"},
    {"text:\n", "1: 'text' has no value"},
    {"inner: {}\n", "1: inner needs 'number'"},
    {"inner:\n", "1: inner needs 'number'"},
    {"path: b\n", "1: 'path' 'b' cannot be read: No such file or directory"},
    {"path: /\n", "1: 'path' '/' cannot be read: not a regular file"},
    {"path: /dev/null\n", "1: 'path' '/dev/null' cannot be read: not a regular file"},
    {"pem: b\n", "1: 'pem' 'b' cannot be read: No such file or directory"},
    {"pem: /dev/zero\n", "1: 'pem' '/dev/zero' cannot be read: not a regular file"},
    {"pem: a.yaml\n", "1: 'pem' 'a.yaml' cannot be read: no PEM file"},
    {"pem: '${env:BPFTALLY_TEST_PATH}'\n",
     "1: 'pem' '${env:BPFTALLY_TEST_PATH}' cannot be read: No such file or "
     "directory"},
    {"text: a\npath: b\n", "2: 'text' and 'path' exclude each other"},
    {"old_flag: x\n", "1: 'old_flag' must be true or false, not 'x'"},
    {"old_number: 10\n",
     "1: 'old_number' must be a whole number from 0 to 9, not '10'"},
    {"old_duration: x\n", "1: 'old_duration' must be a duration from 0s to 1m "
			  "(like 1m30s), not 'x'"},
    {"old_text: [a]\n", "1: 'old_text' must be a single value, not a list"},
    {"old_texts: a\n", "1: 'old_texts' must be a list, not 'a'"},
    {"old_texts: [a, [b]]\n", "1: 'old_texts' must be a single value, not a list"},
    {"never: a\n", "1: 'never' is not supported"},
    {"never:\n", "1: 'never' is not supported"},
    {"instead: {a: b}\n", "1: 'instead' is not supported; use text"},
    {"only_false: true\n", "1: 'only_false: true' is not supported"},
    {"only_zero: 1ms\n", "1: 'only_zero' other than 0s is not supported"},
    {"text_or_empty:\n", "1: 'text_or_empty' has no value"},
    {"text_or_empty: [a]\n", "1: 'text_or_empty' must be a single value, not a list"},
};

static void what_does_not_fit_is_refused(void **state)
{
	setenv("BPFTALLY_TEST_PATH", "secret", 1);
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		char error[CONFIG_ERROR_LEN];
		struct sample sample;

		assert_int_equal(read_in(*state, refusals[i].yaml, &sample, error),
				 -EINVAL);
		assert_string_equal(error, refusals[i].error);
		sample_free(&sample);
	}
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void remove_file(const char *folder, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
}

static void paths_are_relative_to_the_file(void **state)
{
	char error[CONFIG_ERROR_LEN], want[128], before[4096];
	struct sample sample;

	write_file(*state, "token", "secret");
	assert_int_equal(read_in(*state, "path: ./token\n", &sample, error), 0);
	snprintf(want, sizeof(want), "%s/./token", (const char *)*state);
	assert_string_equal(sample.path, want);
	sample_free(&sample);

	assert_int_equal(read_in(*state, "path: /etc/passwd\n", &sample, error), 0);
	assert_string_equal(sample.path, "/etc/passwd");
	sample_free(&sample);

	/* A file named without a folder: relative to where we are. */
	write_file(*state, "b.yaml", "path: token\n");
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(*state), 0);
	sample = (struct sample){0};
	assert_int_equal(config_read_file("b.yaml", &section, &sample, error), 0);
	assert_string_equal(sample.path, "token");
	sample_free(&sample);
	assert_int_equal(chdir(before), 0);
	remove_file(*state, "b.yaml");
	remove_file(*state, "token");
}

static void a_pem_file_is_told_by_its_first_line(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
	    {"-----BEGIN CERTIFICATE-----\n", 0},
	    {"subject=a\nissuer=b\n\n-----BEGIN PRIVATE KEY-----\n", 0},
	    {"", -EINVAL},
	    {"BEGIN CERTIFICATE\n", -EINVAL},
	    {"<html>\n", -EINVAL},
	};
	char error[CONFIG_ERROR_LEN];
	struct sample sample;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		write_file(*state, "pem", cases[i].text);
		assert_int_equal(read_in(*state, "pem: pem\n", &sample, error),
				 cases[i].err);
		sample_free(&sample);
	}
	remove_file(*state, "pem");
}

/* Root may read anything: judged as somebody else. */
static void a_file_of_others_cannot_be_read(void **state)
{
	char error[CONFIG_ERROR_LEN], path[128];
	struct sample sample;
	int err;

	snprintf(path, sizeof(path), "%s/token", (const char *)*state);
	write_file(*state, "token", "secret");
	assert_int_equal(chmod(path, 0) | chmod(*state, 0777), 0);
	if (!getuid())
		assert_int_equal(seteuid(65534), 0);
	err = read_in(*state, "path: token\n", &sample, error);
	if (!getuid())
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(err, -EINVAL);
	assert_string_equal(error,
			    "1: 'path' 'token' cannot be read: Permission denied");
	sample_free(&sample);
	remove_file(*state, "token");
}

static void a_label_is_found_by_its_whole_name(void **state)
{
	struct config_labels labels = {0};

	(void)state;
	assert_null(config_label(&labels, "a"));
	assert_true(config_add_label(&labels, "ab", "1"));
	assert_true(config_add_label(&labels, "a", "2"));
	assert_true(config_add_label(&labels, "a", "3"));
	assert_string_equal(config_label(&labels, "a"), "2");
	assert_string_equal(config_label(&labels, "ab"), "1");
	assert_null(config_label(&labels, "b"));
	config_free_labels(&labels);
}

static void labels_keep_their_order(void **state)
{
	struct config_labels labels = {0};

	(void)state;
	assert_true(config_add_label(&labels, "b", "1"));
	assert_true(config_add_label(&labels, "a", "2"));
	assert_int_equal(labels.count, 2);
	assert_string_equal(labels.items[0].name, "b");
	assert_string_equal(labels.items[1].value, "2");
	config_free_labels(&labels);
	assert_int_equal(labels.count, 0);
	config_free_labels(&labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_arrive_where_the_table_points),
	    cmocka_unit_test(unused_values_are_judged_and_change_nothing),
	    cmocka_unit_test(a_list_may_be_nothing_or_empty),
	    cmocka_unit_test(a_text_may_be_empty_only_where_the_reader_says_so),
	    cmocka_unit_test(what_does_not_fit_is_refused),
	    cmocka_unit_test(paths_are_relative_to_the_file),
	    cmocka_unit_test(a_pem_file_is_told_by_its_first_line),
	    cmocka_unit_test(a_file_of_others_cannot_be_read),
	    cmocka_unit_test(a_label_is_found_by_its_whole_name),
	    cmocka_unit_test(labels_keep_their_order),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
