/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * function_abi.h - what the function programs and the daemon say to each other, as
 * abi.h for sockets. A *rule* is what the user asked for; a *point* says what to do
 * where it is measured (one for all places alike); a *row* is what was counted, one
 * for each set of label values of a rule; a *frame* is a call under way (frame.bpf.h).
 */
#pragma once

#include "buckets.h"
#include "types.h"

#define TALLY_FUNCTION_RULES 1024  /* rules, each with its own rows */
#define TALLY_FUNCTION_POINTS 8192 /* places that are alike are one */
#define TALLY_FUNCTION_ROWS 65536
#define TALLY_FUNCTION_LABELS 4  /* of a rule, from operands of the call */
#define TALLY_FUNCTION_STRING 64 /* bytes read of a string, its NUL included */
#define TALLY_FUNCTION_BOUNDS 32 /* of a histogram */
#define TALLY_FUNCTION_FRAMES 24 /* calls of one thread under way at once */
#define TALLY_GOROUTINE_FRAMES 16384
#define TALLY_FUNCTION_PROGRAMS 4096 /* remembered */
#define TALLY_FUNCTION_SELECTED 16384
#define TALLY_FUNCTION_LOGS                                                            \
	VALUE_BUCKETS                   /* or NATIVE_BUCKETS of them, of a latency     \
					 */
#define TALLY_FUNCTION_ENUMERATED 65536 /* numbers of all enumerations */

/* Hash of the argument labels: reserved for none, and for sets beyond the rule's cap.
 */
#define TALLY_ARGUMENTS_NONE 0ull
#define TALLY_ARGUMENTS_OTHER 1ull

/* Every way that a call is not counted as the rule says; docs/metrics.md explains
 * each. The order is the order of the names in functions.c. */
enum tally_function_missed {
	TALLY_FUNCTION_ABANDONED,   /* the call was left without a return */
	TALLY_FUNCTION_UNENTERED,   /* a return whose call predates us */
	TALLY_FUNCTION_TOO_DEEP,    /* more calls under way than are held */
	TALLY_FUNCTION_NO_MEMORY,   /* of the kernel, for frame or row */
	TALLY_FUNCTION_FAULT,       /* an argument's memory could not be read */
	TALLY_FUNCTION_LABELS_FULL, /* counted, but under `other` */
	TALLY_FUNCTION_FALLING,     /* a negative number for a counter: not added */
	TALLY_FUNCTION_MISSED_COUNT,
};

/* In the order of the x86-64 machine code. */
enum tally_register {
	TALLY_REGISTER_AX,
	TALLY_REGISTER_CX,
	TALLY_REGISTER_DX,
	TALLY_REGISTER_BX,
	TALLY_REGISTER_SP,
	TALLY_REGISTER_BP,
	TALLY_REGISTER_SI,
	TALLY_REGISTER_DI,
	TALLY_REGISTER_R8,
	TALLY_REGISTER_R9,
	TALLY_REGISTER_R10,
	TALLY_REGISTER_R11,
	TALLY_REGISTER_R12,
	TALLY_REGISTER_R13,
	TALLY_REGISTER_R14,
	TALLY_REGISTER_R15,
	TALLY_REGISTER_IP,
	TALLY_REGISTERS,
};

enum tally_operand_kind {
	TALLY_OPERAND_NONE,
	TALLY_OPERAND_CONSTANT,
	TALLY_OPERAND_REGISTER,
	TALLY_OPERAND_MEMORY, /* at base + index * scale + offset */
};

struct tally_operand {
	__u8 kind;
	__u8 base;
	__u8 index;
	__u8 scale; /* 0: no index */
	__u8 bytes; /* 1, 2, 4, 8 */
	__u8 is_signed;
	__u8 reserved[2];
	__s64 offset; /* or the constant */
};

enum tally_function_measure {
	TALLY_MEASURE_CALLS,
	TALLY_MEASURE_LATENCY, /* ns */
	TALLY_MEASURE_NUMBER,
	TALLY_MEASURE_IN_PROGRESS,
};

/* Of the result, for a call to count. */
enum tally_function_condition {
	TALLY_CONDITION_NONE,
	TALLY_CONDITION_NEGATIVE,
	TALLY_CONDITION_ZERO,
	TALLY_CONDITION_NONZERO,
};

enum tally_function_selection {
	TALLY_SELECTS_PID = 1,     /* only processes of function_selected */
	TALLY_SELECTS_EXE = 2,     /* only programs of function_selected */
	TALLY_SELECTS_SERVICE = 4, /* only processes of function_members */
};

/* What most rules have is found at once, and what few have is not read for all. */
enum tally_function_place {
	TALLY_PLACE_SINGLE,  /* its one row in function_singles */
	TALLY_PLACE_ROW,     /* by labels in function_rows */
	TALLY_PLACE_SUMMARY, /* in function_summaries, with labels or without */
};

struct tally_function_rule {
	__u8 measure;
	__u8 condition;
	__u8 selects;     /* tally_function_selection */
	__u8 has_return;  /* needs the return: a frame */
	__u8 has_labels;  /* of arguments */
	__u8 has_result;  /* the result is a label */
	__u8 only_grows;  /* a counter of numbers */
	__u8 has_buckets; /* counts in those of bounds */
	__u8 enumerated;  /* bit i: argument label i; TALLY_ENUMERATED_RESULT */
	__u8 is_unsigned; /* numbers are, of 64 bits */
	__u8 place;       /* tally_function_place: where its rows are */
	__u8 reserved;
	__u32 labels_max;  /* sets of argument labels */
	__u32 results_max; /* results that are labels, with any of these sets */
	/* Inclusive upper bounds, ascending, the rest UINT64_MAX. Signed ones with the
	 * sign bit turned over, so that negative numbers are in order. */
	__u64 bounds[TALLY_FUNCTION_BOUNDS];
};

#define TALLY_ENUMERATED_RESULT 0x80

#define TALLY_FUNCTION_ORDERED(number, is_unsigned)                                    \
	((__u64)(number) ^ ((is_unsigned) ? 0 : 1ull << 63))

/* What a probe is attached with. returns: the point of the return that belongs to this
 * entry and 1, which a session goes by; 0: none does. */
#define TALLY_FUNCTION_COOKIE(function, returns, point)                                \
	((__u64)(function) << 32 | (__u64)(returns) << 16 | (point))

enum tally_point_role {
	TALLY_POINT_ENTRY,
	TALLY_POINT_TRAMPOLINE, /* a return probe's */
	TALLY_POINT_LEAVING,    /* a return instruction, or a jump out */
};

struct tally_function_label_operand {
	struct tally_operand value; /* the number, or where the string is */
	struct tally_operand len;   /* of a Go string; NONE: ends with a NUL */
	__u8 is_string;
	__u8 reserved[7];
};

struct tally_function_point {
	__u32 rule;
	__u8 role;
	__u8 is_go;
	__u8 reserved[2];
	struct tally_operand number, minus; /* what of it is known here */
	struct tally_operand judged;        /* at a return: by the condition */
	struct tally_operand result;        /* at a return: the label */
	struct tally_function_label_operand labels[TALLY_FUNCTION_LABELS];
};

struct tally_function_key {
	__u32 rule;
	__u32 other_result; /* 1: results beyond the rule's cap */
	__u64 arguments;    /* hash */
	__s64 result;
};

struct tally_function_row {
	__u64 count;
	__s64 sum;
	__s64 last;
	__u64 buckets[TALLY_FUNCTION_BOUNDS + 1];
};

/* The row of a rule that counts in logarithmic buckets. */
struct tally_function_summary {
	struct tally_function_row row;
	__u64 logs[TALLY_FUNCTION_LOGS];
};

struct tally_function_labels_key {
	__u32 rule;
	__u32 reserved;
	__u64 arguments;
};

/* A number that the rule names; label: its index, TALLY_FUNCTION_LABELS: the result. */
struct tally_function_enumerated {
	__u32 rule;
	__u32 label;
	__s64 number;
};

/* Strings end with a NUL; numbers are 8 bytes of the processor's order, and 8 more
 * that are 0, or 1 for a number that an enumeration does not name. */
struct tally_function_labels {
	char text[TALLY_FUNCTION_LABELS][TALLY_FUNCTION_STRING];
};

/* A call under way. */
struct tally_function_frame {
	__u64 sp; /* at the function's entry */
	__u64 began_ns;
	__u64 arguments; /* hash of the labels */
	__s64 number;    /* what the entry gave of it */
	__u32 rule;
	__u32 function; /* of the rule's, by where it is in its file */
};

/* Whose call, of a goroutine. */
struct tally_goroutine_key {
	__u32 pid;
	__u32 rule;
	__u64 g;     /* address of its runtime structure */
	__u64 depth; /* of the call, from the upper end of its stack */
	__u32 function;
	__u32 reserved;
};

/* Who a rule selects: a process, or a program by its file. The other is zero. */
struct tally_function_selected {
	__u32 rule;
	__u32 pid;
	__u64 inode;
	__u64 device; /* as the kernel has it: major << 20 | minor */
};

/* Bit i % 64 of word i / 64: whether the process is of a service that rule i names. */
struct tally_function_member {
	__u64 rules[TALLY_FUNCTION_RULES / 64];
};

/* The file of a process, as the kernel has it.
 * generation: ext4 and xfs give the number of a file that is no more to the next. */
struct tally_function_program {
	__u64 inode;
	__u64 device;
	__u64 generation;
};

/* A process became another program; told of those that are new, of all where a rule
 * names a service. */
struct tally_function_exec {
	struct tally_function_program program;
	__u32 pid;
	__u32 is_new; /* no process had that program before */
};

struct tally_function_counters {
	__u64 missed[TALLY_FUNCTION_MISSED_COUNT];
};

_Static_assert(sizeof(struct tally_operand) == 16, "layout");
_Static_assert(sizeof(struct tally_function_key) == 24, "key layout");
_Static_assert(sizeof(struct tally_function_labels_key) == 16, "key layout");
_Static_assert(sizeof(struct tally_function_enumerated) == 16, "key layout");
_Static_assert(sizeof(struct tally_function_selected) == 24, "key layout");
_Static_assert(sizeof(struct tally_function_exec) == 32, "event layout");
_Static_assert(TALLY_FUNCTION_POINTS < 1 << 16, "fits into a cookie, and 1");
_Static_assert(TALLY_FUNCTION_LOGS >= NATIVE_BUCKETS, "holds both");
