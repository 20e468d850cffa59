/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * route.h - a request target to its route: what a stranger may write without
 * end becomes what a dashboard can group by. Pure; no rules of users yet.
 *
 * "/api/v1/users/12345?x=1" -> "/api/v1/users/" + "*". A segment that holds a
 * digit (but "v1", "v2"), at least 24 hexadecimal characters and nothing else,
 * or a byte that is not printable ASCII, is one star. At most eight segments and
 * ROUTE_TEXT bytes; "/" + "**" stands for what is left out. The text is written
 * over the start of the window, in place: it is never longer than what was read by
 * then, because a method and a space come first (ROUTE_LEAD).
 */
#pragma once

#include "../../include/hash.h"
#include "http1.h"

#define ROUTE_TEXT TALLY_ROUTE_LEN
#define ROUTE_SEGMENTS 8
#define ROUTE_HEX 24
#define ROUTE_LEAD 2

/* At most this many steps: words without an end in them, segments, the first one. */
#define ROUTE_STEPS (HTTP1_LINE_MAX / 8 + ROUTE_SEGMENTS + 2)

/* One pass over [in, end), up to eight bytes of a segment at a time; everything the
 * loop carries, in memory. */
struct route {
	__u32 in;      /* next byte to read */
	__u32 end;     /* of the target */
	__u32 out;     /* next byte to write */
	__u32 segment; /* where the segment began in the output */
	__u32 room;    /* the last segment that could give way to the rest */
	__u32 segments;
	__u32 cut; /* the target was longer than what we may look at */
	__u32 done;
	__u32 digits; /* of the segment so far */
	__u32 reserved;
	__u64 strange; /* not 0: it has a byte that is not printable ASCII */
};

PURE_INLINE void route_put(struct window *w, struct route *r, __u8 c)
{
	window_put(w, r->out, c);
	r->out++;
}

/* The high bit of each byte that is at least c, where all are below 0x80. */
PURE_INLINE __u64 marks_from(__u64 sevens, __u8 c)
{
	return sevens + BYTES8(0x80ull - c);
}

/* Whether it is a hexadecimal number: printable, and without digits. */
PURE_INLINE bool route_is_hex(const struct window *w, const struct route *r)
{
	__u32 at = r->segment;

	for (__u32 i = 0; i < ROUTE_TEXT / 8 && at < r->out; i++, at += 8) {
		const __u64 lower = window_word(w, at) | LOWER8;
		__u64 other = ~marks_from(lower, 'a') | marks_from(lower, 'f' + 1);

		if (r->out - at < 8)
			other &= LOW(r->out - at);
		if (other & HIGH_BITS)
			return false;
	}
	return true;
}

VERIFIED_ONCE bool route_segment_is_wild(const struct window *w, const struct route *r)
{
	if (!w || !r || r->strange)
		return true;
	/* v1, v12: a version, not an identifier */
	if (r->digits)
		return r->digits != r->out - r->segment - 1 ||
		       (window_byte(w, r->segment) | 0x20) != 'v';
	return route_is_hex(w, r);
}

PURE_INLINE bool route_segment_is_plain(const struct route *r)
{
	return !r->strange && !r->digits && r->out - r->segment < ROUTE_HEX;
}

PURE_INLINE void route_end_segment(struct window *w, struct route *r)
{
	if (route_segment_is_plain(r))
		return;
	if (route_segment_is_wild(w, r)) {
		r->out = r->segment;
		route_put(w, r, '*');
	}
	r->digits = 0;
	r->strange = 0;
}

/* "/" and two stars for what is left out, after the last segment that leaves
 * room for them. */
VERIFIED_ONCE int route_put_rest(struct window *w, struct route *r)
{
	if (!w || !r)
		return 0;
	if (r->out + 3 > ROUTE_TEXT)
		r->out = r->room ? r->room - 1 : 0;
	route_put(w, r, '/');
	route_put(w, r, '*');
	route_put(w, r, '*');
	r->done = 1;
	return 0;
}

/* The text is too long, or unfinished: back to the last '/'. */
PURE_INLINE void route_overflow(struct window *w, struct route *r)
{
	r->out = r->segment ? r->segment - 1 : 0;
	route_put_rest(w, r);
}

PURE_INLINE void route_slash(struct window *w, struct route *r)
{
	route_end_segment(w, r);
	if (r->segments == ROUTE_SEGMENTS) {
		route_put_rest(w, r);
		return;
	}
	r->segments++;
	route_put(w, r, '/');
	r->segment = r->out;
	if (r->segment + 2 <= ROUTE_TEXT)
		r->room = r->segment;
}

/* The high bit of the first byte that ends a segment, if one does: a slash, with that
 * bit set a question mark, or a fragment's mark, or the target's end. Those above it
 * are anything. */
PURE_INLINE __u64 route_stops(const struct route *r, __u64 word)
{
	const __u32 left = r->end - r->in;
	__u64 stops = word_marks(word | BYTES8('/' ^ '?'), '?') | word_marks(word, '#');

	return left < 8 ? stops | 0x80ull << (left * 8) : stops;
}

/* Up to eight bytes, as far as the segment goes. Whether it ends behind them. */
PURE_INLINE bool route_take(struct window *w, struct route *r)
{
	const __u64 word = window_word(w, r->in), stops = route_stops(r, word);
	const __u64 below = (stops & -stops) - 1; /* no stop: all */
	const __u64 text = (__u64)((__s64)below >> 7);
	const __u64 marks = below & HIGH_BITS, sevens = word & ~HIGH_BITS;
	const __u64 digits = marks_from(sevens, '0') & ~marks_from(sevens, '9' + 1);
	const __u64 printable = marks_from(sevens, 0x21) & ~marks_from(sevens, 0x7f);

	r->digits += marks_count(digits & marks);
	r->strange |= (word | ~printable) & marks;
	window_put_word(w, r->out, (word & text) | (window_word(w, r->out) & ~text));
	r->in += whole_bytes(text);
	r->out += whole_bytes(text);
	return stops != 0;
}

/* At the end of the target, or of what of it is the path. */
PURE_INLINE void route_finish(struct window *w, struct route *r)
{
	/* looked at all we may, and there was more: an unfinished segment */
	if (r->in >= r->end && r->cut)
		route_overflow(w, r);
	else
		route_end_segment(w, r);
	r->done = 1;
}

PURE_INLINE bool route_at_slash(const struct window *w, const struct route *r)
{
	return r->in < r->end && window_byte(w, r->in) == '/';
}

/* A slash, if there is one, and what follows it. */
VERIFIED_ONCE int route_step(struct window *w, struct route *r)
{
	bool stops;

	if (!w || !r)
		return 0;
	if (route_at_slash(w, r)) {
		r->in++;
		route_slash(w, r);
		if (r->done)
			return 0;
	}
	stops = route_take(w, r);
	if (r->out > ROUTE_TEXT)
		route_overflow(w, r);
	else if (stops && !route_at_slash(w, r))
		route_finish(w, r);
	return !r->done;
}

/* Writes the route of the target [start, end) over w->bytes[0..]; returns its
 * length, <= ROUTE_TEXT. Absolute-form ("http://host/x") is its path;
 * "*" and authority-form (CONNECT) have none but "*" or "". cut: the target
 * goes on beyond end. r: scratch. start must be >= ROUTE_LEAD. */
VERIFIED_ONCE __u32 route_normalise(struct window *w, struct route *r, __u32 start,
				    __u32 end, __u32 cut)
{
	if (!w || !r || start < ROUTE_LEAD)
		return 0;
	*r = (struct route){.in = start, .end = end, .cut = cut};
	for (__u32 i = 0; i < ROUTE_STEPS; i++)
		if (!route_step(w, r))
			break;
	return r->out <= ROUTE_TEXT ? r->out : ROUTE_TEXT;
}

/* Keyed hash of the first len bytes; never 0 or 1, which are reserved. */
VERIFIED_ONCE __u64 route_hash(const struct window *w, __u32 len, __u64 seed)
{
	struct keyed_hash hash = {};
	__u64 value;

	if (!w)
		return 2;
	for (__u32 i = 0; i < (ROUTE_TEXT + 7) / 8; i++) {
		__u64 word;

		if (i * 8 >= len)
			break;
		word = window_word(w, i * 8);
		if (len - i * 8 < 8)
			word &= (1ull << ((len - i * 8) * 8)) - 1;
		hash_add(&hash, seed, i, word);
	}
	hash_add(&hash, seed, (ROUTE_TEXT + 7) / 8, len);
	value = hash_value(&hash);
	return value < 2 ? value + 2 : value;
}
