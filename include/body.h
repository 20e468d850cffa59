/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - the bytes of one response, made while they are read. Memory is what was
 * given (the snapshot, the text), one piece of it of about 16 kB, and that of
 * gzip.h: it does not grow with the length of the body, which is known only at its
 * end.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"
#include "exposition.h"
#include "snapshot.h"

struct body;

/* The exposition of a finished snapshot, which is taken over; on failure
 * (-ENOMEM) it stays the caller's. */
int body_of_snapshot(struct snapshot *snapshot, enum exposition_format format,
		     bool is_gzip, struct body **ret_body);
/* The same for a text that is there already. */
int body_of_text(struct buf *text, bool is_gzip, struct body **ret_body);
/* The next bytes, at most size; 0: the end. -errno of the writer (text.h,
 * exposition.h), or -EIO of gzip: what was read until then is of no use. */
ssize_t body_read(struct body *body, char *ret_bytes, size_t size);
void body_free(struct body **body);
