/* SPDX-License-Identifier: Apache-2.0 */
/* bpftally doctor: what this kernel and these privileges allow, a line each, to
 * stdout. Asking (doctor_read_files, the kernel) is apart from judging, which is
 * pure, so that tests can judge a machine that they do not have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "capture.h"

/* Returns true when bpftally can run here. */
bool doctor_run(FILE *out);
/* The same questions as one line for an error message: the first requirement
 * that fails, what to do; false when none does. */
bool doctor_first_failure(char *ret_line, size_t size);

/* Integers that could not be read are -1. */
struct doctor_facts {
	char release[65]; /* uname(2) */
	char machine[65];
	struct capture_facts capture;
	uint64_t capabilities; /* effective, a bit each */
	bool user_namespace;   /* not the initial one */
	bool pid_namespace;    /* not the initial one */
	char lockdown[32];     /* "" where there is none */
	/* Unknown without the capabilities to load. */
	enum capture_answer sk_storage, ringbuf;
	int unprivileged_bpf_disabled;
	int bpf_jit_enable;
	int bpf_stats_enabled;
	uint64_t memory_limit_bytes; /* UINT64_MAX: none */
	bool uprobes;
	bool shadow_stacks; /* the processor has them */
};

enum doctor_mark {
	DOCTOR_MARK_OK,   /* "ok" */
	DOCTOR_MARK_NO,   /* "no": cannot run */
	DOCTOR_MARK_NOTE, /* "--": good to know */
};

#define DOCTOR_LINES_MAX 32
struct doctor_report {
	struct {
		enum doctor_mark mark;
		char text[256];
	} lines[DOCTOR_LINES_MAX];
	size_t count;
};

/* What files below root say ("" outside tests), into facts that are zeroed. */
void doctor_read_files(const char *root, struct doctor_facts *facts);
void doctor_judge(const struct doctor_facts *facts, struct doctor_report *ret_report);
/* Of these, what decides whether processes get their right names. */
void doctor_judge_names(const struct doctor_facts *facts,
			struct doctor_report *ret_report);
/* The same of this machine: it asks a few files, and nothing of BPF. */
void doctor_examine_names(struct doctor_report *ret_report);
bool doctor_can_run(const struct doctor_report *report);
