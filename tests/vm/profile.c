/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile - a plugin of QEMU's that counts how often the guest's kernel ran each of its
 * instructions:
 *   qemu-system-x86_64 -plugin profile.so,out=FILE ...
 * It counts while the guest is between two marks, instructions that do nothing and that
 * tools/pair runs before and behind its rounds: what else a boot does is not the same
 * in the next one. When the guest powers off FILE has, of the last time it was there, a
 * line for each instruction, "ADDRESS TIMES", the address as 16 digits. What ran
 * outside the kernel is one sum, at address 0.
 *
 * Not here: what an address is (tests/vm/parts), and more than one processor.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Debian has the interface in its QEMU, but no package brings qemu-plugin.h: the part
 * of it that is used here, as in QEMU 7.2. From 9.1 on nothing takes version 1 any
 * more, and QEMU says so.
 */
#define INTERFACE_VERSION 1
#define ADD_U64 0      /* QEMU_PLUGIN_INLINE_ADD_U64 */
#define NO_REGISTERS 0 /* QEMU_PLUGIN_CB_NO_REGS */
#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id id, void (*translated)(plugin_id id, struct qemu_plugin_tb *block));
extern void qemu_plugin_register_atexit_cb(plugin_id id,
					   void (*ended)(plugin_id id, void *context),
					   void *context);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
						       int operation, void *to,
						       uint64_t amount);
extern void qemu_plugin_register_vcpu_insn_exec_cb(
    struct qemu_plugin_insn *insn,
    void (*executed)(unsigned int processor, void *context), int registers,
    void *context);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

extern EXPORTED int qemu_plugin_version;
extern EXPORTED int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info,
					int argc, char **argv);

int qemu_plugin_version = INTERFACE_VERSION;

/* A boot runs through some 600,000 instructions of a kernel. */
#define COUNTERS_BITS 21
#define COUNTERS (1u << COUNTERS_BITS)

struct counter {
	uint64_t address; /* 0: free */
	uint64_t times;   /* of the whole boot */
	uint64_t before;  /* of these, when the first mark was passed */
	uint64_t between; /* the two marks */
};

/* Those of tools/pair.c: nopl with a displacement. */
static const unsigned char begin_mark[] = {0x0f, 0x1f, 0x80, 'p', 'a', 'i', 'r'};
static const unsigned char end_mark[] = {0x0f, 0x1f, 0x80, 'r', 'i', 'a', 'p'};

static struct counter counters[COUNTERS];
static struct counter outside;
static struct counter unplaced; /* what found no counter */
static bool has_ended;
static size_t taken;
static char out_name[4096];

static bool is_of_kernel(uint64_t address)
{
	return address >> 63;
}

/* Where the instruction's runs are added up: the translated code knows it for good. */
static uint64_t *times_of(uint64_t address)
{
	uint64_t i = (address * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - COUNTERS_BITS);

	if (!is_of_kernel(address))
		return &outside.times;
	while (counters[i].address && counters[i].address != address)
		i = (i + 1) % COUNTERS;
	if (!counters[i].address) {
		if (taken == COUNTERS / 2)
			return &unplaced.times;
		taken++;
		counters[i].address = address;
	}
	return &counters[i].times;
}

static void begin(unsigned int processor, void *context)
{
	(void)processor;
	(void)context;
	outside.before = outside.times;
	unplaced.before = unplaced.times;
	for (size_t i = 0; i < COUNTERS; i++)
		counters[i].before = counters[i].times;
}

static void end(unsigned int processor, void *context)
{
	(void)processor;
	(void)context;
	outside.between = outside.times - outside.before;
	unplaced.between = unplaced.times - unplaced.before;
	for (size_t i = 0; i < COUNTERS; i++)
		counters[i].between = counters[i].times - counters[i].before;
	has_ended = true;
}

static bool is_mark(const struct qemu_plugin_insn *insn, const unsigned char *mark)
{
	return qemu_plugin_insn_size(insn) == sizeof(begin_mark) &&
	       !memcmp(qemu_plugin_insn_data(insn), mark, sizeof(begin_mark));
}

static void see_marks(struct qemu_plugin_insn *insn)
{
	if (is_mark(insn, begin_mark))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, NULL);
	else if (is_mark(insn, end_mark))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, NULL);
}

static void count_block(plugin_id id, struct qemu_plugin_tb *block)
{
	const size_t count = qemu_plugin_tb_n_insns(block);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);

		qemu_plugin_register_vcpu_insn_exec_inline(
		    insn, ADD_U64, times_of(qemu_plugin_insn_vaddr(insn)), 1);
		see_marks(insn);
	}
}

static int print_counts(FILE *out)
{
	if (!has_ended)
		return -ENODATA;
	fprintf(out, "%016x %" PRIu64 "\n", 0, outside.between);
	for (size_t i = 0; i < COUNTERS; i++)
		if (counters[i].between)
			fprintf(out, "%016" PRIx64 " %" PRIu64 "\n",
				counters[i].address, counters[i].between);
	if (ferror(out))
		return -EIO;
	return unplaced.between ? -ENOSPC : 0;
}

static void write_counts(plugin_id id, void *context)
{
	FILE *out = fopen(out_name, "we");
	int err = out ? print_counts(out) : -errno;

	(void)id;
	(void)context;
	if (out && fclose(out) && !err)
		err = -errno;
	if (err)
		fprintf(stderr, "profile: '%s': %s\n", out_name, strerror(-err));
}

int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc,
			char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) ||
	    strlen(argv[0] + 4) >= sizeof(out_name)) {
		fprintf(stderr, "profile: say out=FILE\n");
		return -1;
	}
	memcpy(out_name, argv[0] + 4, strlen(argv[0] + 4) + 1);
	qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
	qemu_plugin_register_atexit_cb(id, write_counts, NULL);
	return 0;
}
