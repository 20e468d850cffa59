/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>

#include "aliases.h"
#include "cleanup.h"
#include "fake_proc.h"
#include "targets.h"

#define PROVISIONAL(number) (TALLY_SERVICE_PROVISIONAL + (number))
#define SERVICES_MAX 4096

struct fixture {
	char root[FAKE_ROOT_LEN];
	char *exes[2];
	struct config config;
	struct targets *targets;
	/* what targets_scan() visited */
	struct tally_process visited[256];
	size_t visits;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fake_proc_create(fixture->root);
	fixture->config.exes.items = fixture->exes;
	fixture->config.grace_ms = 1000;
	assert_int_equal(
	    targets_create(&fixture->config, fixture->root, &fixture->targets), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	targets_free(&fixture->targets);
	assert_null(fixture->targets);
	targets_free(&fixture->targets);
	fake_proc_remove(fixture->root);
	free(fixture);
	return 0;
}

/* The config is the fixture's own: rules may be added until they are first used. */
static void select_pid(struct fixture *fixture, uint32_t pid)
{
	fixture->config.pids[fixture->config.pid_count++] = pid;
}

static void select_exe(struct fixture *fixture, char *glob)
{
	fixture->exes[fixture->config.exes.count++] = glob;
}

static void start(struct fixture *fixture, uint32_t pid, uint32_t parent,
		  const char *exe)
{
	const struct fake_process process = {.exe = exe, .parent = parent};

	fake_proc_add(fixture->root, pid, &process);
}

static void visit(void *context, uint32_t pid, const struct tally_process *process)
{
	struct fixture *fixture = context;

	assert_true(pid < 256);
	assert_int_equal(fixture->visited[pid].service, 0);
	fixture->visited[pid] = *process;
	fixture->visits++;
}

static void scan_followed(struct fixture *fixture, size_t expected, size_t followed)
{
	size_t count = 99;
	uint32_t missing = 0;

	memset(fixture->visited, 0, sizeof(fixture->visited));
	fixture->visits = 0;
	assert_int_equal(
	    targets_scan(fixture->targets, visit, fixture, &count, &missing), 0);
	assert_int_equal(count, expected);
	assert_int_equal(fixture->visits, expected + followed);
	assert_int_equal(missing, 0);
}

static void scan(struct fixture *fixture, size_t expected)
{
	scan_followed(fixture, expected, 0);
}

static bool always(void *context, const struct tally_process_event *event)
{
	(void)context;
	(void)event;
	return true;
}

static bool never(void *context, const struct tally_process_event *event)
{
	(void)context;
	(void)event;
	return false;
}

static struct tally_process name_event(struct fixture *fixture,
				       const struct tally_process_event *event,
				       int64_t now_ms)
{
	struct tally_process process = {.service = 77, .flags = 77};

	assert_int_equal(
	    targets_name(fixture->targets, event, always, NULL, now_ms, &process), 0);
	return process;
}

static struct tally_process name_pid(struct fixture *fixture, uint32_t pid, uint32_t id)
{
	const struct tally_process_event event = {.pid = pid, .service = id};

	return name_event(fixture, &event, 0);
}

static void expect_service(const struct fixture *fixture, uint32_t id, const char *name,
			   const char *name_space)
{
	const struct service *service = targets_service(fixture->targets, id);

	assert_non_null(service);
	assert_string_equal(service->name, name);
	assert_string_equal(service->name_space, name_space);
}

static void without_rules_every_process_is_selected(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process process;

	start(fixture, 10, 1, "/usr/sbin/nginx");
	assert_false(targets_ignore_unknown(fixture->targets));
	scan(fixture, 0);
	process = name_pid(fixture, 10, PROVISIONAL(1));
	assert_int_equal(process.service, 1);
	assert_int_equal(process.flags, 0);
	expect_service(fixture, 1, "nginx", "");
}

/* It became another program before its event was read. */
static void of_a_program_that_is_no_more_the_event_alone_speaks(void **state)
{
	struct fixture *fixture = *state;
	const struct tally_process_event event = {.pid = 10,
						  .service = PROVISIONAL(1),
						  .comm = "first",
						  .args = "/bin/first",
						  .args_len = 11};
	struct tally_process process;

	start(fixture, 10, 1, "/bin/second");
	assert_int_equal(
	    targets_name(fixture->targets, &event, never, NULL, 0, &process), 0);
	expect_service(fixture, process.service, "first", "");
	assert_int_equal(
	    targets_name(fixture->targets, &event, always, NULL, 0, &process), 0);
	expect_service(fixture, process.service, "second", "");
}

struct change {
	struct fixture *fixture;
	unsigned int asked;
};

/* It executes another program as soon as the first answer is given. */
static bool until_asked(void *context, const struct tally_process_event *event)
{
	struct change *change = context;

	if (!change->asked)
		start(change->fixture, event->pid, 1, "/bin/second");
	return !change->asked++;
}

static void of_a_program_that_goes_while_it_is_read_the_event_alone_speaks(void **state)
{
	struct fixture *fixture = *state;
	const struct tally_process_event event = {.pid = 10,
						  .service = PROVISIONAL(1),
						  .comm = "first",
						  .args = "/bin/first",
						  .args_len = 11};
	struct change change = {.fixture = fixture};
	struct tally_process process;

	start(fixture, 10, 1, "/bin/first");
	assert_int_equal(
	    targets_name(fixture->targets, &event, until_asked, &change, 0, &process),
	    0);
	assert_int_equal(change.asked, 2);
	expect_service(fixture, process.service, "first", "");
	assert_int_equal(targets_service_count(fixture->targets), 1);
}

/* /proc shows the new program already, the kernel has not told of it yet. */
static void of_another_file_than_the_events_the_event_alone_speaks(void **state)
{
	static const struct {
		const char *exe, *file, *name;
	} cases[] = {
	    {"/bin/second", "first", "caught"},
	    {"/bin/not-first", "first", "caught"},
	    {"first", "first", "caught"},
	    {"/bin/first", "first", "first"},
	    {"/bin/first (deleted)", "first", "first"},
	    {"/bin/second", "", "second"},
	    {NULL, "first", "caught"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *fixture = *state;
		struct tally_process_event event = {
		    .pid = 10, .service = PROVISIONAL(1), .comm = "caught"};
		struct tally_process process;

		start(fixture, 10, 1, cases[i].exe);
		strcpy(event.exe, cases[i].file);
		process = name_event(fixture, &event, 0);
		expect_service(fixture, process.service, cases[i].name, "");
	}
}

static void same_name_and_namespace_is_the_same_service(void **state)
{
	static const char *const environments[] = {
	    "OTEL_SERVICE_NAME=a", "OTEL_RESOURCE_ATTRIBUTES=service.name=a",
	    "OTEL_RESOURCE_ATTRIBUTES=service.name=a,service.namespace=n",
	    "OTEL_SERVICE_NAME=b",
	    "OTEL_RESOURCE_ATTRIBUTES=service.namespace=n,service.name=a"};
	static const uint32_t ids[] = {1, 1, 2, 3, 2};
	struct fixture *fixture = *state;

	for (uint32_t i = 0; i < 5; i++) {
		const struct fake_process process = {.exe = "/bin/p",
						     .environ = environments[i]};

		fake_proc_add(fixture->root, 10 + i, &process);
		assert_int_equal(name_pid(fixture, 10 + i, PROVISIONAL(i)).service,
				 ids[i]);
	}
	assert_int_equal(targets_service_count(fixture->targets), 3);
	expect_service(fixture, 1, "a", "");
	expect_service(fixture, 2, "a", "n");
	expect_service(fixture, 3, "b", "");
}

static void descendants_of_a_pid_are_pinned(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 1, 0, "/sbin/init");
	start(fixture, 10, 1, "/usr/sbin/nginx");
	start(fixture, 20, 10, "/usr/sbin/nginx");
	start(fixture, 30, 20, "/bin/helper");
	start(fixture, 5, 30, "/bin/helper"); /* pids may wrap */
	start(fixture, 11, 1, "/usr/sbin/nginx");
	select_pid(fixture, 10);
	assert_true(targets_ignore_unknown(fixture->targets));
	scan(fixture, 4);
	assert_int_equal(fixture->visited[10].flags, TALLY_PROCESS_PINNED);
	assert_int_equal(fixture->visited[20].flags, TALLY_PROCESS_PINNED);
	assert_int_equal(fixture->visited[30].flags, TALLY_PROCESS_PINNED);
	assert_int_equal(fixture->visited[5].flags, TALLY_PROCESS_PINNED);
	assert_int_equal(fixture->visited[10].service, fixture->visited[20].service);
	assert_int_equal(fixture->visited[30].service, fixture->visited[5].service);
	assert_int_not_equal(fixture->visited[10].service,
			     fixture->visited[30].service);
	/* An unnamed descendant, as after a full process table. */
	assert_int_equal(name_pid(fixture, 30, PROVISIONAL(1)).flags,
			 TALLY_PROCESS_PINNED);
}

/* The kernel tells of descendants only; /proc would not know these as such. */
static void descendants_whose_parent_or_self_has_ended_are_selected(void **state)
{
	struct fixture *fixture = *state;
	const struct tally_process_event ended = {
	    .pid = 99, .service = PROVISIONAL(2), .comm = "curl"};
	struct tally_process process;

	start(fixture, 10, 1, "/bin/sh");
	start(fixture, 20, 1, "/bin/orphan");
	select_pid(fixture, 10);
	process = name_pid(fixture, 20, PROVISIONAL(1));
	assert_int_equal(process.flags, TALLY_PROCESS_PINNED);
	expect_service(fixture, process.service, "orphan", "");
	process = name_event(fixture, &ended, 0);
	assert_int_equal(process.flags, TALLY_PROCESS_PINNED);
	expect_service(fixture, process.service, "curl", "");
	select_exe(fixture, "/bin/orphan");
	assert_int_equal(name_pid(fixture, 20, PROVISIONAL(3)).flags,
			 TALLY_PROCESS_PINNED);
	assert_int_equal(name_event(fixture, &ended, 0).flags,
			 TALLY_PROCESS_PINNED | TALLY_PROCESS_IGNORED);
}

static void missing_pid_is_named(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process zombie = {.state = 'Z'};
	uint32_t missing = 0;
	size_t count = 99;

	start(fixture, 10, 1, "/bin/p");
	select_pid(fixture, 10);
	select_pid(fixture, 12);
	assert_int_equal(
	    targets_scan(fixture->targets, visit, fixture, &count, &missing), -ESRCH);
	assert_int_equal(missing, 12);
	assert_int_equal(count, 99);
	assert_int_equal(fixture->visits, 0);
	fake_proc_add(fixture->root, 12, &zombie);
	missing = 0;
	assert_int_equal(
	    targets_scan(fixture->targets, visit, fixture, &count, &missing), -ESRCH);
	assert_int_equal(missing, 12);
	start(fixture, 12, 1, "/bin/p");
	scan(fixture, 2);
}

static void *wait_for_end(void *context)
{
	const int *pipe_fds = context;
	uint32_t tid = (uint32_t)gettid();
	char end;

	assert_int_equal(write(pipe_fds[1], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(read(pipe_fds[2], &end, 1), 0);
	return NULL;
}

/* /proc answers for it, but no process of that number is ever seen. */
static void thread_is_no_process(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(targets_free) struct targets *targets = NULL;
	uint32_t missing = 0, tid = 0;
	size_t count = 0;
	pthread_t thread;
	int fds[4]; /* of two pipes: its tid comes, its end goes */

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(fds + 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_end, fds), 0);
	assert_int_equal(read(fds[0], &tid, sizeof(tid)), sizeof(tid));
	select_pid(fixture, tid);
	assert_int_equal(targets_create(&fixture->config, "/proc", &targets), 0);
	assert_int_equal(targets_scan(targets, visit, fixture, &count, &missing),
			 -ESRCH);
	assert_int_equal(missing, tid);
	close(fds[3]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(fds[0]);
	close(fds[1]);
	close(fds[2]);
}

/* A loop of parents cannot be, but /proc is read while it changes. */
static void loop_of_parents_ends(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/p");
	start(fixture, 20, 21, "/bin/p");
	start(fixture, 21, 20, "/bin/p");
	select_pid(fixture, 10);
	scan(fixture, 1);
}

static void any_of_several_exe_globs_selects(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/usr/sbin/nginx (deleted)");
	start(fixture, 11, 1, "/opt/app/bin/shop");
	start(fixture, 12, 1, "/bin/other");
	start(fixture, 13, 10, "/bin/other");
	start(fixture, 14, 1, NULL); /* not readable */
	select_exe(fixture, "/usr/sbin/nginx");
	select_exe(fixture, "/opt/*/sh?p"); /* '*' takes '/' too */
	assert_false(targets_ignore_unknown(fixture->targets));
	scan(fixture, 2);
	assert_int_equal(fixture->visited[10].flags, 0);
	assert_int_equal(fixture->visited[11].flags, 0);
	assert_int_equal(name_pid(fixture, 11, PROVISIONAL(1)).flags, 0);
	assert_int_equal(name_pid(fixture, 12, PROVISIONAL(2)).flags,
			 TALLY_PROCESS_IGNORED);
	assert_int_equal(name_pid(fixture, 12, PROVISIONAL(2)).service, 0);
}

static void glob_that_matches_nothing_selects_nothing(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/usr/sbin/nginx");
	select_exe(fixture, "nginx");
	scan(fixture, 0);
	assert_int_equal(targets_service_count(fixture->targets), 0);
}

static void pid_and_exe_must_both_hold(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/sh");
	start(fixture, 20, 10, "/usr/sbin/nginx");
	start(fixture, 21, 10, "/bin/other");
	start(fixture, 11, 1, "/usr/sbin/nginx");
	select_pid(fixture, 10);
	select_exe(fixture, "*/nginx");
	assert_true(targets_ignore_unknown(fixture->targets));
	scan_followed(fixture, 1, 2);
	assert_int_equal(fixture->visited[20].service, 1);
	assert_int_equal(fixture->visited[20].flags, TALLY_PROCESS_PINNED);
	/* These may exec nginx later, as it may something else. */
	assert_int_equal(fixture->visited[10].flags,
			 TALLY_PROCESS_PINNED | TALLY_PROCESS_IGNORED);
	assert_int_equal(fixture->visited[21].flags,
			 TALLY_PROCESS_PINNED | TALLY_PROCESS_IGNORED);
	assert_int_equal(name_pid(fixture, 21, PROVISIONAL(2)).flags,
			 TALLY_PROCESS_PINNED | TALLY_PROCESS_IGNORED);
	start(fixture, 21, 10, "/usr/sbin/nginx");
	assert_int_equal(name_pid(fixture, 21, PROVISIONAL(3)).flags,
			 TALLY_PROCESS_PINNED);
}

static void count_match(void *context, uint32_t pid)
{
	struct fixture *fixture = context;

	assert_true(pid < 256);
	fixture->visited[pid].service++;
	fixture->visits++;
}

static void matches_are_what_exe_selects_and_need_no_more(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/opt/shop (deleted)");
	start(fixture, 11, 10, "/opt/shop");
	start(fixture, 12, 1, "/opt/shops");
	start(fixture, 13, 1, NULL); /* the kernel's own, and zombies */
	targets_each_match(fixture->targets, count_match, fixture);
	assert_int_equal(fixture->visits, 0); /* without --exe */
	select_exe(fixture, "/bin/other");
	select_exe(fixture, "/opt/*shop");
	select_pid(fixture, 11); /* is for targets_select to ask */
	targets_each_match(fixture->targets, count_match, fixture);
	assert_int_equal(fixture->visits, 2);
	assert_int_equal(fixture->visited[10].service, 1);
	assert_int_equal(fixture->visited[11].service, 1);
}

static void expect_not_selected(struct fixture *fixture, uint32_t pid)
{
	struct tally_process process = {.service = 77, .flags = 77};

	assert_int_equal(targets_select(fixture->targets, pid, false, &process),
			 -ESRCH);
	assert_int_equal(process.service, 77);
}

static struct tally_process select_late(struct fixture *fixture, uint32_t pid)
{
	struct tally_process process;

	assert_int_equal(targets_select(fixture->targets, pid, false, &process), 0);
	return process;
}

static void late_process_is_selected_by_all_rules(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process process;

	start(fixture, 10, 1, "/bin/sh");
	start(fixture, 20, 10, "/opt/shop");
	start(fixture, 21, 10, "/opt/other");
	start(fixture, 22, 1, "/opt/shop");
	start(fixture, 23, 10, NULL);
	select_exe(fixture, "/opt/shop");
	process = select_late(fixture, 22);
	assert_int_equal(process.flags, 0);
	expect_service(fixture, process.service, "shop", "");
	expect_not_selected(fixture, 21);
	expect_not_selected(fixture, 23);
	expect_not_selected(fixture, 99);
	select_pid(fixture, 10);
	expect_not_selected(fixture, 22);
	assert_int_equal(select_late(fixture, 20).flags, TALLY_PROCESS_PINNED);
	assert_int_equal(targets_service_count(fixture->targets), 1);
	fixture->config.service = "till";
	process = select_late(fixture, 20);
	expect_service(fixture, process.service, "till", "");
}

/* The kernel knows; its parent may have ended. */
static void of_a_followed_process_exe_alone_is_asked(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process process = {.service = 77};

	start(fixture, 10, 1, "/bin/sh");
	start(fixture, 20, 1, "/opt/shop");
	select_pid(fixture, 10);
	select_exe(fixture, "/opt/shop");
	expect_not_selected(fixture, 20);
	assert_int_equal(targets_select(fixture->targets, 10, true, &process), -ESRCH);
	assert_int_equal(targets_select(fixture->targets, 20, true, &process), 0);
	assert_int_equal(process.flags, TALLY_PROCESS_PINNED);
	expect_service(fixture, process.service, "shop", "");
	assert_true(targets_holds(fixture->targets, 20, true, &process));
	assert_false(targets_holds(fixture->targets, 20, false, &process));
}

static void entry_holds_while_program_and_name_are_the_same(void **state)
{
	struct fixture *fixture = *state;
	struct fake_process program = {.exe = "/opt/shop",
				       .environ = "OTEL_SERVICE_NAME=a"};
	struct tally_process process;

	select_exe(fixture, "/opt/shop");
	fake_proc_add(fixture->root, 10, &program);
	process = select_late(fixture, 10);
	assert_true(targets_holds(fixture->targets, 10, false, &process));
	program.environ = "OTEL_SERVICE_NAME=b";
	fake_proc_add(fixture->root, 10, &program);
	assert_false(targets_holds(fixture->targets, 10, false, &process));
	program.environ = "OTEL_SERVICE_NAME=a";
	fake_proc_add(fixture->root, 10, &program);
	assert_true(targets_holds(fixture->targets, 10, false, &process));
	program.exe = "/opt/other";
	fake_proc_add(fixture->root, 10, &program);
	assert_false(targets_holds(fixture->targets, 10, false, &process));
	fake_proc_end(fixture->root, 10);
	assert_false(targets_holds(fixture->targets, 10, false, &process));
}

/* The kernel may have seen its end before it had the entry. */
static void entry_of_what_is_about_to_end_does_not_hold(void **state)
{
	static const char ending[] = "10 (shop) R 1 1 1 0 -1 4194564 100 0\n";
	struct fixture *fixture = *state;
	const struct fake_process zombie = {.exe = "/opt/shop", .state = 'Z'};
	struct tally_process process;

	select_exe(fixture, "/opt/shop");
	start(fixture, 10, 1, "/opt/shop");
	process = select_late(fixture, 10);
	fake_proc_write(fixture->root, 10, "stat", ending, sizeof(ending) - 1);
	assert_false(targets_holds(fixture->targets, 10, false, &process));
	fake_proc_add(fixture->root, 10, &zombie);
	assert_false(targets_holds(fixture->targets, 10, false, &process));
}

/* The pid is another process's by then. */
static void entry_of_a_pid_does_not_hold_for_a_stranger(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process process;

	select_pid(fixture, 10);
	select_exe(fixture, "/opt/shop");
	start(fixture, 10, 1, "/bin/sh");
	start(fixture, 20, 10, "/opt/shop");
	process = select_late(fixture, 20);
	assert_true(targets_holds(fixture->targets, 20, false, &process));
	start(fixture, 20, 1, "/opt/shop");
	assert_false(targets_holds(fixture->targets, 20, false, &process));
}

enum expectation {
	NOT_SELECTED,
	IN_DOUBT,
	SELECTED,
};

static void process_that_is_gone_is_judged_by_its_event(void **state)
{
	static const struct {
		char *glob;
		const char *argument, *exe;
		enum expectation expected;
	} cases[] = {
	    {"/usr/bin/curl", "/usr/bin/curl", "curl", SELECTED},
	    {"/usr/bin/c*", "/usr/bin/curl", "curl", SELECTED},
	    {"/usr/bin/curl", "/bin/curl", "curl", IN_DOUBT}, /* of a linked folder */
	    {"/usr/bin/curl", "curl", "curl", SELECTED},
	    {"/usr/bin/curl", "./curl", "curl", SELECTED},
	    {"/usr/bin/curl", "curl", "wget", NOT_SELECTED},
	    {"/usr/bin/curl", "/usr/bin/curl", "wget", NOT_SELECTED}, /* a link */
	    {"/usr/bin/c?rl", "curl", "curl", IN_DOUBT},
	    {"/usr/bin/c?rl", "", "curl", IN_DOUBT},
	    {"/usr/bin/c?rl", "curl", "wget", NOT_SELECTED},
	    {"/usr/bin/c[tu]rl", "curl", "curl", IN_DOUBT},
	    {"/usr/bin/c[tu]rl", "curl", "card", NOT_SELECTED},
	    {"/usr/bin/[!/]url", "curl", "curl", IN_DOUBT},
	    {"/usr/bin[/]curl", "curl", "curl", IN_DOUBT},
	    {"/usr/bin?curl", "curl", "curl", IN_DOUBT},
	    {"/usr/bin\\/curl", "curl", "curl", SELECTED},
	    {"/usr/c*l", "curl", "url", IN_DOUBT}, /* in /usr/company */
	    {"/usr/c*l", "curl", "curd", NOT_SELECTED},
	    {"/opt/shop/*", "", "curl", IN_DOUBT},
	    {"/opt/shop/*", "/opt/shop/curl", "curl", SELECTED},
	    {"/opt/*/curl", "curl", "curl", SELECTED},
	    {"*/curl", "", "curl", SELECTED},
	    {"*/curl", "/bin/link", "curl", SELECTED},
	    {"*/c?rl", "", "curl", SELECTED},
	    {"*url", "", "curl", SELECTED},
	    {"*/url", "", "curl", NOT_SELECTED},
	    {"curl", "curl", "curl", NOT_SELECTED},
	    {"*", "", "curl", SELECTED},
	    {"*", "", "", SELECTED},
	    /* the name of its file is not known */
	    {"/usr/bin/curl", "/usr/bin/curl", "", SELECTED},
	    {"/usr/bin/curl", "curl", "", IN_DOUBT},
	    {"/usr/bin/curl", "", "", IN_DOUBT},
	    {"*/curl", "wget", "", IN_DOUBT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *fixture = *state;
		struct tally_process_event event = {
		    .pid = 99, .service = PROVISIONAL((uint32_t)i), .comm = "thread"};
		struct tally_process process;

		fixture->config.exes.count = 0;
		select_exe(fixture, cases[i].glob);
		strcpy(event.exe, cases[i].exe);
		strcpy(event.args, cases[i].argument);
		event.args_len = (uint32_t)strlen(cases[i].argument) + 1;
		process = name_event(fixture, &event, 0);
		if (!(process.flags & TALLY_PROCESS_IGNORED) !=
			(cases[i].expected == SELECTED) ||
		    targets_unjudged(fixture->targets, event.service) !=
			(cases[i].expected == IN_DOUBT))
			fail_msg("%s, %s, %s", cases[i].glob, cases[i].argument,
				 cases[i].exe);
	}
}

/* Of the longest that are known, and of what may go on beyond its room. */
static void name_of_a_file_that_may_be_cut_excludes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 99, .service = PROVISIONAL(1)};

	select_exe(fixture, "/bin/other");
	memset(event.exe, 'x', TALLY_EXE_LEN - 2);
	name_event(fixture, &event, 0);
	assert_false(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	event.exe[TALLY_EXE_LEN - 2] = 'x';
	name_event(fixture, &event, 0);
	assert_true(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	event.exe[TALLY_EXE_LEN - 1] = 'x';
	name_event(fixture, &event, 0);
	assert_true(targets_unjudged(fixture->targets, PROVISIONAL(1)));
}

static void best_of_several_globs_judges(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {
	    .pid = 99, .service = PROVISIONAL(1), .exe = "curl"};

	select_exe(fixture, "/opt/c?rl");
	select_exe(fixture, "/bin/wget");
	assert_int_equal(name_event(fixture, &event, 0).flags, TALLY_PROCESS_IGNORED);
	assert_true(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	assert_true(targets_ignored(fixture->targets, PROVISIONAL(1)));
	fixture->exes[1] = "*/curl";
	assert_int_equal(name_event(fixture, &event, 0).flags, 0);
	assert_false(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	assert_false(targets_ignored(fixture->targets, PROVISIONAL(1)));
}

/* A child that lives on runs the same file: what it tells is of both. */
static void doubt_ends_when_proc_can_be_asked(void **state)
{
	struct fixture *fixture = *state;
	const struct tally_process_event gone = {
	    .pid = 99, .service = PROVISIONAL(1), .exe = "curl"};
	const struct tally_process_event child = {.pid = 10, .service = PROVISIONAL(1)};

	select_exe(fixture, "/bin/c?rl");
	name_event(fixture, &gone, 0);
	assert_true(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	start(fixture, 10, 1, "/bin/curl");
	assert_int_equal(name_event(fixture, &child, 0).flags, 0);
	assert_false(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	expect_service(fixture, PROVISIONAL(1), "curl", "");
}

static void event_outside_its_bounds_is_cut(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 99, .service = PROVISIONAL(1)};

	select_exe(fixture, "/x*");
	memset(event.comm, 'x', sizeof(event.comm));
	memset(event.args, 'x', sizeof(event.args));
	event.args[0] = '/';
	event.args_len = UINT32_MAX;
	assert_int_equal(name_event(fixture, &event, 0).flags, 0);
	expect_service(fixture, PROVISIONAL(1), "xxxxxxxxxxxxxxxx", "");
}

static void service_option_names_all_that_is_selected(void **state)
{
	struct fixture *fixture = *state;
	struct fake_process process = {
	    .exe = "/bin/a", .environ = "OTEL_RESOURCE_ATTRIBUTES=service.namespace=n"};

	fixture->config.service = "shop";
	fake_proc_add(fixture->root, 10, &process);
	start(fixture, 11, 1, "/bin/b");
	assert_int_equal(name_pid(fixture, 10, PROVISIONAL(1)).service, 1);
	assert_int_equal(name_pid(fixture, 11, PROVISIONAL(2)).service, 1);
	assert_int_equal(targets_service_count(fixture->targets), 1);
	expect_service(fixture, 1, "shop", "");
}

static void expect_name(const struct fixture *fixture, uint32_t pid, const char *name)
{
	char found[TARGETS_NAME_LEN] = "nothing";

	assert_true(targets_name_of(&fixture->config, fixture->root, pid, found));
	assert_string_equal(found, name);
	assert_int_equal(targets_service_count(fixture->targets), 0);
}

static void any_process_has_a_name_whether_selected_or_not(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process named = {.exe = "/bin/shop",
					   .environ = "OTEL_SERVICE_NAME=till"};
	const struct fake_process unit = {
	    .exe = "/bin/pay", .cgroup = "0::/system.slice/pay-eu.service\n"};
	char name[TARGETS_NAME_LEN] = "nothing";

	fake_proc_add(fixture->root, 10, &named);
	fake_proc_add(fixture->root, 11, &unit);
	start(fixture, 12, 11, "/bin/sell");
	assert_false(targets_name_of(&fixture->config, fixture->root, 13, name));
	assert_string_equal(name, "nothing");
	expect_name(fixture, 10, "till");
	expect_name(fixture, 11, "pay-eu");
	expect_name(fixture, 12, "sell");
	fixture->config.service = "all";
	expect_name(fixture, 10, "all");
	select_exe(fixture, "/bin/s*");
	select_pid(fixture, 11);
	expect_name(fixture, 10, "till");   /* no descendant of 11 */
	expect_name(fixture, 11, "pay-eu"); /* another program */
	expect_name(fixture, 12, "all");
}

static void alias_leads_to_its_service_until_dropped(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 10, .service = PROVISIONAL(7)};

	start(fixture, 10, 1, "/bin/a");
	assert_null(targets_service(fixture->targets, PROVISIONAL(7)));
	assert_int_equal(targets_alias_age_ms(fixture->targets, PROVISIONAL(7), 5), -1);
	name_event(fixture, &event, 1000);
	assert_ptr_equal(targets_service(fixture->targets, PROVISIONAL(7)),
			 targets_service(fixture->targets, 1));
	assert_false(targets_ignored(fixture->targets, PROVISIONAL(7)));
	assert_int_equal(targets_alias_age_ms(fixture->targets, PROVISIONAL(7), 1500),
			 500);
	assert_int_equal(targets_alias_age_ms(fixture->targets, 1, 1500), -1);
	targets_drop_alias(fixture->targets, PROVISIONAL(7));
	targets_drop_alias(fixture->targets, PROVISIONAL(7));
	targets_drop_alias(fixture->targets, 1);
	assert_null(targets_service(fixture->targets, PROVISIONAL(7)));
	assert_int_equal(targets_alias_age_ms(fixture->targets, PROVISIONAL(7), 1500),
			 -1);
	expect_service(fixture, 1, "a", "");
}

static void alias_of_what_is_not_selected_is_ignored(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/a");
	select_exe(fixture, "/bin/b");
	name_pid(fixture, 10, PROVISIONAL(1));
	assert_null(targets_service(fixture->targets, PROVISIONAL(1)));
	assert_true(targets_ignored(fixture->targets, PROVISIONAL(1)));
	assert_false(targets_unjudged(fixture->targets, PROVISIONAL(1)));
	assert_false(targets_ignored(fixture->targets, PROVISIONAL(2)));
	assert_false(targets_unjudged(fixture->targets, PROVISIONAL(2)));
	assert_int_equal(targets_service_count(fixture->targets), 0);
	targets_drop_alias(fixture->targets, PROVISIONAL(1));
	assert_false(targets_ignored(fixture->targets, PROVISIONAL(1)));
}

static void own_id_is_never_an_alias(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/a");
	start(fixture, 11, 1, "/bin/b");
	name_pid(fixture, 10, PROVISIONAL(1));
	assert_int_equal(name_pid(fixture, 11, 1).service, 2);
	assert_int_equal(name_pid(fixture, 11, TALLY_SERVICE_OTHER).service, 2);
	expect_service(fixture, 1, "a", "");
	expect_service(fixture, TALLY_SERVICE_OTHER, "other", "");
	assert_int_equal(targets_alias_age_ms(fixture->targets, 1, 0), -1);
}

static void beyond_the_bound_services_are_other(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 99};

	for (uint32_t i = 1; i <= SERVICES_MAX; i++) {
		event.service = PROVISIONAL(i);
		snprintf(event.comm, sizeof(event.comm), "p%u", i);
		assert_int_equal(name_event(fixture, &event, 0).service, i);
	}
	for (uint32_t i = 1; i <= 2; i++) {
		event.service = PROVISIONAL(SERVICES_MAX + i);
		snprintf(event.comm, sizeof(event.comm), "late%u", i);
		assert_int_equal(name_event(fixture, &event, 0).service,
				 TALLY_SERVICE_OTHER);
		expect_service(fixture, event.service, "other", "");
	}
	assert_int_equal(targets_service_count(fixture->targets), SERVICES_MAX);
	/* Room again: the next new name gets a service, and no old id. */
	targets_drop_service(fixture->targets, 7);
	event.service = PROVISIONAL(SERVICES_MAX + 3);
	assert_int_equal(name_event(fixture, &event, 0).service, SERVICES_MAX + 1);
	expect_service(fixture, SERVICES_MAX + 1, "late2", "");
}

static void beyond_the_bound_no_alias_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 99, .comm = "p"};
	struct tally_process process = {.service = 77, .flags = 77};

	for (uint32_t i = 0; i < ALIASES_MAX; i++) {
		event.service = PROVISIONAL(i);
		name_event(fixture, &event, 0);
	}
	event.service = PROVISIONAL(ALIASES_MAX);
	assert_int_equal(
	    targets_name(fixture->targets, &event, always, NULL, 0, &process), -ENOMEM);
	assert_int_equal(process.service, 77);
	targets_drop_alias(fixture->targets, PROVISIONAL(5));
	assert_int_equal(
	    targets_name(fixture->targets, &event, always, NULL, 0, &process), 0);
	assert_int_equal(process.service, 1);
	expect_service(fixture, PROVISIONAL(ALIASES_MAX), "p", "");
	assert_null(targets_service(fixture->targets, PROVISIONAL(5)));
}

/* One pass over a process map that holds these ids, 0 ends them. */
static void pass(struct fixture *fixture, const uint32_t *ids, int64_t now_ms)
{
	targets_live_begin(fixture->targets);
	for (; *ids; ids++)
		targets_live_seen(fixture->targets, *ids);
	targets_live_end(fixture->targets, now_ms);
}

static void service_is_gone_since_the_first_pass_without_it(void **state)
{
	struct fixture *fixture = *state;
	const struct service *a, *b;

	start(fixture, 10, 1, "/bin/a");
	start(fixture, 11, 1, "/bin/b");
	name_pid(fixture, 10, PROVISIONAL(1));
	name_pid(fixture, 11, PROVISIONAL(2));
	a = targets_service(fixture->targets, 1);
	b = targets_service(fixture->targets, 2);
	assert_false(a->gone);
	pass(fixture, (const uint32_t[]){1, PROVISIONAL(2), 999, 0}, 100);
	assert_false(a->gone);
	assert_false(b->gone); /* by its alias */
	pass(fixture, (const uint32_t[]){1, 0}, 200);
	pass(fixture, (const uint32_t[]){1, 0}, 300);
	assert_false(a->gone);
	assert_true(b->gone);
	assert_int_equal(b->gone_since_ms, 200);
	pass(fixture, (const uint32_t[]){1, 2, 0}, 400);
	assert_false(b->gone);
	pass(fixture, (const uint32_t[]){1, 0}, 500);
	assert_int_equal(b->gone_since_ms, 500);
}

static void gone_service_expires_after_the_grace_period(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/a");
	start(fixture, 11, 1, "/bin/b");
	name_pid(fixture, 10, PROVISIONAL(1));
	name_pid(fixture, 11, PROVISIONAL(2));
	pass(fixture, (const uint32_t[]){1, 0}, 5000);
	assert_null(targets_expired(fixture->targets, 6000));
	assert_int_equal(targets_expired(fixture->targets, 6001)->id, 2);
	assert_null(targets_expired(fixture->targets, 1)); /* a clock behind */
	targets_drop_service(fixture->targets, 2);
	targets_drop_service(fixture->targets, 2);
	assert_null(targets_expired(fixture->targets, 6001));
	assert_null(targets_service(fixture->targets, 2));
	assert_null(targets_service(fixture->targets, PROVISIONAL(2)));
	assert_int_equal(targets_alias_age_ms(fixture->targets, PROVISIONAL(2), 0), -1);
	expect_service(fixture, PROVISIONAL(1), "a", "");
	assert_int_equal(targets_service_count(fixture->targets), 1);
	/* Its name comes back under a new id: the old rows are gone. */
	assert_int_equal(name_pid(fixture, 11, PROVISIONAL(3)).service, 3);
}

static void new_process_brings_a_gone_service_back(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 10, 1, "/bin/a");
	name_pid(fixture, 10, PROVISIONAL(1));
	pass(fixture, (const uint32_t[]){0}, 5000);
	assert_int_equal(targets_expired(fixture->targets, 9000)->id, 1);
	assert_int_equal(name_pid(fixture, 10, PROVISIONAL(2)).service, 1);
	assert_null(targets_expired(fixture->targets, 9000));
}

static void service_stays_where_it_is_while_others_come(void **state)
{
	struct fixture *fixture = *state;
	struct tally_process_event event = {.pid = 99, .comm = "first"};
	const struct service *first;

	name_event(fixture, &event, 0);
	first = targets_service(fixture->targets, 1);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(event.comm, sizeof(event.comm), "p%u", i);
		name_event(fixture, &event, 0);
	}
	targets_drop_service(fixture->targets, 2);
	assert_ptr_equal(targets_service(fixture->targets, 1), first);
	assert_string_equal(first->name, "first");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(without_rules_every_process_is_selected),
	    TEST(of_a_program_that_is_no_more_the_event_alone_speaks),
	    TEST(of_a_program_that_goes_while_it_is_read_the_event_alone_speaks),
	    TEST(of_another_file_than_the_events_the_event_alone_speaks),
	    TEST(same_name_and_namespace_is_the_same_service),
	    TEST(descendants_of_a_pid_are_pinned),
	    TEST(descendants_whose_parent_or_self_has_ended_are_selected),
	    TEST(missing_pid_is_named),
	    TEST(thread_is_no_process),
	    TEST(loop_of_parents_ends),
	    TEST(any_of_several_exe_globs_selects),
	    TEST(glob_that_matches_nothing_selects_nothing),
	    TEST(pid_and_exe_must_both_hold),
	    TEST(matches_are_what_exe_selects_and_need_no_more),
	    TEST(late_process_is_selected_by_all_rules),
	    TEST(of_a_followed_process_exe_alone_is_asked),
	    TEST(entry_holds_while_program_and_name_are_the_same),
	    TEST(entry_of_what_is_about_to_end_does_not_hold),
	    TEST(entry_of_a_pid_does_not_hold_for_a_stranger),
	    TEST(process_that_is_gone_is_judged_by_its_event),
	    TEST(name_of_a_file_that_may_be_cut_excludes_nothing),
	    TEST(best_of_several_globs_judges),
	    TEST(doubt_ends_when_proc_can_be_asked),
	    TEST(event_outside_its_bounds_is_cut),
	    TEST(service_option_names_all_that_is_selected),
	    TEST(any_process_has_a_name_whether_selected_or_not),
	    TEST(alias_leads_to_its_service_until_dropped),
	    TEST(alias_of_what_is_not_selected_is_ignored),
	    TEST(own_id_is_never_an_alias),
	    TEST(beyond_the_bound_services_are_other),
	    TEST(beyond_the_bound_no_alias_is_kept),
	    TEST(service_is_gone_since_the_first_pass_without_it),
	    TEST(gone_service_expires_after_the_grace_period),
	    TEST(new_process_brings_a_gone_service_back),
	    TEST(service_stays_where_it_is_while_others_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
