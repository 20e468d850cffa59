/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "config_case.h"
#include "fake_client.h"
#include "fake_push.h"
#include "holders.h"
#include "length.h"
#include "listening.h"
#include "observed.h"
#include "observer.h"
#include "targets.h"

#define PATIENCE_MS 10000 /* of a test; nothing waits that long */
#define JOB                                                                            \
	"remote_write: [{url: http://r}]\nscrape_configs:\n- job_name: j\n"            \
	"  observed_processes: {}\n  scrape_interval: 100ms\n"

/* Which processes there are, and what they listen on. */
static struct {
	uint32_t pid; /* 0: none */
	uint64_t start_ticks;
	const char *service;
	uint64_t inode; /* its port, too */
} processes[8];

static struct loaded loaded;
static struct loop *loop;
static struct loop_timer *poller;
static struct observed *observed;
static bool (*is_reached)(void);
static unsigned int polls, looks, changes, added, more_turns;

int holders_create(const char *root, struct holders **ret_holders)
{
	(void)root;
	(void)ret_holders;
	return 0;
}

void holders_free(struct holders **holders)
{
	(void)holders;
}

int holders_begin(struct holders *holders)
{
	(void)holders;
	added = 0;
	return 0;
}

void holders_add(struct holders *holders, uint32_t pid, const char *service)
{
	(void)holders;
	(void)pid;
	(void)service;
	added++;
}

bool holders_go_on(struct holders *holders)
{
	(void)holders;
	if (more_turns) {
		more_turns--;
		return true;
	}
	looks++;
	return false;
}

void holders_each(const struct holders *holders, holders_visit visit, void *context)
{
	(void)holders;
	for (size_t i = 0; added && i < LENGTH(processes); i++) {
		const struct holder holder = {
		    processes[i].pid, processes[i].start_ticks, processes[i].service};
		struct listening_socket socket = {
		    .inode = processes[i].inode,
		    .port = (uint16_t)processes[i].inode,
		};

		snprintf(socket.address, sizeof(socket.address), "127.0.0.1:%u",
			 socket.port);
		if (processes[i].pid)
			visit(context, &socket, &holder);
	}
}

void observer_each_process(const struct observer *observer, observer_visit visit,
			   void *context)
{
	(void)observer;
	for (size_t i = 0; i < LENGTH(processes); i++) {
		const struct service service = {.name = (char *)processes[i].service};

		if (processes[i].pid)
			visit(context, processes[i].pid, &service);
	}
}

static void on_poll(void *context)
{
	(void)context;
	polls++;
	if (is_reached() || polls > PATIENCE_MS)
		loop_stop(loop);
}

static void await(bool (*condition)(void))
{
	is_reached = condition;
	polls = 0;
	assert_int_equal(loop_timer_arm(poller, 1, 1), 0);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_disarm(poller);
	assert_true(condition());
}

static bool has_looked(void)
{
	return looks > 0;
}

static void look(void)
{
	looks = 0;
	await(has_looked);
}

static void on_changed(void *context)
{
	(void)context;
	changes++;
}

static void add(uint32_t pid, uint64_t start_ticks, const char *service, uint64_t inode)
{
	size_t i = 0;

	while (processes[i].pid)
		i++;
	processes[i].pid = pid;
	processes[i].start_ticks = start_ticks;
	processes[i].service = service;
	processes[i].inode = inode;
}

static void start(const char *keys)
{
	char yaml[1024];

	snprintf(yaml, sizeof(yaml), JOB "%s", keys);
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	loaded.config.scrapes[0].interval_ms = 5; /* less than may be configured */
	loaded.config.scrapes[0].timeout_ms = 5;
	assert_int_equal(observed_create(loop, loaded.config.scrapes, NULL, on_changed,
					 NULL, &observed),
			 0);
}

static int build(void **state)
{
	(void)state;
	memset(processes, 0, sizeof(processes));
	changes = 0;
	return loop_create(&loop) || loop_timer_create(loop, on_poll, NULL, &poller);
}

static int destroy(void **state)
{
	(void)state;
	observed_free(&observed);
	config_free(&loaded.config);
	loop_timer_free(&poller);
	loop_free(&loop);
	return 0;
}

static char serving[512];

static void note(void *context, const struct scrape_discovered *discovered)
{
	const char *port = strrchr(discovered->more[0].value, ':');

	(void)context;
	assert_string_equal(discovered->more[0].name, "instance");
	assert_string_equal(discovered->more[1].name, "service_name");
	assert_string_equal(discovered->more[2].name, "__meta_process_pid");
	strcat(strcat(strcat(serving, discovered->address), port), "=");
	strcat(strcat(strcat(serving, discovered->more[1].value), "/"),
	       discovered->more[2].value);
	strcat(serving, " ");
}

static void assert_serving(const char *want)
{
	*serving = 0;
	observed_each(observed, note, NULL);
	assert_string_equal(serving, want);
}

#define URL(port) "http://127.0.0.1:" port "/metrics"

static void who_answers_with_an_exposition_is_a_target(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	start("");
	look();
	assert_serving("");
	assert_string_equal(fake_find(URL("80"))->headers,
			    "Accept: application/openmetrics-text;version=1.0.0,"
			    "application/openmetrics-text;version=0.0.1;q=0.75,"
			    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1\n");
	fake_answer(fake_find(URL("80")), 200, "text/plain", "m 1\n");
	assert_serving("127.0.0.1:80:80=s/7 ");
	assert_int_equal(changes, 1);
	look();
	assert_int_equal(fake_sending(), 0);
	assert_int_equal(changes, 1);
}

static void who_answers_otherwise_is_not_asked_again(void **state)
{
	static const struct {
		long status;
		const char *type;
		const char *body;
	} cases[] = {
	    {404, "text/plain", "m 1\n"},
	    {200, "text/html", "<html></html>"},
	    {200, "text/plain", ""},
	    {200, "text/plain", "# no sample\n"},
	    {200, "text/plain", "m 1\nbroken{"},
	    {429, "text/plain", ""},
	};

	(void)state;
	for (uint32_t i = 0; i < LENGTH(cases); i++)
		add(7 + i, 1, "s", 80 + i);
	start("");
	look();
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char url[64];

		snprintf(url, sizeof(url), "http://127.0.0.1:%zu/metrics", 80 + i);
		fake_answer(fake_find(url), cases[i].status, cases[i].type,
			    cases[i].body);
	}
	assert_serving("");
	look();
	assert_int_equal(fake_sending(), 0);
	assert_int_equal(changes, 0);
}

static void answer_after(unsigned int count, long status, const char *body)
{
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(fake_sending(), 0);
		look();
	}
	fake_answer(fake_find(URL("80")), status, "text/plain", body);
}

static void who_is_not_ready_is_asked_again_after_pauses_that_double(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	start("");
	answer_after(1, 503, "starting");
	answer_after(1, 0, "connection refused");
	answer_after(2, 500, "");
	answer_after(4, 200, "m 1\n");
	assert_serving("127.0.0.1:80:80=s/7 ");
}

static void who_is_never_ready_is_given_up_after_five_more_questions(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	start("");
	answer_after(1, 503, "");
	for (unsigned int i = 0; i < 5; i++)
		answer_after(1u << i, 503, "");
	for (unsigned int i = 0; i < 33; i++) {
		look();
		assert_int_equal(fake_sending(), 0);
	}
}

static void a_process_is_asked_one_question_at_a_time(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	add(7, 1, "s", 81);
	add(8, 1, "t", 90);
	start("");
	look();
	assert_int_equal(fake_sending(), 2);
	assert_non_null(fake_find(URL("90")));
	fake_answer(fake_find(URL("80")), 200, NULL, "m 1\n");
	assert_non_null(fake_find(URL("81")));
}

static void another_process_behind_the_same_socket_is_asked(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	start("");
	look();
	fake_answer(fake_find(URL("80")), 404, NULL, "");
	processes[0].start_ticks = 2;
	look();
	fake_answer(fake_find(URL("80")), 200, NULL, "m 1\n");
	assert_serving("127.0.0.1:80:80=s/7 ");
}

static void one_that_has_gone_is_no_target(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	start("");
	look();
	fake_answer(fake_find(URL("80")), 200, NULL, "m 1\n");
	processes[0].pid = 0;
	look();
	assert_serving("");
	assert_int_equal(changes, 2);
}

static void another_name_is_news(void **state)
{
	(void)state;
	add(7, 1, "provisional", 80);
	start("");
	look();
	fake_answer(fake_find(URL("80")), 200, NULL, "m 1\n");
	processes[0].service = "s";
	look();
	assert_serving("127.0.0.1:80:80=s/7 ");
	assert_int_equal(changes, 2);
}

static void a_look_takes_as_many_turns_as_there_are_portions(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	more_turns = 3;
	start("");
	look();
	assert_int_equal(more_turns, 0);
	assert_non_null(fake_find(URL("80")));
}

static void we_are_not_asked(void **state)
{
	(void)state;
	add((uint32_t)getpid(), 1, "s", 80);
	start("");
	look();
	assert_int_equal(added, 0);
	assert_int_equal(fake_sending(), 0);
}

static void rules_say_who_is_asked_and_how(void **state)
{
	(void)state;
	add(7, 1, "s", 80);
	add(8, 1, "t", 81);
	start("  metrics_path: /m\n"
	      "  relabel_configs: [{source_labels: [service_name], regex: t, "
	      "action: keep}]\n");
	look();
	assert_int_equal(fake_sending(), 1);
	assert_non_null(fake_find("http://127.0.0.1:81/m"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(who_answers_with_an_exposition_is_a_target),
	    TEST(who_answers_otherwise_is_not_asked_again),
	    TEST(who_is_not_ready_is_asked_again_after_pauses_that_double),
	    TEST(who_is_never_ready_is_given_up_after_five_more_questions),
	    TEST(a_process_is_asked_one_question_at_a_time),
	    TEST(another_process_behind_the_same_socket_is_asked),
	    TEST(one_that_has_gone_is_no_target),
	    TEST(another_name_is_news),
	    TEST(a_look_takes_as_many_turns_as_there_are_portions),
	    TEST(we_are_not_asked),
	    TEST(rules_say_who_is_asked_and_how),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
