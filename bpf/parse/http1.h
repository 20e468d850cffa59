/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * http1.h - HTTP/1.0 and 1.1 framing (RFC 9112), one direction of a connection.
 *
 * A push parser by lines: the caller keeps a window at the start of a line and
 * calls http1_line until it says HTTP1_MORE (the line is not all there) or the
 * phase is a body, which the caller skips by count without looking at it. All
 * that survives between calls is struct http1, so a message may be cut anywhere.
 *
 * Nearly all of a head is header lines that frame nothing. Those are told by the
 * first bytes of their names and passed over, several in one call.
 *
 * What a line says is decided by its first HTTP1_LINE_MAX bytes, however it
 * arrived: a longer line is `cut`, its rest skipped to the line feed. A header
 * that frames the message and does not fit is invalid, never guessed.
 *
 * It does not: keep header values, decode bodies, or pair requests with
 * responses (conversation.bpf.h does; it passes the method that a response
 * answers). A bare LF ends a line, as RFC 9112 section 2.2 allows.
 */
#pragma once

#include "../../include/abi.h"
#include "../../include/window.h"

#define HTTP1_LINE_MAX 120
#define HTTP1_METHOD_MAX 24
#define HTTP1_LENGTH_DIGITS 18 /* < 2^63 */
#define HTTP1_LENGTHS_MAX 4    /* in one list */
#define HTTP1_CHUNK_DIGITS 15
#define HTTP1_NAME_MAX 15   /* "content-length:", as far as a name is looked at */
#define HTTP1_PASS_STEPS 20 /* header lines, and WINDOW_STRIDE bytes, in one call */

enum http1_phase {
	HTTP1_SEEK, /* not in step: the next message start is yet to be found */
	HTTP1_START,
	HTTP1_HEADERS,
	HTTP1_BODY, /* `remaining` bytes */
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_DATA, /* `remaining` bytes */
	HTTP1_CHUNK_END,
	HTTP1_TRAILERS,
	HTTP1_UNTIL_CLOSE,
};

enum http1_event {
	HTTP1_MORE,        /* the line at pos is not complete */
	HTTP1_AGAIN,       /* consumed, nothing to tell */
	HTTP1_START_LINE,  /* request line or status line */
	HTTP1_HEAD,        /* the empty line after the headers */
	HTTP1_MESSAGE_END, /* after chunked trailers; else the caller counts */
	HTTP1_INVALID,
};

enum http1_framing {
	HTTP1_HAS_LENGTH = 1,
	HTTP1_CHUNKED = 2,
	HTTP1_CODED = 4,   /* a transfer coding whose end only closing shows */
	HTTP1_EXPECTS = 8, /* the body comes only after a 100 (Continue) */
};

enum http1_body {
	HTTP1_BODY_NONE,
	HTTP1_BODY_FOLLOWS,
	HTTP1_BODY_INTERIM, /* 1xx: the real response is yet to come */
	HTTP1_BODY_TUNNEL,  /* 101, or 2xx to CONNECT: no longer HTTP */
};

struct http1 {
	__u8 phase;
	__u8 responses; /* this direction carries responses */
	__u8 framing;
	__u8 skip_line; /* inside the rest of a cut line */
	__u8 method;    /* enum tally_method, of a request */
	__u8 target_cut;
	__u16 status;
	__u64 length; /* Content-Length */
	__u64 remaining;
	/* where the target is, in the window of the HTTP1_START_LINE event */
	__u16 target_start;
	__u16 target_end;
	/* the line being looked at, [pos, line_end) without CR LF */
	__u16 line_end;
	__u16 line_cut;
};

/* Eight bytes as a number, for comparing names in one go. */
#define WORD(a, b, c, d, e, f, g, h)                                                   \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 |          \
	 (__u64)(e) << 32 | (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)
#define LEAD(a, b, c, d) ((__u32)WORD(a, b, c, d, 0, 0, 0, 0))
#define LOWER8 0x2020202020202020ull
#define WORD_HTTP1 WORD('H', 'T', 'T', 'P', '/', '1', '.', 0)
#define LOW(n) ((1ull << ((n)*8)) - 1)

PURE_INLINE bool is_digit(__u8 c)
{
	return c >= '0' && c <= '9';
}

PURE_INLINE bool is_method_char(__u8 c)
{
	__u8 lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* Length of the run of method characters at pos, at most HTTP1_METHOD_MAX + 1. */
VERIFIED_ONCE __u32 http1_method_len(const struct window *w)
{
	__u32 i;

	if (!w)
		return 0;
	for (i = 0; i <= HTTP1_METHOD_MAX; i++)
		if (!is_method_char(window_byte(w, w->pos + i)))
			break;
	return i;
}

/* word: the first eight bytes of the line; len: of the method. */
PURE_INLINE __u8 http1_method(__u64 word, __u32 len)
{
	if (len > 7)
		return TALLY_METHOD_OTHER;
	switch (word & LOW(len)) {
	case WORD('G', 'E', 'T', 0, 0, 0, 0, 0):
		return TALLY_METHOD_GET;
	case WORD('H', 'E', 'A', 'D', 0, 0, 0, 0):
		return TALLY_METHOD_HEAD;
	case WORD('P', 'O', 'S', 'T', 0, 0, 0, 0):
		return TALLY_METHOD_POST;
	case WORD('P', 'U', 'T', 0, 0, 0, 0, 0):
		return TALLY_METHOD_PUT;
	case WORD('D', 'E', 'L', 'E', 'T', 'E', 0, 0):
		return TALLY_METHOD_DELETE;
	case WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', 0):
		return TALLY_METHOD_CONNECT;
	case WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', 0):
		return TALLY_METHOD_OPTIONS;
	case WORD('T', 'R', 'A', 'C', 'E', 0, 0, 0):
		return TALLY_METHOD_TRACE;
	case WORD('P', 'A', 'T', 'C', 'H', 0, 0, 0):
		return TALLY_METHOD_PATCH;
	default:
		return TALLY_METHOD_OTHER;
	}
}

PURE_INLINE bool http1_is_version(__u64 word)
{
	return (word & LOW(7)) == WORD_HTTP1 && (__u8)(word >> 56) >= '0' &&
	       (__u8)(word >> 56) <= '9';
}

PURE_INLINE __u32 smaller(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

/* Absolute-form, "scheme://authority/path?query": the path begins where the
 * authority ends (RFC 3986 section 3.2). Returns where, or the end of the target
 * when there is no path (which means "/"). */
VERIFIED_ONCE __u32 http1_path_start(const struct window *w, __u32 start, __u32 end)
{
	__u32 colon, authority;

	if (!w || window_byte(w, start) == '/' || window_byte(w, start) == '*')
		return start;
	colon = window_find(w, start, ':');
	if (colon + 2 >= end || window_byte(w, colon + 1) != '/' ||
	    window_byte(w, colon + 2) != '/')
		return start;
	authority = window_find(w, colon + 3, '/');
	authority = smaller(authority, window_find(w, colon + 3, '?'));
	authority = smaller(authority, window_find(w, colon + 3, '#'));
	return authority < end && window_byte(w, authority) == '/' ? authority : end;
}

/* request-line = method SP request-target SP HTTP-version. A cut line shows no
 * version; what came before must do. */
VERIFIED_ONCE int http1_request_line(const struct window *w, struct http1 *p)
{
	__u32 start, end, method_len;

	if (!w || !p)
		return HTTP1_INVALID;
	method_len = http1_method_len(w);
	start = w->pos + method_len + 1;
	end = p->line_end;
	if (!method_len || method_len > HTTP1_METHOD_MAX ||
	    window_byte(w, start - 1) != ' ')
		return HTTP1_INVALID;
	if (!p->line_cut) {
		if (end < start + 10 || window_byte(w, end - 9) != ' ' ||
		    !http1_is_version(window_word(w, end - 8)))
			return HTTP1_INVALID;
		end -= 9;
	}
	if (start >= end || window_byte(w, start) <= ' ')
		return HTTP1_INVALID;
	p->method = http1_method(window_word(w, w->pos), method_len);
	if (p->method == TALLY_METHOD_CONNECT)
		start = end; /* authority-form has no path */
	p->target_start = (__u16)http1_path_start(w, start, end);
	p->target_end = (__u16)end;
	p->target_cut = p->line_cut != 0;
	return HTTP1_START_LINE;
}

/* status-line = HTTP-version SP 3DIGIT [SP reason] */
VERIFIED_ONCE int http1_status_line(const struct window *w, struct http1 *p)
{
	__u64 rest;
	__u32 a, b, c, len;
	__u8 after;

	if (!w || !p)
		return HTTP1_INVALID;
	len = p->line_end - w->pos;
	rest = window_word(w, w->pos + 8);
	a = (__u8)(rest >> 8) - '0';
	b = (__u8)(rest >> 16) - '0';
	c = (__u8)(rest >> 24) - '0';
	after = (__u8)(rest >> 32);
	if (len < 12 || !http1_is_version(window_word(w, w->pos)) || (__u8)rest != ' ')
		return HTTP1_INVALID;
	if (a < 1 || a > 9 || b > 9 || c > 9 || (len > 12 && after != ' '))
		return HTTP1_INVALID;
	p->status = (__u16)(a * 100 + b * 10 + c);
	return HTTP1_START_LINE;
}

/* A set of bits, not two comparisons: the verifier takes a loop over blanks once. */
PURE_INLINE bool is_blank(__u8 c)
{
	return c <= ' ' && ((1ull << ' ' | 1ull << '\t') >> c & 1);
}

/* First byte at or after i that is no blank, at most HTTP1_LINE_MAX further. */
VERIFIED_ONCE __u32 http1_skip_blanks(const struct window *w, __u32 from)
{
	__u32 i = 0;

	if (!w)
		return from;
	for (i = 0; i < HTTP1_LINE_MAX; i++)
		if (!is_blank(window_byte(w, from + i)))
			break;
	return from + i;
}

/* End of [from, end) without trailing blanks. */
VERIFIED_ONCE __u32 http1_trim_blanks(const struct window *w, __u32 from, __u32 end)
{
	__u32 at = end;

	if (!w)
		return end;
	for (__u32 i = 0; i < HTTP1_LINE_MAX; i++) {
		if (at <= from || !is_blank(window_byte(w, at - 1)))
			break;
		at--;
	}
	return at;
}

/* 1*DIGIT and the blanks around it: sets p->length, returns where it ended, or 0
 * when it is none or differs from a length seen before (RFC 9112 section 6.3). */
VERIFIED_ONCE __u32 http1_number(const struct window *w, struct http1 *p, __u32 from)
{
	__u64 length = 0;
	__u32 at, digits = 0;

	if (!w || !p)
		return 0;
	at = http1_skip_blanks(w, from);
	for (digits = 0; digits < HTTP1_LENGTH_DIGITS; digits++) {
		__u8 c = window_byte(w, at + digits);

		if (at + digits >= p->line_end || !is_digit(c))
			break;
		length = length * 10 + (c - '0');
	}
	if (!digits || ((p->framing & HTTP1_HAS_LENGTH) && p->length != length))
		return 0;
	p->framing |= HTTP1_HAS_LENGTH;
	p->length = length;
	return http1_skip_blanks(w, at + digits);
}

/* Content-Length: one number, or the same one in a list (RFC 9110 section 8.6). */
VERIFIED_ONCE int http1_length(const struct window *w, struct http1 *p, __u32 from)
{
	__u32 at = from;

	if (!w || !p || p->line_cut)
		return HTTP1_INVALID;
	for (__u32 i = 0; i < HTTP1_LENGTHS_MAX; i++) {
		at = http1_number(w, p, at);
		if (!at)
			return HTTP1_INVALID;
		if (at >= p->line_end)
			return HTTP1_AGAIN;
		if (window_byte(w, at) != ',')
			return HTTP1_INVALID;
		at++;
	}
	return HTTP1_INVALID;
}

/* Only whether the last coding is "chunked" matters (RFC 9112 section 6.1). */
VERIFIED_ONCE int http1_coding(const struct window *w, struct http1 *p, __u32 from)
{
	__u32 start, end, len;
	__u8 before;

	if (!w || !p || p->line_cut)
		return HTTP1_INVALID;
	start = http1_skip_blanks(w, from);
	end = http1_trim_blanks(w, start, p->line_end);
	len = end > start ? end - start : 0;
	p->framing &= (__u8) ~(HTTP1_CHUNKED | HTTP1_CODED);
	if (len == 8 && (window_word(w, start) | LOWER8) ==
			    WORD('i', 'd', 'e', 'n', 't', 'i', 't', 'y'))
		return HTTP1_AGAIN;
	before = len > 7 ? window_byte(w, end - 8) : ',';
	if (len >= 7 && (before == ',' || is_blank(before)) &&
	    ((window_word(w, end - 7) | LOWER8) & LOW(7)) ==
		WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0))
		p->framing |= HTTP1_CHUNKED;
	else
		p->framing |= HTTP1_CODED;
	return HTTP1_AGAIN;
}

PURE_INLINE int http1_header(const struct window *w, struct http1 *p)
{
	__u64 first, second;

	first = window_word(w, w->pos) | LOWER8;
	if (first == WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
		second = (window_word(w, w->pos + 8) | LOWER8) & LOW(7);
		if (second == WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0))
			return http1_length(w, p, w->pos + 15);
	} else if (first == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
		second = window_word(w, w->pos + 8) | LOWER8;
		if (second == WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') &&
		    (window_byte(w, w->pos + 16) | 0x20) == 'g' &&
		    window_byte(w, w->pos + 17) == ':')
			return http1_coding(w, p, w->pos + 18);
	} else if ((first & LOW(7)) == WORD('e', 'x', 'p', 'e', 'c', 't', ':', 0)) {
		p->framing |= HTTP1_EXPECTS;
	}
	return HTTP1_AGAIN;
}

/* The request's body never begins: it waited for a 100 (Continue) and got a final
 * answer instead (RFC 9110 section 10.1.1). */
PURE_INLINE bool http1_awaits_continue(const struct http1 *p)
{
	return (p->framing & HTTP1_EXPECTS) &&
	       (p->phase == HTTP1_CHUNK_SIZE ||
		(p->phase == HTTP1_BODY && p->remaining == p->length));
}

/* chunk-size [ chunk-ext ]: hexadecimal, then anything after ';' or a blank. */
VERIFIED_ONCE int http1_chunk_size(const struct window *w, struct http1 *p)
{
	__u64 size = 0;
	__u32 digits, at;
	__u8 c = 0;

	if (!w || !p)
		return HTTP1_INVALID;
	for (digits = 0; digits <= HTTP1_CHUNK_DIGITS; digits++) {
		__u8 lower;

		c = w->pos + digits < p->line_end ? window_byte(w, w->pos + digits) : 0;
		lower = c | 0x20;
		if (c >= '0' && c <= '9')
			size = size << 4 | (__u64)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			size = size << 4 | (__u64)(lower - 'a' + 10);
		else
			break;
	}
	at = w->pos + digits;
	if (!digits || digits > HTTP1_CHUNK_DIGITS ||
	    (at < p->line_end && c != ';' && !is_blank(c)))
		return HTTP1_INVALID;
	p->remaining = size;
	p->phase = size ? HTTP1_CHUNK_DATA : HTTP1_TRAILERS;
	return HTTP1_AGAIN;
}

PURE_INLINE void http1_begin(struct http1 *p)
{
	p->framing = 0;
	p->length = 0;
	p->remaining = 0;
}

/* One whole line by the phase it is in; does not move pos. */
PURE_INLINE int http1_judge(const struct window *w, struct http1 *p)
{
	bool empty = p->line_end <= w->pos;

	switch (p->phase) {
	case HTTP1_START:
		if (empty && !p->responses) /* RFC 9112 section 2.2 */
			return HTTP1_AGAIN;
		http1_begin(p);
		return p->responses ? http1_status_line(w, p)
				    : http1_request_line(w, p);
	case HTTP1_HEADERS:
		return empty ? HTTP1_HEAD : http1_header(w, p);
	case HTTP1_CHUNK_SIZE:
		return http1_chunk_size(w, p);
	case HTTP1_CHUNK_END:
		p->phase = HTTP1_CHUNK_SIZE;
		return empty ? HTTP1_AGAIN : HTTP1_INVALID;
	case HTTP1_TRAILERS:
		return empty ? HTTP1_MESSAGE_END : HTTP1_AGAIN;
	default:
		return HTTP1_INVALID;
	}
}

PURE_INLINE __u32 after_feed(const struct window *w, __u32 feed)
{
	return feed < w->len ? feed + 1 : w->len;
}

/* The line from pos to its line feed (w->len: none in sight) as line_end and
 * line_cut. False: more must come before anything can be said. */
PURE_INLINE bool http1_take_line(const struct window *w, struct http1 *p, __u32 feed)
{
	__u32 end = feed;

	if (end < w->len && end > w->pos && window_byte(w, end - 1) == '\r')
		end--;
	/* + 1: without its line feed in sight, the last byte may be its CR */
	p->line_cut = end - w->pos > HTTP1_LINE_MAX + (feed >= w->len);
	if (feed >= w->len && !p->line_cut)
		return false;
	p->line_end = (__u16)(p->line_cut ? w->pos + HTTP1_LINE_MAX : end);
	return true;
}

PURE_INLINE bool http1_in_fields(const struct http1 *p)
{
	return p->phase == HTTP1_HEADERS || p->phase == HTTP1_TRAILERS;
}

/* Whether the line at `at` is a header that does not frame the message. What it says
 * holds when its end, or HTTP1_NAME_MAX bytes of it, turn out to be in the window. */
PURE_INLINE bool http1_frames_nothing(const struct window *w, __u32 at)
{
	__u64 first = window_word(w, at);
	__u32 lead = (__u32)first | (__u32)LOWER8;

	if ((__u8)first <= '\r') /* the empty line, or nearly */
		return false;
	if (lead == LEAD('c', 'o', 'n', 't'))
		return ((window_word(w, at + 8) | LOWER8) & LOW(7)) !=
		       WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0);
	return lead != LEAD('t', 'r', 'a', 'n') && lead != LEAD('e', 'x', 'p', 'e');
}

/* Passes over header lines that frame nothing, from inside of one that was cut. Where
 * the window ends in one, it is cut there: its name is known and the rest means
 * nothing. False: the line at pos is to be judged. */
VERIFIED_ONCE bool http1_pass_fields(struct window *w, struct http1 *p)
{
	__u32 at;

	if (!w || !p)
		return true;
	at = w->pos;
	if (!p->skip_line && !http1_frames_nothing(w, at))
		return false;
	for (__u32 i = 0; i < HTTP1_PASS_STEPS && at < w->len; i++) {
		if (!window_seek_feed(w, &at))
			continue;
		if (at >= w->len)
			break;
		p->skip_line = 0;
		w->pos = at + 1;
		at = *(volatile __u32 *)&w->pos; /* for the verifier: any number */
		if (at >= w->len)
			return true;
		if (!http1_frames_nothing(w, at))
			return false;
	}
	at = smaller(at, w->len);
	if (!p->skip_line && at - w->pos < HTTP1_NAME_MAX)
		return false;
	p->skip_line = 1;
	w->pos = at;
	return true;
}

/* Finds the line at pos and judges it; before it, passes over header lines that need
 * no judgement. After an event other than HTTP1_MORE and HTTP1_INVALID, w->pos is past
 * the line (or the window, for a cut one) except for HTTP1_START_LINE, where the caller
 * still reads the target: *that* event moves pos too; target_start and target_end are
 * absolute. */
VERIFIED_ONCE int http1_line(struct window *w, struct http1 *p)
{
	__u32 feed;
	int event;

	if (!w || !p)
		return HTTP1_INVALID;
	if (http1_in_fields(p) && http1_pass_fields(w, p))
		return HTTP1_AGAIN;
	feed = window_find_feed(w, w->pos);
	if (p->skip_line) {
		p->skip_line = feed >= w->len;
		w->pos = after_feed(w, feed);
		return HTTP1_AGAIN;
	}
	if (!http1_take_line(w, p, feed))
		return HTTP1_MORE;
	event = http1_judge(w, p);
	p->skip_line = p->line_cut && feed >= w->len;
	w->pos = after_feed(w, feed);
	return event;
}

/* After HTTP1_HEAD: sets the phase for what follows. request_method: of this
 * message, or of the request that this response answers. */
VERIFIED_ONCE int http1_head(struct http1 *p, __u32 request_method)
{
	if (!p)
		return HTTP1_BODY_NONE;
	p->phase = HTTP1_START;
	if (p->responses) {
		if (p->status == 101 ||
		    (request_method == TALLY_METHOD_CONNECT && p->status / 100 == 2))
			return HTTP1_BODY_TUNNEL;
		if (p->status < 200)
			return HTTP1_BODY_INTERIM;
		if (request_method == TALLY_METHOD_HEAD || p->status == 204 ||
		    p->status == 304)
			return HTTP1_BODY_NONE;
	}
	if (p->framing & HTTP1_CHUNKED)
		p->phase = HTTP1_CHUNK_SIZE;
	else if (p->framing & HTTP1_CODED)
		p->phase = HTTP1_UNTIL_CLOSE;
	else if (p->framing & HTTP1_HAS_LENGTH)
		p->phase = p->length ? HTTP1_BODY : HTTP1_START;
	else if (p->responses)
		p->phase = HTTP1_UNTIL_CLOSE;
	p->remaining = p->phase == HTTP1_BODY ? p->length : 0;
	return p->phase == HTTP1_START ? HTTP1_BODY_NONE : HTTP1_BODY_FOLLOWS;
}

/* How many of len bytes are body that nobody needs to look at. */
PURE_INLINE __u64 http1_skippable(const struct http1 *p, __u64 len)
{
	if (p->skip_line) /* a long chunk-ext comes before the chunk's data */
		return 0;
	if (p->phase == HTTP1_UNTIL_CLOSE)
		return len;
	if (p->phase != HTTP1_BODY && p->phase != HTTP1_CHUNK_DATA)
		return 0;
	return len < p->remaining ? len : p->remaining;
}

/* Those bytes went by. True when that ended the message. */
PURE_INLINE bool http1_skip(struct http1 *p, __u64 len)
{
	if (p->phase == HTTP1_UNTIL_CLOSE)
		return false;
	p->remaining -= len;
	if (p->remaining)
		return false;
	if (p->phase == HTTP1_CHUNK_DATA) {
		p->phase = HTTP1_CHUNK_END;
		return false;
	}
	p->phase = HTTP1_START;
	return true;
}
