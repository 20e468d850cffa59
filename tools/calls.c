/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls - calls functions that do nothing and says what each call took, so that what a
 * probe adds can be told. The functions are assembly, because what a probe costs is
 * decided by the instruction it is on: the kernel emulates a push and steps over most
 * others.
 *   push      begins with a push
 *   behind    begins with an instruction that is stepped, a push follows
 *   stepped   a leaf without any that is emulated
 * Processor time of the thread, not time that passed: the probes run in the thread.
 *   calls COUNT      prints a line each, "push 1.23": nanoseconds a call
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ull
#define CALLS_MAX 1000000000ul

__asm__(".text\n"
	".macro function name\n"
	".balign 64\n"
	".globl \\name\n"
	".type \\name, @function\n"
	"\\name:\n"
	".endm\n"
	"function calls_push\n"
	"push %rbp\n"
	"mov %rsp, %rbp\n"
	"lea 1(%rdi), %rax\n"
	"pop %rbp\n"
	"ret\n"
	".size calls_push, . - calls_push\n"
	"function calls_behind\n"
	"endbr64\n"
	"push %rbp\n"
	"mov %rsp, %rbp\n"
	"lea 1(%rdi), %rax\n"
	"pop %rbp\n"
	"ret\n"
	".size calls_behind, . - calls_behind\n"
	"function calls_stepped\n"
	"lea 1(%rdi), %rax\n"
	"ret\n"
	".size calls_stepped, . - calls_stepped\n");

typedef long (*called)(long number);

extern long calls_push(long number);
extern long calls_behind(long number);
extern long calls_stepped(long number);

static const struct {
	const char *name;
	called call;
} functions[] = {
    {"push", calls_push},
    {"behind", calls_behind},
    {"stepped", calls_stepped},
};

static uint64_t thread_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

/* A probe that breaks what it is on shows in the sum. */
static long call_often(called call, unsigned long count)
{
	long number = 0;

	for (unsigned long i = 0; i < count; i++)
		number = call(number);
	return number;
}

int main(int argc, char **argv)
{
	char *end = NULL;
	unsigned long count = argc == 2 ? strtoul(argv[1], &end, 10) : 0;

	if (!end || *end || !count || count > CALLS_MAX) {
		fprintf(stderr, "usage: %s COUNT\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		const uint64_t begin = thread_ns();
		const long number = call_often(functions[i].call, count);
		const uint64_t took = thread_ns() - begin;

		if (number != (long)count) {
			fprintf(stderr, "calls: %s returned %ld after %lu calls\n",
				functions[i].name, number, count);
			return 1;
		}
		printf("%s %.2f\n", functions[i].name, (double)took / (double)count);
	}
	return 0;
}
