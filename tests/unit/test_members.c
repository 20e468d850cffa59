/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include "fake_proc.h"
#include "members.h"

#define RULES 70 /* more than a word of bits */
#define PIDS 32

static struct {
	struct tally_function_member told[PIDS];
	bool forgotten[PIDS];
	size_t count;
	int err;
	uint32_t gone; /* has no descriptor */
} fake;

/* --- the kernel: a descriptor is as long as its pid --------------------------------
 */

int pidfd_open(pid_t pid, unsigned int flags)
{
	int fd;

	assert_int_equal(flags, 0);
	if ((uint32_t)pid == fake.gone)
		return -1;
	fd = memfd_create("pid", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, pid), 0);
	return fd;
}

int uprobes_set_member(struct uprobes *uprobes, int pidfd,
		       const struct tally_function_member *member)
{
	struct stat status;

	assert_ptr_equal(uprobes, &fake);
	assert_int_equal(fstat(pidfd, &status), 0);
	assert_true(status.st_size < PIDS);
	fake.count++;
	fake.forgotten[status.st_size] = !member;
	if (member)
		fake.told[status.st_size] = *member;
	return fake.err;
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	char proc[FAKE_ROOT_LEN];
	struct config config;
	struct config_function rules[RULES];
	char *names[RULES][2];
	struct subjects subjects;
	struct members *members;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	memset(&fake, 0, sizeof(fake));
	fake_proc_create(scene->proc);
	scene->config.functions = scene->rules;
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	members_free(&scene->members);
	assert_null(scene->members);
	subjects_free(&scene->subjects);
	fake_proc_remove(scene->proc);
	free(scene);
	return 0;
}

/* NULL: no such name. */
static void add_rule(struct scene *scene, const char *name, const char *other)
{
	const size_t i = scene->config.function_count++;

	scene->names[i][0] = (char *)(uintptr_t)name;
	scene->names[i][1] = (char *)(uintptr_t)other;
	scene->rules[i].services =
	    (struct config_strings){scene->names[i], (size_t)(!!name + !!other)};
}

static void create(struct scene *scene, bool with_kernel)
{
	assert_int_equal(subjects_create(scene->rules, scene->config.function_count,
					 &scene->subjects),
			 0);
	assert_int_equal(members_create(&scene->config, scene->proc, &scene->subjects,
					with_kernel ? (struct uprobes *)&fake : NULL,
					&scene->members),
			 0);
}

static void start(struct scene *scene, uint32_t pid, const char *name)
{
	char environment[64];
	const struct fake_process process = {.exe = "/bin/shop",
					     .environ = environment};

	snprintf(environment, sizeof(environment), "OTEL_SERVICE_NAME=%s", name);
	fake_proc_add(scene->proc, pid, &process);
}

/* Of the first rule's subject. */
static bool lists(const struct scene *scene, uint32_t rule, uint32_t pid)
{
	const struct binaries_pids *pids =
	    members_of(scene->members, subjects_of_rule(&scene->subjects, rule));

	assert_non_null(pids);
	for (size_t i = 0; i < pids->count; i++)
		if (pids->items[i] == pid)
			return true;
	return false;
}

static size_t listed(const struct scene *scene, uint32_t rule)
{
	return members_of(scene->members, subjects_of_rule(&scene->subjects, rule))
	    ->count;
}

static bool is_told(uint32_t pid, uint32_t rule)
{
	return fake.told[pid].rules[rule / 64] >> rule % 64 & 1;
}

/* --- tests -------------------------------------------------------------------- */

static void processes_are_members_by_the_name_of_their_service(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop-*", "till");
	add_rule(scene, "shop-eu", NULL);
	start(scene, 10, "shop-eu");
	start(scene, 11, "till");
	start(scene, 12, "stall");
	create(scene, true);
	assert_int_equal(members_find(scene->members), 0);
	assert_true(lists(scene, 0, 10) && lists(scene, 0, 11));
	assert_int_equal(listed(scene, 0), 2);
	assert_true(lists(scene, 1, 10));
	assert_int_equal(listed(scene, 1), 1);
	assert_int_equal(fake.count, 3);
	assert_true(is_told(10, 0) && is_told(10, 1));
	assert_true(is_told(11, 0) && !is_told(11, 1));
	assert_true(fake.forgotten[12]);
}

static void every_rule_of_a_subject_has_its_bit(void **state)
{
	struct scene *scene = *state;

	for (size_t i = 0; i < RULES; i++)
		add_rule(scene, i % 2 ? "till" : "shop", NULL);
	start(scene, 10, "till");
	create(scene, true);
	assert_int_equal(scene->subjects.count, 2);
	assert_int_equal(members_find(scene->members), 0);
	for (uint32_t i = 0; i < RULES; i++)
		assert_int_equal(is_told(10, i), i % 2);
}

static void where_no_rule_names_a_service_nobody_is_asked(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, NULL, NULL);
	start(scene, 10, "shop");
	create(scene, true);
	assert_int_equal(members_find(scene->members), 0);
	assert_int_equal(members_find_one(scene->members, 10), 0);
	assert_int_equal(fake.count, 0);
	assert_null(members_of(scene->members, &scene->subjects.items[0]));
}

static void a_search_for_one_lists_it_alone(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", NULL);
	for (uint32_t pid = 1; pid <= 20; pid++)
		start(scene, pid, "shop");
	create(scene, true);
	assert_int_equal(members_find(scene->members), 0);
	assert_int_equal(listed(scene, 0), 20);
	assert_int_equal(members_find_one(scene->members, 7), 0);
	assert_int_equal(listed(scene, 0), 1);
	assert_true(lists(scene, 0, 7));
	assert_int_equal(members_find_one(scene->members, 30), 0);
	assert_int_equal(listed(scene, 0), 0);
}

static void a_process_that_ends_meanwhile_is_none(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", NULL);
	start(scene, 10, "shop");
	start(scene, 11, "shop");
	create(scene, true);
	fake.gone = 10;
	fake.err = -ESRCH;
	assert_int_equal(members_find(scene->members), 0);
	assert_int_equal(fake.count, 1);
	fake.err = -ENOMEM;
	assert_int_equal(members_find(scene->members), -ENOMEM);
}

static void without_a_kernel_they_are_listed_only(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", NULL);
	start(scene, 10, "shop");
	create(scene, false);
	assert_int_equal(members_find(scene->members), 0);
	assert_true(lists(scene, 0, 10));
	assert_int_equal(fake.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(processes_are_members_by_the_name_of_their_service),
	    TEST(every_rule_of_a_subject_has_its_bit),
	    TEST(where_no_rule_names_a_service_nobody_is_asked),
	    TEST(a_search_for_one_lists_it_alone),
	    TEST(a_process_that_ends_meanwhile_is_none),
	    TEST(without_a_kernel_they_are_listed_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
