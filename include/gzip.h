/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip.h - compression and its reverse, by zlib. The fastest level: what we send
 * shrinks tenfold by any, and the time is the daemon's only thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gzip;   /* 260 kB of zlib's */
struct gunzip; /* 40 kB */

/* -ENOMEM. */
int gzip_create(struct gzip **ret_gzip);
void gzip_free(struct gzip **gzip);

/* From where to where; a step moves both on. */
struct gzip_flow {
	const void *in;
	size_t in_len;
	void *out;
	size_t out_room;
	bool is_last; /* nothing follows `in` */
	bool is_done; /* set by the step that wrote gzip's last byte, or read it */
};

/* Until all was taken, or there is no room. -EIO: zlib's, out is of no use. */
int gzip_step(struct gzip *gzip, struct gzip_flow *flow);
/* Bytes that gzip_whole needs at most. */
size_t gzip_bound(size_t len);
/* All of it at once; room is at least gzip_bound(len). -ENOMEM, -EIO. */
int gzip_whole(const void *in, size_t len, void *out, size_t room, size_t *ret_len);

/* -ENOMEM. */
int gunzip_create(struct gunzip **ret_gunzip);
void gunzip_free(struct gunzip **gunzip);
/* As gzip_step; is_last is not looked at. is_done: a member is complete, with what its
 * trailer says of it (RFC 1952 2.3.1), and no other has begun. Done with the input only
 * when in_len is 0 and out_room is not. -EBADMSG: it is no gzip; -ENOMEM. */
int gunzip_step(struct gunzip *gunzip, struct gzip_flow *flow);
