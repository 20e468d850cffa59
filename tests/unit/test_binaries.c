/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/sysmacros.h>

#include "binaries.h"
#include "fake_proc.h"
#include "workshop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATH_LEN 256

struct scene {
	char workshop[WORKSHOP_LEN];
	char proc[FAKE_ROOT_LEN];
	char names[8][PATH_LEN]; /* of the rule */
	size_t name_count;
	char *exes[4], *libs[4];
	struct config_function rule;
	struct binaries found;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	workshop_open(scene->workshop);
	fake_proc_create(scene->proc);
	scene->rule.exes.items = scene->exes;
	scene->rule.libs.items = scene->libs;
	workshop_source(scene->workshop, "shop", "\177ELF one");
	workshop_source(scene->workshop, "stall", "\177ELF two");
	workshop_source(scene->workshop, "libshop.so.1.2", "\177ELF three");
	workshop_source(scene->workshop, "empty", "");
	workshop_run(scene->workshop, "ln shop hard; ln -s shop soft; mkdir shops; "
				      "mkfifo shopping; ln -s nowhere shop.lost; "
				      "ln -s libshop.so.1.2 libshop.so.1");
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	binaries_free(&scene->found);
	assert_null(scene->found.items);
	fake_proc_remove(scene->proc);
	workshop_close(scene->workshop);
	free(scene);
	return 0;
}

/* --- a rule, processes -------------------------------------------------------- */

/* "@/x" is x of the workshop. */
static char *full_path(struct scene *scene, const char *name)
{
	char *path = scene->names[scene->name_count++];

	assert_true(scene->name_count <= COUNT(scene->names));
	snprintf(path, PATH_LEN, "%s%s", *name == '@' ? scene->workshop : "",
		 name + (*name == '@'));
	return path;
}

static void name_exe(struct scene *scene, const char *name)
{
	scene->exes[scene->rule.exes.count++] = full_path(scene, name);
}

static void name_lib(struct scene *scene, const char *name)
{
	scene->libs[scene->rule.libs.count++] = full_path(scene, name);
}

static void name_pid(struct scene *scene, uint32_t pid)
{
	scene->rule.pids[scene->rule.pid_count++] = pid;
}

/* Only these are looked at. */
static void find_among(struct scene *scene, uint32_t pid, size_t count, size_t expected)
{
	const struct binaries_pids among = {&pid, count};

	binaries_free(&scene->found);
	assert_int_equal(
	    binaries_find(&scene->rule, &among, scene->proc, &scene->found), 0);
	assert_int_equal(scene->found.count, expected);
}

static void new_rule(struct scene *scene)
{
	scene->rule.exes.count = scene->rule.libs.count = scene->rule.pid_count = 0;
	scene->name_count = 0;
}

static void start(struct scene *scene, uint32_t pid, const char *exe)
{
	char target[PATH_LEN], path[PATH_LEN];
	const struct fake_process process = {.exe = target};

	snprintf(target, sizeof(target), "%s/%s", scene->workshop, exe);
	fake_proc_add(scene->proc, pid, &process);
	snprintf(path, sizeof(path), "%s/%u/root", scene->proc, pid);
	assert_int_equal(symlink("/", path), 0);
}

/* What the kernel calls the file: as the code finds it. */
static struct binary_identity identity_of(struct scene *scene, const char *name)
{
	struct binaries found = {};
	struct binary_identity identity;
	char path[PATH_LEN], *item = path;
	const struct config_function rule = {.exes = {&item, 1}};

	snprintf(path, sizeof(path), "%s/%s", scene->workshop, name);
	assert_int_equal(binaries_find(&rule, NULL, "/nowhere", &found), 0);
	assert_int_equal(found.count, 1);
	identity = found.items[0].identity;
	binaries_free(&found);
	return identity;
}

struct mapped {
	const char *rights, *name, *after; /* NULL: nothing after the name */
	struct binary_identity identity;
};

static void map_files(struct scene *scene, uint32_t pid, const struct mapped *mapped,
		      size_t count)
{
	char text[4096] =
	    "00400000-00401000 r-xp 00000000 00:00 0 \n"
	    "7ffd0000-7ffd1000 r-xp 00000000 00:00 0                      [vdso]\n"
	    "no line of the kernel's\n";

	for (size_t i = 0; i < count; i++) {
		const struct binary_identity identity = mapped[i].identity;
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len,
			 "7f%03zx000-7f%03zx800 %s 00001000 %02x:%02x %llu   %s/%s%s\n",
			 i, i, mapped[i].rights, (unsigned int)(identity.device >> 20),
			 (unsigned int)(identity.device & 0xfffff),
			 (unsigned long long)identity.inode, scene->workshop,
			 mapped[i].name, mapped[i].after ? mapped[i].after : "");
	}
	fake_proc_write(scene->proc, pid, "maps", text, strlen(text));
}

static void find(struct scene *scene, size_t expected)
{
	binaries_free(&scene->found);
	assert_int_equal(binaries_find(&scene->rule, NULL, scene->proc, &scene->found),
			 0);
	if (scene->found.count != expected)
		for (size_t i = 0; i < scene->found.count; i++)
			print_error("found %s\n", scene->found.items[i].path);
	assert_int_equal(scene->found.count, expected);
}

/* In whatever order. pid 0: on disk. */
static void expect(struct scene *scene, uint32_t pid, const char *path_end,
		   const char *name)
{
	char path[PATH_LEN], shown[PATH_LEN], root[PATH_LEN] = "";

	snprintf(shown, sizeof(shown), "%s/%s", scene->workshop, name);
	strcpy(path, shown);
	if (pid) {
		snprintf(path, sizeof(path), "%s/%u/%s", scene->proc, pid, path_end);
		snprintf(root, sizeof(root), "%s/%u/root", scene->proc, pid);
	}
	for (size_t i = 0; i < scene->found.count; i++) {
		const struct binary *item = &scene->found.items[i];

		if (!strcmp(item->path, path) && !strcmp(item->shown, shown) &&
		    !strcmp(item->root, root))
			return;
	}
	for (size_t i = 0; i < scene->found.count; i++)
		print_error("found %s, %s, %s\n", scene->found.items[i].path,
			    scene->found.items[i].shown, scene->found.items[i].root);
	fail_msg("not found: %s, %s, %s", path, shown, root);
}

static void expect_on_disk(struct scene *scene, const char *name)
{
	expect(scene, 0, NULL, name);
}

static void expect_exe(struct scene *scene, uint32_t pid, const char *name)
{
	expect(scene, pid, "exe", name);
}

static void expect_library(struct scene *scene, uint32_t pid, const char *name)
{
	char end[PATH_LEN];

	snprintf(end, sizeof(end), "root%s/%s", scene->workshop, name);
	expect(scene, pid, end, name);
}

/* --- on disk ------------------------------------------------------------------ */

static void files_on_disk_are_found_before_they_run(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "@/shop");
	find(scene, 1);
	expect_on_disk(scene, "shop");
	name_exe(scene, "@/st*");
	find(scene, 2);
	expect_on_disk(scene, "stall");
	name_exe(scene, "@/nothing*");
	find(scene, 2);
}

static void a_file_is_one_whatever_its_names(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "@/shop");
	name_exe(scene, "@/hard");
	name_exe(scene, "@/soft");
	find(scene, 1);
	expect_on_disk(scene, "shop");
}

/* A directory, a pipe, a link to nothing, an empty file. */
static void only_files_with_something_in_them_are_found(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "@/shop?*");
	name_exe(scene, "@/empty");
	find(scene, 0);
	name_exe(scene, "@/*");
	find(scene, 3);
}

static void a_glob_means_no_scripts_but_a_name_may(void **state)
{
	struct scene *scene = *state;

	workshop_source(scene->workshop, "stall-config", "#!/bin/sh\n");
	name_exe(scene, "@/stall*");
	find(scene, 1);
	expect_on_disk(scene, "stall");
	name_exe(scene, "@/stall-config"); /* whose reader says what it is */
	find(scene, 2);
}

static void a_bare_name_is_of_processes_only(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "shop");
	find(scene, 0);
	start(scene, 10, "shop");
	find(scene, 1);
	expect_exe(scene, 10, "shop");
}

static void libraries_are_found_by_their_path(void **state)
{
	struct scene *scene = *state;

	name_lib(scene, "@/libshop.so.*");
	find(scene, 1);
	name_exe(scene, "@/shop"); /* then selects processes, is not probed */
	find(scene, 1);
}

/* The C library is where the distributions have it, or this would not run. */
static void libraries_are_found_where_the_loader_looks(void **state)
{
	struct scene *scene = *state;

	name_lib(scene, "libc.so.6");
	find(scene, 1);
	assert_string_equal(strrchr(scene->found.items[0].path, '/'), "/libc.so.6");
	assert_string_equal(scene->found.items[0].root, "");
}

/* --- as processes have them --------------------------------------------------- */

static void one_file_of_many_processes_is_one(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "shop");
	name_exe(scene, "hard");
	start(scene, 10, "shop");
	start(scene, 11, "shop");
	start(scene, 12, "hard");
	start(scene, 13, "stall");
	find(scene, 1);
	name_exe(scene, "st*");
	find(scene, 2);
	expect_exe(scene, 13, "stall");
	name_exe(scene, "@/shop"); /* what is on disk, too, is not found twice */
	find(scene, 2);
	expect_on_disk(scene, "shop");
}

static void patterns_with_a_slash_are_of_the_whole_path(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "/shop");
	start(scene, 10, "shop");
	find(scene, 0);
	new_rule(scene);
	name_exe(scene, "*/shop");
	find(scene, 1);
	new_rule(scene);
	name_exe(scene, "sho");
	find(scene, 0);
	new_rule(scene);
	name_exe(scene, "*");
	find(scene, 1);
}

/* The kernel's link leads to the file still; here it does by name. */
static void a_deleted_program_goes_by_its_old_name(void **state)
{
	struct scene *scene = *state;

	workshop_run(scene->workshop, "mv shop 'shop (deleted)'");
	start(scene, 10, "shop (deleted)");
	name_exe(scene, "shop");
	find(scene, 1);
	expect_exe(scene, 10, "shop");
}

static void processes_that_cannot_be_read_are_passed_over(void **state)
{
	struct scene *scene = *state;
	const struct fake_process kernel_thread = {.comm = "kthreadd"};

	name_exe(scene, "*");
	fake_proc_add(scene->proc, 2, &kernel_thread);
	start(scene, 10, "gone");
	start(scene, 11, "shop");
	find(scene, 1);
	binaries_free(&scene->found);
	assert_int_equal(binaries_find(&scene->rule, NULL, "/nowhere", &scene->found),
			 0);
	assert_int_equal(scene->found.count, 0);
}

static void of_pids_only_these_are_looked_at(void **state)
{
	struct scene *scene = *state;

	start(scene, 10, "shop");
	start(scene, 11, "stall");
	name_pid(scene, 11);
	name_pid(scene, 12);
	find(scene, 1);
	expect_exe(scene, 11, "stall");
	name_exe(scene, "@/shop"); /* both must hold */
	find(scene, 0);
	name_pid(scene, 10);
	find(scene, 1);
	expect_exe(scene, 10, "shop");
}

/* --- libraries of processes --------------------------------------------------- */

static void libraries_are_those_that_are_mapped_to_be_run(void **state)
{
	struct scene *scene = *state;
	const struct mapped mapped[] = {
	    {"r--p", "stall", NULL, identity_of(scene, "stall")},
	    {"r-xp", "shop", NULL, identity_of(scene, "shop")},
	    {"r--p", "libshop.so.1.2", NULL, identity_of(scene, "libshop.so.1.2")},
	    {"r-xp", "libshop.so.1.2", NULL, identity_of(scene, "libshop.so.1.2")},
	};

	start(scene, 10, "shop");
	start(scene, 11, "shop");
	map_files(scene, 10, mapped, COUNT(mapped));
	map_files(scene, 11, mapped, COUNT(mapped));
	name_lib(scene, "libshop.so.1.2");
	name_lib(scene, "stall");
	find(scene, 1);           /* of one of the two */
	name_exe(scene, "stall"); /* of no such process */
	find(scene, 0);
	name_exe(scene, "shop");
	find(scene, 1);
	name_pid(scene, 11);
	find(scene, 1);
	expect_library(scene, 11, "libshop.so.1.2");
	new_rule(scene);
	name_lib(scene, "libshop.so.1.2");
	name_pid(scene, 12);
	find(scene, 0);
}

/* In its own mount namespace, before it loads them. */
static void of_pids_libraries_are_found_that_may_be_loaded(void **state)
{
	struct scene *scene = *state;

	start(scene, 10, "shop");
	start(scene, 11, "shop");
	name_lib(scene, "@/libshop.so.1.?");
	name_pid(scene, 11);
	find(scene, 1);
	expect_library(scene, 11, "libshop.so.1.2");
	name_lib(scene, "libc.so.6");
	find(scene, 2);
	new_rule(scene);
	name_lib(scene, "@/libshop.so.1.2");
	name_exe(scene, "stall"); /* which it is not */
	name_pid(scene, 11);
	find(scene, 0);
}

static void among_chosen_processes_only_their_files_are_found(void **state)
{
	struct scene *scene = *state;

	start(scene, 10, "shop");
	start(scene, 11, "stall");
	find_among(scene, 11, 1, 1); /* whatever it runs */
	expect(scene, 11, "exe", "stall");
	find_among(scene, 12, 1, 0);
	name_exe(scene, "@/sh*");
	find_among(scene, 10, 1, 1);
	expect(scene, 10, "exe", "shop");
	find_among(scene, 11, 1, 0);
	find_among(scene, 0, 0, 0); /* nobody: not what is on disk, either */
	new_rule(scene);
	name_lib(scene, "@/libshop.so.1.?");
	find_among(scene, 11, 1, 1);
	expect_library(scene, 11, "libshop.so.1.2");
	name_pid(scene, 10);
	find_among(scene, 11, 1, 0);
	find_among(scene, 0, 0, 0);
}

/* The kernel shows the file that the link of that name leads to. */
static void libraries_are_found_by_their_soname(void **state)
{
	struct scene *scene = *state;
	static const struct {
		const char *file, *name;
		bool found;
	} cases[] = {
	    {"libshop.so.1.2", "libshop.so.1", true},
	    {"libshop.so.1.2", "libshop.so", true},
	    {"libshop.so.1.2", "libshop.so.*", true},
	    {"libshop.so.1.2", "libshop.so.1.20", false},
	    {"libshop.so.1.2", "libshop.so.2", false},
	    {"libshop.so.1.2", "libshop", false},
	    {"libshop.so.1.2", "shop.so.1", false},
	    {"libshop.so.1x", "libshop.so.1", false},
	    {"libshop-1.2.so", "libshop.so.3", true}, /* of glibc, before 2.34 */
	};

	workshop_source(scene->workshop, "libshop.so.1x", "\177ELF four");
	workshop_source(scene->workshop, "libshop-1.2.so", "\177ELF five");
	workshop_run(scene->workshop, "ln -s libshop-1.2.so libshop.so.3");
	start(scene, 10, "shop");
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct mapped mapped = {"r-xp", cases[i].file, NULL,
					      identity_of(scene, cases[i].file)};

		map_files(scene, 10, &mapped, 1);
		new_rule(scene);
		name_lib(scene, cases[i].name);
		binaries_free(&scene->found);
		assert_int_equal(
		    binaries_find(&scene->rule, NULL, scene->proc, &scene->found), 0);
		if (scene->found.count != cases[i].found)
			fail_msg("%s, %s: %zu", cases[i].file, cases[i].name,
				 scene->found.count);
	}
}

/* Another file has its name, or none has: then only the mapping leads to it. */
static void a_replaced_library_is_found_by_its_mapping(void **state)
{
	struct scene *scene = *state;
	static const char *const after[] = {NULL, " (deleted)"};
	struct mapped mapped = {"r-xp", "libshop.so.1.2", NULL,
				identity_of(scene, "libshop.so.1.2")};

	mapped.identity.inode++;
	start(scene, 10, "shop");
	for (size_t i = 0; i < COUNT(after); i++) {
		mapped.after = after[i];
		map_files(scene, 10, &mapped, 1);
		new_rule(scene);
		name_lib(scene, "libshop.so.1");
		find(scene, 1);
		expect(scene, 10, "map_files/7f000000-7f000800", "libshop.so.1.2");
		assert_memory_equal(&scene->found.items[0].identity, &mapped.identity,
				    sizeof(mapped.identity));
		name_lib(scene, "@/libshop.so.1"); /* the new one, on disk */
		find(scene, 2);
	}
}

/* --- who is selected ---------------------------------------------------------- */

/* Once as the kernel maps it, and once as stat(2) has it where that differs. */
static void expect_exes(struct scene *scene, const char *name)
{
	const struct binary_identity mapped = identity_of(scene, name);
	struct binary_identity identity;
	char path[PATH_LEN];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", scene->workshop, name);
	assert_int_equal(stat(path, &status), 0);
	identity = (struct binary_identity){
	    status.st_ino, (uint64_t)major(status.st_dev) << 20 | minor(status.st_dev)};
	binaries_free(&scene->found);
	assert_int_equal(
	    binaries_find_exes(&scene->rule, NULL, scene->proc, &scene->found), 0);
	assert_int_equal(scene->found.count,
			 1 + !!memcmp(&mapped, &identity, sizeof(mapped)));
	assert_memory_equal(&scene->found.items[0].identity, &mapped, sizeof(mapped));
	assert_memory_equal(&scene->found.items[scene->found.count - 1].identity,
			    &identity, sizeof(identity));
}

static void programs_that_a_rule_over_libraries_selects(void **state)
{
	struct scene *scene = *state;

	name_lib(scene, "libc.so.6");
	name_exe(scene, "@/shop");
	expect_exes(scene, "shop");
	new_rule(scene);
	name_lib(scene, "libc.so.6");
	name_exe(scene, "stall");
	start(scene, 10, "stall");
	start(scene, 11, "shop");
	expect_exes(scene, "stall");
}

static void nothing_is_freed_twice(void **state)
{
	struct scene *scene = *state;

	name_exe(scene, "@/shop");
	find(scene, 1);
	binaries_free(&scene->found);
	binaries_free(&scene->found);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(files_on_disk_are_found_before_they_run),
	    TEST(a_file_is_one_whatever_its_names),
	    TEST(only_files_with_something_in_them_are_found),
	    TEST(a_glob_means_no_scripts_but_a_name_may),
	    TEST(a_bare_name_is_of_processes_only),
	    TEST(libraries_are_found_by_their_path),
	    TEST(libraries_are_found_where_the_loader_looks),
	    TEST(one_file_of_many_processes_is_one),
	    TEST(patterns_with_a_slash_are_of_the_whole_path),
	    TEST(a_deleted_program_goes_by_its_old_name),
	    TEST(processes_that_cannot_be_read_are_passed_over),
	    TEST(of_pids_only_these_are_looked_at),
	    TEST(libraries_are_those_that_are_mapped_to_be_run),
	    TEST(among_chosen_processes_only_their_files_are_found),
	    TEST(of_pids_libraries_are_found_that_may_be_loaded),
	    TEST(libraries_are_found_by_their_soname),
	    TEST(a_replaced_library_is_found_by_its_mapping),
	    TEST(programs_that_a_rule_over_libraries_selects),
	    TEST(nothing_is_freed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
