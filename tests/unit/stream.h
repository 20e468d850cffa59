/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - feeds bytes to the HTTP/1 parser as conversation.bpf.h does, in
 * pieces of any size, and writes down what the parser said. Used by the unit
 * tests and by the fuzzer, which compares one cutting with another.
 *
 * The window ends where its memory ends: one byte read too far is a fault.
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parse/detect.h"
#include "parse/http1.h"
#include "parse/route.h"

#define STREAM_CARRY 128
#define STREAM_LOG 65536

struct stream {
	struct http1 http1;
	struct window *window;
	uint8_t carry[STREAM_CARRY];
	uint32_t carry_len;
	uint64_t body;          /* of the message under way */
	uint8_t request_method; /* that responses answer */
	bool stopped;           /* invalid, or no longer HTTP */
	char log[STREAM_LOG];
	size_t log_len;
};

/* A window whose struct ends at a page without access. */
static inline struct window *stream_window(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || mprotect(memory + page, page, PROT_NONE))
		abort();
	return (struct window *)(memory + page - sizeof(struct window));
}

static inline void stream_init(struct stream *s, struct window *window, bool responses)
{
	memset(s, 0, sizeof(*s));
	memset(window, 0, sizeof(*window));
	s->window = window;
	s->http1.phase = HTTP1_START;
	s->http1.responses = responses;
	s->request_method = TALLY_METHOD_GET;
}

__attribute__((format(printf, 2, 3))) static inline void
stream_say(struct stream *s, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(s->log + s->log_len, sizeof(s->log) - s->log_len, format, args);
	va_end(args);
	if (len > 0 && s->log_len + (size_t)len < sizeof(s->log))
		s->log_len += (size_t)len;
	else
		s->stopped = true;
}

static inline void stream_load(struct stream *s, const uint8_t **data, size_t *len)
{
	struct window *w = s->window;
	size_t take = *len, most = WINDOW_BYTES - (s->carry_len ? STREAM_CARRY : 0);

	if (take > most)
		take = most;
	memcpy(w->bytes, s->carry, s->carry_len);
	memcpy(w->bytes + s->carry_len, *data, take);
	w->len = s->carry_len + (uint32_t)take;
	w->pos = 0;
	s->carry_len = 0;
	*data += take;
	*len -= take;
}

static inline void stream_message_end(struct stream *s)
{
	stream_say(s, "end %llu\n", (unsigned long long)s->body);
	s->body = 0;
}

static inline void stream_head(struct stream *s)
{
	static const char *const bodies[] = {"none", "body", "interim", "tunnel"};
	int body = http1_head(&s->http1, s->request_method);

	stream_say(s, "head %s\n", bodies[body]);
	if (body == HTTP1_BODY_NONE)
		stream_message_end(s);
	if (body == HTTP1_BODY_TUNNEL)
		s->stopped = true;
}

static inline void stream_start_line(struct stream *s)
{
	struct window *w = s->window;
	uint32_t start = s->http1.target_start, end = s->http1.target_end;

	if (s->http1.responses) {
		stream_say(s, "status %u\n", s->http1.status);
	} else {
		struct route route;
		uint32_t len =
		    route_normalise(w, &route, start, end, s->http1.target_cut);

		stream_say(s, "method %u route %.*s\n", s->http1.method, (int)len,
			   (const char *)w->bytes);
	}
	s->http1.phase = HTTP1_HEADERS;
}

/* True when the segment is used up. */
static inline bool stream_step(struct stream *s, const uint8_t **data, size_t *len)
{
	struct window *w = s->window;
	uint64_t skip;

	if (s->stopped || (w->pos >= w->len && !*len))
		return true;
	skip = http1_skippable(&s->http1, w->len - w->pos + *len);
	if (skip) {
		uint64_t in_window = w->len - w->pos;

		if (in_window > skip)
			in_window = skip;
		w->pos += (uint32_t)in_window;
		*data += skip - in_window;
		*len -= skip - in_window;
		s->body += skip;
		if (http1_skip(&s->http1, skip))
			stream_message_end(s);
		return false;
	}
	if (w->pos >= w->len)
		stream_load(s, data, len);
	switch (http1_line(w, &s->http1)) {
	case HTTP1_MORE:
		if (*len) {
			*data -= w->len - w->pos;
			*len += w->len - w->pos;
			w->len = w->pos = 0;
			return false;
		}
		s->carry_len = w->len - w->pos;
		if (s->carry_len > STREAM_CARRY)
			abort();
		memcpy(s->carry, w->bytes + w->pos, s->carry_len);
		w->pos = w->len;
		return true;
	case HTTP1_START_LINE:
		stream_start_line(s);
		return false;
	case HTTP1_HEAD:
		stream_head(s);
		return false;
	case HTTP1_MESSAGE_END:
		s->http1.phase = HTTP1_START;
		stream_message_end(s);
		return false;
	case HTTP1_INVALID:
		stream_say(s, "invalid\n");
		s->stopped = true;
		return true;
	default:
		return false;
	}
}

static inline void stream_feed(struct stream *s, const void *bytes, size_t len)
{
	const uint8_t *data = bytes;

	s->window->len = s->window->pos = 0;
	while (!stream_step(s, &data, &len))
		;
}
