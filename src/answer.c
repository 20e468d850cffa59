/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "body.h"
#include "cleanup.h"
#include "length.h"
#include "log.h"
#include "negotiate.h"

/* 512 services with names that are all escapes come to a third of it. */
#define STATUS_BYTES_MAX ((size_t)4 << 20)
#define MEASURE_BYTES ((size_t)16 << 10)

#define OK 200
#define UNAUTHORIZED 401
#define NOT_FOUND 404
#define METHOD_NOT_ALLOWED 405
#define INTERNAL_SERVER_ERROR 500
#define SERVICE_UNAVAILABLE 503

void answers_init(struct answers *answers, const struct answer_pages *pages)
{
	*answers = (struct answers){
	    .pages = *pages,
	    .metrics = {.path = "/metrics"},
	    .status = {.path = "/"},
	};
}

/* --- texts ----------------------------------------------------------------- */

static void add_header(struct answer *answer, const char *name, const char *value)
{
	answer->headers[answer->header_count++] = (struct answer_header){name, value};
}

void answer_text(struct answer *answer, unsigned int status, const char *text)
{
	*answer = (struct answer){.status = status};
	snprintf(answer->text, sizeof(answer->text), "%s", text);
	add_header(answer, "Content-Type", "text/plain; charset=utf-8");
	if (status == UNAUTHORIZED)
		add_header(answer, "WWW-Authenticate", "Basic");
	else if (status == METHOD_NOT_ALLOWED)
		add_header(answer, "Allow", "GET, HEAD");
}

void answer_free(struct answer *answer)
{
	body_free(&answer->body);
}

static const char *error_name(int err)
{
	const char *name = strerrorname_np(abs(err));

	return name ? name : "unknown error";
}

void answer_tell(struct answer_trouble *trouble, int err)
{
	if (err && err != trouble->told)
		log_error("cannot serve \"%s\": %s", trouble->path, error_name(err));
	trouble->told = err;
}

static void answer_failure(struct answer *answer, struct answer_trouble *trouble,
			   int err)
{
	char text[64];

	answer_tell(trouble, err);
	snprintf(text, sizeof(text), "failed: %s\n", error_name(err));
	answer_text(answer, INTERNAL_SERVER_ERROR, text);
}

/* --- pages ----------------------------------------------------------------- */

/* Reads it to its end. */
static int measure(struct body *body, uint64_t *ret_size)
{
	char bytes[MEASURE_BYTES];
	uint64_t size = 0;
	ssize_t len;

	while ((len = body_read(body, bytes, sizeof(bytes))) > 0)
		size += (uint64_t)len;
	if (len < 0)
		return (int)len;
	*ret_size = size;
	return 0;
}

/* Takes the body over; headers are those of it. A HEAD is told the length, which a
 * GET learns on the way: libmicrohttpd (0.9.75) would end the chunks that it does not
 * send. */
static void answer_body(struct answer *answer, const struct answer_request *request,
			struct answer_trouble *trouble, struct body *body)
{
	int err = 0;

	answer->status = OK;
	answer->trouble = trouble;
	answer->body = body;
	answer->size = ANSWER_SIZE_UNKNOWN;
	if (!strcmp(request->method, "HEAD"))
		err = measure(body, &answer->size);
	if (!err)
		return;
	body_free(&answer->body);
	answer_failure(answer, trouble, err);
}

static int make_metrics(const struct answers *answers, enum exposition_format format,
			bool is_gzip, struct body **ret_body)
{
	CLEANUP(snapshot_free) struct snapshot snapshot = {0};
	int err = answers->pages.metrics(answers->pages.context, &snapshot);

	return err ? err : body_of_snapshot(&snapshot, format, is_gzip, ret_body);
}

static int make_status(const struct answers *answers, bool is_gzip,
		       struct body **ret_body)
{
	CLEANUP(buf_free) struct buf html = BUF_INIT(STATUS_BYTES_MAX);
	int err = answers->pages.status(answers->pages.context, &html);

	if (!err)
		err = html.error;
	return err ? err : body_of_text(&html, is_gzip, ret_body);
}

static void answer_metrics(struct answers *answers,
			   const struct answer_request *request, struct answer *answer)
{
	enum exposition_format format = negotiate_format(request->accept);
	bool is_gzip = negotiate_gzip(request->accept_encoding);
	struct body *body;
	int err;

	err = make_metrics(answers, format, is_gzip, &body);
	if (err) {
		answer_failure(answer, &answers->metrics, err);
		return;
	}
	add_header(answer, "Content-Type", exposition_content_type(format));
	add_header(answer, "Vary", "Accept, Accept-Encoding");
	if (is_gzip)
		add_header(answer, "Content-Encoding", "gzip");
	answer_body(answer, request, &answers->metrics, body);
}

static void answer_status(struct answers *answers, const struct answer_request *request,
			  struct answer *answer)
{
	bool is_gzip = negotiate_gzip(request->accept_encoding);
	struct body *body;
	int err;

	err = make_status(answers, is_gzip, &body);
	if (err) {
		answer_failure(answer, &answers->status, err);
		return;
	}
	add_header(answer, "Content-Type", "text/html; charset=utf-8");
	add_header(answer, "Vary", "Accept-Encoding");
	add_header(answer, "Content-Security-Policy",
		   "default-src 'none'; style-src 'unsafe-inline'");
	if (is_gzip)
		add_header(answer, "Content-Encoding", "gzip");
	answer_body(answer, request, &answers->status, body);
}

static void answer_healthy(struct answers *answers,
			   const struct answer_request *request, struct answer *answer)
{
	(void)answers;
	(void)request;
	answer_text(answer, OK, "bpftally is healthy.\n");
}

static void answer_ready(struct answers *answers, const struct answer_request *request,
			 struct answer *answer)
{
	(void)request;
	if (answers->pages.ready(answers->pages.context))
		answer_text(answer, OK, "bpftally is ready.\n");
	else
		answer_text(answer, SERVICE_UNAVAILABLE, "bpftally is not ready.\n");
}

/* --- choosing -------------------------------------------------------------- */

static const struct {
	const char *path;
	void (*answer)(struct answers *answers, const struct answer_request *request,
		       struct answer *answer);
	bool is_page; /* that holds a snapshot, or is long */
} routes[] = {
    {"/metrics", answer_metrics, true},
    {"/", answer_status, true},
    {"/-/healthy", answer_healthy, false},
    {"/-/ready", answer_ready, false},
};

/* The path of a target in absolute form, which a server must accept (RFC 9112
 * section 3.2.2); any other target is its own. */
static const char *path_of(const char *target)
{
	const char *authority = NULL;

	if (!strncasecmp(target, "http://", 7))
		authority = target + 7;
	else if (!strncasecmp(target, "https://", 8))
		authority = target + 8;
	if (!authority)
		return target;
	target = strchr(authority, '/');
	return target ? target : "/";
}

static bool is_read(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

void answers_choose(struct answers *answers, const struct answer_request *request,
		    struct answer *answer)
{
	const char *path = path_of(request->target);

	*answer = (struct answer){0};
	for (size_t i = 0; i < LENGTH(routes); i++) {
		if (strcmp(path, routes[i].path))
			continue;
		if (!is_read(request->method))
			answer_text(answer, METHOD_NOT_ALLOWED, "method not allowed\n");
		else if (routes[i].is_page && request->is_busy)
			answer_text(answer, SERVICE_UNAVAILABLE,
				    "too many pages are being sent to others\n");
		else
			routes[i].answer(answers, request, answer);
		return;
	}
	answer_text(answer, NOT_FOUND, "not found\n");
}
