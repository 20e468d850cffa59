/* SPDX-License-Identifier: Apache-2.0 */
/* What Unicode says of letters, character by character, as Go's strings and
 * unicode packages apply it: no language, no context ("ß" has no upper case). */
#pragma once

#include <stddef.h>

#include "slice.h"

/* Length of the letters, decimal digits and underscores that text begins with. */
size_t letters_word_len(const char *text);
/* Writes UTF-8 text in lower or upper case, with a NUL, and returns its length;
 * where that is not below `room`, ret_text is incomplete. What is not UTF-8 becomes
 * U+FFFD, a byte each. */
size_t letters_to_lower(struct slice text, char *ret_text, size_t room);
size_t letters_to_upper(struct slice text, char *ret_text, size_t room);
