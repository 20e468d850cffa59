/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_identity.h - which file it is, whatever its name: device, inode, time of birth
 * where the file system has one (an inode number is used again), and prints of bytes
 * that do not change in a file that is appended to: of its head, and of what stands
 * before a position. They tell a file that was written anew from one that grew, and
 * find the copy of one that was emptied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_HEAD_BYTES 1024u
#define LOG_TAIL_BYTES 64u

struct log_print {
	uint32_t len; /* bytes it is of; 0: of none, and like any other */
	uint64_t hash;
};

struct log_identity {
	uint64_t device;
	uint64_t inode;
	int64_t birth_ns; /* 0: unknown */
	struct log_print head;
};

/* When it was last written, or anything about it changed: the second tells where the
 * first was set back. The file system's clock, which may stand still for 2 s (FAT). */
struct log_stamp {
	int64_t modified_ns, changed_ns;
};

struct log_stat {
	struct log_identity identity; /* without head */
	struct log_stamp stamp;
	uint64_t size;
	bool is_regular;
	bool is_deleted; /* it has no name any more */
};

/* Of a path (links followed), or of fd with path "". -errno. */
int log_stat(int fd, const char *path, struct log_stat *ret_stat);
/* Whether it may be the same: device and inode are, and nothing tells them apart. */
bool log_identity_is(const struct log_identity *identity,
		     const struct log_identity *other);
bool log_stamp_is(struct log_stamp stamp, struct log_stamp other);

struct log_print log_print_of(const void *bytes, size_t len);
/* Of the bytes before `position`, LOG_TAIL_BYTES at most; of none when they cannot be
 * read. */
struct log_print log_print_before(int fd, uint64_t position);
/* Of the first bytes, those before `position`, LOG_HEAD_BYTES at most. */
struct log_print log_print_head(int fd, uint64_t position);
/* The same in place of `head`, which is of less, if these bytes begin with that. */
void log_print_grow(int fd, struct log_print *head, uint64_t position);
/* Whether that is what stands there; false also when it cannot be read. */
bool log_head_is(int fd, struct log_print head);
bool log_before_is(int fd, uint64_t position, struct log_print tail);

/* --- where reading goes on after a restart ------------------------------------ */

/* Strings point into what was decoded. */
struct log_position {
	struct log_identity identity;
	uint64_t offset;
	struct log_print tail; /* before offset */
	bool is_anew;          /* what was missed beside it is to be looked for */
	bool is_inside;        /* of a line that is not to be told */
	const char *name;      /* what it is called: its first path */
	const char *path;      /* where it was last */
	const char *service;   /* or "" */
	const char *target;    /* where the link led that it was found by, or "" */
};

#define LOG_POSITION_BYTES_MAX 20480
/* Into a buffer of LOG_POSITION_BYTES_MAX; the length. -E2BIG. */
int log_position_encode(const struct log_position *position, void *ret_bytes,
			size_t *ret_len);
/* -EBADMSG: it is none of ours. */
int log_position_decode(const void *bytes, size_t len,
			struct log_position *ret_position);
