// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * function.bpf.c - calls of functions that rules name, counted where they happen.
 *
 * One program serves every probe; what a probe is for, its point says, whose number
 * is the attach cookie. An entry that needs the moment or the result of the return
 * leaves a frame, known by rule, function and stack pointer: what lies between (other
 * calls, recursion, a longjmp or an exception out of it) does not move it, and no
 * return can match the frame of another call. In a session, entry and return are one
 * probe: its cookie has the points of both, and the entry's verdict says whether there
 * shall be a return. A frame that is never returned to is replaced by the next call at
 * its place, or ends with its thread; then it is in the ledger. Frames are in storage
 * of the thread; those of goroutines, which change threads and stacks, in a hash by
 * goroutine and distance from the stack's upper end.
 */
#include "frame.bpf.h"

#define GENERATION_FOUND (1ull << 32)
#define SP_AT_TRAMPOLINE 8 /* the return address has been taken off */

/* The name by which kernels before 6.3 take the context of a function that they verify
 * on its own (commit d384dce281ed); such a one is walked once, not at each call. */
struct bpf_user_pt_regs_t {
};

/* --- operands ------------------------------------------------------------------ */

/* The asm differs from register to register, so that the loads are not made one at an
 * offset that varies, which the verifier takes from no context. */
#define WHEN(number, field)                                                            \
	case TALLY_REGISTER_##number:                                                  \
		value = regs->field;                                                   \
		asm volatile("# " #field : "+r"(value));                               \
		break

__noinline __u64 register_value(struct bpf_user_pt_regs_t *context, __u32 number)
{
	struct pt_regs *regs = (void *)context;
	__u64 value = 0;

	switch (number) {
		WHEN(AX, ax);
		WHEN(BX, bx);
		WHEN(CX, cx);
		WHEN(DX, dx);
		WHEN(SI, si);
		WHEN(DI, di);
		WHEN(BP, bp);
		WHEN(SP, sp);
		WHEN(R8, r8);
		WHEN(R9, r9);
		WHEN(R10, r10);
		WHEN(R11, r11);
		WHEN(R12, r12);
		WHEN(R13, r13);
		WHEN(R14, r14);
		WHEN(R15, r15);
		WHEN(IP, ip);
	}
	return value;
}

static __always_inline __s64 narrowed(const struct tally_operand *operand, __u64 value)
{
	__u32 shift = (64 - 8 * operand->bytes) & 63;

	value <<= shift;
	return operand->is_signed ? (__s64)value >> shift : (__s64)(value >> shift);
}

/* False when the memory could not be read. */
__noinline bool operand_value(struct bpf_user_pt_regs_t *regs,
			      const struct tally_operand *operand, __s64 *ret_value)
{
	__u64 value, address;
	__u32 bytes;

	if (!operand || !ret_value)
		return false;
	if (operand->kind == TALLY_OPERAND_CONSTANT) {
		*ret_value = operand->offset;
		return true;
	}
	address = register_value(regs, operand->base);
	if (operand->kind == TALLY_OPERAND_REGISTER) {
		*ret_value = narrowed(operand, address);
		return true;
	}
	bytes = operand->bytes;
	if (bytes > sizeof(value))
		return false;
	address += (__u64)operand->offset;
	if (operand->scale)
		address += register_value(regs, operand->index) * operand->scale;
	value = 0;
	if (bpf_probe_read_user(&value, bytes, (void *)address))
		return false;
	*ret_value = narrowed(operand, value);
	return true;
}

/* number - minus, as far as this point knows them. */
static __always_inline bool number_of(struct bpf_user_pt_regs_t *regs,
				      const struct tally_function_point *point,
				      __s64 *ret_number)
{
	__s64 value = 0, minus = 0;

	if (point->number.kind && !operand_value(regs, &point->number, &value))
		return false;
	if (point->minus.kind && !operand_value(regs, &point->minus, &minus))
		return false;
	*ret_number = value - minus;
	return true;
}

/* --- labels -------------------------------------------------------------------- */

union label_text {
	char text[TALLY_FUNCTION_STRING];
	__u64 words[TALLY_FUNCTION_STRING / sizeof(__u64)];
	__s64 number;
};

/* Whether the rule has a name for it. */
static __always_inline bool is_named(__u32 rule, __u32 label, __s64 number)
{
	const struct tally_function_enumerated key = {rule, label, number};

	return bpf_map_lookup_elem(&function_enumerated, &key) != NULL;
}

static __always_inline bool
string_read(struct bpf_user_pt_regs_t *regs,
	    const struct tally_function_label_operand *operand, __u64 address,
	    union label_text *ret_text)
{
	__s64 len;

	if (!operand->len.kind)
		return bpf_probe_read_user_str(ret_text->text, sizeof(ret_text->text),
					       (void *)address) >= 0;
	if (!operand_value(regs, &operand->len, &len))
		return false;
	if (len < 0 || len > TALLY_FUNCTION_STRING - 1)
		len = TALLY_FUNCTION_STRING - 1;
	asm volatile("" : "+r"(len)); /* the verifier shall see the mask */
	return !bpf_probe_read_user(ret_text->text, len & (TALLY_FUNCTION_STRING - 1),
				    (void *)address);
}

/* Label i of the arguments; the text is zeroed. False: its memory cannot be read. */
__noinline bool label_read(struct bpf_user_pt_regs_t *regs,
			   const struct tally_function_rule *rule,
			   const struct tally_function_point *point, __u32 i,
			   union label_text *ret_text)
{
	const struct tally_function_label_operand *operand;
	__s64 value = 0;

	if (!rule || !point || !ret_text || i >= TALLY_FUNCTION_LABELS)
		return false;
	operand = &point->labels[i];
	if (!operand_value(regs, &operand->value, &value))
		return false;
	if (operand->is_string)
		return string_read(regs, operand, (__u64)value, ret_text);
	if (rule->enumerated & 1 << i && !is_named(point->rule, i, value))
		ret_text->words[1] = 1;
	else
		ret_text->number = value;
	return true;
}

/* The hash that the rows of these arguments have. */
__noinline __u64 labels_of(struct bpf_user_pt_regs_t *regs,
			   const struct tally_function_rule *rule,
			   const struct tally_function_point *point)
{
	struct tally_function_labels labels = {};
	struct keyed_hash hash = {};

	if (!rule || !point)
		return TALLY_ARGUMENTS_OTHER;
	for (__u32 i = 0; i < TALLY_FUNCTION_LABELS; i++) {
		union label_text *label = (union label_text *)labels.text[i];

		if (!point->labels[i].value.kind)
			break;
		if (!label_read(regs, rule, point, i, label)) {
			function_missed(TALLY_FUNCTION_FAULT);
			return TALLY_ARGUMENTS_OTHER;
		}
		for (__u32 word = 0; word < 8; word++)
			hash_add(&hash, function_seed, i * 8 + word,
				 label->words[word]);
	}
	return labels_adopt(point->rule, rule, hash_value(&hash) | 2, &labels);
}

/* --- who ------------------------------------------------------------------------ */

static __always_inline bool selects(const struct tally_function_selected *who)
{
	return bpf_map_lookup_elem(&function_selected, who) != NULL;
}

/* The number of a file that is no more may be another's by now: the first to call is
 * the one that was meant. */
static __always_inline bool selects_program(struct tally_function_selected *who,
					    const struct inode *inode)
{
	const __u64 found = GENERATION_FOUND | inode->i_generation;
	__u64 *generation;

	who->inode = inode->i_ino;
	who->device = inode->i_sb->s_dev;
	generation = bpf_map_lookup_elem(&function_selected, who);
	if (generation && !*generation)
		*generation = found;
	return generation && *generation == found;
}

static __always_inline bool is_member(struct task_struct *task, __u32 rule)
{
	const struct tally_function_member *member =
	    task_storage(&function_members, task->group_leader, 0);

	return member && rule < TALLY_FUNCTION_RULES &&
	       member->rules[rule / 64] >> (rule & 63) & 1;
}

static __noinline bool is_selected(__u32 rule, __u32 how)
{
	struct tally_function_selected who = {.rule = rule};
	struct task_struct *task = bpf_get_current_task_btf();

	if (how & TALLY_SELECTS_PID) {
		who.pid = (__u32)task->tgid;
		if (!selects(&who))
			return false;
	}
	if (how & TALLY_SELECTS_SERVICE && !is_member(task, rule))
		return false;
	if (how & TALLY_SELECTS_EXE) {
		who.pid = 0;
		return selects_program(&who, task->mm->exe_file->f_inode);
	}
	return true;
}

/* --- the cookie: TALLY_FUNCTION_COOKIE -------------------------------------------- */

/* Which of the functions of its rule. */
static __always_inline __u32 function_of(struct pt_regs *regs)
{
	return (__u32)(bpf_get_attach_cookie(regs) >> 32);
}

/* Whether a session's run is the one at the return: both are told the address of the
 * entry, and only the one at the entry stands there. (bpf_session_is_return() takes
 * other arguments since Linux 7.0.) A return to the function's own entry would be taken
 * for an entry: of a call right before the function, which no compiler makes. */
static __always_inline bool is_session_return(struct pt_regs *regs)
{
	return function_has_sessions && regs->ip != bpf_get_func_ip(regs);
}

static __always_inline __u32 point_of(struct pt_regs *regs, __u64 cookie)
{
	return is_session_return(regs) ? (__u16)(cookie >> 16) - 1 : (__u16)cookie;
}

/* What the program returns: of a session 0 asks for a run at the return, 1 for none,
 * and the stack of who calls is left alone; else it is 0. */
static __always_inline int session_verdict(__u64 cookie, bool is_kept)
{
	if (is_kept && (__u16)(cookie >> 16))
		return 0;
	return function_has_sessions;
}

/* --- entry and return ----------------------------------------------------------- */

/* True: it is under way, for a return of its thread. */
__noinline bool enter(struct bpf_user_pt_regs_t *context,
		      const struct tally_function_rule *rule,
		      const struct tally_function_point *point, __u64 arguments)
{
	struct pt_regs *regs = (void *)context;
	struct tally_function_frame frame = {
	    .sp = regs->sp,
	    .arguments = arguments,
	    .function = function_of(regs),
	};
	struct tally_function_key key = {.arguments = arguments};

	if (!rule || !point)
		return false;
	frame.rule = key.rule = point->rule;
	if (!number_of(context, point, &frame.number)) {
		function_missed(TALLY_FUNCTION_FAULT);
		return false;
	}
	if (!rule->has_return) {
		function_count(rule, &key, frame.number);
		return false;
	}
	frame.began_ns = bpf_ktime_get_ns();
	if (!point->is_go)
		return thread_enter(&frame);
	goroutine_enter(regs, &frame);
	return false;
}

static __always_inline bool holds(__u32 condition, __s64 result)
{
	switch (condition) {
	case TALLY_CONDITION_NEGATIVE:
		return result < 0;
	case TALLY_CONDITION_ZERO:
		return !result;
	case TALLY_CONDITION_NONZERO:
		return result != 0;
	}
	return true;
}

__noinline int leave(struct bpf_user_pt_regs_t *context,
		     const struct tally_function_rule *rule,
		     const struct tally_function_point *point)
{
	struct pt_regs *regs = (void *)context;
	const __u64 now_ns = bpf_ktime_get_ns();
	const __u32 function = function_of(regs);
	struct tally_function_key key = {};
	__u64 sp = regs->sp;
	__s64 number, judged = 0, result = 0;
	struct tally_function_frame frame;

	if (!rule || !point)
		return 0;
	key.rule = point->rule;
	if (point->role == TALLY_POINT_TRAMPOLINE)
		sp -= SP_AT_TRAMPOLINE;
	if (point->is_go ? !goroutine_leave(regs, point->rule, function, &frame)
			 : !thread_leave(point->rule, function, sp, &frame)) {
		/* a jump out that was none finds none either */
		if (point->role == TALLY_POINT_TRAMPOLINE && !thread_is_full())
			function_missed(TALLY_FUNCTION_UNENTERED);
		return 0;
	}
	if (!number_of(context, point, &number) ||
	    (point->judged.kind && !operand_value(context, &point->judged, &judged)) ||
	    (point->result.kind && !operand_value(context, &point->result, &result))) {
		function_missed(TALLY_FUNCTION_FAULT);
		return 0;
	}
	if (!holds(rule->condition, judged))
		return 0;
	key.arguments = frame.arguments;
	if (rule->enumerated & TALLY_ENUMERATED_RESULT &&
	    !is_named(point->rule, TALLY_FUNCTION_LABELS, result))
		key.other_result = 1;
	else
		key.result = result;
	if (rule->measure == TALLY_MEASURE_LATENCY)
		number = (__s64)(now_ns - frame.began_ns);
	else
		number += frame.number;
	function_count(rule, &key, number);
	return 0;
}

/* Of all calls the number alone: what most rules on hot functions are. */
static __always_inline bool is_plain_count(const struct tally_function_rule *rule)
{
	return rule->measure == TALLY_MEASURE_CALLS && !rule->has_return &&
	       rule->place == TALLY_PLACE_SINGLE;
}

static __always_inline void count_plainly(const __u32 *rule)
{
	struct tally_function_row *row = bpf_map_lookup_elem(&function_singles, rule);

	if (row)
		__sync_fetch_and_add(&row->count, 1);
}

/* Empty: it is there to be called into. Since Linux 6.13 the functions of a program of
 * our type have their stacks in memory of the processor's, which is safe for those that
 * the kernel does not run again on a processor before they have returned; of uprobes it
 * does not see to that, and a preemptible kernel runs another thread's call in the
 * middle of ours, in the same memory. A program with a tail call has the stack of its
 * thread (check_max_stack_depth() in kernel/bpf/verifier.c), on all kernels. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} function_none SEC(".maps");

SEC("uprobe")
int function_probe(struct bpf_user_pt_regs_t *regs)
{
	const __u64 cookie = bpf_get_attach_cookie(regs);
	__u32 number = point_of((void *)regs, cookie);
	struct tally_function_point *point =
	    bpf_map_lookup_elem(&function_points, &number);
	struct tally_function_rule *rule;
	__u64 arguments = TALLY_ARGUMENTS_NONE;

	if (!point) { /* never */
		bpf_tail_call(regs, &function_none, 0);
		return 0;
	}
	number = point->rule;
	rule = bpf_map_lookup_elem(&function_rules, &number);
	if (!rule || (rule->selects && !is_selected(number, rule->selects)))
		return session_verdict(cookie, false);
	if (is_plain_count(rule)) {
		count_plainly(&number);
		return session_verdict(cookie, false);
	}
	if (point->role != TALLY_POINT_ENTRY) {
		leave(regs, rule, point);
		return session_verdict(cookie, false);
	}
	/* from here: its frame on the stack is the largest, and all of a chain of
	 * calls have 512 bytes */
	if (rule->has_labels)
		arguments = labels_of(regs, rule, point);
	return session_verdict(cookie, enter(regs, rule, point, arguments));
}

/* --- the ends of threads and programs -------------------------------------------- */

static __always_inline void abandon_all(struct task_struct *task)
{
	struct thread_frames *frames = task_storage(&thread_frames, task, 0);

	if (!frames || !frames->count)
		return;
	__sync_fetch_and_add(&function_counters.missed[TALLY_FUNCTION_ABANDONED],
			     frames->count);
	frames->count = 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(function_exit, struct task_struct *task)
{
	abandon_all(task);
	return 0;
}

/* Whether it is one that no process had before, as far as is remembered. */
static __always_inline bool is_new(const struct tally_function_program *program)
{
	const __u32 seen = 1;

	if (bpf_map_lookup_elem(&function_programs, program))
		return false;
	bpf_map_update_elem(&function_programs, program, &seen, BPF_ANY);
	return true;
}

static __always_inline void announce(struct task_struct *task)
{
	struct inode *inode = task->mm->exe_file->f_inode;
	struct tally_function_exec exec = {
	    .program.inode = inode->i_ino,
	    .program.device = inode->i_sb->s_dev,
	    .program.generation = inode->i_generation,
	    .pid = (__u32)task->tgid,
	};

	exec.is_new = is_new(&exec.program);
	if (!exec.is_new && !function_names_services)
		return;
	if (bpf_ringbuf_output(&function_events, &exec, sizeof(exec), 0))
		__sync_fetch_and_add(&function_execs_untold, 1);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(function_exec, struct task_struct *task)
{
	abandon_all(task);
	if (function_names_services) /* another program, maybe of another name */
		bpf_task_storage_delete(&function_members, task->group_leader);
	announce(task);
	return 0;
}

/* A child is of its parent's service from its first call on. Attached only where a
 * rule names a service. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(function_fork, struct task_struct *parent, struct task_struct *child)
{
	struct tally_function_member *from, *to;

	if (child->tgid == parent->tgid)
		return 0;
	from = task_storage(&function_members, parent->group_leader, 0);
	if (!from)
		return 0;
	to = task_storage(&function_members, child, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (to)
		*to = *from;
	else
		__sync_fetch_and_add(&function_execs_untold, 1);
	return 0;
}

/* Calls in progress, a record each. */
SEC("iter/task")
int each_thread(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct tally_function_key key = {};
	struct thread_frames *frames;

	if (!task)
		return 0;
	frames = task_storage(&thread_frames, task, 0);
	for (__u32 i = 0; frames && i < TALLY_FUNCTION_FRAMES; i++) {
		struct tally_function_frame *frame = frame_at(frames, i);

		if (!frame || i >= frames->count)
			break;
		key.rule = frame->rule;
		key.arguments = frame->arguments;
		bpf_seq_write(context->meta->seq, &key, sizeof(key));
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
