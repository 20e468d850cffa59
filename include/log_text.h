/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as text that receivers take: valid UTF-8 without NUL. Other control
 * characters stay, programs colour their lines with them. Pure. */
#pragma once

#include "buf.h"
#include "slice.h"

/* The same slice where nothing is wrong with it, else a copy in scratch with U+FFFD in
 * the place of each byte that is: cut, between characters, where it would be longer
 * than len_max, which is scratch's ceiling at least. Without memory it ends early. */
struct slice log_text_valid(struct slice raw, size_t len_max, struct buf *scratch);
/* A label's value: valid, without control characters, len_max bytes at most. NULL: no
 * memory. The caller frees. */
char *log_text_label(const char *raw, size_t len_max);
