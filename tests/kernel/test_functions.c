/* SPDX-License-Identifier: Apache-2.0 */
/* Function rules on functions of this program: exact counts and sums, the bucket of a
 * known duration, and every way out of a function that is not a return. */
#include "calls.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "uprobes.h"

#define PROBED __attribute__((noinline, noclone, used))
#define THREADS 4
#define CALLS 2500
#define THREADS_MANY 400
#define CALLS_FEW 10
#define MS 1000000ull

static jmp_buf way_out;

/* --- what is probed --------------------------------------------------------------- */

PROBED long probed_add(long a, long b)
{
	__asm__ volatile("" ::: "memory");
	return a + b;
}

PROBED int probed_fails(int how)
{
	__asm__ volatile("" ::: "memory");
	return how;
}

PROBED void probed_sleep(uint64_t ns)
{
	take_time(ns);
}

PROBED long probed_depth(long depth)
{
	long below = depth > 1 ? probed_depth(depth - 1) : 0;

	__asm__ volatile("" : "+r"(below)::"memory");
	return below + 1;
}

PROBED void probed_jumps(int jumps)
{
	__asm__ volatile("" ::: "memory");
	if (jumps)
		longjmp(way_out, 1);
}

PROBED void probed_named(const char *name, long bytes)
{
	__asm__ volatile("" ::"r"(name), "r"(bytes) : "memory");
}

PROBED int probed_forks(void)
{
	__asm__ volatile("" ::: "memory");
	return fork();
}

PROBED void probed_waits(const int *gate)
{
	char byte;

	while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
		;
}

/* Both have the caller's stack pointer at their entry, and return at once. */
__asm__(".pushsection .text\n"
	".type probed_tail_outer, @function\n"
	"probed_tail_outer: push %rbp; pop %rbp; jmp probed_tail_inner\n"
	".size probed_tail_outer, . - probed_tail_outer\n"
	".type probed_tail_inner, @function\n"
	"probed_tail_inner: push %rbp; pop %rbp; ret\n"
	".size probed_tail_inner, . - probed_tail_inner\n"
	".popsection");
void probed_tail_outer(void);
void probed_tail_inner(void);

/* Where probed_at() returns to: the kernel's trampoline, if that is on the stack. (One
 * that looks there itself is given none.) */
__asm__(".pushsection .text\n"
	"place_of_return: lea -8(%rsp), %rdi; call probed_at; ret\n"
	".type probed_at, @function\n"
	"probed_at: push %rbp; mov (%rdi), %rax; pop %rbp; ret\n"
	".size probed_at, . - probed_at\n"
	".popsection");
uintptr_t place_of_return(void);

/* --- counts ----------------------------------------------------------------------- */

static void *call_often(void *context)
{
	for (long i = 0; i < CALLS; i++)
		probed_add(i, 1);
	return context;
}

static void call_from_threads(void)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, call_often, NULL));
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
}

static void test_every_call_of_every_thread_is_counted(void **state)
{
	struct rules rules = {};
	struct config_function *sum;

	(void)state;
	add_counter(&rules, "adds", "probed_add");
	add_rule(&rules, "add_seconds", "probed_add");
	sum = add_counter(&rules, "added", "probed_add");
	sum->value = CONFIG_VALUE_NUMBER;
	sum->operand.argument = 1;
	start(&rules);
	call_from_threads();
	assert_missed_nothing(&rules); /* first: it says why */
	assert_value(value_of(&rules, "adds"), THREADS * CALLS);
	assert_value(value_of(&rules, "add_seconds"), THREADS * CALLS);
	assert_value(value_of(&rules, "added"),
		     (double)THREADS * CALLS * (CALLS - 1) / 2);
	stop(&rules);
}

static void *call_some(void *context)
{
	for (long i = 0; i < CALLS_FEW; i++)
		probed_add(i, 1);
	return context;
}

static bool kernel_has_uprobe_sessions(void)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	int id = btf__find_by_name_kind(kernel, "bpf_attach_type", BTF_KIND_ENUM);
	const struct btf_type *types = btf__type_by_id(kernel, (uint32_t)id);
	bool has = false;

	REQUIRE(types);
	for (uint32_t i = 0; i < btf_vlen(types) && !has; i++)
		has = !strcmp(btf__name_by_offset(kernel, btf_enum(types)[i].name_off),
			      "BPF_TRACE_UPROBE_SESSION");
	btf__free(kernel);
	return has;
}

static bool kernel_lets_preemption_be_held(void)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	bool lets =
	    btf__find_by_name_kind(kernel, "bpf_preempt_disable", BTF_KIND_FUNC) > 0;

	btf__free(kernel);
	return lets;
}

/* A preempted thread must not stand in the way of another's. Where it may, the ledger
 * has the call. */
static void test_first_calls_of_many_threads_are_counted(void **state)
{
	struct rules rules = {};
	pthread_t threads[THREADS_MANY];

	(void)state;
	add_rule(&rules, "add_seconds", "probed_add");
	start(&rules);
	for (size_t i = 0; i < THREADS_MANY; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, call_some, NULL));
	for (size_t i = 0; i < THREADS_MANY; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	if (kernel_lets_preemption_be_held())
		assert_missed_nothing(&rules);
	assert_value(value_of(&rules, "add_seconds") + missed(&rules, "no_memory"),
		     THREADS_MANY * CALLS_FEW);
	stop(&rules);
}

static void test_numbers_are_of_arguments_and_results(void **state)
{
	struct rules rules = {};
	struct config_function *rule;

	(void)state;
	rule = add_counter(&rules, "difference", "probed_add");
	rule->value = CONFIG_VALUE_NUMBER;
	rule->operand.argument = 2;
	rule->minus.argument = 1;
	rule = add_counter(&rules, "result", "probed_add");
	rule->value = CONFIG_VALUE_NUMBER;
	rule->operand.is_return = true;
	rule->minus.argument = 1;
	rule = add_rule(&rules, "last", "probed_add");
	rule->type = CONFIG_GAUGE;
	rule->value = CONFIG_VALUE_NUMBER;
	rule->operand.argument = 2;
	start(&rules);
	assert_value(value_of(&rules, "last"), -1); /* nothing was seen */
	probed_add(10, 42);
	probed_add(100, 107);
	assert_value(value_of(&rules, "difference"), 32 + 7);
	assert_value(value_of(&rules, "result"), 42 + 107);
	assert_value(value_of(&rules, "last"), 107);
	assert_missed_nothing(&rules);
	stop(&rules);
}

static void test_large_unsigned_numbers_are_in_the_highest_bucket(void **state)
{
	static double bounds[] = {1, 1000};
	struct rules rules = {};
	struct config_function *rule = add_rule(&rules, "sizes", "probed_add");
	struct snapshot snapshot;
	const struct metric *metric;

	(void)state;
	rule->value = CONFIG_VALUE_NUMBER;
	rule->operand.argument = 1;
	rule->number = CONFIG_UINT64;
	rule->bounds = bounds;
	rule->bound_count = 2;
	start(&rules);
	probed_add(0, 0);
	probed_add(1000, 0);
	probed_add(-1, 0);
	look(&rules, &snapshot);
	metric = find(&snapshot, "sizes", NULL, NULL);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(metric->histogram.buckets[i], 1);
	snapshot_free(&snapshot);
	assert_missed_nothing(&rules);
	stop(&rules);
}

static void test_a_counter_never_falls(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "bytes", "probed_add");

	(void)state;
	rule->value = CONFIG_VALUE_NUMBER;
	rule->operand.argument = 1;
	start(&rules);
	probed_add(5, 0);
	probed_add(-3, 0);
	assert_value(value_of(&rules, "bytes"), 5);
	assert_value(missed(&rules, "negative"), 1);
	stop(&rules);
}

static void test_calls_count_by_their_result(void **state)
{
	struct rules rules = {};
	struct config_function *rule;

	(void)state;
	rule = add_counter(&rules, "negatives", "probed_fails");
	rule->condition = CONFIG_RETURN_NEGATIVE;
	rule->condition_number = CONFIG_INT32;
	rule = add_counter(&rules, "zeros", "probed_fails");
	rule->condition = CONFIG_RETURN_NULL;
	rule->condition_number = CONFIG_INT32;
	rule = add_counter(&rules, "others", "probed_fails");
	rule->condition = CONFIG_RETURN_NONZERO;
	rule->condition_number = CONFIG_INT32;
	start(&rules);
	for (int i = -3; i < 10; i++)
		probed_fails(i);
	assert_value(value_of(&rules, "negatives"), 3);
	assert_value(value_of(&rules, "zeros"), 1);
	assert_value(value_of(&rules, "others"), 12);
	assert_missed_nothing(&rules);
	stop(&rules);
}

/* --- durations -------------------------------------------------------------------- */

static void test_a_call_is_in_the_bucket_of_its_duration(void **state)
{
	struct rules rules = {};
	struct snapshot snapshot;
	const struct metric *metric;
	uint64_t began, outer;

	(void)state;
	add_rule(&rules, "sleep_seconds", "probed_sleep");
	start(&rules);
	began = now_ns();
	probed_sleep(20 * MS);
	outer = now_ns() - began;
	look(&rules, &snapshot);
	metric = find(&snapshot, "sleep_seconds", NULL, NULL);
	assert_non_null(metric);
	assert_true(metric->histogram.sum >= 0.02);
	assert_true(metric->histogram.sum <= (double)outer / 1e9);
	for (size_t i = 0; i <= metric->histogram.bound_count; i++) {
		bool above = !i || metric->histogram.sum > latency_bounds[i - 1];
		bool below = i == metric->histogram.bound_count ||
			     metric->histogram.sum <= latency_bounds[i];

		assert_int_equal(metric->histogram.buckets[i], above && below);
	}
	snapshot_free(&snapshot);
	stop(&rules);
}

static void test_recursion_is_one_call_a_level(void **state)
{
	struct rules rules = {};

	(void)state;
	add_rule(&rules, "depth_seconds", "probed_depth");
	start(&rules);
	assert_int_equal(probed_depth(TALLY_FUNCTION_FRAMES), TALLY_FUNCTION_FRAMES);
	assert_value(value_of(&rules, "depth_seconds"), TALLY_FUNCTION_FRAMES);
	assert_missed_nothing(&rules);
	assert_int_equal(probed_depth(TALLY_FUNCTION_FRAMES + 7),
			 TALLY_FUNCTION_FRAMES + 7);
	assert_value(value_of(&rules, "depth_seconds"), 2 * TALLY_FUNCTION_FRAMES);
	assert_value(missed(&rules, "too_deep"), 7);
	stop(&rules);
}

static void test_functions_that_end_in_each_other_are_two_calls(void **state)
{
	struct rules rules = {};

	(void)state;
	add_rule(&rules, "tail_seconds", "probed_tail_*");
	start(&rules);
	for (int i = 0; i < 100; i++) {
		probed_tail_outer();
		probed_tail_inner();
	}
	assert_value(value_of(&rules, "tail_seconds"), 300);
	assert_missed_nothing(&rules);
	stop(&rules);
}

static void test_a_longjmp_out_leaves_no_wrong_duration(void **state)
{
	struct rules rules = {};
	struct snapshot snapshot;

	(void)state;
	add_rule(&rules, "jump_seconds", "probed_jumps");
	start(&rules);
	if (!setjmp(way_out))
		probed_jumps(1);
	take_time(30 * MS); /* would be in the duration of the next call */
	probed_jumps(0);
	look(&rules, &snapshot);
	assert_true(find(&snapshot, "jump_seconds", NULL, NULL)->histogram.sum < 0.03);
	snapshot_free(&snapshot);
	assert_value(value_of(&rules, "jump_seconds"), 1);
	assert_value(missed(&rules, "abandoned"), 1);
	stop(&rules);
}

/* --- the ends of threads and processes -------------------------------------------- */

static void test_a_fork_inside_is_one_call(void **state)
{
	struct rules rules = {};
	int pid;

	(void)state;
	add_rule(&rules, "fork_seconds", "probed_forks");
	start(&rules);
	pid = probed_forks();
	if (!pid)
		_exit(0);
	REQUIRE(waitpid(pid, NULL, 0) == pid);
	assert_value(value_of(&rules, "fork_seconds"), 1);
	assert_value(missed(&rules, "unentered"), 1); /* the child returned, too */
	stop(&rules);
}

static void *wait_inside(void *gate)
{
	probed_waits(gate);
	return NULL;
}

static void wait_for(struct rules *rules, const char *name, double value)
{
	const uint64_t start_ns = now_ns();

	while (value_of(rules, name) != value)
		REQUIRE(keep_waiting(start_ns));
}

static void test_calls_under_way_are_a_gauge(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_rule(&rules, "waiting", "probed_waits");
	pthread_t threads[THREADS];
	int gate[2];

	(void)state;
	rule->type = CONFIG_GAUGE;
	rule->value = CONFIG_VALUE_IN_PROGRESS;
	REQUIRE(!pipe(gate));
	start(&rules);
	assert_value(value_of(&rules, "waiting"), 0);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, wait_inside, gate));
	wait_for(&rules, "waiting", THREADS);
	REQUIRE(write(gate[1], "ab", 2) == 2);
	wait_for(&rules, "waiting", THREADS - 2);
	close(gate[1]);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	assert_value(value_of(&rules, "waiting"), 0);
	close(gate[0]);
	stop(&rules);
}

static void test_a_process_killed_inside_is_in_the_ledger(void **state)
{
	struct rules rules = {};
	int gate[2];
	int pid;

	(void)state;
	add_rule(&rules, "wait_seconds", "probed_waits");
	add_counter(&rules, "waits", "probed_waits");
	REQUIRE(!pipe(gate));
	start(&rules);
	pid = fork();
	if (!pid) {
		close(gate[1]); /* so that it ends with a test that fails */
		probed_waits(gate);
		_exit(0);
	}
	wait_for(&rules, "waits", 1);
	REQUIRE(!kill(pid, SIGKILL));
	REQUIRE(waitpid(pid, NULL, 0) == pid);
	assert_value(value_of(&rules, "wait_seconds"), 0);
	assert_value(missed(&rules, "abandoned"), 1);
	close(gate[0]);
	close(gate[1]);
	stop(&rules);
}

/* --- labels ----------------------------------------------------------------------- */

static void test_strings_are_labels_up_to_their_cap(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "named", "probed_named");
	struct config_function_label *label = add_label(rule, "name", 1);
	char name[32];

	(void)state;
	label->is_string = true;
	label->max_values = 50;
	start(&rules);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 60; i++) {
			snprintf(name, sizeof(name), "tier-%d", i);
			probed_named(name, i);
		}
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "tier-%d", i);
		assert_value(value_where(&rules, "named", "name", name), 3);
	}
	assert_value(value_where(&rules, "named", "name", "other"), 3 * 10);
	assert_value(value_where(&rules, "named", "name", "tier-50"), -1);
	assert_value(missed(&rules, "labels_full"), 3 * 10);
	stop(&rules);
}

static void test_a_string_that_cannot_be_read_is_other(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "named", "probed_named");

	(void)state;
	add_label(rule, "name", 1)->is_string = true;
	start(&rules);
	probed_named((const char *)8, 0);
	assert_value(value_where(&rules, "named", "name", "other"), 1);
	assert_value(missed(&rules, "argument_fault"), 1);
	stop(&rules);
}

/* A page of a file that this process has not looked at, with a text at its start. */
static const char *page_not_seen_yet(const char *text)
{
	AUTO_CLOSE int fd = memfd_create("page", MFD_CLOEXEC);
	const char *page;

	REQUIRE(write(fd, text, strlen(text) + 1) == (ssize_t)strlen(text) + 1);
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	REQUIRE(page != MAP_FAILED);
	return page;
}

/* A probe must not wait, so it cannot have the page fetched. */
static void test_a_string_that_nobody_has_looked_at_yet_is_other(void **state)
{
	const char *name = page_not_seen_yet("gold");
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "named", "probed_named");

	(void)state;
	add_label(rule, "name", 1)->is_string = true;
	start(&rules);
	probed_named(name, 0);
	assert_value(value_where(&rules, "named", "name", "other"), 1);
	assert_value(missed(&rules, "argument_fault"), 1);
	assert_string_equal(name, "gold"); /* and looks */
	probed_named(name, 0);
	assert_value(value_where(&rules, "named", "name", "gold"), 1);
	assert_value(missed(&rules, "argument_fault"), 1);
	stop(&rules);
	munmap((void *)(uintptr_t)name, 4096);
}

static void test_numbers_are_labels_by_their_enumeration(void **state)
{
	struct config_label_value values[] = {{0, (char *)"ok"},
					      {-1, (char *)"failed"}};
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "results", "probed_fails");
	struct config_function_label *label = add_label(rule, "result", 0);

	(void)state;
	label->number = CONFIG_INT32;
	label->values = values;
	label->value_count = 2;
	rule = add_counter(&rules, "arguments", "probed_fails");
	label = add_label(rule, "how", 1);
	label->number = CONFIG_INT32;
	label->values = values;
	label->value_count = 2;
	start(&rules);
	for (int i = 1000; i >= -1; i--) /* what has no name first: it takes no room */
		probed_fails(i);
	assert_value(value_where(&rules, "results", "result", "ok"), 1);
	assert_value(value_where(&rules, "results", "result", "failed"), 1);
	assert_value(value_where(&rules, "results", "result", "other"), 1000);
	assert_value(value_where(&rules, "arguments", "how", "ok"), 1);
	assert_value(value_where(&rules, "arguments", "how", "failed"), 1);
	assert_value(value_where(&rules, "arguments", "how", "other"), 1000);
	assert_missed_nothing(&rules);
	stop(&rules);
}

static void test_results_are_labels_up_to_their_cap(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "results", "probed_fails");

	(void)state;
	add_label(rule, "result", 0)->max_values = 10;
	start(&rules);
	for (int i = 0; i < 25; i++)
		probed_fails(i);
	assert_value(value_where(&rules, "results", "result", "9"), 1);
	assert_value(value_where(&rules, "results", "result", "10"), -1);
	assert_value(value_where(&rules, "results", "result", "other"), 15);
	stop(&rules);
}

static void test_results_are_labels_beside_those_of_arguments(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "pairs", "probed_add");
	char number[16];

	(void)state;
	add_label(rule, "a", 1)->max_values = 10;
	add_label(rule, "result", 0)->max_values = 1;
	start(&rules);
	for (int i = 0; i < 10; i++)
		probed_add(i, -i);
	for (int i = 0; i < 10; i++) {
		snprintf(number, sizeof(number), "%d", i);
		assert_value(value_where(&rules, "pairs", "a", number), 1);
	}
	assert_value(value_where(&rules, "pairs", "result", "other"), -1);
	assert_missed_nothing(&rules);
	stop(&rules);
}

/* --- who -------------------------------------------------------------------------- */

static void run_and_wait(const char *program)
{
	int pid = vfork();

	if (!pid) {
		execl(program, program, NULL);
		_exit(1);
	}
	REQUIRE(waitpid(pid, NULL, 0) == pid);
}

static void call_in_a_child(void)
{
	int pid = fork();

	if (!pid) {
		probed_add(1, 2);
		_exit(0);
	}
	REQUIRE(waitpid(pid, NULL, 0) == pid);
}

static void test_a_pid_selects_one_process_of_a_program(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "mine", "probed_add");

	(void)state;
	rule->pids[0] = (uint32_t)getpid();
	rule->pid_count = 1;
	add_counter(&rules, "all", "probed_add");
	start(&rules);
	probed_add(1, 2);
	call_in_a_child();
	assert_value(value_of(&rules, "mine"), 1);
	assert_value(value_of(&rules, "all"), 2);
	stop(&rules);
}

static uintptr_t place_of_return_in_a_child(void)
{
	uintptr_t place;
	int ends[2];
	int pid;

	REQUIRE(!pipe(ends));
	pid = fork();
	if (!pid) {
		place = place_of_return();
		_exit(write(ends[1], &place, sizeof(place)) != sizeof(place));
	}
	REQUIRE(waitpid(pid, NULL, 0) == pid);
	REQUIRE(read(ends[0], &place, sizeof(place)) == sizeof(place));
	close(ends[0]);
	close(ends[1]);
	return place;
}

/* Where the kernel asks the program; else all of the file do as who is selected. */
static void test_a_process_that_is_not_selected_returns_as_ever(void **state)
{
	struct rules rules = {};
	struct config_function *rule = add_rule(&rules, "calls", "probed_at");
	const uintptr_t before = place_of_return();
	uintptr_t selected, other;

	(void)state;
	rule->pids[0] = (uint32_t)getpid();
	rule->pid_count = 1;
	start(&rules);
	selected = place_of_return();
	other = place_of_return_in_a_child();
	assert_value(value_of(&rules, "calls"), 1);
	assert_missed_nothing(&rules);
	stop(&rules);
	if (kernel_has_uprobe_sessions())
		assert_true(other == before && selected != before);
	else
		assert_true(other == selected);
}

static void test_a_library_is_counted_for_chosen_programs(void **state)
{
	char *libs[] = {(char *)"libc.so.6"}, *others[] = {(char *)"/usr/bin/env"};
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "mine", "l64a");

	(void)state;
	rule->libs = (struct config_strings){libs, 1};
	rule = add_counter(&rules, "others", "l64a");
	rule->libs = (struct config_strings){libs, 1};
	rule->exes = (struct config_strings){others, 1};
	start(&rules);
	l64a(1);
	assert_value(value_of(&rules, "mine"), 1);
	assert_value(value_of(&rules, "others"), 0);
	stop(&rules);
}

/* This program as another process: it says that it is there, and waits to be told. */
static int be_a_service(const char *what)
{
	char byte;

	if (!strcmp(what, "library"))
		return !l64a(1);
	if (write(STDIN_FILENO, "r", 1) != 1 || read(STDIN_FILENO, &byte, 1) != 1)
		return 1;
	if (!strcmp(what, "becomes")) {
		execle("/proc/self/exe", "service", "calls", NULL,
		       (char *[]){(char *)"OTEL_SERVICE_NAME=stall", NULL});
		return 1;
	}
	for (int i = 0; i < 3; i++)
		probed_add(i, 1);
	call_in_a_child();
	return 0;
}

static int start_service(const char *environment, const char *what, int *ret_line)
{
	int line[2], pid;

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line));
	pid = fork();
	if (!pid) {
		REQUIRE(dup2(line[1], STDIN_FILENO) == STDIN_FILENO);
		execle(own_path, "service", what, NULL,
		       (char *[]){(char *)(uintptr_t)environment, NULL});
		_exit(1);
	}
	close(line[1]);
	*ret_line = line[0];
	return pid;
}

static void await_service(int line)
{
	char byte;

	REQUIRE(read(line, &byte, 1) == 1);
}

static void end_service(int pid, int line)
{
	int status;

	REQUIRE(write(line, "c", 1) == 1);
	REQUIRE(waitpid(pid, &status, 0) == pid && !status);
	close(line);
}

/* What started is known when it calls. */
static void run_service(struct rules *rules, const char *environment)
{
	int line, pid = start_service(environment, "calls", &line);
	bool program;

	await_service(line);
	functions_news(rules->running, &program);
	end_service(pid, line);
}

static void add_services(struct rules *rules)
{
	static char *names[] = {(char *)"shop-*", (char *)"till"};
	struct config_function *rule = add_counter(rules, "named", "probed_add");

	rule->services = (struct config_strings){names, 2};
	rule->exes.count = 0;
	rule = add_counter(rules, "beside", "probed_add");
	rule->services = (struct config_strings){names, 1};
	add_counter(rules, "all", "probed_add");
}

static void test_a_service_selects_its_processes_and_their_children(void **state)
{
	struct rules rules = {};

	(void)state;
	add_services(&rules);
	start(&rules);
	probed_add(1, 2);
	assert_value(value_of(&rules, "named"), 0);
	run_service(&rules, "OTEL_SERVICE_NAME=shop-eu");
	assert_value(value_of(&rules, "named"), 4);
	assert_value(value_of(&rules, "beside"), 4);
	run_service(&rules, "OTEL_SERVICE_NAME=till");
	run_service(&rules, "OTEL_SERVICE_NAME=stall");
	assert_value(value_of(&rules, "named"), 8);
	assert_value(value_of(&rules, "beside"), 4);
	assert_value(value_of(&rules, "all"), 1 + 3 * 4);
	assert_missed_nothing(&rules);
	stop(&rules);
}

static void test_a_service_that_runs_already_is_selected(void **state)
{
	struct rules rules = {};
	int line, pid;

	(void)state;
	add_services(&rules);
	pid = start_service("OTEL_SERVICE_NAME=till", "calls", &line);
	await_service(line);
	start(&rules);
	end_service(pid, line);
	assert_value(value_of(&rules, "named"), 4);
	stop(&rules);
}

/* At once: before anybody could ask what it is called. */
static void test_another_program_is_of_no_service_yet(void **state)
{
	struct rules rules = {};
	bool program;
	int line, pid;

	(void)state;
	add_services(&rules);
	start(&rules);
	pid = start_service("OTEL_SERVICE_NAME=till", "becomes", &line);
	await_service(line);
	functions_news(rules.running, &program);
	REQUIRE(write(line, "b", 1) == 1);
	await_service(line);
	end_service(pid, line);
	assert_value(value_of(&rules, "named"), 0);
	assert_value(value_of(&rules, "all"), 4);
	stop(&rules);
}

static void count_exec(void *context, const struct tally_function_exec *exec)
{
	(void)exec;
	++*(size_t *)context;
}

static void test_processes_that_could_not_be_told_of_are_said_to_be(void **state)
{
	const struct tally_function_rule rule = {.selects = TALLY_SELECTS_SERVICE};
	char error[UPROBES_ERROR_LEN];
	struct uprobes *uprobes = NULL;
	size_t told = 0;

	(void)state;
	assert_int_equal(uprobes_open(&rule, 1, 1, 0, &uprobes, error), 0);
	assert_true(uprobes_take_execs(uprobes, count_exec, &told));
	told = 0;
	for (int i = 0; i < 250; i++)
		run_and_wait("/bin/true");
	assert_false(uprobes_take_execs(uprobes, count_exec, &told));
	assert_true(told > 150 && told < 250);
	assert_true(uprobes_take_execs(uprobes, count_exec, &told));
	uprobes_close(&uprobes);
}

/* --- the target is safe ----------------------------------------------------------- */

#define PROGRAM "/var/tmp/bpftally-test-program"

#define OTHER_PROGRAM "/var/tmp/bpftally-test-other"

static ino_t copy_this_program(const char *path)
{
	AUTO_FREE char *command = NULL;
	struct stat status;

	REQUIRE(asprintf(&command, "cp %s %s", own_path, path) > 0);
	REQUIRE(!system(command) && !stat(path, &status));
	return status.st_ino;
}

/* As a service does, in a program of that path; then it is no more. */
static void call_library_and_unlink(const char *path)
{
	AUTO_FREE char *command = NULL;

	REQUIRE(asprintf(&command, "%s library", path) > 0);
	REQUIRE(!system(command) && !unlink(path));
}

static void test_a_program_in_the_place_of_a_selected_one_is_not_it(void **state)
{
	char *libs[] = {(char *)"libc.so.6"}, *exes[] = {(char *)PROGRAM};
	struct rules rules = {};
	struct config_function *rule = add_counter(&rules, "calls", "l64a");
	ino_t first = copy_this_program(PROGRAM);

	(void)state;
	rule->libs = (struct config_strings){libs, 1};
	rule->exes = (struct config_strings){exes, 1};
	start(&rules);
	call_library_and_unlink(PROGRAM);
	assert_value(value_of(&rules, "calls"), 1);
	if (copy_this_program(OTHER_PROGRAM) == first) /* else none is used again */
		print_message("the number of the file is used again\n");
	call_library_and_unlink(OTHER_PROGRAM);
	assert_value(value_of(&rules, "calls"), 1);
	stop(&rules);
}

static bool has_program(struct rules *rules)
{
	bool program;

	functions_news(rules->running, &program);
	return program;
}

static void test_a_program_in_the_place_of_another_is_news(void **state)
{
	struct rules rules = {};
	ino_t first, second;

	(void)state;
	add_counter(&rules, "named", "probed_named");
	start(&rules);
	first = copy_this_program(PROGRAM);
	call_library_and_unlink(PROGRAM);
	assert_true(has_program(&rules));
	second = copy_this_program(PROGRAM);
	call_library_and_unlink(PROGRAM);
	if (second == first) /* else the file system uses no number again */
		assert_true(has_program(&rules));
	stop(&rules);
}

static void test_programs_that_are_selected_may_come_for_ever(void **state)
{
	const struct tally_function_rule rule = {.selects = TALLY_SELECTS_EXE};
	struct tally_function_selected who = {.device = 1};
	char error[UPROBES_ERROR_LEN];
	struct uprobes *uprobes = NULL;

	(void)state;
	assert_int_equal(uprobes_open(&rule, 1, 1, 0, &uprobes, error), 0);
	for (who.inode = 1; who.inode <= 70000; who.inode++)
		assert_int_equal(uprobes_select(uprobes, &who), 0);
	uprobes_close(&uprobes);
}

static void test_attaching_and_detaching_changes_no_result(void **state)
{
	struct rules rules = {};
	uint64_t sum = 0;

	(void)state;
	add_rule(&rules, "add_seconds", "probed_add");
	for (int round = 0; round < 10; round++) {
		if (round % 2)
			start(&rules);
		for (long i = 0; i < 1000; i++)
			sum += (uint64_t)probed_add(i, round);
		if (round % 2) {
			assert_value(value_of(&rules, "add_seconds"), 1000);
			stop(&rules);
		}
	}
	assert_int_equal(sum, 10ull * 1000 * 999 / 2 + 1000ull * 45);
}

struct caller {
	pthread_t thread;
	bool is_done;
};

static void wait_for_calls(struct rules *rules, const char *name, double least)
{
	const uint64_t start_ns = now_ns();

	while (value_of(rules, name) < least)
		REQUIRE(keep_waiting(start_ns));
}

static void *call_until_done(void *context)
{
	const struct caller *caller = context;

	while (!__atomic_load_n(&caller->is_done, __ATOMIC_RELAXED))
		probed_add(1, 2);
	return NULL;
}

/* Where entry and return of a place are probed at once; else a few are not, the more
 * the more places there are. */
static void test_no_return_is_probed_before_its_entry(void **state)
{
	struct rules rules = {};
	struct caller caller = {};
	double unentered = 0;

	(void)state;
	add_rule(&rules, "seconds", "probed_*");
	REQUIRE(!pthread_create(&caller.thread, NULL, call_until_done, &caller));
	for (int round = 0; round < 3; round++) {
		start(&rules);
		wait_for_calls(&rules, "seconds", 100);
		unentered += missed(&rules, "unentered");
		stop(&rules);
	}
	__atomic_store_n(&caller.is_done, true, __ATOMIC_RELAXED);
	REQUIRE(!pthread_join(caller.thread, NULL));
	if (kernel_has_uprobe_sessions())
		assert_value(unentered, 0);
}

static void test_what_is_not_there_stops_no_other_rule(void **state)
{
	struct rules rules = {};

	(void)state;
	add_counter(&rules, "nothing", "probed_nothing_of_that_name");
	add_counter(&rules, "adds", "probed_add");
	start(&rules);
	probed_add(1, 2);
	assert_value(value_of(&rules, "adds"), 1);
	assert_value(value_where(&rules, "bpftally_function_probed", "metric", "adds"),
		     1);
	assert_value(
	    value_where(&rules, "bpftally_function_probed", "metric", "nothing"), 0);
	stop(&rules);
}

/* --- files that change ------------------------------------------------------------ */

static void write_byte(int fd, off_t at)
{
	char byte;

	REQUIRE(pread(fd, &byte, 1, at) == 1);
	REQUIRE(pwrite(fd, &byte, 1, at) == 1);
}

static bool has_news(struct rules *rules)
{
	bool program;

	return functions_news(rules->running, &program);
}

/* A child opens the file to write, waits to be told, writes and closes it. */
static int start_writer(const char *path, const int *gate)
{
	int pid = fork();
	char byte;
	int fd;

	if (pid)
		return pid;
	close(gate[1]); /* so that it ends with a test that fails */
	fd = open(path, O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0 && read(gate[0], &byte, 1) == 1);
	write_byte(fd, 0);
	_exit(0);
}

static void await_news(struct rules *rules)
{
	const uint64_t start_ns = now_ns();

	while (!has_news(rules))
		REQUIRE(keep_waiting(start_ns));
}

static void await_no_probes(struct rules *rules)
{
	const uint64_t start_ns = now_ns();

	for (; value_of(rules, "bpftally_function_probed") != 0; has_news(rules))
		REQUIRE(keep_waiting(start_ns));
}

static void test_probes_leave_a_file_before_it_is_written_to(void **state)
{
	char directory[] = "/tmp/functions-XXXXXX";
	AUTO_FREE char *command = NULL, *path = NULL, *link = NULL;
	struct rules rules = {};
	int gate[2], pid, status;

	(void)state;
	add_counter(&rules, "adds", "probed_add");
	REQUIRE(mkdtemp(directory) && !pipe(gate));
	REQUIRE(asprintf(&path, "%s/watched/program", directory) > 0);
	REQUIRE(asprintf(&link, "%s/link", directory) > 0);
	REQUIRE(asprintf(&command, "mkdir %s/watched && cp %s %s && ln %s %s",
			 directory, own_path, path, path, link) > 0);
	REQUIRE(!system(command));
	rules.functions[0].exes = (struct config_strings){&path, 1};
	start(&rules);
	assert_value(value_of(&rules, "bpftally_function_probed"), 1);
	/* by another link, in a directory that no rule names */
	pid = start_writer(link, gate);
	await_no_probes(&rules);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	functions_look(rules.running); /* while it is open to write */
	assert_value(value_of(&rules, "bpftally_function_probed"), 0);
	REQUIRE(write(gate[1], "", 1) == 1);
	REQUIRE(waitpid(pid, &status, 0) == pid && !status);
	await_news(&rules);
	functions_look(rules.running);
	assert_value(value_of(&rules, "bpftally_function_probed"), 1);
	stop(&rules);
	REQUIRE(!unlink(path) && !unlink(link) && !close(gate[0]) && !close(gate[1]));
	REQUIRE(!rmdir(dirname(path)) && !rmdir(directory));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_call_of_every_thread_is_counted),
	    cmocka_unit_test(test_first_calls_of_many_threads_are_counted),
	    cmocka_unit_test(test_numbers_are_of_arguments_and_results),
	    cmocka_unit_test(test_large_unsigned_numbers_are_in_the_highest_bucket),
	    cmocka_unit_test(test_a_counter_never_falls),
	    cmocka_unit_test(test_calls_count_by_their_result),
	    cmocka_unit_test(test_a_call_is_in_the_bucket_of_its_duration),
	    cmocka_unit_test(test_recursion_is_one_call_a_level),
	    cmocka_unit_test(test_functions_that_end_in_each_other_are_two_calls),
	    cmocka_unit_test(test_a_longjmp_out_leaves_no_wrong_duration),
	    cmocka_unit_test(test_a_fork_inside_is_one_call),
	    cmocka_unit_test(test_calls_under_way_are_a_gauge),
	    cmocka_unit_test(test_a_process_killed_inside_is_in_the_ledger),
	    cmocka_unit_test(test_strings_are_labels_up_to_their_cap),
	    cmocka_unit_test(test_a_string_that_cannot_be_read_is_other),
	    cmocka_unit_test(test_a_string_that_nobody_has_looked_at_yet_is_other),
	    cmocka_unit_test(test_numbers_are_labels_by_their_enumeration),
	    cmocka_unit_test(test_results_are_labels_up_to_their_cap),
	    cmocka_unit_test(test_results_are_labels_beside_those_of_arguments),
	    cmocka_unit_test(test_a_pid_selects_one_process_of_a_program),
	    cmocka_unit_test(test_a_process_that_is_not_selected_returns_as_ever),
	    cmocka_unit_test(test_a_library_is_counted_for_chosen_programs),
	    cmocka_unit_test(test_a_service_selects_its_processes_and_their_children),
	    cmocka_unit_test(test_a_service_that_runs_already_is_selected),
	    cmocka_unit_test(test_another_program_is_of_no_service_yet),
	    cmocka_unit_test(test_processes_that_could_not_be_told_of_are_said_to_be),
	    cmocka_unit_test(test_a_program_in_the_place_of_another_is_news),
	    cmocka_unit_test(test_a_program_in_the_place_of_a_selected_one_is_not_it),
	    cmocka_unit_test(test_programs_that_are_selected_may_come_for_ever),
	    cmocka_unit_test(test_attaching_and_detaching_changes_no_result),
	    cmocka_unit_test(test_no_return_is_probed_before_its_entry),
	    cmocka_unit_test(test_what_is_not_there_stops_no_other_rule),
	    cmocka_unit_test(test_probes_leave_a_file_before_it_is_written_to),
	};

	if (argc > 1)
		return be_a_service(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
