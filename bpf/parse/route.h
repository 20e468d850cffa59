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

/* One pass over [pos, end); everything the loop carries, in memory. */
struct route {
	__u32 in;      /* next byte to read */
	__u32 end;     /* of the target */
	__u32 out;     /* next byte to write */
	__u32 segment; /* where the segment began in the output */
	__u32 room;    /* the last segment that could give way to the rest */
	__u32 segments;
	__u32 letters; /* of the segment so far */
	__u32 digits;
	__u32 hex;
	__u32 first;   /* its first byte */
	__u32 strange; /* it has a byte that is not printable ASCII */
	__u32 cut;     /* the target was longer than what we may look at */
	__u32 done;
};

PURE_INLINE bool is_hex(__u8 c)
{
	__u8 lower = c | 0x20;

	return is_digit(c) || (lower >= 'a' && lower <= 'f');
}

PURE_INLINE void route_put(struct window *w, struct route *r, __u8 c)
{
	window_put(w, r->out, c);
	r->out++;
}

PURE_INLINE bool route_segment_is_wild(const struct route *r)
{
	__u32 len = r->letters + r->digits;

	if (r->strange)
		return true;
	if (r->hex == len && len >= ROUTE_HEX)
		return true;
	/* v1, v12: a version, not an identifier */
	if (r->digits && r->letters == 1 && (r->first | 0x20) == 'v')
		return false;
	return r->digits != 0;
}

PURE_INLINE void route_end_segment(struct window *w, struct route *r)
{
	if (route_segment_is_wild(r)) {
		r->out = r->segment;
		route_put(w, r, '*');
	}
	r->letters = r->digits = r->hex = r->first = r->strange = 0;
}

/* "/" and two stars for what is left out, after the last segment that leaves
 * room for them. */
PURE_INLINE void route_put_rest(struct window *w, struct route *r)
{
	if (r->out + 3 > ROUTE_TEXT)
		r->out = r->room ? r->room - 1 : 0;
	route_put(w, r, '/');
	route_put(w, r, '*');
	route_put(w, r, '*');
	r->done = 1;
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

PURE_INLINE void route_letter(struct window *w, struct route *r, __u8 c)
{
	if (!r->first)
		r->first = c;
	if (is_digit(c))
		r->digits++;
	else
		r->letters++;
	if (is_hex(c))
		r->hex++;
	if (c < 0x21 || c > 0x7e)
		r->strange = 1;
	route_put(w, r, c);
}

VERIFIED_ONCE int route_byte(struct window *w, struct route *r)
{
	__u8 c;

	if (!w || !r)
		return 0;
	c = window_byte(w, r->in);
	if (r->in >= r->end || c == '?' || c == '#') {
		/* looked at all we may, and there was more: an unfinished segment */
		if (r->in >= r->end && r->cut)
			route_overflow(w, r);
		else
			route_end_segment(w, r);
		r->done = 1;
		return 0;
	}
	r->in++;
	if (c == '/')
		route_slash(w, r);
	else
		route_letter(w, r, c);
	if (!r->done && r->out > ROUTE_TEXT)
		route_overflow(w, r);
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
	for (__u32 i = 0; i <= HTTP1_LINE_MAX; i++)
		if (!route_byte(w, r))
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
