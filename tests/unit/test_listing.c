/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "listing.h"
#include "workshop.h"

/* Machine code whose listing is known: CODE is between the label and its end. */
#define ASSEMBLY                                                                       \
	"	.intel_syntax noprefix\n"                                                    \
	"	.macro function name\n"                                                      \
	"	.globl \\name\n"                                                             \
	"	.type \\name, @function\n"                                                   \
	"\\name:\n"                                                                    \
	"	.endm\n"                                                                     \
	"	.macro end name\n"                                                           \
	"	.size \\name, . - \\name\n"                                                  \
	"	.endm\n"                                                                     \
	"	.text\n"                                                                     \
	"function beta\n push rbx\n pop rbx\n ret\nend beta\n"                         \
	"function alpha\n mov rax, rdi\n ret\nend alpha\n"                             \
	"function locked\n lock inc qword ptr [rdi]\n ret\nend locked\n"               \
	"function sizeless\n ret\n"                                                    \
	"function computed\n jmp rax\nend computed\n"                                  \
	"	.section .note.stapsdt, \"\", \"note\"\n"                                    \
	"	.long 8, 2f - 1f, 3\n"                                                       \
	"	.asciz \"stapsdt\"\n"                                                        \
	"1:	.quad alpha, 0, 0\n"                                                       \
	"	.asciz \"shop\", \"sold\", \"-4@%eax 8@%rdi\"\n"                             \
	"2:	.p2align 2\n"                                                              \
	"	.section .note.GNU-stack\n"

#define LIBRARY "cc -shared -nostdlib -o shop shop.S"
/* To be listed as a language with exceptions would be. */
#define WITH_EXCEPTIONS                                                                \
	"cc -shared -nostdlib -Wl,--defsym=rust_eh_personality=0 -o shop shop.S"

struct listing {
	char path[WORKSHOP_LEN];
	char *text;
	size_t len;
};

static int set_up(void **state)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	assert_non_null(listing);
	workshop_open(listing->path);
	workshop_source(listing->path, "shop.S", ASSEMBLY);
	*state = listing;
	return 0;
}

static int tear_down(void **state)
{
	struct listing *listing = *state;

	free(listing->text);
	workshop_close(listing->path);
	free(listing);
	return 0;
}

static int list(struct listing *listing, const char *subject, const char *glob)
{
	FILE *out;
	int err;

	free(listing->text);
	listing->text = NULL;
	out = open_memstream(&listing->text, &listing->len);
	assert_non_null(out);
	err = listing_print(out, subject, glob);
	fclose(out);
	return err;
}

static int list_shop(struct listing *listing, const char *glob)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/shop", listing->path);
	return list(listing, path, glob);
}

static void expect(struct listing *listing, const char *glob, const char *expected)
{
	assert_int_equal(list_shop(listing, glob), 0);
	assert_string_equal(listing->text, expected);
}

/* What stands in front of the size: the name, and blanks up to column 57. */
#define PAD51 "                                                   "
#define ALPHA "alpha" PAD51 "       4  "
#define BETA                                                                           \
	"beta" PAD51 " "                                                               \
	"       3  "
#define COMPUTED                                                                       \
	"computed"                                                                     \
	"                                                "                             \
	"       2  "
#define LOCKED                                                                         \
	"locked"                                                                       \
	"                                                  "                           \
	"       5  "
#define SIZELESS                                                                       \
	"sizeless"                                                                     \
	"                                                "                             \
	"       0  "
#define USDT "usdt:shop:sold  -4@%eax 8@%rdi\n"

static void each_function_is_a_line_with_its_cost(void **state)
{
	workshop_run(((struct listing *)*state)->path, LIBRARY);
	expect(*state, NULL,
	       ALPHA "single-stepped  return probe\n" BETA
		     "cheap           return probe\n" COMPUTED
		     "single-stepped  no latency: it jumps to an address it "
		     "computes\n" LOCKED
		     "cannot be probed: the kernel cannot probe where it "
		     "begins\n" SIZELESS "single-stepped  no latency: its size is not "
		     "known\n" USDT);
}

static void where_exceptions_pass_returns_are_counted(void **state)
{
	workshop_run(((struct listing *)*state)->path, WITH_EXCEPTIONS);
	expect(*state, "*[!d]",
	       ALPHA "single-stepped  1 return site\n" BETA
		     "cheap           1 return site\n" SIZELESS
		     "single-stepped  no latency: its size is not known\n");
	expect(*state, "computed",
	       COMPUTED
	       "single-stepped  no latency: it jumps to an address it computes\n");
}

static void globs_choose_functions_and_usdt_probes(void **state)
{
	workshop_run(((struct listing *)*state)->path, LIBRARY);
	expect(*state, "b*", BETA "cheap           return probe\n");
	expect(*state, "beta", BETA "cheap           return probe\n");
	expect(*state, "usdt:*", USDT);
	expect(*state, "shop:sold", USDT);
	expect(*state, "shop:*", USDT);
	assert_int_equal(list_shop(*state, "sold"), -ENOENT);
	assert_string_equal(((struct listing *)*state)->text, "");
}

static void names_are_no_orders_to_the_terminal(void **state)
{
	struct listing *listing = *state;

	workshop_run(listing->path, "cc -c shop.S && objcopy --redefine-sym "
				    "alpha=\"$(printf 'a\\033[2Jb')\" shop.o && "
				    "cc -shared -nostdlib -o shop shop.o");
	assert_int_equal(list_shop(listing, NULL), 0);
	assert_int_equal(strncmp(listing->text, "a?[2Jb ", 7), 0);
	assert_null(strchr(listing->text, '\033'));
}

static void constructors_are_listed_once(void **state)
{
	struct listing *listing = *state;

	workshop_source(listing->path, "cart.cc",
			"struct Cart { int n; __attribute__((noinline)) Cart(int);\n"
			"  }; Cart::Cart(int m) : n(m) {}\n");
	workshop_run(listing->path, "g++ -O2 -shared -fPIC -o shop cart.cc");
	assert_int_equal(list_shop(listing, "Cart::Cart"), 0);
	assert_int_equal(strncmp(listing->text, "Cart::Cart(int) ", 16), 0);
	assert_ptr_equal(strchr(listing->text, '\n'), listing->text + listing->len - 1);
}

static void what_cannot_be_listed_is_an_error(void **state)
{
	struct listing *listing = *state;

	assert_int_equal(list_shop(listing, NULL), -ENOENT);
	assert_int_equal(list(listing, "/etc/passwd", NULL), -EINVAL);
	assert_int_equal(list(listing, "99999999", NULL), -ENOENT);
	assert_int_equal(list(listing, "", NULL), -ENOENT);
	workshop_source(listing->path, "shop.S", "	.data\n	.byte 1\n");
	workshop_run(listing->path, LIBRARY);
	assert_int_equal(list_shop(listing, NULL), -ENOENT);
	assert_string_equal(listing->text, "");
}

/* Of the executable and of a library of a running process, each below its path. */
static void a_process_is_listed_by_its_files(void **state)
{
	struct listing *listing = *state;
	char path[256], pid[16], heading[300];
	int ready[2], status;
	pid_t child;
	char byte;

	workshop_source(listing->path, "main.c",
			"#include <unistd.h>\n"
			"int alpha(int);\n"
			"int own_function(int n) { return n; }\n"
			"int main(void) { write(1, \"x\", 1); pause();\n"
			"  return alpha(own_function(1)); }\n");
	workshop_run(listing->path, "cc -shared -nostdlib -o libshop.so shop.S && "
				    "cc -o shop main.c ./libshop.so "
				    "-Wl,-rpath,$PWD");
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dup2(ready[1], STDOUT_FILENO);
		snprintf(path, sizeof(path), "%s", listing->path);
		if (!chdir(path))
			execl("./shop", "./shop", NULL);
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	snprintf(pid, sizeof(pid), "%d", child);
	assert_int_equal(list(listing, pid, "*a*[hn]*a"), 0);
	snprintf(heading, sizeof(heading),
		 "%s/libshop.so:\n" ALPHA "single-stepped  return probe\n",
		 listing->path);
	assert_non_null(strstr(listing->text, heading));
	assert_int_equal(list(listing, pid, "own_function"), 0);
	snprintf(heading, sizeof(heading), "%s/shop:\nown_function ", listing->path);
	assert_int_equal(strncmp(listing->text, heading, strlen(heading)), 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	close(ready[0]);
	close(ready[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_function_is_a_line_with_its_cost),
	    TEST(where_exceptions_pass_returns_are_counted),
	    TEST(globs_choose_functions_and_usdt_probes),
	    TEST(names_are_no_orders_to_the_terminal),
	    TEST(constructors_are_listed_once),
	    TEST(what_cannot_be_listed_is_an_error),
	    TEST(a_process_is_listed_by_its_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
