/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * window.h - the bounded piece of a byte stream that a parser may look at.
 * Pure: BPF, unit tests (the struct ending at a guard page) and fuzzers compile
 * the same lines. Parsers read only through window_byte and window_word.
 *
 * Functions marked VERIFIED_ONCE are global functions to the BPF verifier: it
 * checks each alone, for any window, instead of once per path that leads there.
 * For that to stay cheap, positions live in the window (memory), not in
 * registers that the verifier would track value by value.
 */
#pragma once

#include "types.h"

#define WINDOW_BYTES 512
#define WINDOW_STRIDE 32 /* looked through at a time */
#define WINDOW_KEPT 160  /* how much of a window is worth keeping: strides */
#define WINDOW_KEPT_LEAST 16

struct window {
	__u32 pos; /* first byte not consumed, <= len */
	__u32 len; /* valid bytes, <= WINDOW_BYTES */
	/* The tail: so that words may end past len. Aligned, or clang loads by halves.
	 */
	__u8 bytes[WINDOW_BYTES + WINDOW_STRIDE] __attribute__((aligned(8)));
};

/* Bytes that a window began with. */
struct kept {
	__u64 words[WINDOW_KEPT / 8];
};

#ifdef __bpf__
#define VERIFIED_ONCE __attribute__((noinline))
#else
#define VERIFIED_ONCE static inline __attribute__((unused))
#endif

#ifdef __bpf__ /* a loop takes twice the instructions */
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED
#endif

/* An index the verifier believes: masked (though clang may know that it is small
 * enough; the verifier before 6.13 may not), and used as it is. Of 64 bits, or clang
 * clears the upper half of what comes out of the asm. */
PURE_INLINE __u64 window_index(__u32 at)
{
	__u64 i = at;

#ifdef __bpf__
	asm volatile("" : "+r"(i));
#endif
	i &= WINDOW_BYTES - 1;
#ifdef __bpf__
	asm volatile("" : "+r"(i));
#endif
	return i;
}

/* The byte at i, 0 beyond the end: parsers never see memory that is not theirs. */
PURE_INLINE __u8 window_byte(const struct window *w, __u32 i)
{
	return i < w->len ? w->bytes[window_index(i)] : 0;
}

PURE_INLINE __u64 word_at(const __u8 *bytes)
{
#ifdef __bpf__ /* one load: clang makes eight of bytes of a memcpy */
	return *(const __u64 *)bytes;
#else
	__u64 word;

	__builtin_memcpy(&word, bytes, sizeof(word));
	return word;
#endif
}

/* Eight bytes from i, little endian; those at or past len are unspecified. */
PURE_INLINE __u64 window_word(const struct window *w, __u32 i)
{
	return word_at(w->bytes + window_index(i));
}

PURE_INLINE void window_put(struct window *w, __u32 i, __u8 byte)
{
	w->bytes[window_index(i)] = byte;
}

/* The same the other way. */
PURE_INLINE void window_put_word(struct window *w, __u32 i, __u64 word)
{
	__u8 *bytes = w->bytes + window_index(i);

#ifdef __bpf__
	*(__u64 *)bytes = word;
#else
	__builtin_memcpy(bytes, &word, sizeof(word));
#endif
}

#define BYTES8(c) (0x0101010101010101ull * (c))
#define HIGH_BITS BYTES8(0x80ull)

/* The high bit of each byte that equals c. Classic zero-byte test; the borrow can mark
 * a byte *above* a real match only, so the lowest mark is exact. */
PURE_INLINE __u64 word_marks(__u64 word, __u8 c)
{
	__u64 x = word ^ BYTES8(c);

	return (x - BYTES8(1ull)) & ~x & HIGH_BITS;
}

/* How many bytes have their lowest bit set. It falls out of a multiplication: no
 * branches, no tables. */
PURE_INLINE __u32 whole_bytes(__u64 mask)
{
	return (__u32)(((mask & BYTES8(1ull)) * BYTES8(1ull)) >> 56);
}

PURE_INLINE __u32 marks_count(__u64 marks)
{
	return whole_bytes(marks >> 7);
}

/* Which byte has the lowest mark; there is one. */
PURE_INLINE __u32 lowest_mark(__u64 marks)
{
	return whole_bytes(((marks & -marks) >> 7) - 1);
}

/* Index of the first c at or after from, or w->len when there is none. */
VERIFIED_ONCE __u32 window_find(const struct window *w, __u32 from, __u32 c)
{
	__u32 at = from;

	if (!w)
		return 0;
	for (__u32 i = 0; i < WINDOW_BYTES / 8 && at < w->len; i++) {
		__u64 marks = word_marks(window_word(w, at), (__u8)c);

		if (marks) {
			at += lowest_mark(marks);
			break;
		}
		at += 8;
	}
	return at < w->len ? at : w->len;
}

/* A line feed, once 0x0b is taken from every byte of its word, has its high bit set,
 * as have those below it and those above 0x8a: none is overlooked, and of ASCII text
 * only tabs look like one. */
PURE_INLINE __u64 word_less(const __u8 *bytes)
{
	return word_at(bytes) - BYTES8('\n' + 1ull);
}

/* Whether a line feed ends the search at *at, or the window does; else the
 * WINDOW_STRIDE bytes there hold none, and *at is behind them. */
PURE_INLINE bool window_seek_feed(const struct window *w, __u32 *at)
{
	const __u8 *bytes = w->bytes + window_index(*at);
	__u64 a = word_less(bytes), b = word_less(bytes + 8);
	__u64 c = word_less(bytes + 16), d = word_less(bytes + 24);
	__u64 marks;

	if (!((a | b | c | d) & HIGH_BITS)) {
		*at += WINDOW_STRIDE;
		return false;
	}
	if (!(a & HIGH_BITS))
		*at += b & HIGH_BITS ? 8 : c & HIGH_BITS ? 16 : 24;
	marks = word_marks(window_word(w, *at), '\n');
	if (marks)
		*at += lowest_mark(marks);
	else if (*at < w->len)
		*at = window_find(w, *at, '\n');
	return true;
}

/* Index of the first line feed at or after from, or w->len when there is none. */
VERIFIED_ONCE __u32 window_find_feed(const struct window *w, __u32 from)
{
	__u32 at = from;

	if (!w)
		return 0;
	for (__u32 i = 0; i < WINDOW_BYTES / WINDOW_STRIDE && at < w->len; i++)
		if (window_seek_feed(w, &at))
			break;
	return at < w->len ? at : w->len;
}

/* Eight bytes at 8 * i, a constant that needs no mask. */
PURE_INLINE __u64 window_nth_word(const struct window *w, __u32 i)
{
#ifdef __bpf__
	return ((const __u64 *)w->bytes)[i];
#else
	return window_word(w, i * 8);
#endif
}

PURE_INLINE __u64 stride_differs(const __u64 *a, const __u64 *b)
{
	return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
}

PURE_INLINE bool stride_same(const struct kept *one, const struct kept *other, __u32 i,
			     __u32 len)
{
	const __u32 first = i * (WINDOW_STRIDE / 8);

	return (i && len <= i * WINDOW_STRIDE) ||
	       !stride_differs(one->words + first, other->words + first);
}

/* Whether both have the same first len bytes, 1 to WINDOW_KEPT. Behind them both are
 * 0 up to the next stride. Written out: clang unrolls no loop that it can leave. */
PURE_INLINE bool kept_equal(const struct kept *one, const struct kept *other, __u32 len)
{
	_Static_assert(WINDOW_KEPT == 5 * WINDOW_STRIDE, "so many are looked at");

	return stride_same(one, other, 0, len) && stride_same(one, other, 1, len) &&
	       stride_same(one, other, 2, len) && stride_same(one, other, 3, len) &&
	       stride_same(one, other, 4, len);
}

/* Makes what is behind the first len bytes, WINDOW_KEPT at most, 0 up to the next
 * stride: one word that is in part, and up to three. */
PURE_INLINE void kept_cut(struct kept *kept, __u32 len)
{
	__u32 at = len / 8;

	if (len % 8)
		kept->words[at++] &= (1ull << (len % 8 * 8)) - 1;
	if (at % 4)
		kept->words[at++] = 0;
	if (at % 4)
		kept->words[at++] = 0;
	if (at % 4)
		kept->words[at] = 0;
}

/* The first WINDOW_KEPT bytes, whatever of them is valid. */
PURE_INLINE void window_keep(const struct window *w, struct kept *ret_kept)
{
	for (__u32 i = 0; i < WINDOW_KEPT / 8; i++)
		ret_kept->words[i] = window_nth_word(w, i);
}
