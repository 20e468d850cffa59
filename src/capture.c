/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cleanup.h"
#include "length.h"

/* Every kernel since 4.16 has them. */
#define TRIAL_TRACEPOINT "btf_trace_inet_sock_set_state"
#define TRIAL_FUNCTION "tcp_sendmsg"

#define RECVMSG "tcp_recvmsg"
#define EVERY_READ "tcp_rcv_space_adjust"
#define PREEMPT_RT " PREEMPT_RT " /* in uname -v */

#define EITHER(name, since)                                                            \
	{                                                                              \
		name, name, since, CAPTURE_AUTO, 0, 0, false, false                    \
	}
#define TRACEPOINT(name, optional, since)                                              \
	{                                                                              \
		name, name, since, CAPTURE_TRACEPOINT, 0, 0, optional, false           \
	}
#define FUNCTION(program, name, min, max, optional)                                    \
	{                                                                              \
		program, name, "5.15", CAPTURE_FENTRY, min, max, optional, false       \
	}
#define UNSEEN(program, name)                                                          \
	{                                                                              \
		program, name, "5.15", CAPTURE_AUTO, 5, 5, true, false                 \
	}
#define AGAIN(program, name)                                                           \
	{                                                                              \
		program, name, "7.0", CAPTURE_TRACEPOINT, 0, 0, true, true             \
	}

static const struct capture_hook hooks[] = {
    EITHER("inet_sock_set_state", "4.16"),
    EITHER("tcp_destroy_sock", "4.16"),
    EITHER(EVERY_READ, "4.15"),
    EITHER("sched_process_exec", "3.4"),
    EITHER("sched_process_fork", "2.6.32"),
    EITHER("sched_process_exit", "2.6.32"),
    TRACEPOINT("sock_recv_length", false, "6.3"),
    TRACEPOINT("sock_send_length", false, "6.3"),
    TRACEPOINT("sk_data_ready", false, "6.3"),
    TRACEPOINT("tcp_sendmsg_locked", true, "6.16"),
    AGAIN("sock_recv_length_2", "sock_recv_length"),
    AGAIN("sock_recv_length_3", "sock_recv_length"),
    AGAIN("sock_send_length_2", "sock_send_length"),
    AGAIN("sock_send_length_3", "sock_send_length"),
    AGAIN("sk_data_ready_2", "sk_data_ready"),
    AGAIN("sk_data_ready_3", "sk_data_ready"),
    AGAIN("tcp_sendmsg_locked_2", "tcp_sendmsg_locked"),
    AGAIN("tcp_sendmsg_locked_3", "tcp_sendmsg_locked"),
    UNSEEN("tcp_splice_read_exit", "tcp_splice_read"),
    UNSEEN("tcp_getsockopt_exit", "tcp_getsockopt"),
    FUNCTION("tcp_sendmsg_entry", "tcp_sendmsg", 3, 3, false),
    FUNCTION("tcp_sendmsg_exit", "tcp_sendmsg", 3, 3, false),
    FUNCTION("tcp_sendpage_exit", "tcp_sendpage", 5, 5, true),
    FUNCTION("tcp_recvmsg_exit", RECVMSG, 4, 6, false),
    FUNCTION("unix_stream_sendmsg_entry", "unix_stream_sendmsg", 3, 3, false),
    FUNCTION("unix_stream_sendmsg_exit", "unix_stream_sendmsg", 3, 3, false),
    FUNCTION("unix_stream_sendpage_exit", "unix_stream_sendpage", 5, 5, true),
    FUNCTION("unix_stream_recvmsg_exit", "unix_stream_recvmsg", 4, 4, false),
    FUNCTION("sock_def_readable_entry", "sock_def_readable", 1, 1, false),
};

#define LEN(array) (LENGTH(array))
#define HOOKS LEN(hooks)
_Static_assert(HOOKS <= CAPTURE_HOOKS_MAX, "a fact each");

const struct capture_hook *capture_hook(size_t index)
{
	return index < HOOKS ? &hooks[index] : NULL;
}

/* --- judging ------------------------------------------------------------------- */

static bool has_program(const struct capture_facts *facts, const char *program)
{
	for (size_t i = 0; i < HOOKS; i++)
		if (!strcmp(hooks[i].program, program))
			return facts->hooks[i];
	return false;
}

static const struct capture_hook *hook_of(const char *program)
{
	for (size_t i = 0; i < HOOKS; i++)
		if (!strcmp(hooks[i].program, program))
			return &hooks[i];
	return NULL;
}

/* "tcp_sendmsg_exit_2" has the second turn of tcp_sendmsg_exit; 0: no turn. */
static int turn_of(const char *program, const struct capture_hook **ret_hook)
{
	for (size_t i = 0; i < HOOKS; i++) {
		size_t len = strlen(hooks[i].program);

		if (!hooks[i].arguments_max || strlen(program) != len + 2 ||
		    strncmp(program, hooks[i].program, len) || program[len] != '_')
			continue;
		*ret_hook = &hooks[i];
		return program[len + 1] - '0';
	}
	return 0;
}

const struct capture_hook *capture_lacks(const struct capture_facts *facts,
					 enum capture way)
{
	for (size_t i = 0; i < HOOKS; i++)
		if (hooks[i].way == way && !hooks[i].optional && !facts->hooks[i])
			return &hooks[i];
	return NULL;
}

bool capture_can(const struct capture_facts *facts, enum capture way)
{
	if (!facts->btf || !facts->helpers || capture_lacks(facts, way))
		return false;
	return way != CAPTURE_FENTRY || facts->functions == CAPTURE_YES;
}

enum capture capture_choose(const struct capture_facts *facts, enum capture wanted)
{
	if (wanted != CAPTURE_AUTO)
		return capture_can(facts, wanted) ? wanted : CAPTURE_AUTO;
	if (capture_can(facts, CAPTURE_TRACEPOINT))
		return CAPTURE_TRACEPOINT;
	return capture_can(facts, CAPTURE_FENTRY) ? CAPTURE_FENTRY : CAPTURE_AUTO;
}

/* The start of a send is worth a function's hook where its tracepoint is missing. */
static bool stands_in(const struct capture_facts *facts,
		      const struct capture_hook *hook)
{
	return !strcmp(hook->program, "tcp_sendmsg_entry") &&
	       !has_program(facts, "tcp_sendmsg_locked") &&
	       facts->functions == CAPTURE_YES;
}

/* What leaves a socket without a length is told by the functions that take it: the
 * tracepoint that tells of it too costs every read. */
static bool functions_tell_unseen(const struct capture_facts *facts)
{
	return facts->functions == CAPTURE_YES && !facts->preempts_functions &&
	       has_program(facts, "tcp_splice_read_exit") &&
	       has_program(facts, "tcp_getsockopt_exit");
}

/* A hook that both ways have. */
static bool takes_either(const struct capture_facts *facts,
			 const struct capture_hook *hook)
{
	if (hook->arguments_max)
		return functions_tell_unseen(facts);
	return strcmp(hook->program, EVERY_READ) || !functions_tell_unseen(facts);
}

bool capture_takes(const struct capture_facts *facts, enum capture way,
		   const char *program)
{
	const struct capture_hook *hook = hook_of(program);

	if (turn_of(program, &hook) && !facts->preempts_functions)
		return false;
	if (!hook) /* it has no hook that a kernel could lack */
		return true;
	if (!has_program(facts, hook->program))
		return false;
	if (hook->again && !capture_is_preemptible(facts, way))
		return false;
	if (hook->way == CAPTURE_AUTO)
		return takes_either(facts, hook);
	return hook->way == way || stands_in(facts, hook);
}

bool capture_is_again(const char *program)
{
	const struct capture_hook *hook = hook_of(program);

	return turn_of(program, &hook) > 1 || (hook && hook->again);
}

bool capture_takes_turns(const struct capture_facts *facts, const char *program)
{
	const struct capture_hook *hook = hook_of(program);

	return facts->preempts_functions && hook && hook->arguments_max;
}

/* With PREEMPT_RT a thread fetches the memory of new rows (irq_work), which a program
 * on a tracepoint keeps waiting, and with it whatever else one call inserts. */
bool capture_needs_tables_whole(const struct capture_facts *facts, enum capture way)
{
	return facts->realtime && way == CAPTURE_TRACEPOINT;
}

/* Where it can be chosen at boot, the version says PREEMPT_DYNAMIC only. */
bool capture_kernel_preempts(const char *version, const char *mode)
{
	return strstr(version, PREEMPT_RT) || strstr(version, " PREEMPT ") ||
	       strstr(mode, "(full)") || strstr(mode, "(lazy)");
}

/* Functions could be preempted ever since; only some kernels let us keep it off. */
bool capture_is_preemptible(const struct capture_facts *facts, enum capture way)
{
	return facts->can_hold && (facts->preempts || way == CAPTURE_FENTRY);
}

bool capture_sees_send_begin(const struct capture_facts *facts, enum capture way)
{
	return capture_takes(facts, way, "tcp_sendmsg_locked") ||
	       capture_takes(facts, way, "tcp_sendmsg_entry");
}

const char *capture_send_begin_needs(const struct capture_facts *facts)
{
	return facts->functions_off ? "Linux 6.16, or kernel.ftrace_enabled=1"
				    : "Linux 6.16, or CONFIG_FUNCTION_TRACER=y";
}

static const char *const names[] = {
    [CAPTURE_AUTO] = "auto",
    [CAPTURE_TRACEPOINT] = "tracepoint",
    [CAPTURE_FENTRY] = "fentry",
};

const char *capture_name(enum capture way)
{
	return names[way];
}

bool capture_parse(const char *text, enum capture *ret_way)
{
	for (enum capture way = CAPTURE_AUTO; way <= CAPTURE_FENTRY; way++) {
		if (strcmp(text, names[way]))
			continue;
		*ret_way = way;
		return true;
	}
	return false;
}

/* --- asking -------------------------------------------------------------------- */

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

/* NULL without. libbpf would look for vmlinux files in /boot too, but the kernel
 * itself uses only its own. */
static struct btf *load_kernel_btf(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return NULL;
	return btf__load_vmlinux_btf();
}

/* The kernel describes a raw tracepoint NAME by a typedef btf_trace_NAME (commit
 * e8c423fb31fa, Linux 5.5). */
static bool has_tracepoint(const struct btf *btf, const char *target)
{
	char name[64];

	snprintf(name, sizeof(name), "btf_trace_%s", target);
	return btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) > 0;
}

/* 0: there is no such function, or BTF does not say. */
static uint8_t count_arguments(const struct btf *btf, const char *target)
{
	int id = btf__find_by_name_kind(btf, target, BTF_KIND_FUNC);
	const struct btf_type *type =
	    id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	if (type)
		type = btf__type_by_id(btf, type->type);
	return type && btf_is_func_proto(type) ? (uint8_t)btf_vlen(type) : 0;
}

static bool has_hook(const struct btf *btf, const struct capture_hook *hook)
{
	uint8_t arguments;

	if (!hook->arguments_max)
		return has_tracepoint(btf, hook->target);
	arguments = count_arguments(btf, hook->target);
	return arguments >= hook->arguments_min && arguments <= hook->arguments_max;
}

/* The newest helper that every way needs is bpf_task_pt_regs (commit dd6e10fbd9fb,
 * Linux 5.15). */
static bool has_helpers(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *helpers =
	    id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (uint16_t i = 0; helpers && i < btf_vlen(helpers); i++)
		if (btf_enum(helpers)[i].val == BPF_FUNC_task_pt_regs)
			return true;
	return false;
}

/* bpf_preempt_disable() is of 6.10 (commit fc7566ad0a82), but without
 * bpf_local_irq_save() (commit c8e2ee1f3df0, 6.14) it only delays. */
static bool can_hold(const struct btf *btf)
{
	return btf__find_by_name_kind(btf, "bpf_preempt_disable", BTF_KIND_FUNC) > 0 &&
	       btf__find_by_name_kind(btf, "bpf_local_irq_save", BTF_KIND_FUNC) > 0;
}

/* Tracepoints run under SRCU-fast, and no longer with preemption off, since Linux 7.0
 * (commit a46023d5616e): their bookkeeping keeps a grace period of it. */
static bool preempts(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "tp_transition_snapshot", BTF_KIND_STRUCT);
	const struct btf_type *type =
	    id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_member *member = type ? btf_members(type) : NULL;

	for (uint16_t i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, member[i].name_off), "srcu_gp"))
			return true;
	return false;
}

static void ask_of_preemption(struct capture_facts *facts)
{
	AUTO_FCLOSE FILE *file = fopen("/sys/kernel/debug/sched/preempt", "re");
	struct utsname system;
	char mode[64] = "";

	if (uname(&system))
		return;
	if (file && !fgets(mode, sizeof(mode), file))
		*mode = '\0';
	facts->realtime = strstr(system.version, PREEMPT_RT) != NULL;
	if (capture_kernel_preempts(system.version, mode))
		facts->preempts_functions = true;
}

#define MOVE(destination, value)                                                       \
	{                                                                              \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (destination),         \
		.imm = (value)                                                         \
	}

/* `return 0`, and one that reads eight bytes of kernel memory before. */
static const struct bpf_insn returns[] = {
    MOVE(BPF_REG_0, 0),
    {.code = BPF_JMP | BPF_EXIT},
};
static const struct bpf_insn reads[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10},
    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8},
    MOVE(BPF_REG_2, 8),
    MOVE(BPF_REG_3, 0),
    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
    MOVE(BPF_REG_0, 0),
    {.code = BPF_JMP | BPF_EXIT},
};

/* A program for what BTF describes by this type; a descriptor, or -errno. libbpf's
 * own probe of tracing programs asks for fentry, which kernels without the function
 * tracer refuse though they run programs on tracepoints. */
static int load_trial(const struct btf *btf, const char *name, uint32_t kind,
		      enum bpf_attach_type type, const struct bpf_insn *program,
		      size_t len)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	int id = btf__find_by_name_kind(btf, name, kind);

	if (id <= 0)
		return -ENOENT;
	options.attach_btf_id = (uint32_t)id;
	return bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "GPL", program, len,
			     &options);
}

static enum capture_answer try_tracepoint(const struct btf *btf,
					  const struct bpf_insn *program, size_t len)
{
	AUTO_CLOSE int fd = load_trial(btf, TRIAL_TRACEPOINT, BTF_KIND_TYPEDEF,
				       BPF_TRACE_RAW_TP, program, len);

	return fd < 0 ? CAPTURE_NO : CAPTURE_YES;
}

/* A kernel may describe its functions and still have no place to hook them: only
 * attaching tells. The empty program is gone when this returns. */
static enum capture_answer try_function(const struct btf *btf)
{
	AUTO_CLOSE int program = load_trial(btf, TRIAL_FUNCTION, BTF_KIND_FUNC,
					    BPF_TRACE_FENTRY, returns, LEN(returns));
	AUTO_CLOSE int link = program < 0 ? -1 : bpf_raw_tracepoint_open(NULL, program);

	return link < 0 ? CAPTURE_NO : CAPTURE_YES;
}

/* Then a kernel takes what is attached and calls it never, and 6.1 stumbles over it
 * when the setting comes back (WARNING in ftrace_shutdown): it is not tried. */
static bool are_functions_off(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/sys/kernel/ftrace_enabled", "re");

	return file && fgetc(file) == '0';
}

void capture_ask(struct capture_facts *ret_facts)
{
	CLEANUP(free_btf) struct btf *btf = load_kernel_btf();

	*ret_facts = (struct capture_facts){.btf = btf};
	if (!btf)
		return;
	ret_facts->helpers = has_helpers(btf);
	for (size_t i = 0; i < HOOKS; i++)
		ret_facts->hooks[i] = has_hook(btf, &hooks[i]);
	ret_facts->recvmsg_arguments = count_arguments(btf, RECVMSG);
	ret_facts->preempts = preempts(btf);
	ret_facts->preempts_functions = ret_facts->preempts;
	ask_of_preemption(ret_facts);
	ret_facts->can_hold = can_hold(btf);
	ret_facts->tracing = try_tracepoint(btf, returns, LEN(returns));
	ret_facts->reads = try_tracepoint(btf, reads, LEN(reads));
	ret_facts->functions_off = are_functions_off();
	ret_facts->functions =
	    ret_facts->functions_off ? CAPTURE_NO : try_function(btf);
}
