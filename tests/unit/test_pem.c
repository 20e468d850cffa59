/* SPDX-License-Identifier: Apache-2.0 */
/* pem.c: files, and what a changed one does to requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pem.h"
#include "receiving.h"

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

/* NULL: nothing new. */
static void expect_bytes(struct pem *pem, const char *text)
{
	char *bytes = (char *)"not set";
	size_t len = 0;

	assert_int_equal(pem_load(pem, &bytes, &len), 0);
	if (!text) {
		assert_null(bytes);
		return;
	}
	assert_int_equal(len, strlen(text));
	assert_memory_equal(bytes, text, len);
	pem_wipe(&bytes, len);
	assert_null(bytes);
}

static void a_file_is_read_once_and_when_it_has_changed(void **state)
{
	struct scene *scene = *state;
	struct pem pem = {.path = scene->token_path}, none = {0};

	put(scene->token_path, "one");
	expect_bytes(&pem, "one");
	expect_bytes(&pem, NULL);
	put(scene->token_path, "longer");
	expect_bytes(&pem, "longer");
	expect_bytes(&pem, NULL);
	/* Whoever could not use it gets it again. */
	pem.is_read = false;
	expect_bytes(&pem, "longer");
	expect_bytes(&none, NULL);
}

static void a_file_that_cannot_be_one_is_refused(void **state)
{
	struct scene *scene = *state;
	struct pem pem = {.path = scene->token_path};
	char *bytes;
	size_t len;

	assert_int_equal(pem_load(&pem, &bytes, &len), -ENOENT);
	put(scene->token_path, "");
	assert_int_equal(pem_load(&pem, &bytes, &len), -ENODATA);
	assert_int_equal(truncate(scene->token_path, (4 << 20) + 1), 0);
	assert_int_equal(pem_load(&pem, &bytes, &len), -EFBIG);
	assert_null(bytes);
	assert_int_equal(truncate(scene->token_path, 4 << 20), 0);
	assert_int_equal(pem_load(&pem, &bytes, &len), 0);
	assert_int_equal(len, 4 << 20);
	pem_wipe(&bytes, len);
	pem.path = "/tmp";
	assert_int_equal(pem_load(&pem, &bytes, &len), -EISDIR);
}

static void copy_file(const char *from, const char *to)
{
	run_program((char *[]){"/bin/cp", (char *)from, (char *)to, NULL});
}

/* An authority that comes later lets the next request through, without a restart. */
static void an_authority_is_read_again_when_its_file_changes(void **state)
{
	struct scene *scene = *state;
	struct child child, other;
	char cert[64], wrong[64], ca[128];

	receiver_start(&child, "204", true);
	receiver_start(&other, "204", true);
	snprintf(cert, sizeof(cert), "%s/cert.pem", child.directory);
	snprintf(wrong, sizeof(wrong), "%s/cert.pem", other.directory);
	snprintf(ca, sizeof(ca), "%s.ca", scene->token_path);
	copy_file(wrong, ca);
	snprintf(scene->urls[0], sizeof(scene->urls[0]), "https://127.0.0.1:%u/push",
		 child.port);
	scene->endpoints[0].http.tls =
	    (struct config_tls){.ca_file = ca, .server_name = (char *)"push.test"};
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried, 2);
	copy_file(cert, ca);
	deliver(scene);
	expect_metric(scene, "samples", 1);
	/* And the other way round: a connection made under the old one is not used. */
	copy_file(wrong, ca);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried,
		  (size_t)metric_of(scene, "first", "samples_retried") + 2);
	expect_metric(scene, "samples", 1);
	unlink(ca);
	receiver_end(&child);
	receiver_end(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_file_is_read_once_and_when_it_has_changed),
	    TEST(a_file_that_cannot_be_one_is_refused),
	    TEST(an_authority_is_read_again_when_its_file_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
