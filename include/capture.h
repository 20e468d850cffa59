/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - by which hooks the kernel tells what sockets do: tracepoints (Linux
 * 6.3), or the functions themselves (fentry, 5.15 with the function tracer). Knows
 * the hook of every program of bpf/, what this kernel has of them, and which
 * programs a way of capture takes. It loads nothing but one empty trial program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum capture { CAPTURE_AUTO, CAPTURE_TRACEPOINT, CAPTURE_FENTRY };

enum capture_answer { CAPTURE_UNKNOWN, CAPTURE_NO, CAPTURE_YES };

#define CAPTURE_HOOKS_MAX 32

struct capture_facts {
	bool btf;                      /* nothing below is known without */
	bool helpers;                  /* all that we call: Linux 5.15 */
	bool hooks[CAPTURE_HOOKS_MAX]; /* by the index of capture_hook */
	uint8_t recvmsg_arguments;     /* of tcp_recvmsg, when its hook is there */
	bool preempts;                 /* programs on tracepoints: Linux 7.0 */
	bool preempts_functions;       /* programs on functions: PREEMPT_RT, 7.0 */
	bool realtime;                 /* PREEMPT_RT */
	bool can_hold;                 /* they can keep that off: Linux 6.14 */
	/* An empty program was loaded for a tracepoint; attached to a function.
	 * Without privileges a refusal says nothing about the kernel. */
	enum capture_answer tracing, functions;
	/* kernel.ftrace_enabled = 0: they attach, and are never called. */
	bool functions_off;
	/* Whether a program may call bpf_probe_read_kernel. */
	enum capture_answer reads;
};

struct capture_hook {
	const char *program; /* its name in bpf/ */
	const char *target;  /* tracepoint or function */
	const char *since;   /* Linux */
	enum capture way;    /* CAPTURE_AUTO: both ways need it */
	/* How many the function has, in the versions that we know; 0: a tracepoint. */
	uint8_t arguments_min, arguments_max;
	bool optional;
	bool again; /* the target has a program already: loaded where that is skipped */
};

/* NULL behind the last one. */
const struct capture_hook *capture_hook(size_t index);
void capture_ask(struct capture_facts *ret_facts);
/* The first hook that this way needs and the kernel lacks; NULL when it is whole. */
const struct capture_hook *capture_lacks(const struct capture_facts *facts,
					 enum capture way);
bool capture_can(const struct capture_facts *facts, enum capture way);
/* What is wanted, if it can be; for CAPTURE_AUTO the cheaper of those that can.
 * CAPTURE_AUTO: none. */
enum capture capture_choose(const struct capture_facts *facts, enum capture wanted);
/* Whether this way loads the program of that name. */
bool capture_takes(const struct capture_facts *facts, enum capture way,
		   const char *program);
/* Whether the program is called by others, in turns (name_1 and so on), instead of
 * being attached itself. */
bool capture_takes_turns(const struct capture_facts *facts, const char *program);
/* Whether the program of that name stands in for another on the same hook. */
bool capture_is_again(const char *program);
/* Whether tables must be there before they fill: programs cannot wait for memory. */
bool capture_needs_tables_whole(const struct capture_facts *facts, enum capture way);
/* Whether a kernel of that version (uname -v) and mode (sched/preempt of debugfs, ""
 * when it is not there) preempts what it runs for a system call. */
bool capture_kernel_preempts(const char *version, const char *mode);
/* Whether programs must see to it that they are not preempted, and can. */
bool capture_is_preemptible(const struct capture_facts *facts, enum capture way);
/* Does the start of a send have a time of its own? */
bool capture_sees_send_begin(const struct capture_facts *facts, enum capture way);
/* What would bring it, for people. */
const char *capture_send_begin_needs(const struct capture_facts *facts);
/* "auto", "tracepoint", "fentry"; false for what is none of them. */
const char *capture_name(enum capture way);
bool capture_parse(const char *text, enum capture *ret_way);
