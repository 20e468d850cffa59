/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "capture.h"

/* A kernel that has everything. */
static struct capture_facts good_facts(void)
{
	struct capture_facts facts = {.btf = true,
				      .helpers = true,
				      .tracing = CAPTURE_YES,
				      .functions = CAPTURE_YES};

	memset(facts.hooks, true, sizeof(facts.hooks));
	return facts;
}

static void lose(struct capture_facts *facts, const char *program)
{
	for (size_t i = 0; capture_hook(i); i++)
		if (!strcmp(capture_hook(i)->program, program))
			facts->hooks[i] = false;
}

/* Debian 12: 6.1. */
static struct capture_facts kernel_6_1(void)
{
	struct capture_facts facts = good_facts();

	lose(&facts, "sock_recv_length");
	lose(&facts, "sock_send_length");
	lose(&facts, "sk_data_ready");
	lose(&facts, "tcp_sendmsg_locked");
	return facts;
}

static void tracepoints_are_chosen_where_they_are(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_TRACEPOINT);
	assert_int_equal(capture_choose(&facts, CAPTURE_FENTRY), CAPTURE_FENTRY);
	facts.functions = CAPTURE_NO;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_TRACEPOINT);
	assert_int_equal(capture_choose(&facts, CAPTURE_FENTRY), CAPTURE_AUTO);
}

static void functions_are_chosen_where_tracepoints_are_missing(void **state)
{
	struct capture_facts facts = kernel_6_1();

	(void)state;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_FENTRY);
	assert_int_equal(capture_choose(&facts, CAPTURE_TRACEPOINT), CAPTURE_AUTO);
	assert_string_equal(capture_lacks(&facts, CAPTURE_TRACEPOINT)->target,
			    "sock_recv_length");
	facts.functions = CAPTURE_UNKNOWN;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_AUTO);
}

static void a_kernel_below_the_floor_has_no_way(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	facts.helpers = false;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_AUTO);
	facts = good_facts();
	facts.btf = false;
	assert_int_equal(capture_choose(&facts, CAPTURE_AUTO), CAPTURE_AUTO);
}

static void an_optional_hook_may_be_missing(void **state)
{
	static const char *const programs[] = {"tcp_sendpage_exit",
					       "unix_stream_sendpage_exit"};
	struct capture_facts facts = good_facts();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_true(capture_takes(&facts, CAPTURE_FENTRY, programs[i]));
		lose(&facts, programs[i]);
		assert_false(capture_takes(&facts, CAPTURE_FENTRY, programs[i]));
	}
	assert_null(capture_lacks(&facts, CAPTURE_FENTRY));
	lose(&facts, "tcp_recvmsg_exit");
	assert_string_equal(capture_lacks(&facts, CAPTURE_FENTRY)->target,
			    "tcp_recvmsg");
}

static void each_way_takes_its_own_programs(void **state)
{
	static const struct {
		const char *program;
		bool tracepoint, fentry;
	} cases[] = {
	    {"sock_recv_length", true, false},
	    {"sock_send_length", true, false},
	    {"sk_data_ready", true, false},
	    {"tcp_sendmsg_locked", true, false},
	    {"tcp_sendmsg_entry", false, true},
	    {"tcp_sendmsg_exit", false, true},
	    {"tcp_recvmsg_exit", false, true},
	    {"unix_stream_sendmsg_entry", false, true},
	    {"unix_stream_sendmsg_exit", false, true},
	    {"unix_stream_recvmsg_exit", false, true},
	    {"sock_def_readable_entry", false, true},
	    {"inet_sock_set_state", true, true},
	    {"tcp_destroy_sock", true, true},
	    {"tcp_rcv_space_adjust", false, false},
	    {"tcp_splice_read_exit", true, true},
	    {"tcp_getsockopt_exit", true, true},
	    {"process_exec", true, true}, /* no hook of a kernel's choice */
	};
	struct capture_facts facts = good_facts();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    capture_takes(&facts, CAPTURE_TRACEPOINT, cases[i].program),
		    cases[i].tracepoint);
		assert_int_equal(
		    capture_takes(&facts, CAPTURE_FENTRY, cases[i].program),
		    cases[i].fentry);
	}
}

/* 6.3 to 6.15: tracepoints, but none for the start of a send. */
static void a_function_tells_when_a_send_begins_where_no_tracepoint_does(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	assert_true(capture_sees_send_begin(&facts, CAPTURE_TRACEPOINT));
	lose(&facts, "tcp_sendmsg_locked");
	assert_true(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_entry"));
	assert_false(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_exit"));
	assert_true(capture_sees_send_begin(&facts, CAPTURE_TRACEPOINT));
	facts.functions = CAPTURE_NO;
	assert_false(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_entry"));
	assert_false(capture_sees_send_begin(&facts, CAPTURE_TRACEPOINT));
	assert_string_equal(capture_send_begin_needs(&facts),
			    "Linux 6.16, or CONFIG_FUNCTION_TRACER=y");
	facts.functions_off = true;
	assert_string_equal(capture_send_begin_needs(&facts),
			    "Linux 6.16, or kernel.ftrace_enabled=1");
}

static void assert_unseen_is_told(const struct capture_facts *facts, bool by_functions)
{
	for (enum capture way = CAPTURE_TRACEPOINT; way <= CAPTURE_FENTRY; way++) {
		assert_int_equal(capture_takes(facts, way, "tcp_rcv_space_adjust"),
				 !by_functions);
		assert_int_equal(capture_takes(facts, way, "tcp_splice_read_exit"),
				 by_functions);
		assert_int_equal(capture_takes(facts, way, "tcp_getsockopt_exit"),
				 by_functions);
	}
}

/* The tracepoint tells it of every read, where not all others can. */
static void bytes_without_a_length_are_told_by_functions_or_at_each_read(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	assert_unseen_is_told(&facts, true);
	facts.preempts_functions = true;
	assert_unseen_is_told(&facts, false);
	facts = good_facts();
	facts.functions = CAPTURE_NO;
	assert_unseen_is_told(&facts, false);
	facts = good_facts();
	lose(&facts, "tcp_getsockopt_exit");
	assert_unseen_is_told(&facts, false);
}

/* Programs that stand in for another and are loaded. */
static size_t count_stand_ins(const struct capture_facts *facts, enum capture way)
{
	const struct capture_hook *hook;
	size_t count = 0;

	for (size_t i = 0; (hook = capture_hook(i)); i++)
		count += capture_is_again(hook->program) &&
			 capture_takes(facts, way, hook->program);
	return count;
}

/* 7.0 is the first that does; before 6.14 nothing could be done against it. */
static void programs_stand_in_where_the_kernel_preempts_them(void **state)
{
	static const struct {
		bool preempts, can_hold, tracepoint, fentry;
	} cases[] = {
	    {false, false, false, false},
	    {false, true, false, true},
	    {true, false, false, false},
	    {true, true, true, true},
	};
	struct capture_facts facts = good_facts();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		facts.preempts = cases[i].preempts;
		facts.can_hold = cases[i].can_hold;
		assert_int_equal(capture_is_preemptible(&facts, CAPTURE_TRACEPOINT),
				 cases[i].tracepoint);
		assert_int_equal(capture_is_preemptible(&facts, CAPTURE_FENTRY),
				 cases[i].fentry);
		assert_int_equal(count_stand_ins(&facts, CAPTURE_TRACEPOINT),
				 cases[i].tracepoint ? 8 : 0);
		assert_int_equal(count_stand_ins(&facts, CAPTURE_FENTRY), 0);
	}
}

/* Where functions are preempted each of their programs is called by six others. */
static void functions_are_taken_in_turns_where_they_are_preempted(void **state)
{
	struct capture_facts facts = kernel_6_1();

	(void)state;
	assert_false(capture_takes(&facts, CAPTURE_FENTRY, "tcp_recvmsg_exit_1"));
	assert_false(capture_takes_turns(&facts, "tcp_recvmsg_exit"));
	facts.preempts_functions = true;
	assert_true(capture_takes(&facts, CAPTURE_FENTRY, "tcp_recvmsg_exit_1"));
	assert_true(capture_takes(&facts, CAPTURE_FENTRY, "tcp_recvmsg_exit_6"));
	assert_true(capture_takes(&facts, CAPTURE_FENTRY, "tcp_recvmsg_exit"));
	assert_true(capture_takes_turns(&facts, "tcp_recvmsg_exit"));
	assert_false(capture_takes_turns(&facts, "tcp_destroy_sock"));
	assert_false(capture_takes_turns(&facts, "process_exec"));
	lose(&facts, "tcp_sendpage_exit");
	assert_false(capture_takes(&facts, CAPTURE_FENTRY, "tcp_sendpage_exit_1"));
}

/* 6.3 to 6.15: only the start of a send is told by a function. */
static void tracepoints_take_one_function_in_turns(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	facts.preempts_functions = true;
	assert_false(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_entry_1"));
	lose(&facts, "tcp_sendmsg_locked");
	assert_true(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_entry_1"));
	assert_false(capture_takes(&facts, CAPTURE_TRACEPOINT, "tcp_sendmsg_exit_1"));
}

static void only_tracepoints_of_a_realtime_kernel_need_tables_whole(void **state)
{
	struct capture_facts facts = good_facts();

	(void)state;
	assert_false(capture_needs_tables_whole(&facts, CAPTURE_TRACEPOINT));
	facts.realtime = true;
	assert_true(capture_needs_tables_whole(&facts, CAPTURE_TRACEPOINT));
	assert_false(capture_needs_tables_whole(&facts, CAPTURE_FENTRY));
}

static void a_preemptible_kernel_is_known_by_its_version_or_mode(void **state)
{
	static const struct {
		const char *version, *mode;
		bool preempts;
	} cases[] = {
	    {"#1 SMP PREEMPT_RT Debian 6.1.158-1 (2025-11-09)", "", true},
	    {"#1 SMP PREEMPT Debian 6.1.158-1 (2025-11-09)", "", true},
	    {"#1 SMP Debian 6.1.158-1 (2025-11-09)", "", false},
	    {"#1 SMP PREEMPT_DYNAMIC Debian 6.1.158-1 (2025-11-09)", "", false},
	    {"#1 SMP PREEMPT_DYNAMIC Debian", "none (voluntary) full\n", false},
	    {"#1 SMP PREEMPT_DYNAMIC Debian", "none voluntary (full)\n", true},
	    {"#1 SMP PREEMPT_DYNAMIC Debian", "full (lazy)\n", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    capture_kernel_preempts(cases[i].version, cases[i].mode),
		    cases[i].preempts);
}

static void who_stands_in_is_known_by_name(void **state)
{
	(void)state;
	assert_true(capture_is_again("tcp_recvmsg_exit_2"));
	assert_true(capture_is_again("tcp_recvmsg_exit_6"));
	assert_false(capture_is_again("tcp_recvmsg_exit_1"));
	assert_false(capture_is_again("tcp_recvmsg_exit"));
	assert_true(capture_is_again("sock_recv_length_2"));
	assert_true(capture_is_again("tcp_sendmsg_locked_3"));
	assert_false(capture_is_again("sock_recv_length"));
	assert_false(capture_is_again("each_connection"));
}

static void names_are_read_back(void **state)
{
	enum capture way = CAPTURE_FENTRY;

	(void)state;
	for (enum capture each = CAPTURE_AUTO; each <= CAPTURE_FENTRY; each++) {
		assert_true(capture_parse(capture_name(each), &way));
		assert_int_equal(way, each);
	}
	assert_false(capture_parse("kprobe", &way));
	assert_false(capture_parse("", &way));
	assert_int_equal(way, CAPTURE_FENTRY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tracepoints_are_chosen_where_they_are),
	    cmocka_unit_test(functions_are_chosen_where_tracepoints_are_missing),
	    cmocka_unit_test(a_kernel_below_the_floor_has_no_way),
	    cmocka_unit_test(an_optional_hook_may_be_missing),
	    cmocka_unit_test(each_way_takes_its_own_programs),
	    cmocka_unit_test(
		a_function_tells_when_a_send_begins_where_no_tracepoint_does),
	    cmocka_unit_test(
		bytes_without_a_length_are_told_by_functions_or_at_each_read),
	    cmocka_unit_test(programs_stand_in_where_the_kernel_preempts_them),
	    cmocka_unit_test(functions_are_taken_in_turns_where_they_are_preempted),
	    cmocka_unit_test(tracepoints_take_one_function_in_turns),
	    cmocka_unit_test(only_tracepoints_of_a_realtime_kernel_need_tables_whole),
	    cmocka_unit_test(a_preemptible_kernel_is_known_by_its_version_or_mode),
	    cmocka_unit_test(who_stands_in_is_known_by_name),
	    cmocka_unit_test(names_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
