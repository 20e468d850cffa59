// SPDX-License-Identifier: Apache-2.0
/* usdt: for each line, COUNT sales, or kCOUNT calls of keep(). Probes as <sys/sdt.h>
 * makes them, written by hand: one behind a semaphore, one without, one inlined in
 * several places. */
#include <stdio.h>
#include <stdlib.h>

#define STRING(text) #text
/* SystemTap, "UserSpaceProbeImplementation": type 3; where, base, semaphore; names. */
#define PROBE(name, semaphore, arguments, ...)                                         \
	PROBE_AT("nop", name, semaphore, arguments, __VA_ARGS__)
#define PROBE_AT(where, name, semaphore, arguments, ...)                               \
	asm volatile(                                                                  \
	    "990:	" where "\n"                                                   \
	    "	.pushsection .note.stapsdt,\"\",\"note\"\n"                              \
	    "	.balign 4\n"                                                             \
	    "	.4byte 992f-991f, 994f-993f, 3\n"                                        \
	    "991:	.asciz \"stapsdt\"\n"                                                \
	    "992:	.balign 4\n"                                                         \
	    "993:	.8byte 990b, _.stapsdt.base, " semaphore "\n"                  \
	    "	.asciz \"shop\"\n"                                                       \
	    "	.asciz \"" name "\"\n"                                                 \
	    "	.asciz \"" arguments "\"\n"                                            \
	    "994:	.balign 4\n"                                                         \
	    "	.popsection\n"                                                           \
	    "	.ifndef _.stapsdt.base\n"                                                \
	    "	.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"   \
	    "	.weak _.stapsdt.base\n"                                                  \
	    "	.hidden _.stapsdt.base\n"                                                \
	    "_.stapsdt.base: .space 1\n"                                               \
	    "	.size _.stapsdt.base, 1\n"                                               \
	    "	.popsection\n"                                                           \
	    "	.endif\n" ::__VA_ARGS__)

__attribute__((section(".probes"), used)) unsigned short shop_sold_semaphore;
static const char *const volatile names[] = {"pear", "apple"};
volatile long till[4] = {10, 20, 30, 40};

static inline __attribute__((always_inline)) void weigh(long grams)
{
	PROBE("weighed", "0", "-4@%0 8@$7", "r"((int)grams));
}

static long sell(long count)
{
	long seen = 0;

	for (long i = 1; i <= count; i++) {
		/* read, so that it is in memory when a probe reads it */
		const char *what = *names[i % 2] ? names[i % 2] : "";

		if (*(volatile unsigned short *)&shop_sold_semaphore) {
			PROBE("sold", "shop_sold_semaphore", "8@%0 8@%1 -8@%2 1@%3",
			      "r"(what), "r"(i), "m"(till[i % 4]), "q"((char)i));
			seen++;
		}
		if (i % 2)
			weigh(-i);
		else
			weigh(i);
	}
	return seen;
}

/* A leaf that keeps a number below its stack pointer, as it may, while the probe, five
 * bytes long, is hit. */
__attribute__((noipa)) static long keep(long number)
{
	long kept;

	asm volatile("mov %0, -8(%%rsp)" ::"r"(number));
	PROBE_AT(".byte 0x0f, 0x1f, 0x44, 0, 0", "kept", "0", "8@%0", "r"(number));
	asm volatile("mov -8(%%rsp), %0" : "=r"(kept));
	return kept;
}

static long keep_all(long count)
{
	long wrong = 0;

	for (long i = 0; i < count; i++)
		wrong += keep(i) != i;
	return wrong;
}

int main(void)
{
	char line[32];

	setvbuf(stdin, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		printf("= %ld\n",
		       *line == 'k' ? keep_all(atol(line + 1)) : sell(atol(line)));
		fflush(stdout);
	}
}
