/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basic_auth.h"
#include "secret.h"

/* "open sesame" twice, and "baba" at eight times the cost: the three spellings there
 * are */
static struct config_label items[] = {
    {"ann", "$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"},
    {"bob", "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"},
    {"eve", "$2a$07$abcdefghijklmnopqrstuuPOoykUSKtyj89J7ON8YeDwlnXMRaq8y"},
};
static const struct config_labels users = {items, 3};

struct scene {
	struct loop *loop;
	struct basic_auth *auth;
	unsigned int answers, wanted;
	bool granted[16]; /* by asker */
	int askers[16];
};

static void on_answer(void *context, void *asker, bool granted)
{
	struct scene *scene = context;

	scene->granted[(int *)asker - scene->askers] = granted;
	if (++scene->answers == scene->wanted)
		loop_stop(scene->loop);
}

static void open_scene(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	assert_int_equal(loop_create(&scene->loop), 0);
	assert_int_equal(basic_auth_create(scene->loop, on_answer, scene, &scene->auth),
			 0);
}

static void close_scene(struct scene *scene)
{
	basic_auth_free(&scene->auth);
	assert_null(scene->auth);
	basic_auth_free(&scene->auth);
	loop_free(&scene->loop);
}

static enum basic_auth_verdict judge(struct scene *scene, const char *name,
				     const char *password, size_t asker)
{
	char *credentials = NULL, field[512];

	assert_int_equal(secret_basic(name, password, &credentials), 0);
	snprintf(field, sizeof(field), "Basic %s", credentials);
	free(credentials);
	return basic_auth_judge(scene->auth, &users, field, &scene->askers[asker]);
}

static void wait_for(struct scene *scene, unsigned int answers)
{
	scene->wanted = answers;
	if (scene->answers < answers)
		assert_int_equal(loop_run(scene->loop), 0);
}

/* After its hash, if it takes one. */
static bool is_granted(struct scene *scene, const char *name, const char *password)
{
	switch (judge(scene, name, password, 0)) {
	case BASIC_AUTH_GRANTED:
		return true;
	case BASIC_AUTH_WAITS:
		wait_for(scene, scene->answers + 1);
		return scene->granted[0];
	case BASIC_AUTH_DENIED:
	case BASIC_AUTH_BUSY:
		break;
	}
	return false;
}

static void the_right_password_and_no_other_is_granted(void **state)
{
	static const struct {
		const char *name, *password;
		bool granted;
	} cases[] = {
	    {"ann", "open sesame", true},
	    {"bob", "open sesame", true},
	    {"eve", "baba", true},
	    {"ann", "baba", false},
	    {"eve", "open sesame", false},
	    {"ann", "open sesam", false},
	    {"ann", "open sesamee", false},
	    {"ann", "Open sesame", false},
	    {"ann", "", false},
	    {"Ann", "open sesame", false},
	    {"", "open sesame", false},
	    {"nobody", "open sesame", false},
	};
	struct scene scene;

	(void)state;
	open_scene(&scene);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			if (is_granted(&scene, cases[i].name, cases[i].password) !=
			    cases[i].granted)
				fail_msg("%s:%s", cases[i].name, cases[i].password);
		}
	}
	close_scene(&scene);
}

static void what_was_right_is_not_hashed_again(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	assert_int_equal(judge(&scene, "ann", "open sesame", 0), BASIC_AUTH_WAITS);
	wait_for(&scene, 1);
	assert_int_equal(judge(&scene, "ann", "open sesame", 0), BASIC_AUTH_GRANTED);
	assert_int_equal(judge(&scene, "ann", "open sesam", 0), BASIC_AUTH_WAITS);
	wait_for(&scene, 2);
	assert_false(scene.granted[0]);
	assert_int_equal(judge(&scene, "ann", "open sesam", 0), BASIC_AUTH_WAITS);
	assert_int_equal(judge(&scene, "ann", "open sesame", 0), BASIC_AUTH_GRANTED);
	assert_int_equal(judge(&scene, "bob", "open sesame", 0), BASIC_AUTH_WAITS);
	close_scene(&scene);
}

static void new_users_are_asked_again(void **state)
{
	static struct config_label changed[] = {
	    {"ann", "$2a$07$abcdefghijklmnopqrstuuPOoykUSKtyj89J7ON8YeDwlnXMRaq8y"}};
	static const struct config_labels others = {changed, 1};
	struct scene scene;

	(void)state;
	open_scene(&scene);
	assert_true(is_granted(&scene, "ann", "open sesame"));
	/* another hash, told or not */
	assert_int_equal(basic_auth_judge(scene.auth, &others,
					  "Basic YW5uOm9wZW4gc2VzYW1l",
					  &scene.askers[0]),
			 BASIC_AUTH_WAITS);
	wait_for(&scene, 2);
	assert_false(scene.granted[0]);
	basic_auth_forget(scene.auth);
	assert_int_equal(judge(&scene, "ann", "open sesame", 0), BASIC_AUTH_WAITS);
	close_scene(&scene);
}

static void those_who_wait_are_answered_in_turn(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	for (size_t i = 0; i < BASIC_AUTH_WAITING; i++)
		assert_int_equal(
		    judge(&scene, i % 2 ? "ann" : "nobody", "open sesame", i),
		    BASIC_AUTH_WAITS);
	assert_int_equal(judge(&scene, "ann", "open sesame", 9), BASIC_AUTH_BUSY);
	wait_for(&scene, BASIC_AUTH_WAITING);
	for (size_t i = 0; i < BASIC_AUTH_WAITING; i++)
		assert_int_equal(scene.granted[i], i % 2);
	assert_int_equal(judge(&scene, "ann", "open sesame", 9), BASIC_AUTH_GRANTED);
	close_scene(&scene);
}

static void who_is_known_gets_in_while_others_wait(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	assert_true(is_granted(&scene, "ann", "open sesame"));
	for (size_t i = 0; i < BASIC_AUTH_WAITING; i++)
		assert_int_equal(judge(&scene, "ann", "guess", i), BASIC_AUTH_WAITS);
	assert_int_equal(judge(&scene, "ann", "open sesame", 9), BASIC_AUTH_GRANTED);
	close_scene(&scene); /* with all of them waiting */
}

static void what_is_no_basic_authentication_is_denied(void **state)
{
	static const char *const fields[] = {
	    "",
	    "Basic",
	    "Basic ",
	    "Bearer YW5uOm9wZW4gc2VzYW1l",
	    "BasicYW5uOm9wZW4gc2VzYW1l",
	    "Basic YW5uOm9wZW4gc2VzYW1",   /* a digit short */
	    "Basic YW5uOm9wZW4gc2VzYW1lA", /* a digit more */
	    "Basic YW5uOm9wZW4gc2VzYW1l,Basic YW5uOm9wZW4gc2VzYW1l",
	    "Basic YW5uOm9wZW4gc2VzYW1l ",
	    "Basic YW5u-m9wZW4gc2VzYW1l",
	    "Basic YW5u",                     /* no ':' */
	    "Basic YW5uOm9wZW4gc2VzYW1lAHg=", /* "ann:open sesame", NUL, "x" */
	    "Basic ====",
	    "Basic Og=",
	};
	struct scene scene;

	(void)state;
	open_scene(&scene);
	assert_int_equal(basic_auth_judge(scene.auth, &users, NULL, &scene.askers[0]),
			 BASIC_AUTH_DENIED);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (basic_auth_judge(scene.auth, &users, fields[i], &scene.askers[0]) !=
		    BASIC_AUTH_DENIED)
			fail_msg("%s", fields[i]);
	}
	assert_int_equal(basic_auth_judge(scene.auth, &users,
					  "bAsIc   YW5uOm9wZW4gc2VzYW1l",
					  &scene.askers[0]),
			 BASIC_AUTH_WAITS);
	close_scene(&scene);
}

/* ASan sees a read or a write outside. */
static void no_bytes_lead_outside_the_field(void **state)
{
	static const char alphabet[] = "AZaz09+/=:, ";
	unsigned int seed = 20260804;
	struct scene scene;

	(void)state;
	print_message("seed %u\n", seed);
	open_scene(&scene);
	for (int i = 0; i < 2000; i++) {
		size_t len = (size_t)rand_r(&seed) % (i % 100 ? 30 : 9000);
		char *field = malloc(6 + len + 1);

		assert_non_null(field);
		memcpy(field, "Basic ", 6);
		for (size_t j = 0; j < len; j++)
			field[6 + j] =
			    alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		field[6 + len] = '\0';
		if (basic_auth_judge(scene.auth, &users, field, &scene.askers[0]) ==
		    BASIC_AUTH_WAITS)
			wait_for(&scene, scene.answers + 1);
		free(field);
	}
	close_scene(&scene);
}

static double seconds_of(struct scene *scene, const char *name)
{
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (int i = 0; i < 10; i++)
		assert_false(is_granted(scene, name, "guess"));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	return (double)(after.tv_sec - before.tv_sec) +
	       (double)(after.tv_nsec - before.tv_nsec) / 1e9;
}

/* Of the first one in the list it would be an eighth. */
static void an_unknown_name_takes_as_long_as_the_costliest(void **state)
{
	double nobody, eve;
	struct scene scene;

	(void)state;
	open_scene(&scene);
	eve = seconds_of(&scene, "eve");
	nobody = seconds_of(&scene, "nobody");
	assert_true(nobody > eve * 0.5 && nobody < eve * 2);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_right_password_and_no_other_is_granted),
	    cmocka_unit_test(what_was_right_is_not_hashed_again),
	    cmocka_unit_test(new_users_are_asked_again),
	    cmocka_unit_test(those_who_wait_are_answered_in_turn),
	    cmocka_unit_test(who_is_known_gets_in_while_others_wait),
	    cmocka_unit_test(what_is_no_basic_authentication_is_denied),
	    cmocka_unit_test(no_bytes_lead_outside_the_field),
	    cmocka_unit_test(an_unknown_name_takes_as_long_as_the_costliest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
