/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_multiline.h - lines that belong together as one entry, up to the next line that
 * begins one. Pure: it does not judge which one does, nor what time it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "slice.h"

struct log_entry {
	struct slice text; /* lines with \n between them; valid until the next call */
	uint64_t len;      /* in the file */
	bool is_cut;
};

struct log_multiline { /* zero but for the bounds: nothing waits */
	size_t len_max;
	uint32_t lines_max; /* at least 1 */
	struct buf texts[2];
	unsigned int current; /* the one that is added to */
	uint32_t lines;
	uint64_t pending; /* bytes in the file of what waits */
	bool is_cut;
};

/* The next line. True: an entry is complete, without it if is_first, with it if
 * it was the last that there was room for. */
bool log_multiline_add(struct log_multiline *multiline, bool is_first,
		       const struct log_entry *line, struct log_entry *ret_entry);
/* Nothing more belongs to what waits, if anything does. */
bool log_multiline_end(struct log_multiline *multiline, struct log_entry *ret_entry);
void log_multiline_reset(struct log_multiline *multiline);
void log_multiline_free(struct log_multiline *multiline);
