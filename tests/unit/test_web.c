/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate.h"
#include "web.h"

#define HASH "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
#define ANN "basic_auth_users: {ann: '" HASH "'}\n"
#define TLS "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"

static char directory[] = "/tmp/test_web.XXXXXX";
static char path[64];
static struct identity first, second;
static int log_fd = -1;

static const char *path_of(const char *name)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s/%s", directory, name);
	return text;
}

/* A new file each time, as editors and cert-manager do it. */
static void put(const char *name, const char *text)
{
	char temporary[128];
	FILE *file;

	snprintf(temporary, sizeof(temporary), "%s/new", directory);
	file = fopen(temporary, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(temporary, path_of(name)), 0);
}

static void put_identity(const struct identity *identity)
{
	put("cert.pem", identity->cert);
	put("key.pem", identity->key);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web.yml", directory);
	first = make_identity("first", GNUTLS_PK_ECDSA, NULL);
	second = make_identity("second", GNUTLS_PK_ECDSA, NULL);
	put_identity(&first);
	log_fd = open(path_of("log"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return log_fd < 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"web.yml", "cert.pem", "key.pem", "log"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	identity_free(&first);
	identity_free(&second);
	close(log_fd);
	return rmdir(directory);
}

static struct web *open_good(const char *text)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct web *web = NULL;

	put("web.yml", text);
	if (web_open(path, &web, error))
		fail_msg("%s", error);
	return web;
}

/* What a refresh logs, without the path. */
static bool refresh(struct web *web, uint64_t now_ms, const char *expected)
{
	int stderr_fd = dup(STDERR_FILENO);
	char text[1024] = "";
	bool changed;
	ssize_t len;

	assert_int_equal(ftruncate(log_fd, 0), 0);
	dup2(log_fd, STDERR_FILENO);
	changed = web_refresh(web, now_ms);
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	len = pread(log_fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	if (!*expected)
		assert_string_equal(text, "");
	else if (!strstr(text, expected))
		fail_msg("\"%s\" is not in \"%s\"", expected, text);
	return changed;
}

static void what_has_not_changed_is_not_read_again(void **state)
{
	struct web *web = open_good(ANN);

	(void)state;
	assert_false(refresh(web, 0, ""));
	assert_false(refresh(web, 1000000, ""));
	web_free(&web);
	assert_null(web);
	web_free(&web);
}

static void a_new_version_is_read_when_it_is_asked_for(void **state)
{
	struct web *web = open_good(ANN);

	(void)state;
	assert_int_equal(web_config(web)->users.count, 1);
	put("web.yml", "basic_auth_users: {ann: '" HASH "', bob: '" HASH "'}\n");
	assert_true(refresh(web, 0, "was read again"));
	assert_int_equal(web_config(web)->users.count, 2);
	assert_false(refresh(web, 0, ""));
	web_free(&web);
}

/* Of the same size and age, as an editor that keeps times leaves it. */
static void a_change_in_place_is_seen(void **state)
{
	struct web *web = open_good(ANN);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct stat before;

	(void)state;
	assert_int_equal(fstat(fd, &before), 0);
	poll(NULL, 0, 20); /* past a tick of the file system's clock */
	assert_int_equal(pwrite(fd, "eve", 3, 19), 3);
	assert_int_equal(
	    futimens(fd, (struct timespec[]){before.st_atim, before.st_mtim}), 0);
	close(fd);
	assert_true(refresh(web, 0, "was read again"));
	assert_string_equal(web_config(web)->users.items[0].name, "eve");
	web_free(&web);
}

static void a_broken_version_changes_nothing_and_is_told_once(void **state)
{
	struct web *web = open_good(ANN);

	(void)state;
	put("web.yml", "basic_auth_users: {ann: x}\n");
	assert_false(refresh(web, 1000, "going on with what it said before"));
	assert_string_equal(web_config(web)->users.items[0].value, HASH);
	assert_false(refresh(web, 1500, ""));
	assert_false(refresh(web, 2500, "")); /* tried again */
	put("web.yml", "basic_auth_users: [x]\n");
	assert_false(refresh(web, 2600, "must be a mapping"));
	unlink(path);
	assert_false(refresh(web, 2700, "cannot be opened"));
	put("web.yml", ANN);
	assert_true(refresh(web, 2800, "was read again"));
	put("web.yml", "basic_auth_users: {ann: x}\n");
	assert_false(refresh(web, 2900, "going on")); /* wrong anew */
	web_free(&web);
}

/* The version that names it was read, and broken, before it came. */
static void a_file_that_comes_late_is_found(void **state)
{
	struct web *web;

	(void)state;
	put_identity(&first);
	web = open_good(TLS);
	put("web.yml", "tls_server_config: {cert_file: late.pem, key_file: key.pem}\n");
	assert_false(refresh(web, 1000, "late.pem"));
	put("late.pem", first.cert);
	assert_false(refresh(web, 1999, ""));
	assert_true(refresh(web, 2000, "was read again"));
	unlink(path_of("late.pem"));
	web_free(&web);
}

static void a_new_certificate_is_seen_without_a_new_file(void **state)
{
	struct web_tls *before;
	struct web *web;

	(void)state;
	put_identity(&first);
	web = open_good(TLS);
	before = web_tls_get(web_tls_of(web));
	put("cert.pem", second.cert); /* its key is not there yet */
	assert_false(refresh(web, 0, "do not match"));
	assert_ptr_equal(web_tls_of(web), before);
	put("key.pem", second.key);
	assert_true(refresh(web, 1, "was read again"));
	assert_ptr_not_equal(web_tls_of(web), before);
	web_tls_put(&before);
	web_free(&web);
}

static void tls_neither_comes_nor_goes(void **state)
{
	struct web *web;

	(void)state;
	put_identity(&first);
	web = open_good(TLS);
	put("web.yml", ANN);
	assert_false(refresh(web, 0, "whether there is TLS cannot change"));
	assert_non_null(web_tls_of(web));
	web_free(&web);
	web = open_good(ANN);
	assert_null(web_tls_of(web));
	put("web.yml", TLS);
	assert_false(refresh(web, 0, "whether there is TLS cannot change"));
	assert_null(web_tls_of(web));
	web_free(&web);
}

static void what_is_broken_at_the_start_is_not_opened(void **state)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct web *web = NULL;

	(void)state;
	put("web.yml", "x");
	assert_int_not_equal(web_open(path, &web, error), 0);
	assert_null(web);
	put("web.yml", TLS);
	put("cert.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
	assert_int_not_equal(web_open(path, &web, error), 0);
	assert_non_null(strstr(error, path));
	assert_non_null(strstr(error, "certificate and key cannot be used"));
	assert_null(web);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_has_not_changed_is_not_read_again),
	    cmocka_unit_test(a_new_version_is_read_when_it_is_asked_for),
	    cmocka_unit_test(a_change_in_place_is_seen),
	    cmocka_unit_test(a_broken_version_changes_nothing_and_is_told_once),
	    cmocka_unit_test(a_file_that_comes_late_is_found),
	    cmocka_unit_test(a_new_certificate_is_seen_without_a_new_file),
	    cmocka_unit_test(tls_neither_comes_nor_goes),
	    cmocka_unit_test(what_is_broken_at_the_start_is_not_opened),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
