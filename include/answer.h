/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - what the HTTP server answers: the page that a target means, with its
 * headers, in the format that was asked for (negotiate.h), or a line of text in its
 * place. Who may ask, and how it is sent, is httpd.c's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "snapshot.h"

#define ANSWER_HEADERS_MAX 4
#define ANSWER_SIZE_UNKNOWN UINT64_MAX

struct answer_pages {
	/* What /metrics exposes: finished, and ours to free, on failure too. It is
	 * read until the response is sent or httpd_stop returns. Non-zero is a 500
	 * with that errno's name, and logged. */
	int (*metrics)(void *context, struct snapshot *ret_snapshot);
	/* Writes the body; ret_html is empty and has a ceiling: its error counts
	 * like the return value. */
	int (*status)(void *context, struct buf *ret_html);
	bool (*ready)(void *context);
	void *context;
};

/* What cannot be served, told when it begins to fail and when the reason changes:
 * a scraper asks again and again. */
struct answer_trouble {
	const char *path;
	int told; /* 0: works */
};

struct answers {
	struct answer_pages pages;
	struct answer_trouble metrics, status;
};

struct answer_request {
	const char *target, *method;
	const char *accept, *accept_encoding; /* NULL: none */
	bool is_busy;                         /* no page may be made now */
};

struct answer_header {
	const char *name, *value;
};

struct answer {
	unsigned int status;
	struct answer_header headers[ANSWER_HEADERS_MAX];
	size_t header_count;
	char text[64];
	struct body *body; /* instead of the text; NULL: none */
	uint64_t size;     /* of the body, which was read then: HEAD */
	struct answer_trouble
	    *trouble; /* whom it is told (answer_tell) how that ends */
};

/* Pages are copied. */
void answers_init(struct answers *answers, const struct answer_pages *pages);
/* Whatever happens there is an answer; the caller frees it. */
void answers_choose(struct answers *answers, const struct answer_request *request,
		    struct answer *answer);
/* One of a line, with what its status asks for. */
void answer_text(struct answer *answer, unsigned int status, const char *text);
void answer_free(struct answer *answer);
/* 0: it works. */
void answer_tell(struct answer_trouble *trouble, int err);
