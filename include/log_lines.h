/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_lines.h - what is read of a file, piece by piece, as lines. Pure. What a line
 * has beyond its bound is skipped without being kept; a line that is not complete
 * waits. It knows no encoding: log_text.h does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "slice.h"

/* One after another of one file; zero but for line_max: at the beginning of a line. */
struct log_lines {
	size_t line_max;
	struct buf kept;   /* of the line that is not complete */
	uint64_t pending;  /* its bytes in the file */
	bool is_cut;       /* it is longer than line_max */
	bool is_discarded; /* nobody saw its beginning */
};

struct log_line {
	struct slice text; /* without \n, \r\n; valid until the next call */
	uint64_t len;      /* in the file, with them */
	bool is_cut;
	bool is_discarded; /* counts, and is not to be told */
};

/* Takes the next line off the chunk. False: the chunk is used up, what is left of it
 * is kept. Without memory for that the line is cut. */
bool log_lines_next(struct log_lines *lines, struct slice *chunk,
		    struct log_line *ret_line);
/* The file ends here: what is kept, if anything, is a line. */
bool log_lines_end(struct log_lines *lines, struct log_line *ret_line);
/* Bytes that are known to be nothing but NUL went by. */
void log_lines_skip(struct log_lines *lines, uint64_t len);
/* At the beginning of a line again. */
void log_lines_reset(struct log_lines *lines);
void log_lines_free(struct log_lines *lines);
