/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "watches.h"
#include "workshop.h"

#define PATH_LEN 256

struct scene {
	char workshop[WORKSHOP_LEN];
	char pattern[PATH_LEN];
	char *exes[1], *libs[1];
	struct config_function rule;
	struct subjects subjects;
	struct watches watches;
	int written[4]; /* since the last look */
	size_t written_count;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	scene->watches.fd = -1;
	workshop_open(scene->workshop);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	watches_close(&scene->watches);
	watches_close(&scene->watches);
	subjects_free(&scene->subjects);
	workshop_close(scene->workshop);
	free(scene);
	return 0;
}

/* Of files of that name in the workshop. */
static void watch(struct scene *scene, const char *name)
{
	snprintf(scene->pattern, PATH_LEN, "%s/%s", scene->workshop, name);
	scene->exes[0] = scene->pattern;
	scene->rule.exes = (struct config_strings){scene->exes, 1};
	assert_int_equal(subjects_create(&scene->rule, 1, &scene->subjects), 0);
	assert_int_equal(watches_open(&scene->rule, &scene->subjects, &scene->watches),
			 0);
}

static void note(void *context, int file)
{
	struct scene *scene = context;

	assert_true(scene->written_count < LENGTH(scene->written));
	scene->written[scene->written_count++] = file;
}

static bool take(struct scene *scene)
{
	scene->written_count = 0;
	return watches_take(&scene->watches, note, scene);
}

/* Whether the command is news, of which there are none else. */
static bool is_news(struct scene *scene, const char *command)
{
	struct pollfd wait = {.fd = scene->watches.fd, .events = POLLIN};
	bool news;

	workshop_run(scene->workshop, command);
	news = take(scene);
	assert_int_equal(poll(&wait, 1, 0), 0);
	return news;
}

static void files_of_the_rule_s_name_are_news(void **state)
{
	struct scene *scene = *state;

	watch(scene, "shop*");
	assert_true(is_news(scene, "echo x > shop.1"));
	assert_true(is_news(scene, "ln -s shop.1 shop.2"));
	assert_false(is_news(scene, "echo x > pay"));
	assert_true(is_news(scene, "mv pay shop.3"));
	assert_false(is_news(scene, "mv shop.3 pay; rm shop.1"));
	assert_int_equal(scene->written_count, 0);
}

static void a_directory_that_comes_is_watched_from_the_next_look_on(void **state)
{
	struct scene *scene = *state;

	watch(scene, "new/shop");
	assert_false(is_news(scene, "mkdir new; echo x > new/shop"));
	watches_look(&scene->watches);
	assert_true(is_news(scene, "echo x > new/shop"));
}

static void a_library_is_news_by_its_soname(void **state)
{
	struct scene *scene = *state;

	scene->libs[0] = (char *)"libshop.so.1";
	scene->rule.libs = (struct config_strings){scene->libs, 1};
	watch(scene, "absent");
	assert_true(is_news(scene, "echo x > libshop.so.1"));
	assert_true(is_news(scene, "echo x > libshop.so.1.2"));
	assert_false(is_news(scene, "echo x > libshop.so.10"));
	assert_false(is_news(scene, "echo x > libshop.so"));
}

/* By another name, in a directory that nobody watches. */
static void a_file_is_watched_whatever_path_it_is_written_by(void **state)
{
	struct scene *scene = *state;
	char path[PATH_LEN];
	int fd, file;

	workshop_run(scene->workshop, "mkdir a b; echo x > a/one; ln a/one b/two");
	watch(scene, "absent");
	snprintf(path, sizeof(path), "%s/a/one", scene->workshop);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	file = watches_add_file(&scene->watches, fd);
	assert_true(file >= 0);
	assert_true(is_news(scene, "echo y >> b/two")); /* it is closed by now */
	assert_int_equal(scene->written_count, 1);
	assert_int_equal(scene->written[0], file);
	assert_false(is_news(scene, "cat a/one"));
	assert_int_equal(scene->written_count, 0);
	close(fd);
	assert_true(watches_add_file(&scene->watches, fd) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(files_of_the_rule_s_name_are_news),
	    TEST(a_directory_that_comes_is_watched_from_the_next_look_on),
	    TEST(a_library_is_news_by_its_soname),
	    TEST(a_file_is_watched_whatever_path_it_is_written_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
