/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "cleanup.h"
#include "places.h"
#include "rules.h"
#include "workshop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RULE 5
#define POINTS_MAX 16

/* A function of NAME, with what the assembler is to make of it. */
#define FUNCTION(name, text)                                                           \
	".type " name ", @function\n" name ":\n" text ".size " name ", .-" name "\n"
#define GLOBAL(name, text) ".globl " name "\n" FUNCTION(name, text)

#define NOP5 ".byte 0x0f, 0x1f, 0x44, 0, 0\n"

/* clang-format off */
#define SHOP                                                                           \
	".text\n"                                                                      \
	GLOBAL("_start", "hlt\n")                                                      \
	GLOBAL("push_first", "push %rbx\npop %rbx\nret\n")                             \
	".globl push_alias\n.type push_alias, @function\n"                             \
	".set push_alias, push_first\n.size push_alias, 3\n"                           \
	GLOBAL("push_later", "mov (%rdi), %eax\npush %rbx\npop %rbx\nret\n")           \
	GLOBAL("all_stepped", "mov (%rdi), %eax\nret\n")                               \
	GLOBAL("two_ways",                                                             \
	       "push %rbx\npop %rbx\ntest %edi, %edi\nje 1f\nret\n1: ret\n")           \
	GLOBAL("computed_jump",                                                        \
	       "push %rbx\npop %rbx\nlea (%rsi,%rdi), %rax\njmp *%rax\n")              \
	GLOBAL("long_nop", "push %rbx\n" NOP5 "pop %rbx\nret\n")                       \
	FUNCTION("twin", "push %rbx\npop %rbx\nret\n")                                 \
	".globl unsized\n.type unsized, @function\nunsized: mov %edi, %eax\nret\n"

/* clang-format on */

#define OTHER ".text\n" FUNCTION("twin", "nop\nret\n")

/* What the macros of <sys/sdt.h> expand to. */
#define PROBES                                                                         \
	".macro note address, semaphore, text\n"                                       \
	".pushsection .note.stapsdt, \"\", \"note\"\n.p2align 2\n"                     \
	".long 2f - 1f, 4f - 3f, 3\n1: .asciz \"stapsdt\"\n2: .p2align 2\n"            \
	"3: .quad \\address, base, \\semaphore\n.ascii \"\\text\"\n4: .p2align 2\n"    \
	".popsection\n.endm\n"                                                         \
	".section .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"        \
	"base: .byte 0\n"                                                              \
	".section .probes, \"aw\", \"progbits\"\ncounter: .short 0\n"                  \
	".text\nhere: nop\nthere: nop\nfar: nop\nret\nwide: " NOP5 "ret\n"             \
	"note here, 0, \"shop\\0sold\\0-4@%eax 8@%rdi\\0\"\n"                          \
	"note there, 0, \"shop\\0sold\\0-4@%eax 8@%rdi\\0\"\n"                         \
	"note far, counter, \"shop\\0sold\\0-4@-8(%rbp)\\0\"\n"                        \
	"note far, 0, \"shop\\0lost\\0-4@name(%rip)\\0\"\n"                            \
	"note wide, 0, \"shop\\0kept\\0\\0\"\n"

#define THROWER                                                                        \
	"#include <string>\n"                                                          \
	"extern \"C\" __attribute__((noinline)) int plain(int n)\n"                    \
	"{ std::string s(n, 'x'); if (n == 7) throw n; return s[n / 2]; }\n"           \
	"namespace shop { __attribute__((noinline)) int checkout(int n)\n"             \
	"{ return plain(n) + 1; } }\n"                                                 \
	"int main(int argc, char **) { return shop::checkout(argc); }\n"

struct scene {
	struct elf *elf;
	struct points points;
	struct places places;
	char error[PLACES_ERROR_LEN];
	struct config_function function; /* counts, until told otherwise */
};

static char workshop[WORKSHOP_LEN];

static int build(void **state)
{
	(void)state;
	workshop_open(workshop);
	workshop_source(workshop, "shop.S", SHOP);
	workshop_source(workshop, "other.S", OTHER);
	workshop_source(workshop, "probes.S", PROBES);
	workshop_run(workshop, "cc -nostdlib -static -o shop shop.S other.S probes.S");
	workshop_run(workshop, "strip -o stripped shop");
	workshop_source(workshop, "thrower.cc", THROWER);
	workshop_run(workshop, "g++ -O2 -o thrower thrower.cc");
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	workshop_close(workshop);
	return 0;
}

static void open_file(struct scene *scene, const char *name)
{
	char path[256], error[ELF_ERROR_LEN];

	elf_close(&scene->elf);
	snprintf(path, sizeof(path), "%s/%s", workshop, name);
	if (elf_open(path, "", &scene->elf, error))
		fail_msg("%s", error);
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	scene->points.max = POINTS_MAX;
	scene->function.value = CONFIG_VALUE_COUNT;
	open_file(scene, "shop");
	*state = scene;
	return 0;
}

static void forget(struct scene *scene)
{
	places_free(&scene->places);
	assert_null(scene->places.items);
	free(scene->points.items);
	scene->points = (struct points){.max = POINTS_MAX};
	memset(scene->error, 0, sizeof(scene->error));
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	forget(scene);
	elf_close(&scene->elf);
	free(scene);
	return 0;
}

static int find_as(struct scene *scene, const char *name, bool no_return_probe)
{
	AUTO_FREE char *copy = strdup(name);

	forget(scene);
	scene->function.function = copy;
	return places_find(scene->elf, &scene->function, RULE, no_return_probe,
			   &scene->points, &scene->places, scene->error);
}

static int find(struct scene *scene, const char *name)
{
	return find_as(scene, name, false);
}

static void expect_found(struct scene *scene, const char *name, size_t functions,
			 size_t stepped)
{
	if (find(scene, name))
		fail_msg("%s: %s", name, scene->error);
	assert_int_equal(scene->places.functions, functions);
	assert_int_equal(scene->places.stepped, stepped);
}

static void expect_refused(struct scene *scene, const char *name, int err,
			   const char *error)
{
	assert_int_equal(find(scene, name), err);
	assert_string_equal(scene->error, error);
	assert_int_equal(scene->places.count, 0);
	assert_int_equal(scene->places.functions, 0);
}

/* The n-th of that name. */
static const struct elf_function *function_of(const struct scene *scene,
					      const char *name, size_t n)
{
	size_t count;
	const struct elf_function *functions = elf_functions(scene->elf, &count);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(functions[i].name, name) && !n--)
			return &functions[i];
	fail_msg("no %s", name);
	return NULL;
}

static void expect_point(const struct scene *scene, uint32_t number,
			 enum tally_point_role role)
{
	struct tally_function_point point;

	assert_true(number < scene->points.count);
	rules_point(&scene->function, RULE, role, false, &point);
	assert_memory_equal(&scene->points.items[number], &point, sizeof(point));
}

static const struct uprobes_place *place_at(const struct scene *scene, size_t i,
					    uint64_t offset)
{
	const struct uprobes_place *place = &scene->places.items[i];

	assert_true(i < scene->places.count);
	assert_int_equal(place->offset, offset);
	assert_int_equal(place->semaphore, 0);
	return place;
}

static void expect_place(const struct scene *scene, size_t i, uint64_t offset,
			 enum tally_point_role role)
{
	const struct uprobes_place *place = place_at(scene, i, offset);

	assert_false(place->has_return);
	expect_point(scene, place->point, role);
}

/* --- by name ------------------------------------------------------------------ */

static void a_count_takes_an_entry_alone(void **state)
{
	struct scene *scene = *state;

	expect_found(scene, "push_first", 1, 0);
	assert_int_equal(scene->places.count, 1);
	expect_place(scene, 0, function_of(scene, "push_first", 0)->offset,
		     TALLY_POINT_ENTRY);
	/* the first that the kernel emulates, with the arguments still there */
	expect_found(scene, "push_later", 1, 0);
	assert_int_equal(scene->places.count, 1);
	expect_place(scene, 0, function_of(scene, "push_later", 0)->offset + 2,
		     TALLY_POINT_ENTRY);
	expect_found(scene, "all_stepped", 1, 1);
	expect_place(scene, 0, function_of(scene, "all_stepped", 0)->offset,
		     TALLY_POINT_ENTRY);
}

static void latency_takes_a_trampoline_or_every_return(void **state)
{
	struct scene *scene = *state;
	const uint64_t offset = function_of(scene, "two_ways", 0)->offset;
	const struct uprobes_place *place;

	scene->function.value = CONFIG_VALUE_LATENCY;
	expect_found(scene, "two_ways", 1, 0);
	assert_int_equal(scene->places.count, 1);
	assert_int_equal(scene->points.count, 2);
	place = place_at(scene, 0, offset);
	assert_true(place->has_return);
	expect_point(scene, place->point, TALLY_POINT_ENTRY);
	expect_point(scene, place->return_point, TALLY_POINT_TRAMPOLINE);
	assert_int_equal(find_as(scene, "two_ways", true), 0);
	assert_int_equal(scene->places.count, 3);
	assert_int_equal(scene->points.count, 2);
	expect_place(scene, 0, offset, TALLY_POINT_ENTRY);
	expect_place(scene, 1, offset + 6, TALLY_POINT_LEAVING);
	expect_place(scene, 2, offset + 7, TALLY_POINT_LEAVING);
}

/* The unwinder would find the trampoline, and end the program. */
static void where_exceptions_may_pass_there_is_no_trampoline(void **state)
{
	struct scene *scene = *state;

	open_file(scene, "thrower");
	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find(scene, "plain"), 0);
	assert_int_equal(scene->places.functions, 1);
	assert_true(scene->places.count > 1);
	for (size_t i = 0; i < scene->places.count; i++)
		assert_false(scene->places.items[i].has_return);
	assert_int_equal(scene->points.count, 2);
	assert_int_equal(scene->points.items[1].role, TALLY_POINT_LEAVING);
}

static void what_has_no_right_place_says_why(void **state)
{
	struct scene *scene = *state;

	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find_as(scene, "computed_jump", true), -EOPNOTSUPP);
	assert_string_equal(scene->error,
			    "\"computed_jump\" cannot be probed: it jumps "
			    "to an address it computes");
	assert_int_equal(scene->places.count, 0);
	/* a trampoline does not mind */
	expect_found(scene, "computed_jump", 1, 0);
}

/* Assembly often says no size: its first byte can be probed, its returns cannot. */
static void a_function_of_unknown_size_is_entered(void **state)
{
	struct scene *scene = *state;

	expect_found(scene, "unsized", 1, 1);
	assert_int_equal(scene->places.count, 1);
	expect_place(scene, 0, function_of(scene, "unsized", 0)->offset,
		     TALLY_POINT_ENTRY);
	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find_as(scene, "unsized", true), -EOPNOTSUPP);
	assert_string_equal(scene->error,
			    "\"unsized\" cannot be probed: its size is not known");
}

static void several_names_of_one_place_are_one_function(void **state)
{
	struct scene *scene = *state;
	static const char *const names[] = {"push_alias", "push_[af]*"};

	for (size_t i = 0; i < COUNT(names); i++) {
		expect_found(scene, names[i], 1, 0);
		assert_int_equal(scene->places.count, 1);
		expect_place(scene, 0, function_of(scene, "push_first", 0)->offset,
			     TALLY_POINT_ENTRY);
	}
}

static void one_name_of_several_places_is_refused(void **state)
{
	struct scene *scene = *state;
	char expected[PLACES_ERROR_LEN];

	snprintf(expected, sizeof(expected),
		 "has several functions \"twin\": \"twin\" at 0x%llx, \"twin\" at "
		 "0x%llx; name one by its address, or all by a glob",
		 (unsigned long long)function_of(scene, "twin", 0)->address,
		 (unsigned long long)function_of(scene, "twin", 1)->address);
	expect_refused(scene, "twin", -ENOTUNIQ, expected);
	expect_found(scene, "twi[n]", 2, 0);
	assert_int_equal(scene->places.count, 2);
	for (size_t i = 0; i < 2; i++)
		expect_place(scene, i, function_of(scene, "twin", i)->offset,
			     TALLY_POINT_ENTRY);
}

static void a_glob_leaves_out_what_has_no_right_place(void **state)
{
	struct scene *scene = *state;

	expect_found(scene, "push_*", 2, 0);
	assert_int_equal(scene->points.count, 1); /* they are alike */
	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find_as(scene, "*_[jw]*", true), 0); /* of both, two_ways */
	assert_int_equal(scene->places.functions, 1);
	assert_int_equal(scene->places.count, 3);
	assert_int_equal(find_as(scene, "*_jump", true), -EOPNOTSUPP);
	assert_string_equal(scene->error,
			    "\"computed_jump\" cannot be probed: it jumps "
			    "to an address it computes");
	assert_int_equal(scene->places.count, 0);
}

static void what_is_not_there_names_the_nearest(void **state)
{
	struct scene *scene = *state;

	expect_refused(scene, "push_frist", -ENOENT,
		       "has no function \"push_frist\"; the nearest is \"push_first\"");
	expect_refused(
	    scene, "push_firs?x", -ENOENT,
	    "has no function \"push_firs?x\"; the nearest is \"push_first\"");
	expect_refused(scene, "nothing::like(it)", -ENOENT,
		       "has no function \"nothing::like(it)\" (it may be inlined); "
		       "'bpftally functions' lists what there is");
	open_file(scene, "thrower");
	expect_refused(scene, "shop::chekout", -ENOENT,
		       "has no function \"shop::chekout\"; the nearest is "
		       "\"shop::checkout(int)\"");
	open_file(scene, "stripped");
	expect_refused(scene, "push_first", -ENOENT,
		       "has no function \"push_first\": its symbols were stripped");
	expect_refused(scene, "*", -ENOENT,
		       "has no function \"*\": its symbols were stripped");
}

/* --- by address --------------------------------------------------------------- */

static int find_address(struct scene *scene, uint64_t address)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	return find(scene, text);
}

static void a_function_is_found_by_its_address(void **state)
{
	struct scene *scene = *state;
	const struct elf_function *twin = function_of(scene, "twin", 1);

	assert_int_equal(find_address(scene, twin->address), 0);
	assert_int_equal(scene->places.functions, 1);
	assert_int_equal(scene->places.stepped, 0);
	expect_place(scene, 0, twin->offset, TALLY_POINT_ENTRY);
	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find_address(scene, twin->address), 0);
	assert_int_equal(scene->places.count, 1);
	assert_true(place_at(scene, 0, twin->offset)->has_return);
}

/* push_later: mov, 2 bytes; push; pop; ret. */
static void an_instruction_is_found_by_its_address(void **state)
{
	struct scene *scene = *state;
	const struct elf_function *function = function_of(scene, "push_later", 0);

	assert_int_equal(find_address(scene, function->address + 2), 0);
	assert_int_equal(scene->places.count, 1);
	assert_int_equal(scene->places.functions, 1);
	assert_int_equal(scene->places.stepped, 0);
	expect_place(scene, 0, function->offset + 2, TALLY_POINT_ENTRY);
	assert_int_equal(find_address(scene, function->address + 3), 0);
	assert_int_equal(scene->places.stepped, 1); /* pop */
	/* between a call and its return there must be a function */
	scene->function.value = CONFIG_VALUE_LATENCY;
	assert_int_equal(find_address(scene, function->address + 2), -ENOENT);
}

/* A breakpoint there would make another instruction of it. */
static void the_inside_of_an_instruction_is_refused(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(
	    find_address(scene, function_of(scene, "push_later", 0)->address + 1),
	    -EOPNOTSUPP);
	assert_string_equal(scene->error,
			    "at that address is no instruction that can be probed");
	/* what Linux 6.18 makes of these 5 bytes uses the stack below rsp */
	assert_int_equal(
	    find_address(scene, function_of(scene, "long_nop", 0)->address + 1),
	    -EOPNOTSUPP);
	assert_int_equal(scene->places.count, 0);
}

static void what_is_no_address_of_a_function_is_refused(void **state)
{
	struct scene *scene = *state;
	static const char *const cases[] = {"0x0", "0x1", "0xffffffffffffffff",
					    "0xffffffffffffffffffff"};

	for (size_t i = 0; i < COUNT(cases); i++)
		expect_refused(scene, cases[i], -ENOENT,
			       "no function is at that address");
	/* names */
	assert_int_equal(find(scene, "0x"), -ENOENT);
	assert_non_null(strstr(scene->error, "has no function \"0x\""));
	assert_int_equal(find(scene, "0x12g"), -ENOENT);
	assert_non_null(strstr(scene->error, "has no function \"0x12g\""));
}

/* --- points ------------------------------------------------------------------- */

static void places_that_are_alike_share_a_point_over_files(void **state)
{
	struct scene *scene = *state;
	struct places more = {};

	scene->function.value = CONFIG_VALUE_LATENCY;
	expect_found(scene, "twi[n]", 2, 0);
	assert_int_equal(scene->places.count, 2);
	assert_int_equal(scene->points.count, 2);
	scene->function.function = (char *)"two_ways";
	assert_int_equal(places_find(scene->elf, &scene->function, RULE, false,
				     &scene->points, &more, scene->error),
			 0);
	assert_int_equal(scene->points.count, 2);
	assert_int_equal(places_find(scene->elf, &scene->function, RULE + 1, false,
				     &scene->points, &more, scene->error),
			 0);
	assert_int_equal(scene->points.count, 4);
	assert_int_equal(more.count, 2); /* appended */
	assert_int_equal(more.functions, 2);
	places_free(&more);
}

static void kinds_of_places_are_as_many_as_may_be(void **state)
{
	struct scene *scene = *state;

	scene->function.value = CONFIG_VALUE_LATENCY;
	scene->function.function = (char *)"two_ways";
	scene->points.max = 1;
	assert_int_equal(places_find(scene->elf, &scene->function, RULE, false,
				     &scene->points, &scene->places, scene->error),
			 -E2BIG);
	assert_string_equal(scene->error, "too many kinds of places");
	assert_int_equal(scene->points.count, 1);
	assert_int_equal(scene->places.functions, 0);
}

/* --- USDT --------------------------------------------------------------------- */

static int find_probe(struct scene *scene, const char *provider, const char *name,
		      uint8_t argument)
{
	forget(scene);
	scene->function.value = CONFIG_VALUE_NUMBER;
	scene->function.operand.argument = argument;
	scene->function.usdt_provider = (char *)provider;
	scene->function.usdt_name = (char *)name;
	return places_find(scene->elf, &scene->function, RULE, false, &scene->points,
			   &scene->places, scene->error);
}

static void a_probe_in_several_places_counts_in_all(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_point *points;
	const struct elf_usdt *usdts;
	size_t count;

	usdts = elf_usdts(scene->elf, &count);
	assert_int_equal(count, 5);
	assert_int_equal(find_probe(scene, "shop", "sold", 1), 0);
	assert_int_equal(scene->places.count, 3);
	assert_int_equal(scene->places.functions, 1);
	assert_int_equal(scene->places.stepped, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(scene->places.items[i].offset, usdts[i].offset);
		assert_int_equal(scene->places.items[i].semaphore,
				 usdts[i].semaphore_offset);
		assert_int_equal(scene->places.items[i].point, i == 2);
		assert_false(scene->places.items[i].has_return);
	}
	assert_int_not_equal(scene->places.items[2].semaphore, 0);
	points = scene->points.items;
	assert_int_equal(scene->points.count, 2); /* of two, the operand is alike */
	assert_int_equal(points[0].rule, RULE);
	assert_int_equal(points[0].number.kind, TALLY_OPERAND_REGISTER);
	assert_int_equal(points[1].number.kind, TALLY_OPERAND_MEMORY);
	assert_int_equal(find_probe(scene, "s*", "s?ld", 1), 0);
	assert_int_equal(scene->places.count, 3);
}

static void a_probe_without_the_operand_is_refused(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(find_probe(scene, "shop", "lost", 1), -EINVAL);
	assert_string_equal(
	    scene->error,
	    "argument 1 is where it cannot be read from: \"-4@name(%rip)\"");
	assert_int_equal(find_probe(scene, "shop", "lost", 0), 0);
	/* one of its places has it not, so the numbers would not be all */
	assert_int_equal(find_probe(scene, "shop", "sold", 2), -EINVAL);
	assert_string_equal(
	    scene->error,
	    "the probe has no argument 2 (its arguments: \"-4@-8(%rbp)\")");
}

static void a_probe_on_a_nop5_is_refused(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(find_probe(scene, "shop", "kept", 0), -EOPNOTSUPP);
	assert_string_equal(scene->error,
			    "has that probe at a nop of five bytes, where the kernel "
			    "would overwrite the stack");
}

static void a_probe_that_is_not_there_is_said_so(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(find_probe(scene, "shop", "bought", 0), -ENOENT);
	assert_string_equal(scene->error, "has no USDT probe \"shop:bought\"");
	assert_int_equal(find_probe(scene, "shops", "sold", 0), -ENOENT);
	assert_int_equal(find_probe(scene, "sho", "sold", 0), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_count_takes_an_entry_alone),
	    TEST(latency_takes_a_trampoline_or_every_return),
	    TEST(where_exceptions_may_pass_there_is_no_trampoline),
	    TEST(what_has_no_right_place_says_why),
	    TEST(a_function_of_unknown_size_is_entered),
	    TEST(several_names_of_one_place_are_one_function),
	    TEST(one_name_of_several_places_is_refused),
	    TEST(a_glob_leaves_out_what_has_no_right_place),
	    TEST(what_is_not_there_names_the_nearest),
	    TEST(a_function_is_found_by_its_address),
	    TEST(an_instruction_is_found_by_its_address),
	    TEST(the_inside_of_an_instruction_is_refused),
	    TEST(what_is_no_address_of_a_function_is_refused),
	    TEST(places_that_are_alike_share_a_point_over_files),
	    TEST(kinds_of_places_are_as_many_as_may_be),
	    TEST(a_probe_in_several_places_counts_in_all),
	    TEST(a_probe_without_the_operand_is_refused),
	    TEST(a_probe_on_a_nop5_is_refused),
	    TEST(a_probe_that_is_not_there_is_said_so),
	};

	return cmocka_run_group_tests(tests, build, clean_up);
}
