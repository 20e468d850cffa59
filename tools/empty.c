/* SPDX-License-Identifier: Apache-2.0 */
/*
 * empty - attaches `return 0` wherever the daemon would attach a program on this
 * kernel: what is left of its cost then is the kernel's own.
 *   empty [PROGRAM...]    root; instead of these programs only, else of all. Says
 *                         "attached PROGRAM" for each, "ready", then waits to be ended
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "capture.h"
#include "cleanup.h"

static const struct bpf_insn returns[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
    {.code = BPF_JMP | BPF_EXIT},
};

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static enum bpf_attach_type attach_type(const struct capture_hook *hook)
{
	if (!hook->arguments_max)
		return BPF_TRACE_RAW_TP;
	return strstr(hook->program, "_entry") ? BPF_TRACE_FENTRY : BPF_TRACE_FEXIT;
}

/* The link is left open: it lasts as long as this process. */
static int attach(const struct btf *btf, const struct capture_hook *hook)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    .expected_attach_type = attach_type(hook));
	AUTO_CLOSE int program = -1;
	char name[64];
	int link;

	snprintf(name, sizeof(name), "%s%s", hook->arguments_max ? "" : "btf_trace_",
		 hook->target);
	options.attach_btf_id = (__u32)btf__find_by_name_kind(
	    btf, name, hook->arguments_max ? BTF_KIND_FUNC : BTF_KIND_TYPEDEF);
	program = bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "GPL", returns,
				sizeof(returns) / sizeof(returns[0]), &options);
	if (program < 0)
		return program;
	link = bpf_raw_tracepoint_open(NULL, program);
	return link < 0 ? link : 0;
}

/* Without any names every program is wanted. */
static bool is_wanted(const char *program, char **names)
{
	if (!*names)
		return true;
	while (*names && strcmp(*names, program) != 0)
		names++;
	return *names;
}

static int attach_wanted(const struct btf *btf, char **names)
{
	const struct capture_hook *hook;
	struct capture_facts facts;
	bool any = false;
	enum capture way;
	int err = 0;

	capture_ask(&facts);
	way = capture_choose(&facts, CAPTURE_AUTO);
	if (way == CAPTURE_AUTO)
		return -ENOTSUP;
	for (size_t i = 0; (hook = capture_hook(i)) && !err; i++) {
		if (!capture_takes(&facts, way, hook->program) ||
		    !is_wanted(hook->program, names))
			continue;
		err = attach(btf, hook);
		if (!err)
			printf("attached %s\n", hook->program);
		any = true;
	}
	return any ? err : -ENOENT;
}

int main(int argc, char **argv)
{
	CLEANUP(free_btf) struct btf *btf = btf__load_vmlinux_btf();
	int err = btf ? attach_wanted(btf, argv + 1) : -errno;

	(void)argc;
	if (err) {
		fprintf(stderr, "empty: cannot attach: %s\n", strerror(-err));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
