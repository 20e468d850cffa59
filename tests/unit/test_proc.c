/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "config.h"
#include "fake_proc.h"
#include "proc.h"

#define PID 4242u
#define WORDS(text) .cmdline = (text), .cmdline_len = sizeof(text)
#define VARIABLES(text) .environ = (text), .environ_len = sizeof(text)

struct fixture {
	char root[FAKE_ROOT_LEN];
	struct proc_facts facts;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fake_proc_create(fixture->root);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fake_proc_remove(fixture->root);
	free(fixture);
	return 0;
}

static void read_process(struct fixture *fixture, const struct fake_process *process)
{
	fake_proc_add(fixture->root, PID, process);
	memset(&fixture->facts, 'x', sizeof(fixture->facts));
	proc_read(fixture->root, PID, NULL, &fixture->facts);
}

static void expect_name(struct fixture *fixture, const struct fake_process *process,
			const char *name, const char *name_space)
{
	read_process(fixture, process);
	assert_string_equal(fixture->facts.name, name);
	assert_string_equal(fixture->facts.name_space, name_space);
}

static void name_sources_have_their_order(void **state)
{
	struct fake_process process = {
	    .exe = "/usr/bin/python3.11",
	    WORDS("python3\0/srv/shop.py"),
	    .comm = "python3\n",
	    .cgroup = "0::/system.slice/web.service\n",
	    VARIABLES("PATH=/bin\0OTEL_RESOURCE_ATTRIBUTES=service.name=attribute\0"
		      "OTEL_SERVICE_NAME=variable"),
	};

	expect_name(*state, &process, "variable", "");
	process.environ = "OTEL_RESOURCE_ATTRIBUTES=service.name=attribute";
	process.environ_len = 0;
	expect_name(*state, &process, "attribute", "");
	process.environ = NULL;
	expect_name(*state, &process, "web", "");
	process.cgroup = "0::/user.slice/user-0.slice/session-1.scope\n";
	expect_name(*state, &process, "shop", "");
	process.cmdline = NULL;
	expect_name(*state, &process, "python3.11", "");
	process.exe = NULL;
	expect_name(*state, &process, "python3", "");
	process.comm = NULL;
	expect_name(*state, &process, "unknown", "");
}

static void resource_attributes_are_percent_decoded(void **state)
{
	static const struct {
		const char *list, *name, *name_space;
	} cases[] = {
	    {"service.name=a", "a", ""},
	    {"service.namespace=n,service.name=a", "a", "n"},
	    {" service.name = a b ,\tservice.namespace=n", "a b", "n"},
	    {"service.name=a%2Cb%3dc%20d", "a,b=c d", ""},
	    {"service%2Ename=a", "a", ""},
	    {"service.name=caf%C3%A9", "caf\xc3\xa9", ""},
	    {"service.name=a%00b%0A%FF", "a_b__", ""},
	    {"service.name=a=b", "a=b", ""},
	    {"service.name=a;x=y", "a;x=y", ""},
	    {"service.name=a,service.name=b", "b", ""},
	    {"service.name=a,service.name=", "a", ""},
	    {"service.name=%zz,service.namespace=n", "unit", "n"},
	    {"service.name=a%2", "unit", ""},
	    {"service.name=a%", "unit", ""},
	    {"broken,,=,service.name=a", "a", ""},
	    {"service.name", "unit", ""},
	    {"service.names=a,xservice.name=b", "unit", ""},
	    {"service.namespace=n", "unit", "n"},
	    {"", "unit", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char variable[256];
		struct fake_process process = {.environ = variable,
					       .cgroup = "0::/unit.service\n"};

		snprintf(variable, sizeof(variable), "OTEL_RESOURCE_ATTRIBUTES=%s",
			 cases[i].list);
		expect_name(*state, &process, cases[i].name, cases[i].name_space);
	}
}

static void namespace_goes_with_every_name(void **state)
{
	struct fake_process process = {
	    .exe = "/usr/sbin/nginx",
	    VARIABLES("OTEL_SERVICE_NAME=a\0"
		      "OTEL_RESOURCE_ATTRIBUTES=service.namespace=n")};

	expect_name(*state, &process, "a", "n");
	process.environ = "OTEL_RESOURCE_ATTRIBUTES=service.namespace=n";
	process.environ_len = 0;
	expect_name(*state, &process, "nginx", "n");
}

static void first_variable_counts_and_empty_is_unset(void **state)
{
	const struct fake_process twice = {
	    VARIABLES("XOTEL_SERVICE_NAME=x\0OTEL_SERVICE_NAME=a\0OTEL_SERVICE_NAME=b"),
	    .exe = "/bin/p"};
	const struct fake_process empty = {
	    VARIABLES("OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES="),
	    .exe = "/bin/p"};
	const struct fake_process blank = {VARIABLES("OTEL_SERVICE_NAME=  "),
					   .exe = "/bin/p"};

	expect_name(*state, &twice, "a", "");
	expect_name(*state, &empty, "p", "");
	expect_name(*state, &blank, "p", "");
}

static void name_is_a_bounded_label(void **state)
{
	char variable[1024], expected[CONFIG_SERVICE_LEN_MAX + 1];
	const struct fake_process process = {.environ = variable};

	snprintf(variable, sizeof(variable), "OTEL_SERVICE_NAME=%0300d", 0);
	memset(expected, '0', CONFIG_SERVICE_LEN_MAX);
	expected[CONFIG_SERVICE_LEN_MAX] = '\0';
	expect_name(*state, &process, expected, "");
	snprintf(variable, sizeof(variable),
		 "OTEL_RESOURCE_ATTRIBUTES=service.name=%0700d", 0);
	expect_name(*state, &process, expected, "");
	snprintf(variable, sizeof(variable), "OTEL_SERVICE_NAME=a\x1b[31m\nb");
	expect_name(*state, &process, "a_[31m_b", "");
}

/* A file of len bytes: filler, then the text; returns it with its NULs. */
static char *filled(size_t len, char filler, const char *text, size_t text_len)
{
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, filler, len);
	memcpy(data + len - text_len, text, text_len);
	return data;
}

static void environment_is_read_to_its_ceiling(void **state)
{
	static const char last[] = "\0OTEL_SERVICE_NAME=last";
	const size_t ceiling = 128 * 1024;
	struct fake_process process = {.exe = "/bin/p", .environ_len = ceiling};
	char *data;

	data = filled(ceiling, 'x', last, sizeof(last));
	process.environ = data;
	expect_name(*state, &process, "last", "");
	free(data);
	/* One byte more: the value lacks its end, and half of it is not used. */
	data = filled(ceiling + 1, 'x', last, sizeof(last));
	process.environ = data;
	process.environ_len = ceiling + 1;
	expect_name(*state, &process, "p", "");
	free(data);
}

static void main_class_behind_a_long_class_path_is_found(void **state)
{
	static const char start[] = "java\0-cp",
			  end[] = "\0kafka.Kafka\0server.properties";
	struct fake_process process = {.exe = "/usr/bin/java"};
	const size_t ceiling = 32 * 1024;
	char *data;

	data = filled(12000, 'x', end, sizeof(end));
	memcpy(data, start, sizeof(start));
	process.cmdline = data;
	process.cmdline_len = 12000;
	expect_name(*state, &process, "kafka.Kafka", "");
	free(data);
	data = filled(ceiling + sizeof(end) - 4, 'x', end, sizeof(end));
	memcpy(data, start, sizeof(start));
	process.cmdline = data;
	process.cmdline_len = ceiling + sizeof(end) - 4;
	expect_name(*state, &process, "java", "");
	free(data);
}

static void cgroup_line_cut_by_the_ceiling_is_not_used(void **state)
{
	const size_t ceiling = 16 * 1024;
	static const char line[] = "\n0::/a.service";
	struct fake_process process = {.exe = "/bin/p"};
	char *data = filled(ceiling + 1, 'x', line, sizeof(line));

	process.cgroup = data; /* a string: without the NUL it is of the ceiling */
	expect_name(*state, &process, "p", "");
	free(data);
}

static void deleted_executable_keeps_its_path(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process deleted = {.exe = "/usr/sbin/nginx (deleted)"};
	const struct fake_process plain = {.exe = "/usr/sbin/nginx"};
	const struct fake_process unreadable = {.comm = "nginx\n"};

	read_process(fixture, &deleted);
	assert_string_equal(fixture->facts.exe, "/usr/sbin/nginx");
	assert_string_equal(fixture->facts.name, "nginx");
	read_process(fixture, &plain);
	assert_string_equal(fixture->facts.exe, "/usr/sbin/nginx");
	read_process(fixture, &unreadable);
	assert_string_equal(fixture->facts.exe, "");
	assert_true(fixture->facts.alive);
}

static struct tally_process_event event_of(const char *comm, const char *args,
					   size_t len)
{
	struct tally_process_event event = {.pid = PID, .args_len = (uint32_t)len};

	strncpy(event.comm, comm, sizeof(event.comm));
	memcpy(event.args, args, len < TALLY_ARGS_LEN ? len : TALLY_ARGS_LEN);
	return event;
}

static void event_stands_in_for_a_process_that_is_gone(void **state)
{
	static const char args[] = "/usr/bin/python3\0/srv/shop.py";
	struct fixture *fixture = *state;
	struct tally_process_event event = event_of("python3", args, sizeof(args));

	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_false(fixture->facts.alive);
	assert_string_equal(fixture->facts.exe, "");
	assert_string_equal(fixture->facts.name, "shop");
	event.args_len = 0;
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "python3");
	event = event_of("sixteen_letters!", "", 0); /* no NUL */
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "sixteen_letters!");
	proc_read(fixture->root, PID, NULL, &fixture->facts);
	assert_string_equal(fixture->facts.name, "unknown");
}

static void event_does_not_outrank_the_process(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process process = {
	    .exe = "/bin/p", WORDS("p"), .comm = "p\n"};
	const struct fake_process zombie = {
	    .cmdline = "", .comm = "curl\n", .state = 'Z'};
	static const char args[] = "/usr/bin/curl\0http://x";
	struct tally_process_event event = event_of("q", args, sizeof(args));

	fake_proc_add(fixture->root, PID, &process);
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "p");
	fake_proc_add(fixture->root, PID, &zombie);
	fake_proc_write(fixture->root, PID, "cmdline", "", 0);
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "curl");
}

static void event_argument_without_its_end_is_not_used(void **state)
{
	static const char start[] = "python3\0/srv/";
	struct fixture *fixture = *state;
	struct tally_process_event event;
	char args[TALLY_ARGS_LEN];

	memset(args, 'x', sizeof(args));
	memcpy(args, start, sizeof(start) - 1);
	event = event_of("python3", args, sizeof(args));
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "python3");
	event.args_len = UINT32_MAX; /* no more than there is room for */
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "python3");
	memset(event.args, 'x', sizeof(event.args)); /* not even argv[0] ends */
	proc_read(fixture->root, PID, &event, &fixture->facts);
	assert_string_equal(fixture->facts.name, "python3");
}

static void zombie_is_not_alive(void **state)
{
	struct fixture *fixture = *state;
	struct fake_process process = {.comm = "a) Z 9 (b", .parent = 17};

	fake_proc_add(fixture->root, PID, &process);
	assert_true(proc_alive(fixture->root, PID));
	assert_int_equal(proc_parent(fixture->root, PID), 17);
	process.state = 'Z';
	fake_proc_add(fixture->root, PID, &process);
	assert_false(proc_alive(fixture->root, PID));
	assert_int_equal(proc_parent(fixture->root, PID), 17);
	assert_false(proc_alive(fixture->root, PID + 1));
	assert_int_equal(proc_parent(fixture->root, PID + 1), 0);
	fake_proc_write(fixture->root, PID, "stat", "nonsense", 8);
	assert_false(proc_alive(fixture->root, PID));
	assert_int_equal(proc_parent(fixture->root, PID), 0);
}

/* Its hooks have run by then, or will not see what is written now. */
static void what_is_about_to_end_is_not_alive(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process process = {0};
	static const char ending[] = "1 (x) R 1 1 1 0 -1 4194564 100 0\n";

	fake_proc_add(fixture->root, PID, &process);
	assert_true(proc_alive(fixture->root, PID));
	fake_proc_write(fixture->root, PID, "stat", ending, sizeof(ending) - 1);
	assert_false(proc_alive(fixture->root, PID));
}

static void executable_alone_is_as_with_all_facts(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process deleted = {.exe = "/usr/sbin/nginx (deleted)"};
	const struct fake_process unreadable = {.comm = "kthreadd\n"};
	char exe[PROC_EXE_LEN] = "nothing";

	fake_proc_add(fixture->root, PID, &deleted);
	proc_read_exe(fixture->root, PID, exe);
	assert_string_equal(exe, "/usr/sbin/nginx");
	fake_proc_add(fixture->root, PID, &unreadable);
	proc_read_exe(fixture->root, PID, exe);
	assert_string_equal(exe, "");
	strcpy(exe, "nothing");
	proc_read_exe(fixture->root, PID + 1, exe);
	assert_string_equal(exe, "");
}

static void add_pid(void *context, uint32_t pid)
{
	*(uint64_t *)context = *(uint64_t *)context * 31 + 1 + pid;
}

static void every_process_is_visited_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	const struct fake_process process = {0};
	char path[FAKE_ROOT_LEN + 32];
	static const char *const others[] = {"self", "0",  "4294967296",
					     "12x",  "-1", "99999999999999999999999"};
	uint64_t seen = 0, none = 0;

	fake_proc_add(fixture->root, PID, &process);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->root, others[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	proc_each(fixture->root, add_pid, &seen);
	assert_int_equal(seen, 1 + PID);
	proc_each("/nonexistent", add_pid, &none);
	assert_int_equal(none, 0);
}

static void real_proc_answers_about_this_process(void **state)
{
	struct fixture *fixture = *state;
	char exe[4096] = "";
	uint32_t pid = (uint32_t)getpid();
	pid_t child;
	siginfo_t info;

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	proc_read("/proc", pid, NULL, &fixture->facts);
	assert_string_equal(fixture->facts.exe, exe);
	assert_true(proc_alive("/proc", pid));
	assert_int_equal(proc_parent("/proc", pid), getppid());
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(0);
	/* Waits for the end but leaves the zombie. */
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_false(proc_alive("/proc", (uint32_t)child));
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(proc_alive("/proc", (uint32_t)child));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(name_sources_have_their_order),
	    TEST(resource_attributes_are_percent_decoded),
	    TEST(namespace_goes_with_every_name),
	    TEST(first_variable_counts_and_empty_is_unset),
	    TEST(name_is_a_bounded_label),
	    TEST(environment_is_read_to_its_ceiling),
	    TEST(main_class_behind_a_long_class_path_is_found),
	    TEST(cgroup_line_cut_by_the_ceiling_is_not_used),
	    TEST(deleted_executable_keeps_its_path),
	    TEST(event_stands_in_for_a_process_that_is_gone),
	    TEST(event_does_not_outrank_the_process),
	    TEST(event_argument_without_its_end_is_not_used),
	    TEST(zombie_is_not_alive),
	    TEST(what_is_about_to_end_is_not_alive),
	    TEST(executable_alone_is_as_with_all_facts),
	    TEST(every_process_is_visited_and_nothing_else),
	    TEST(real_proc_answers_about_this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
