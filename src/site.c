/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site.c - where a function is probed.
 *
 * Entry. A uprobe on an instruction that the kernel emulates costs half a
 * microsecond, on any other four to fourteen: it is single-stepped. So from the
 * first byte on we pass instructions that leave the arguments alone and go nowhere,
 * and stop at the first that is emulated: each call runs them once, in order. A jump
 * back to behind the first byte would run the site again within one call; then it
 * is the first byte. Go's functions begin with a check that runs again when the
 * stack had to grow; there "first byte" is what follows it.
 *
 * Return. Where no uretprobe may be, every way out must be known: `ret`, and jumps
 * to other functions with the stack as the caller left it. A direct jump out with
 * more on the stack is no tail call: it goes to a part of the function that lies
 * elsewhere. Which is which takes the depth of the stack at each instruction: it is
 * followed along all paths from the entry; where two paths disagree, or one comes
 * from we know not where (a landing pad), it is not known, and nothing that depends
 * on it is guessed: there is no site, with the reason.
 */
#include "site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "elf.h"
#include "instruction.h"

#define ENTRY_STEPS 16
/* rdi rsi rdx rcx r8 r9 */
#define ARGUMENTS_C 0x03c6
/* rax rbx rcx rdi rsi r8 r9 r10 r11, and g in r14 */
#define ARGUMENTS_GO 0x4fcb

static int refuse(const char *why, const char **ret_why)
{
	*ret_why = why;
	return -EOPNOTSUPP;
}

/* ---- entry ---- */

/* Whether a jump of the function goes to (from, to]. */
static bool is_jumped_into(const struct instructions *code, int64_t from, int64_t to)
{
	for (size_t i = 0; i < code->count; i++) {
		const struct instruction *at = &code->row[i];

		if ((at->kind == INSTRUCTION_JUMP || at->kind == INSTRUCTION_BRANCH) &&
		    at->target > from && at->target <= to)
			return true;
	}
	return false;
}

/* Index of what follows Go's `cmp rsp, 16(r14); jbe`; 0: it has no such check. */
static size_t go_entry(const struct instructions *code)
{
	for (size_t i = 0; i + 2 < code->count && i < ENTRY_STEPS; i++)
		if (code->row[i].compares_g &&
		    code->row[i + 1].kind == INSTRUCTION_BRANCH)
			return i + 2;
	return 0;
}

/* Index of the first emulated instruction that is reached from `first` with all of
 * `kept` in place; `first` when there is none. Not a call: kernels have emulated it
 * without the shadow stack. */
static size_t cheap_entry(const struct instructions *code, size_t first, uint16_t kept)
{
	for (size_t i = first; i < code->count && i < first + ENTRY_STEPS; i++) {
		const struct instruction *at = &code->row[i];

		if (at->is_emulated && at->kind != INSTRUCTION_CALL)
			return i;
		if (at->kind != INSTRUCTION_PLAIN || (at->writes & kept))
			break;
	}
	return first;
}

static int choose_entry(const struct instructions *code, const struct site_wish *wish,
			struct site *site, const char **ret_why)
{
	uint16_t kept = wish->go ? ARGUMENTS_GO : ARGUMENTS_C;
	size_t first = wish->go ? go_entry(code) : 0;
	size_t entry;

	/* Also for the kernel's sake: it pairs a return by the stack pointer. */
	if (wish->latency)
		kept |= INSTRUCTION_RSP;
	entry = cheap_entry(code, first, kept);
	if (!code->count)
		return refuse("its code cannot be decoded", ret_why);
	/* What we cannot read may jump anywhere. */
	if (!code->is_whole ||
	    is_jumped_into(code, code->row[first].offset, code->row[entry].offset))
		entry = first;
	/* Since Linux 6.18 a nop5 is made a call, which writes below the stack pointer:
	 * only at a first byte there is nothing. */
	if (code->row[entry].is_refused ||
	    (code->row[entry].is_nop5 && code->row[entry].offset))
		return refuse("the kernel cannot probe where it begins", ret_why);
	site->entry = code->row[entry].offset;
	site->is_cheap = code->row[entry].is_emulated;
	return 0;
}

/* ---- depth of the stack, at entry 0, down is negative ---- */

#define UNKNOWN INT32_MAX
#define DEPTH_LIMIT (1 << 28)

struct depth {
	int32_t stack, frame; /* of rsp and rbp */
	bool is_reached;
	bool is_from_entry;
};

struct flow {
	const struct instructions *code;
	struct depth *depths; /* before each instruction */
	size_t *work;
	size_t work_count;
	bool is_entry_done;
};

static void flow_free(struct flow *flow)
{
	free(flow->depths);
	free(flow->work);
}

static int32_t sum(int32_t depth, int32_t by)
{
	int64_t value = (int64_t)depth + by;

	if (depth == UNKNOWN || value > DEPTH_LIMIT || value < -DEPTH_LIMIT)
		return UNKNOWN;
	return (int32_t)value;
}

static struct depth depth_after(const struct instruction *at, struct depth depth)
{
	struct depth after = depth;

	if (at->stack == STACK_LOST)
		after.stack = UNKNOWN;
	else
		after.stack = sum(at->stack == STACK_FRAME ? depth.frame : depth.stack,
				  at->stack_by);
	if (at->frame == FRAME_LOST)
		after.frame = UNKNOWN;
	else if (at->frame == FRAME_STACK)
		after.frame = sum(depth.stack, at->frame_by);
	return after;
}

/* What two paths disagree about is not known. True: this changed something. */
static bool is_merged(struct depth *into, struct depth depth)
{
	struct depth merged = depth;

	if (into->is_reached) {
		merged.stack = into->stack == depth.stack ? depth.stack : UNKNOWN;
		merged.frame = into->frame == depth.frame ? depth.frame : UNKNOWN;
		if (merged.stack == into->stack && merged.frame == into->frame)
			return false;
	}
	into->stack = merged.stack;
	into->frame = merged.frame;
	into->is_reached = true;
	return true;
}

static void reach(struct flow *flow, int64_t offset, struct depth depth)
{
	const struct instruction *at = instructions_at(flow->code, offset);
	size_t i;

	if (!at)
		return;
	i = (size_t)(at - flow->code->row);
	/* A path from the entry knows better than a guess where another begins. */
	if (flow->is_entry_done && flow->depths[i].is_from_entry)
		return;
	/* Each can change three times, so the list holds them all. */
	if (is_merged(&flow->depths[i], depth))
		flow->work[flow->work_count++] = i;
	flow->depths[i].is_from_entry = !flow->is_entry_done;
}

static bool goes_on(const struct instruction *at)
{
	return at->kind == INSTRUCTION_PLAIN || at->kind == INSTRUCTION_CALL ||
	       at->kind == INSTRUCTION_BRANCH;
}

static void follow_from(struct flow *flow, size_t start, struct depth depth)
{
	reach(flow, flow->code->row[start].offset, depth);
	while (flow->work_count) {
		size_t i = flow->work[--flow->work_count];
		const struct instruction *at = &flow->code->row[i];
		struct depth after = depth_after(at, flow->depths[i]);

		if (goes_on(at))
			reach(flow, at->offset + at->len, after);
		if (at->kind == INSTRUCTION_JUMP || at->kind == INSTRUCTION_BRANCH)
			reach(flow, at->target, after);
	}
}

/* Cases of a switch begin with the depth that its jump had, if all have one. */
static struct depth depth_of_cases(const struct flow *flow)
{
	struct depth depth = {.stack = UNKNOWN, .frame = UNKNOWN};
	bool is_first = true;

	for (size_t i = 0; i < flow->code->count; i++) {
		if (flow->code->row[i].kind != INSTRUCTION_TABLE ||
		    !flow->depths[i].is_reached)
			continue;
		depth.is_reached = !is_first;
		is_merged(&depth, flow->depths[i]);
		is_first = false;
	}
	return depth;
}

static int follow(const struct instructions *code, struct flow *flow)
{
	flow->code = code;
	flow->depths = calloc(code->count, sizeof(*flow->depths));
	flow->work = calloc(code->count * 3, sizeof(*flow->work));
	if (!flow->depths || !flow->work)
		return -ENOMEM;
	follow_from(flow, 0, (struct depth){.frame = UNKNOWN});
	flow->is_entry_done = true;
	for (size_t i = 1; i < code->count; i++)
		if (!flow->depths[i].is_reached)
			follow_from(flow, i, depth_of_cases(flow));
	return 0;
}

/* ---- return ---- */

struct ways_out {
	const struct flow *flow;
	const struct site_wish *wish;
	uint64_t address;
	struct site *site;
	bool is_cold_harmless;
};

static int add_return(struct ways_out *out, const struct instruction *at,
		      const char **ret_why)
{
	struct site *site = out->site;

	if (at->is_refused)
		return refuse("the kernel cannot probe where it returns", ret_why);
	if (site->return_count == SITE_RETURNS_MAX)
		return refuse("it returns in more than 64 places", ret_why);
	site->returns[site->return_count++] = at->offset;
	return 0;
}

static bool is_inside(int64_t offset, size_t len)
{
	return offset >= 0 && offset < (int64_t)len;
}

static bool goes_to_cold(const struct ways_out *out, int64_t target)
{
	uint64_t address = out->address + (uint64_t)target;

	return address - out->wish->cold_address < out->wish->cold_len;
}

static int judge_direct_jump(struct ways_out *out, const struct instruction *at,
			     int32_t stack, const char **ret_why)
{
	if (is_inside(at->target, out->flow->code->len)) {
		if (instructions_at(out->flow->code, at->target))
			return 0;
		return refuse("its code cannot be decoded", ret_why);
	}
	if (goes_to_cold(out, at->target) && out->is_cold_harmless)
		return 0;
	/* A probe of a conditional jump does not say whether it is taken. */
	if (at->kind == INSTRUCTION_BRANCH)
		return refuse("a conditional jump leaves it", ret_why);
	if (stack != 0 || goes_to_cold(out, at->target))
		return refuse("a part of it lies elsewhere", ret_why);
	return add_return(out, at, ret_why);
}

/* With something on the stack it can be no tail call, so it stays inside. */
static int judge_indirect_jump(struct ways_out *out, const struct instruction *at,
			       int32_t stack, const char **ret_why)
{
	if (at->kind == INSTRUCTION_TABLE || (stack != 0 && stack != UNKNOWN))
		return 0;
	if (at->kind == INSTRUCTION_POINTER && stack == 0)
		return add_return(out, at, ret_why);
	return refuse("it jumps to an address it computes", ret_why);
}

static int judge(struct ways_out *out, size_t i, const char **ret_why)
{
	const struct instruction *at = &out->flow->code->row[i];
	int32_t stack = out->flow->depths[i].stack;

	switch (at->kind) {
	case INSTRUCTION_RETURN:
		return add_return(out, at, ret_why);
	case INSTRUCTION_JUMP:
	case INSTRUCTION_BRANCH:
		return judge_direct_jump(out, at, stack, ret_why);
	case INSTRUCTION_TABLE:
	case INSTRUCTION_POINTER:
	case INSTRUCTION_REGISTER:
		return judge_indirect_jump(out, at, stack, ret_why);
	case INSTRUCTION_PLAIN:
	case INSTRUCTION_CALL:
	case INSTRUCTION_STOP:
		break;
	}
	return 0;
}

/* Of a cold part most end in abort() or a throw, or go back: then it is no way out. */
static bool is_harmless(const struct instructions *cold, int64_t hot, size_t hot_len)
{
	for (size_t i = 0; i < cold->count; i++) {
		const struct instruction *at = &cold->row[i];

		if (at->kind == INSTRUCTION_RETURN || at->kind == INSTRUCTION_TABLE ||
		    at->kind == INSTRUCTION_POINTER || at->kind == INSTRUCTION_REGISTER)
			return false;
		if ((at->kind == INSTRUCTION_JUMP || at->kind == INSTRUCTION_BRANCH) &&
		    !instructions_at(cold, at->target) &&
		    !is_inside(at->target - hot, hot_len))
			return false;
	}
	return cold->is_whole;
}

static int read_cold(struct ways_out *out)
{
	CLEANUP(instructions_free) struct instructions cold = {0};
	const struct site_wish *wish = out->wish;
	int err;

	if (!wish->cold_len)
		return 0;
	err = instructions_read(wish->decoder, wish->cold, wish->cold_len,
				wish->cold_address, &cold);
	if (err)
		return err;
	out->is_cold_harmless = is_harmless(
	    &cold, (int64_t)(out->address - wish->cold_address), out->flow->code->len);
	return 0;
}

/* What no path from the entry reaches is padding. A call at the end is of what never
 * returns; Go puts a nop behind it. */
static bool runs_off_its_end(const struct flow *flow)
{
	size_t last = flow->code->count - 1;
	enum instruction_kind kind;

	while (last && flow->code->row[last].is_nop)
		last--;
	kind = flow->code->row[last].kind;
	return (kind == INSTRUCTION_PLAIN || kind == INSTRUCTION_BRANCH) &&
	       flow->depths[last].is_from_entry;
}

static int choose_returns(const struct instructions *code, uint64_t address,
			  const struct site_wish *wish, struct site *site,
			  const char **ret_why)
{
	CLEANUP(flow_free) struct flow flow = {0};
	struct ways_out out = {
	    .flow = &flow, .wish = wish, .address = address, .site = site};
	int err;

	if (!code->is_whole)
		return refuse("its code cannot be decoded", ret_why);
	err = follow(code, &flow);
	if (!err)
		err = read_cold(&out);
	if (err)
		return err;
	for (size_t i = 0; i < code->count; i++) {
		err = judge(&out, i, ret_why);
		if (err)
			return err;
	}
	if (runs_off_its_end(&flow))
		return refuse("it runs on into what follows it", ret_why);
	if (!site->return_count)
		return refuse("it never returns", ret_why);
	return 0;
}

/* ---- both ---- */

/* Whether it runs no code but its own, which then throws nothing. */
static bool is_leaf(const struct instructions *code)
{
	for (size_t i = 0; i < code->count; i++) {
		const struct instruction *at = &code->row[i];

		if (at->kind == INSTRUCTION_CALL || at->kind == INSTRUCTION_POINTER ||
		    at->kind == INSTRUCTION_REGISTER)
			return false;
		if ((at->kind == INSTRUCTION_JUMP || at->kind == INSTRUCTION_BRANCH) &&
		    !instructions_at(code, at->target))
			return false;
	}
	return code->is_whole;
}

/* code: NULL when it could not be read. */
static bool may_probe_return(const struct site_wish *wish,
			     const struct instructions *code)
{
	return wish->latency && !wish->go && !wish->no_return_probe &&
	       (!wish->callees_unwind || (code && is_leaf(code)));
}

/* Whether it looks at its own return address, which may be the kernel's then: what
 * setjmp() or a switch of stacks has kept of it, no return probe answers for. */
static bool uses_return_address(const struct flow *flow)
{
	for (size_t i = 0; i < flow->code->count; i++) {
		const struct instruction *at = &flow->code->row[i];
		const struct depth *depth = &flow->depths[i];

		if (depth->is_reached &&
		    ((at->uses_stack && !sum(depth->stack, at->memory_at)) ||
		     (at->uses_frame && !sum(depth->frame, at->memory_at))))
			return true;
	}
	return false;
}

static int judge_return_probe(const struct instructions *code,
			      const struct site_wish *wish, struct site *site)
{
	CLEANUP(flow_free) struct flow flow = {0};
	int err;

	if (!may_probe_return(wish, code))
		return 0;
	err = follow(code, &flow);
	site->return_probe = !err && !uses_return_address(&flow);
	return err;
}

static int choose_unread(const struct site_wish *wish, struct site *site,
			 const char *why, const char **ret_why)
{
	site->return_probe = may_probe_return(wish, NULL);
	if (wish->latency && !site->return_probe)
		return refuse(why, ret_why);
	return 0;
}

static int choose(const uint8_t *code, size_t len, uint64_t address,
		  const struct site_wish *wish, struct site *site, const char **ret_why)
{
	CLEANUP(instructions_free) struct instructions instructions = {0};
	int err;

	if (!len)
		return choose_unread(wish, site, "its size is not known", ret_why);
	err = instructions_read(wish->decoder, code, len, address, &instructions);
	if (err == -E2BIG)
		return choose_unread(wish, site, "it is longer than 1 MB", ret_why);
	if (err == -ELIBACC || err == -ELIBBAD)
		return refuse("the library Capstone cannot be loaded", ret_why);
	if (!err)
		err = choose_entry(&instructions, wish, site, ret_why);
	if (!err)
		err = judge_return_probe(&instructions, wish, site);
	if (!err && wish->latency && !site->return_probe)
		err = choose_returns(&instructions, address, wish, site, ret_why);
	return err;
}

int site_choose(const uint8_t *code, size_t len, uint64_t address,
		const struct site_wish *wish, struct site *ret_site,
		const char **ret_why)
{
	struct site site = {0};
	int err;

	*ret_why = "out of memory";
	err = choose(code, len, address, wish, &site, ret_why);
	if (!err)
		*ret_site = site;
	return err;
}

/* glibc's jump to what keeps their return address. */
static bool is_setjmp(const struct elf_function *function)
{
	return !strcmp(function->name, "setjmp") || !strcmp(function->name, "_setjmp");
}

int site_find(struct elf *elf, const struct elf_function *function, bool latency,
	      bool no_return_probe, struct site *ret_site, const char **ret_why)
{
	struct site_wish wish = {
	    .decoder = elf_decoder(elf),
	    .go = elf_is_go(elf),
	    .latency = latency,
	    .no_return_probe =
		no_return_probe || elf_unwinds(elf) || is_setjmp(function),
	    .callees_unwind = elf_is_library(elf),
	};
	size_t len;
	const uint8_t *code = elf_code(elf, function, &len);

	wish.cold = elf_cold(elf, function, &wish.cold_address, &wish.cold_len);
	return site_choose(code, len, function->address, &wish, ret_site, ret_why);
}
