/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of text that somebody else owns and that need not end with a NUL. It
 * allocates nothing; a slice lives as long as what it points into. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct slice {
	const char *text;
	size_t len;
};

struct slice slice_of(const char *string);
bool slice_is(struct slice slice, const char *string);
bool slice_starts_with(struct slice slice, const char *prefix);
bool slice_ends_with(struct slice slice, const char *suffix);
/* Whether it is one of the strings; the list ends with NULL and may be NULL. */
bool slice_in(struct slice slice, const char *const *strings);
/* Takes a suffix off, unless that would leave nothing. False: was not there. */
bool slice_strip_suffix(struct slice *slice, const char *suffix);
/* Takes the piece before the first separator off, and the separator; all of it
 * when there is none. Call it while slice->len. */
struct slice slice_split(struct slice *slice, char separator);
/* Without blanks at both ends. */
struct slice slice_trimmed(struct slice slice);
/* Last component of a path, without slashes at its end; "/" stays. */
struct slice slice_base_name(struct slice path);
/* The byte that two hex digits at its start stand for; -1: there are none. */
int slice_hex_byte(struct slice slice);
/* Length of the character at its start: 0 when it is empty or not UTF-8 (RFC
 * 3629 section 4: no overlong form, surrogate, or code above U+10FFFF). */
size_t slice_utf8_len(struct slice slice);
/* The same; 0 for control characters, too: C0, DEL, and C1, which terminals obey. */
size_t slice_printable_len(struct slice slice);

/* A label value of it: trimmed, valid UTF-8 without control characters (each
 * byte that is neither becomes '_'), cut between characters to fit size with its
 * NUL. False, and nothing written, when nothing but blanks is there. */
bool slice_to_label(struct slice slice, char *ret_label, size_t size);
