/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "length.h"
#include "secret.h"

#define SECRET_MAX 65536

static char path[64];

static int make_directory(void **state)
{
	static char name[] = "/tmp/test_secret.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(name));
	snprintf(path, sizeof(path), "%s/secret", name);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	*strrchr(path, '/') = 0;
	return rmdir(path);
}

static void write_file(const void *data, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void blanks_around_it_go_and_those_within_stay(void **state)
{
	static const struct {
		const char *file, *secret;
	} cases[] = {
	    {"abc", "abc"},
	    {"abc\n", "abc"},
	    {" \t\r\nabc \t\r\n\n", "abc"},
	    {"a b\tc\n", "a b\tc"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		AUTO_WIPE char *secret = NULL;

		write_file(cases[i].file, strlen(cases[i].file));
		assert_int_equal(secret_read(path, &secret), 0);
		assert_string_equal(secret, cases[i].secret);
	}
}

static void what_cannot_be_a_header_is_refused(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} cases[] = {
	    {"", 0}, {" \n", 2}, {"a\nb", 3}, {"a\rb", 3}, {"a\0b", 3}, {"a\0", 2},
	};
	char *secret = (char *)"untouched";

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		write_file(cases[i].data, cases[i].len);
		assert_int_equal(secret_read(path, &secret), -EINVAL);
	}
	assert_string_equal(secret, "untouched");
}

static void the_longest_has_64_kib(void **state)
{
	static char text[SECRET_MAX + 1];
	AUTO_WIPE char *secret = NULL;

	(void)state;
	memset(text, 's', sizeof(text));
	write_file(text, SECRET_MAX);
	assert_int_equal(secret_read(path, &secret), 0);
	assert_int_equal(strlen(secret), SECRET_MAX);
	secret_wipe(&secret);
	write_file(text, SECRET_MAX + 1);
	assert_int_equal(secret_read(path, &secret), -EFBIG);
	assert_null(secret);
}

static void a_file_that_cannot_be_read_is_its_errno(void **state)
{
	char *secret = NULL;

	(void)state;
	unlink(path);
	assert_int_equal(secret_read(path, &secret), -ENOENT);
	assert_int_equal(secret_read("/", &secret), -EISDIR);
	/* A pipe without a writer does not stop us: it is empty. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(secret_read(path, &secret), -EINVAL);
	assert_null(secret);
	unlink(path);
}

/* RFC 7617 section 2, and every length of the last group (RFC 4648 section 4). */
static void basic_credentials_are_base64(void **state)
{
	static const struct {
		const char *username, *password, *credentials;
	} cases[] = {
	    {"Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
	    {"", "", "Og=="},
	    {"", "?", "Oj8="},
	    {"", "\377\376", "Ov/+"},
	    {"u", "p", "dTpw"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		AUTO_WIPE char *credentials = NULL;

		assert_int_equal(
		    secret_basic(cases[i].username, cases[i].password, &credentials),
		    0);
		assert_string_equal(credentials, cases[i].credentials);
	}
}

static void it_is_hidden_wherever_it_stands_and_where_it_is_cut(void **state)
{
	static const struct {
		const char *secret, *text, *shown;
	} cases[] = {
	    {"secret", "a secret, a secret", "a ******, a ******"},
	    {"secret", "secret", "******"},
	    {"secret", "it was secre", "it was *****"},
	    {"secret", "it was secr", "it was ****"},
	    {"secret", "it was sec", "it was sec"},
	    {"secret", "", ""},
	    {"secret", "Secret ecret", "Secret ecret"},
	    {"aa", "aaa", "**a"},
	    {"", "text", "text"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char *text = strdup(cases[i].text);

		secret_hide(text, cases[i].secret);
		assert_string_equal(text, cases[i].shown);
		free(text);
	}
}

static void a_wiped_one_is_gone(void **state)
{
	char *secret = strdup("secret");

	(void)state;
	secret_wipe(&secret);
	assert_null(secret);
	secret_wipe(&secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blanks_around_it_go_and_those_within_stay),
	    cmocka_unit_test(what_cannot_be_a_header_is_refused),
	    cmocka_unit_test(the_longest_has_64_kib),
	    cmocka_unit_test(a_file_that_cannot_be_read_is_its_errno),
	    cmocka_unit_test(basic_credentials_are_base64),
	    cmocka_unit_test(it_is_hidden_wherever_it_stands_and_where_it_is_cut),
	    cmocka_unit_test(a_wiped_one_is_gone),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
