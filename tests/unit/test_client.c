/* SPDX-License-Identifier: Apache-2.0 */
/* client.c against real sockets: what exchanges do to each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "getting.h"

static void a_kept_connection_that_has_died_is_replaced_at_once(void **state)
{
	static const char *const answers[] = {OK, CLOSE, OK, NULL};
	struct scene *scene = *state;

	/* A backoff would outlast the test. */
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->connection_count, 2);
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 0);
}

/* The thread that curl asks from cannot be stopped; waiting for it would stop
 * the daemon. */
static void a_name_server_that_is_down_stops_nobody(void **state)
{
	struct scene *scene = *state;

	sem_init(&resolver.may_answer, 0, 0);
	sem_init(&resolver.has_answered, 0, 0);
	scene->endpoints[0].http.url = "http://" SLOW_HOST "/push";
	scene->endpoints[0].http.timeout_ms = 20;
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	push_free(&scene->push);
	sem_post(&resolver.may_answer);
	sem_wait(&resolver.has_answered);
	assert_int_equal(resolver.err, 0);
}

/* The one behind it is there at once. */
static void a_server_that_hangs_delays_nobody(void **state)
{
	struct scene *scene = *state;
	struct get hanging, other;
	char url[64];

	scene->endpoints[0].http.timeout_ms = 200;
	get_create(&hanging, scene, (const char *const[]){HANG, NULL});
	get_start(&hanging, 100);
	other = (struct get){.scene = scene};
	scene->servers[1]->answers = (const char *const[]){GZIPPED "b", NULL};
	server_listen(scene->servers[1]);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/m", scene->servers[1]->port);
	scene->endpoints[1].http.url = url;
	assert_int_equal(exchange_create(hanging.client, &scene->endpoints[1].http,
					 on_answer, &other, &other.exchange),
			 0);
	get_run(&other, 100);
	assert_int_equal(other.status, 200);
	assert_int_equal(hanging.answers, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(hanging.status, 0);
	assert_non_null(strstr(hanging.text, "timed out after 2"));
	exchange_free(&other.exchange);
	free(other.body);
	get_free(&hanging);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_kept_connection_that_has_died_is_replaced_at_once),
	    TEST(a_name_server_that_is_down_stops_nobody),
	    TEST(a_server_that_hangs_delays_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
