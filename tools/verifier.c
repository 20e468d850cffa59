/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verifier - what the running kernel's verifier says of every program: instructions
 * it walked, and the largest stack frame, a line each, once for each way of capture
 * that the kernel has. With a budget, more than that is a failure.
 *   verifier [BUDGET]       root; lines of BUDGET: program, instructions, bytes;
 *                           a program may be a shell pattern
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "abi.h"
#include "bpftally.skel.h"
#include "capture.h"
#include "cleanup.h"
#include "function_abi.h"
#include "functions.skel.h"

#define LOG_BYTES 65536 /* of the statistics alone */
#define LOG_STATISTICS 4
#define BUDGET_MAX 64

struct cost {
	char program[64];
	unsigned long instructions, frame_bytes;
};

struct budget {
	struct cost lines[BUDGET_MAX];
	size_t count;
};

static int keep_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static void free_skeleton(struct bpftally **skeleton)
{
	bpftally__destroy(*skeleton);
}

static int read_budget(const char *path, struct budget *ret_budget)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	char line[256];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		struct cost cost;

		if (*line == '#' || *line == '\n')
			continue;
		if (ret_budget->count == BUDGET_MAX ||
		    sscanf(line, "%63s %lu %lu", cost.program, &cost.instructions,
			   &cost.frame_bytes) != 3)
			return -EINVAL;
		ret_budget->lines[ret_budget->count++] = cost;
	}
	return 0;
}

/* "stack depth 104+0+24" and "processed 87782 insns ..." of the verifier's log. */
static bool read_cost(const char *log, struct cost *ret_cost)
{
	const char *stack = strstr(log, "stack depth "), *done;

	done = strstr(log, "\nprocessed ");
	if (!stack || !done)
		return false;
	ret_cost->instructions = strtoul(done + strlen("\nprocessed "), NULL, 10);
	ret_cost->frame_bytes = 0;
	for (const char *at = stack + strlen("stack depth ") - 1;
	     *at == '+' || *at == ' ';) {
		char *end;
		unsigned long bytes = strtoul(at + 1, &end, 10);

		if (bytes > ret_cost->frame_bytes)
			ret_cost->frame_bytes = bytes;
		at = end;
	}
	return true;
}

/* A program that the budget does not know has none: it must be given one. */
static bool is_within(const struct budget *budget, const struct cost *cost)
{
	for (size_t i = 0; i < budget->count; i++) {
		const struct cost *line = &budget->lines[i];

		if (!fnmatch(line->program, cost->program, 0))
			return cost->instructions <= line->instructions &&
			       cost->frame_bytes <= line->frame_bytes;
	}
	return !budget->count;
}

/* Only that program is loaded, so that the log is its own. */
static bool judge_object(struct bpf_object *object, const char *kind, const char *name,
			 const struct budget *budget)
{
	AUTO_FREE char *log = calloc(1, LOG_BYTES);
	struct bpf_program *each;
	struct cost cost;
	bool within;

	if (!log)
		return false;
	bpf_object__for_each_program (each, object) {
		bpf_program__set_autoload(each, !strcmp(bpf_program__name(each), name));
		bpf_program__set_log_buf(each, log, LOG_BYTES);
		bpf_program__set_log_level(each, LOG_STATISTICS);
	}
	if (bpf_object__load(object) || !read_cost(log, &cost)) {
		printf("%-10s %-28s refused\n", kind, name);
		return false;
	}
	snprintf(cost.program, sizeof(cost.program), "%s", name);
	within = is_within(budget, &cost);
	printf("%-10s %-28s %8lu instructions %4lu bytes%s\n", kind, name,
	       cost.instructions, cost.frame_bytes, within ? "" : "  over budget");
	return within;
}

static bool judge_program(const char *name, enum capture way,
			  const struct capture_facts *facts,
			  const struct budget *budget)
{
	CLEANUP(free_skeleton) struct bpftally *skeleton = bpftally__open();
	struct tally_config *config;

	if (!skeleton)
		return false;
	config = (struct tally_config *)&skeleton->rodata->config;
	config->recvmsg_arguments = facts->recvmsg_arguments;
	config->preemptible = capture_is_preemptible(facts, way);
	config->counts_traffic = 1;
	return judge_object(skeleton->obj, capture_name(way), name, budget);
}

static void judge_way(enum capture way, const struct capture_facts *facts,
		      const struct budget *budget, unsigned int judged[2])
{
	CLEANUP(free_skeleton) struct bpftally *skeleton = bpftally__open();
	struct bpf_program *program;

	if (!skeleton)
		return;
	bpf_object__for_each_program (program, skeleton->obj) {
		const char *name = bpf_program__name(program);

		if (capture_takes(facts, way, name))
			judged[judge_program(name, way, facts, budget)]++;
	}
}

static void free_functions(struct functions **skeleton)
{
	functions__destroy(*skeleton);
}

static bool judge_function_program(const char *name, const struct budget *budget)
{
	CLEANUP(free_functions) struct functions *skeleton = functions__open();

	return skeleton && judge_object(skeleton->obj, "functions", name, budget);
}

static void judge_functions(const struct budget *budget, unsigned int judged[2])
{
	CLEANUP(free_functions) struct functions *skeleton = functions__open();
	struct bpf_program *program;

	if (!skeleton) {
		judged[false]++;
		return;
	}
	bpf_object__for_each_program (program, skeleton->obj)
		judged[judge_function_program(bpf_program__name(program), budget)]++;
}

int main(int argc, char **argv)
{
	struct capture_facts facts;
	struct budget budget = {0};
	unsigned int judged[2] = {0}; /* failed, passed */
	int err = argc > 1 ? read_budget(argv[1], &budget) : 0;

	if (err) {
		fprintf(stderr, "verifier: cannot read '%s': %s\n", argv[1],
			strerror(-err));
		return EXIT_FAILURE;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(keep_quiet);
	capture_ask(&facts);
	for (enum capture way = CAPTURE_TRACEPOINT; way <= CAPTURE_FENTRY; way++)
		if (capture_can(&facts, way))
			judge_way(way, &facts, &budget, judged);
	judge_functions(&budget, judged);
	printf("verifier: %u passed, %u failed\n", judged[1], judged[0]);
	return judged[0] || !judged[1] ? EXIT_FAILURE : EXIT_SUCCESS;
}
