/* SPDX-License-Identifier: Apache-2.0 */
/* The file and its symbols are real; the kernel is played by this file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "prober.h"
#include "return_probes.h"
#include "workshop.h"

#define PATH_LEN 256
#define RULES 3

/* --- the kernel --------------------------------------------------------------- */

struct uprobes_link {
	size_t place_count;
	uint32_t points[8];
};

static struct uprobes {
	uint32_t point_rules[16]; /* of each point that was told */
	uint32_t point_count;
	size_t attached, ever;
	struct uprobes_link last;
	size_t place_max; /* of one link; 0: any */
	int point_err;
	const char *danger;
} fake;

int uprobes_set_point(struct uprobes *uprobes, uint32_t number,
		      const struct tally_function_point *point)
{
	if (uprobes->point_err)
		return uprobes->point_err;
	assert_int_equal(number, uprobes->point_count);
	uprobes->point_rules[uprobes->point_count++] = point->rule;
	return 0;
}

int uprobes_attach(struct uprobes *uprobes, const char *path,
		   const struct uprobes_place *places, size_t count,
		   struct uprobes_link **ret_link)
{
	struct uprobes_link *link = calloc(1, sizeof(*link));

	assert_non_null(strstr(path, "/shop"));
	assert_true(count && count <= LENGTH(link->points));
	for (size_t i = 0; i < count; i++) {
		assert_true(places[i].point < uprobes->point_count &&
			    places[i].return_point < uprobes->point_count);
		link->points[i] = places[i].point;
	}
	if (uprobes->place_max && count > uprobes->place_max) {
		free(link);
		return -E2BIG;
	}
	link->place_count = count;
	uprobes->attached++;
	uprobes->ever++;
	uprobes->last = *link;
	*ret_link = link;
	return 0;
}

void uprobes_detach(struct uprobes_link **link)
{
	if (!*link)
		return;
	fake.attached--;
	free(*link);
	*link = NULL;
}

const char *return_probes_danger_here(void)
{
	return fake.danger;
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	char workshop[WORKSHOP_LEN];
	char path[PATH_LEN];
	struct config_function rules[RULES];
	uint32_t numbers[RULES];
	struct subject subject;
	struct binary binary;
	struct prober prober;
	struct probed probed;
};

static const char source[] =
    "#define FUNCTION(name) .globl name; .type name, @function; \\\n"
    "	name: push %rbx; pop %rbx; ret; .size name, 3\n"
    "FUNCTION(checkout)\n"
    "FUNCTION(_start)\n"
    ".section .note.GNU-stack,\"\",@progbits\n";

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	memset(&fake, 0, sizeof(fake));
	workshop_open(scene->workshop);
	workshop_source(scene->workshop, "shop.S", source);
	workshop_run(scene->workshop, "cc -nostdlib -static -o shop shop.S");
	snprintf(scene->path, PATH_LEN, "%s/shop", scene->workshop);
	scene->binary = (struct binary){
	    .path = scene->path,
	    .shown = (char *)"/bin/shop",
	    .root = (char *)"",
	};
	scene->subject.rules = scene->numbers;
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	probed_free(&scene->probed);
	prober_free(&scene->prober);
	assert_int_equal(fake.attached, 0);
	workshop_close(scene->workshop);
	free(scene);
	return 0;
}

static void add_rule(struct scene *scene, const char *function)
{
	const size_t i = scene->subject.count++;

	scene->numbers[i] = (uint32_t)i;
	scene->rules[i] = (struct config_function){
	    .where = (char *)"f:1",
	    .metric = (char *)"m",
	    .type = CONFIG_COUNTER,
	    .value = CONFIG_VALUE_COUNT,
	    .function = (char *)(uintptr_t)function,
	};
}

static int attach(struct scene *scene)
{
	if (!scene->probed.rules)
		assert_int_equal(probed_create(scene->subject.count, &scene->probed),
				 0);
	if (!scene->prober.rules)
		prober_init(&scene->prober, scene->rules, 16);
	scene->prober.uprobes = &fake;
	return prober_attach(&scene->prober, &scene->subject, &scene->binary,
			     &scene->probed);
}

/* --- tests -------------------------------------------------------------------- */

static void rules_of_a_subject_share_a_link(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "checkout");
	add_rule(scene, "*");
	assert_int_equal(attach(scene), 0);
	assert_int_equal(fake.attached, 1);
	assert_int_equal(fake.last.place_count, 3);
	assert_int_equal(fake.point_rules[fake.last.points[0]], 0);
	assert_int_equal(fake.point_rules[fake.last.points[1]], 1);
	assert_int_equal(scene->probed.rules[0].functions, 1);
	assert_int_equal(scene->probed.rules[1].functions, 2);
	prober_detach(&scene->probed);
	assert_int_equal(fake.attached, 0);
	assert_int_equal(scene->probed.rules[1].functions, 0);
	/* what the kernel knows it is not told again */
	assert_int_equal(attach(scene), 0);
	assert_int_equal(fake.point_count, 2);
}

static void a_rule_that_finds_nothing_stops_no_other(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "absent");
	add_rule(scene, "checkout");
	assert_int_equal(attach(scene), -ENOENT);
	assert_int_equal(fake.attached, 1);
	assert_int_equal(scene->probed.rules[0].functions, 0);
	assert_int_equal(scene->probed.rules[1].functions, 1);
}

static void where_one_link_cannot_be_had_each_rule_has_its_own(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "checkout");
	add_rule(scene, "*");
	add_rule(scene, "_start");
	fake.place_max = 1;
	assert_int_equal(attach(scene), -E2BIG);
	assert_int_equal(fake.attached, 2);
	assert_null(scene->probed.link);
	assert_int_equal(scene->probed.rules[0].functions, 1);
	assert_int_equal(scene->probed.rules[1].functions, 0);
	assert_int_equal(scene->probed.rules[2].functions, 1);
}

static void no_place_is_attached_whose_point_is_not_known(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "checkout");
	fake.point_err = -ENOMEM;
	assert_int_equal(attach(scene), -ENOMEM);
	assert_int_equal(fake.ever, 0);
	fake.point_err = 0;
	assert_int_equal(attach(scene), 0);
	assert_int_equal(fake.attached, 1);
}

static void returns_are_found_in_the_code_where_return_probes_harm(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "checkout");
	scene->rules[0].value = CONFIG_VALUE_LATENCY;
	fake.danger = "they do harm";
	assert_int_equal(attach(scene), 0);
	assert_int_equal(fake.last.place_count, 2);
	assert_int_equal(scene->prober.points.items[1].role, TALLY_POINT_LEAVING);
}

static void a_check_attaches_nothing(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "checkout");
	add_rule(scene, "absent");
	assert_true(prober_check(&scene->rules[0], &scene->binary));
	assert_false(prober_check(&scene->rules[1], &scene->binary));
	assert_int_equal(fake.ever, 0);
	assert_int_equal(fake.point_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rules_of_a_subject_share_a_link),
	    TEST(a_rule_that_finds_nothing_stops_no_other),
	    TEST(where_one_link_cannot_be_had_each_rule_has_its_own),
	    TEST(no_place_is_attached_whose_point_is_not_known),
	    TEST(returns_are_found_in_the_code_where_return_probes_harm),
	    TEST(a_check_attaches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
