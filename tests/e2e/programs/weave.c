// SPDX-License-Identifier: Apache-2.0
/* weave N: two coroutines that are both within step() most of the time, called from
 * different places, and change over inside of it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define PROBED __attribute__((noipa, used))
#define STACK_BYTES 65536

static ucontext_t home, sides[2];
static long results[2];

/* The other side goes on; comes back when that does the same. */
PROBED long step(long number, int side)
{
	swapcontext(&sides[side], &sides[!side]);
	return number * 2 + side;
}

static long number_of_steps;

static void left(void)
{
	for (long i = 0; i < number_of_steps; i++)
		results[0] += step(i, 0);
	setcontext(&home);
}

static void right(void)
{
	for (long i = 0; i < number_of_steps; i++)
		results[1] -= step(i, 1);
	setcontext(&home);
}

static void start(ucontext_t *side, void (*run)(void))
{
	getcontext(side);
	side->uc_stack.ss_sp = malloc(STACK_BYTES);
	side->uc_stack.ss_size = STACK_BYTES;
	makecontext(side, run, 0);
}

int main(void)
{
	char line[32];

	setvbuf(stdin, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		number_of_steps = atol(line);
		results[0] = results[1] = 0;
		start(&sides[0], left);
		start(&sides[1], right);
		swapcontext(&home, &sides[0]);
		printf("= %ld %ld\n", results[0], results[1]);
		fflush(stdout);
	}
}
