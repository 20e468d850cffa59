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

static size_t count_programs(const struct bpf_object *object)
{
	struct bpf_program *program;
	size_t count = 0;

	bpf_object__for_each_program (program, object)
		count++;
	return count;
}

/* Returns how many programs are to be loaded. */
static size_t give_logs(struct bpf_object *object, char *logs)
{
	struct bpf_program *program;
	size_t wanted = 0;

	bpf_object__for_each_program (program, object) {
		bpf_program__set_log_buf(program, logs, LOG_BYTES);
		bpf_program__set_log_level(program, LOG_STATISTICS);
		logs += LOG_BYTES;
		wanted += bpf_program__autoload(program);
	}
	return wanted;
}

static bool judge_program(const struct bpf_program *program, bool loaded,
			  const char *kind, const struct budget *budget)
{
	const char *name = bpf_program__name(program);
	struct cost cost;
	size_t size;
	bool within;

	if (!loaded || !read_cost(bpf_program__log_buf(program, &size), &cost)) {
		printf("%-10s %-28s refused\n", kind, name);
		return false;
	}
	snprintf(cost.program, sizeof(cost.program), "%s", name);
	within = is_within(budget, &cost);
	printf("%-10s %-28s %8lu instructions %4lu bytes%s\n", kind, name,
	       cost.instructions, cost.frame_bytes, within ? "" : "  over budget");
	return within;
}

/* All that are to be loaded are, at once: to read the kernel's types takes longer than
 * the verifier. False, and nothing is judged: not all of several could be. */
static bool judge_object(struct bpf_object *object, const char *kind,
			 const struct budget *budget, unsigned int judged[2])
{
	AUTO_FREE char *logs = calloc(count_programs(object), LOG_BYTES);
	struct bpf_program *program;
	size_t wanted;
	bool loaded;

	if (!logs) {
		judged[false]++;
		return true;
	}
	wanted = give_logs(object, logs);
	loaded = !bpf_object__load(object);
	if (!loaded && wanted > 1)
		return false;
	bpf_object__for_each_program (program, object)
		if (bpf_program__autoload(program))
			judged[judge_program(program, loaded, kind, budget)]++;
	return true;
}

static bool is_wanted(const char *name, const char *only)
{
	return !only || !strcmp(name, only);
}

/* Only that program; NULL: all, and each alone if one is refused, to say which. */
static void judge_way(enum capture way, const struct capture_facts *facts,
		      const struct budget *budget, const char *only,
		      unsigned int judged[2])
{
	CLEANUP(free_skeleton) struct bpftally *skeleton = bpftally__open();
	struct bpf_program *program;
	struct tally_config *config;

	if (!skeleton) {
		judged[false]++;
		return;
	}
	config = (struct tally_config *)&skeleton->rodata->config;
	config->recvmsg_arguments = facts->recvmsg_arguments;
	config->preemptible = capture_is_preemptible(facts, way);
	config->counts_traffic = 1;
	bpf_object__for_each_program (program, skeleton->obj) {
		const char *name = bpf_program__name(program);

		bpf_program__set_autoload(program, is_wanted(name, only) &&
						       capture_takes(facts, way, name));
	}
	if (judge_object(skeleton->obj, capture_name(way), budget, judged))
		return;
	bpf_object__for_each_program (program, skeleton->obj)
		if (bpf_program__autoload(program))
			judge_way(way, facts, budget, bpf_program__name(program),
				  judged);
}

static void free_functions(struct functions **skeleton)
{
	functions__destroy(*skeleton);
}

/* As judge_way. */
static void judge_functions(const struct budget *budget, const char *only,
			    unsigned int judged[2])
{
	CLEANUP(free_functions) struct functions *skeleton = functions__open();
	struct bpf_program *program;

	if (!skeleton) {
		judged[false]++;
		return;
	}
	bpf_object__for_each_program (program, skeleton->obj)
		bpf_program__set_autoload(program,
					  is_wanted(bpf_program__name(program), only));
	if (judge_object(skeleton->obj, "functions", budget, judged))
		return;
	bpf_object__for_each_program (program, skeleton->obj)
		judge_functions(budget, bpf_program__name(program), judged);
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
			judge_way(way, &facts, &budget, NULL, judged);
	judge_functions(&budget, NULL, judged);
	printf("verifier: %u passed, %u failed\n", judged[1], judged[0]);
	return judged[0] || !judged[1] ? EXIT_FAILURE : EXIT_SUCCESS;
}
