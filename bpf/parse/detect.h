/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the first bytes of a direction are: asked only of connections not yet
 * committed to a protocol. Rules are strict (a whole request line with its
 * version, where it fits) because the bytes may be anybody's. Pure. */
#pragma once

#include "http1.h"

enum detect_result {
	DETECT_NONE,
	DETECT_MORE, /* so far it could become one */
	DETECT_REQUEST,
	DETECT_RESPONSE,
	DETECT_TLS,
	DETECT_HTTP2,
};

/* TLS record header: handshake, version 3.0 to 3.4 (RFC 8446 section 5.1). */
PURE_INLINE int detect_tls(const struct window *w)
{
	__u32 available = w->len - w->pos;

	if (window_byte(w, w->pos) != 0x16)
		return DETECT_NONE;
	if (available > 1 && window_byte(w, w->pos + 1) != 3)
		return DETECT_NONE;
	if (available < 3)
		return DETECT_MORE;
	return window_byte(w, w->pos + 2) <= 4 ? DETECT_TLS : DETECT_NONE;
}

/* The fixed part of a status line, and what ends it. */
PURE_INLINE int detect_response(const struct window *w, struct http1 *p)
{
	__u32 available = w->len - w->pos;
	__u64 word = window_word(w, w->pos);
	__u8 after;

	if (available < 7)
		return (word & LOW(available)) == (WORD_HTTP1 & LOW(available))
			   ? DETECT_MORE
			   : DETECT_NONE;
	if ((word & LOW(7)) != WORD_HTTP1)
		return DETECT_NONE;
	if (available < 13)
		return DETECT_MORE;
	after = window_byte(w, w->pos + 12);
	p->line_end = (__u16)(w->pos + 12);
	if ((after == ' ' || after == '\r' || after == '\n') &&
	    http1_status_line(w, p) == HTTP1_START_LINE)
		return DETECT_RESPONSE;
	return DETECT_NONE;
}

/* A prefix that may still become a request line: method, space, target... */
PURE_INLINE bool detect_may_be_request(const struct window *w)
{
	__u32 available = w->len - w->pos;
	__u32 method_len = http1_method_len(w);

	if (!method_len || method_len > HTTP1_METHOD_MAX)
		return false;
	if (method_len >= available)
		return true;
	if (window_byte(w, w->pos + method_len) != ' ')
		return false;
	return method_len + 1 >= available ||
	       window_byte(w, w->pos + method_len + 1) > ' ';
}

PURE_INLINE int detect_request(const struct window *w, struct http1 *p)
{
	__u32 feed;

	if (!detect_may_be_request(w))
		return DETECT_NONE;
	if (window_word(w, w->pos) == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T') &&
	    w->len - w->pos >= 8)
		return DETECT_HTTP2; /* RFC 9113 section 3.4 */
	feed = window_find_feed(w, w->pos);
	if (!http1_take_line(w, p, feed))
		return DETECT_MORE;
	if (http1_request_line(w, p) != HTTP1_START_LINE)
		return DETECT_NONE;
	/* a cut line showed no version: insist on a path */
	if (p->line_cut && window_byte(w, p->target_start) != '/')
		return DETECT_NONE;
	return DETECT_REQUEST;
}

#define PROXY_V2_HEADER 16
#define WORD_PROXY_V2 WORD('\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q')

/* A proxy may tell who its client is before the first message, in a line or in 16
 * bytes and what they announce (the PROXY protocol, haproxy's proxy-protocol.txt).
 * Moves pos past it where it is whole in the window. */
VERIFIED_ONCE int detect_skip_proxy(struct window *w)
{
	__u64 word;
	__u32 len;

	if (!w)
		return 0;
	word = window_word(w, w->pos);
	if (w->len - w->pos < PROXY_V2_HEADER)
		return 0;
	if ((word & LOW(6)) == WORD('P', 'R', 'O', 'X', 'Y', ' ', 0, 0)) {
		len = window_find_feed(w, w->pos) + 1 - w->pos;
	} else if (word == WORD_PROXY_V2) {
		word = window_word(w, w->pos + 8);
		len = PROXY_V2_HEADER + ((__u32)(__u8)(word >> 48) << 8) +
		      (__u8)(word >> 56);
	} else {
		return 0;
	}
	if (len <= w->len - w->pos)
		w->pos += len;
	return 0;
}

/* Looks at [pos, len); consumes nothing. p is scratch: the caller sets it up. */
VERIFIED_ONCE int detect(const struct window *w, struct http1 *p)
{
	int result;

	if (!w || !p || w->pos >= w->len)
		return DETECT_NONE;
	result = detect_tls(w);
	if (result == DETECT_NONE)
		result = detect_response(w, p);
	if (result == DETECT_NONE)
		result = detect_request(w, p);
	return result;
}
