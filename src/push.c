/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An endpoint is idle (its queue is empty), sending (its request is with curl)
 * or waiting (retry_at_ms is set); each of them moves on alone. curl says which
 * descriptors it waits for and when it wants to be called: both go to the loop,
 * and one timer serves curl and every waiting endpoint. Idle, no timer is armed
 * and no descriptor watched, though connections stay open.
 *
 * What it does not do: follow redirects (a POST with a token is not replayed at
 * an address that nobody configured), use proxies of the environment, or log
 * what it sent. libcurl copies a request's headers while it is on its way; those
 * copies are beyond our reach, ours are wiped.
 */
#include "push.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "queue.h"
#include "retry.h"
#include "samples.h"
#include "secret.h"
#include "slice.h"
#include "wire.h"

#define NEVER UINT64_MAX
#define BODY_SHOWN 1024 /* of a refusal, in the log */
#define BODY_READ_MAX ((size_t)64 << 10)
#define LOG_PERIOD_MS 60000
#define HOST_LEN 256
#define USER_AGENT "User-Agent: bpftally/" BPFTALLY_VERSION
/* A custom header's value of this length or more is worth hiding where a
 * receiver quotes it; credentials are hidden whatever their length. */
#define HIDDEN_LEN_MIN 8
#define AUTHORIZATION_BASIC "Authorization: Basic "

struct counters {
	uint64_t samples; /* accepted */
	uint64_t failed;
	uint64_t dropped;
	uint64_t retried;
	uint64_t bytes;
	int64_t highest_sent_ms;
	double last_duration_s;
};

struct response {
	size_t len; /* of the body, all of it */
	size_t shown;
	char body[BODY_SHOWN + 1];
	char error[CURL_ERROR_SIZE];
};

/* What was said about an endpoint in trouble, and when. */
struct trouble {
	bool is_told;
	uint64_t told_ms;
	uint64_t failures; /* since it last worked */
};

struct endpoint {
	struct push *push;
	const struct config_remote_write *config;
	char *shown_url; /* without userinfo, query and fragment */
	struct queue *queue;
	CURL *easy;
	struct curl_slist *connect_to; /* with tls.server_name only */
	char *host;                    /* "Host: ...", likewise */
	char *secret;                  /* credentials of the request on its way */
	struct curl_slist *headers;    /* of that request */
	bool is_sending;
	bool is_told_to_wait; /* by Retry-After */
	uint64_t retry_at_ms; /* NEVER: not waiting */
	uint64_t backoff_ms;
	unsigned int attempt; /* of the oldest batch, from 0 */
	uint32_t jitter;
	struct response response;
	struct trouble trouble;
	struct counters counters;
};

struct push {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	bool has_curl;
	uint64_t curl_at_ms;   /* when curl wants to be called; NEVER */
	uint64_t flush_end_ms; /* 0: no flush is running */
	bool is_ended;         /* the markers are out: nothing may come after them */
	uint64_t collection;   /* the newest's number */
	struct samples *samples;
	struct wire_writer *writer;
	struct endpoint *endpoints;
	size_t endpoint_count;
};

/* A descriptor of curl's that the loop watches. */
struct watch {
	struct push *push;
	curl_socket_t fd;
};

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the headers of one request ----------------------------------------------- */

static void wipe_list(struct curl_slist **list)
{
	for (struct curl_slist *item = *list; item; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(*list);
	*list = NULL;
}

static int add_header(struct endpoint *endpoint, const char *header)
{
	struct curl_slist *longer = curl_slist_append(endpoint->headers, header);

	if (!longer)
		return -ENOMEM;
	endpoint->headers = longer;
	return 0;
}

static int add_pair(struct endpoint *endpoint, const char *name, const char *value)
{
	AUTO_WIPE char *header = NULL;

	if (asprintf(&header, "%s: %s", name, value) < 0) {
		header = NULL;
		return -ENOMEM;
	}
	return add_header(endpoint, header);
}

/* The secret from its file, or a copy of the configured one. */
static int load_secret(struct endpoint *endpoint, const char *text, const char *path,
		       const char *key)
{
	int err = 0;

	if (path)
		err = secret_read(path, &endpoint->secret);
	else
		endpoint->secret = strdup(text ? text : "");
	if (!err && !endpoint->secret)
		err = -ENOMEM;
	if (err)
		snprintf(endpoint->response.error, sizeof(endpoint->response.error),
			 "cannot read %s \"%s\": %s", key, path ? path : "",
			 err == -EINVAL ? "empty, or with a control character"
					: strerror(-err));
	return err;
}

static int add_basic(struct endpoint *endpoint)
{
	const struct config_basic_auth *basic = &endpoint->config->basic_auth;
	AUTO_WIPE char *credentials = NULL, *header = NULL;
	int err = load_secret(endpoint, basic->password, basic->password_file,
			      "password_file");

	if (!err)
		err = secret_basic(basic->username, endpoint->secret, &credentials);
	if (err)
		return err;
	if (asprintf(&header, AUTHORIZATION_BASIC "%s", credentials) < 0) {
		header = NULL;
		return -ENOMEM;
	}
	return add_header(endpoint, header);
}

static int add_authorization(struct endpoint *endpoint)
{
	const struct config_authorization *authorization =
	    &endpoint->config->authorization;
	AUTO_WIPE char *value = NULL;
	int err;

	if (endpoint->config->basic_auth.username)
		return add_basic(endpoint);
	if (!authorization->credentials && !authorization->credentials_file)
		return 0;
	err = load_secret(endpoint, authorization->credentials,
			  authorization->credentials_file, "credentials_file");
	if (err)
		return err;
	if (asprintf(&value, "%s %s",
		     authorization->type ? authorization->type : "Bearer",
		     endpoint->secret) < 0) {
		value = NULL;
		return -ENOMEM;
	}
	return add_pair(endpoint, "Authorization", value);
}

static int add_fixed_headers(struct endpoint *endpoint)
{
	static const char *const fixed[] = {
	    "Content-Encoding: snappy",
	    "Content-Type: application/x-protobuf",
	    "X-Prometheus-Remote-Write-Version: 0.1.0",
	    /* Nothing after the colon: curl leaves its own out. A batch does not
	     * wait for a "100 Continue" that many receivers never send. */
	    "Expect:",
	};
	int err = add_header(endpoint, USER_AGENT);

	for (size_t i = 0; !err && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		err = add_header(endpoint, fixed[i]);
	if (!err && endpoint->host)
		err = add_header(endpoint, endpoint->host);
	return err;
}

static int make_headers(struct endpoint *endpoint)
{
	const struct config_labels *custom = &endpoint->config->headers;
	char attempt[16];
	int err = add_fixed_headers(endpoint);

	for (size_t i = 0; !err && i < custom->count; i++)
		err = add_pair(endpoint, custom->items[i].name, custom->items[i].value);
	/* Mimir computes its Retry-After from it. */
	snprintf(attempt, sizeof(attempt), "%u", endpoint->attempt);
	if (!err && endpoint->attempt)
		err = add_pair(endpoint, "Retry-Attempt", attempt);
	if (!err)
		err = add_authorization(endpoint);
	return err;
}

/* --- telling ------------------------------------------------------------------ */

/* Some receivers quote the request in their answer. */
static void hide_secrets(struct endpoint *endpoint, char *text)
{
	const struct config_labels *custom = &endpoint->config->headers;

	for (size_t i = 0; i < custom->count; i++) {
		if (strlen(custom->items[i].value) >= HIDDEN_LEN_MIN)
			secret_hide(text, custom->items[i].value);
	}
	if (!endpoint->secret)
		return;
	secret_hide(text, endpoint->secret);
	for (struct curl_slist *item = endpoint->headers; item; item = item->next) {
		size_t start = strlen(AUTHORIZATION_BASIC);

		if (!strncmp(item->data, AUTHORIZATION_BASIC, start))
			secret_hide(text, item->data + start);
	}
}

/* The first failure, then at most a line a minute, whatever comes between. */
static bool may_tell(struct endpoint *endpoint)
{
	struct trouble *trouble = &endpoint->trouble;
	uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);

	trouble->failures++;
	if (trouble->told_ms && now_ms - trouble->told_ms < LOG_PERIOD_MS)
		return false;
	trouble->told_ms = now_ms;
	trouble->is_told = true;
	return true;
}

static void tell_recovery(struct endpoint *endpoint)
{
	struct trouble *trouble = &endpoint->trouble;

	if (trouble->is_told)
		log_info("remote_write \"%s\": works again, after %llu failed requests",
			 endpoint->config->name, (unsigned long long)trouble->failures);
	trouble->is_told = false;
	trouble->failures = 0;
}

static void describe_status(struct endpoint *endpoint, long status, char *text,
			    size_t size)
{
	struct response *response = &endpoint->response;

	response->body[response->shown] = 0;
	hide_secrets(endpoint, response->body);
	snprintf(text, size, "status %ld%s%s%s", status,
		 status / 100 == 3 ? " (redirects are not followed: correct the url)"
				   : "",
		 response->shown ? ": " : "", response->body);
}

static void tell_failure(struct endpoint *endpoint, long status,
			 enum retry_verdict verdict, uint32_t samples)
{
	char text[BODY_SHOWN + 128];

	if (!may_tell(endpoint))
		return;
	if (status)
		describe_status(endpoint, status, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", endpoint->response.error);
	if (verdict == RETRY_LATER)
		log_warning("remote_write \"%s\": cannot send, will retry: %s",
			    endpoint->config->name, text);
	else
		log_warning("remote_write \"%s\": refused %u samples, not retried: %s",
			    endpoint->config->name, samples, text);
}

/* --- sending ------------------------------------------------------------------ */

static void rearm(struct push *push)
{
	uint64_t now_ms = clock_ms(CLOCK_MONOTONIC), at_ms = push->curl_at_ms;

	for (size_t i = 0; i < push->endpoint_count; i++) {
		if (push->endpoints[i].retry_at_ms < at_ms)
			at_ms = push->endpoints[i].retry_at_ms;
	}
	if (at_ms == NEVER)
		loop_timer_disarm(push->timer);
	else
		loop_timer_arm(push->timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* Waits never shrink while it fails: the jitter is drawn once, and a short
 * Retry-After does not reset what it replaces (a long one counts as slept). */
static void retry_later(struct endpoint *endpoint, int64_t told_ms)
{
	const struct config_queue *config = &endpoint->config->queue;
	uint64_t backoff_ms = retry_backoff_ms(
	    endpoint->backoff_ms, config->min_backoff_ms, config->max_backoff_ms);
	uint64_t wait_ms = retry_jitter_ms(backoff_ms, endpoint->jitter);

	endpoint->is_told_to_wait = told_ms > 0;
	if (endpoint->is_told_to_wait) {
		wait_ms = (uint64_t)told_ms;
		if (wait_ms > backoff_ms)
			backoff_ms = wait_ms < config->max_backoff_ms
					 ? wait_ms
					 : config->max_backoff_ms;
	}
	endpoint->backoff_ms = backoff_ms;
	endpoint->attempt++;
	endpoint->retry_at_ms = clock_ms(CLOCK_MONOTONIC) + wait_ms;
}

static void draw_jitter(struct endpoint *endpoint)
{
	uint32_t random;

	/* Before the kernel has entropy there is none: zero is a valid jitter. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
		endpoint->jitter = random;
}

/* The oldest batch is done with, one way or the other. */
static void next_batch(struct endpoint *endpoint)
{
	queue_acknowledge(endpoint->queue);
	endpoint->attempt = 0;
	endpoint->backoff_ms = 0;
	endpoint->is_told_to_wait = false;
	draw_jitter(endpoint);
}

static void count_delivery(struct endpoint *endpoint, const struct wire_batch *batch)
{
	struct counters *counters = &endpoint->counters;

	counters->samples += batch->samples;
	counters->bytes += batch->len;
	if (batch->time_ms > counters->highest_sent_ms)
		counters->highest_sent_ms = batch->time_ms;
}

/* Decides about the oldest batch. status 0: no response, the reason is in
 * response.error. */
static void settle(struct endpoint *endpoint, long status, int64_t told_ms)
{
	const struct wire_batch *batch = queue_peek(endpoint->queue);
	enum retry_verdict verdict =
	    retry_judge(status, endpoint->config->queue.retry_on_http_429);

	switch (verdict) {
	case RETRY_DELIVERED:
		count_delivery(endpoint, batch);
		tell_recovery(endpoint);
		next_batch(endpoint);
		break;
	case RETRY_LATER:
		endpoint->counters.retried += batch->samples;
		tell_failure(endpoint, status, verdict, batch->samples);
		retry_later(endpoint, told_ms);
		break;
	case RETRY_NEVER:
		endpoint->counters.failed += batch->samples;
		tell_failure(endpoint, status, verdict, batch->samples);
		next_batch(endpoint);
		break;
	}
	secret_wipe(&endpoint->secret);
	wipe_list(&endpoint->headers);
}

static bool hand_to_curl(struct endpoint *endpoint, const struct wire_batch *batch)
{
	CURL *easy = endpoint->easy;

	return !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, endpoint->headers) &&
	       !curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
				 (const char *)batch->bytes) &&
	       !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)batch->len) &&
	       !curl_multi_add_handle(endpoint->push->multi, easy);
}

/* Starts the request for the oldest batch, if there is one and none is running
 * or waited for. */
static void send_next(struct endpoint *endpoint)
{
	const struct wire_batch *batch;

	if (endpoint->is_sending || endpoint->retry_at_ms != NEVER)
		return;
	batch = queue_peek(endpoint->queue);
	if (!batch)
		return;
	endpoint->response.len = 0;
	endpoint->response.shown = 0;
	snprintf(endpoint->response.error, sizeof(endpoint->response.error),
		 "out of memory");
	if (make_headers(endpoint) || !hand_to_curl(endpoint, batch)) {
		settle(endpoint, 0, -1);
		return;
	}
	endpoint->is_sending = true;
}

/* A status that arrived counts, even where the rest of the answer did not. */
static long final_status(CURL *easy)
{
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 ? status : 0;
}

static int64_t told_wait_ms(CURL *easy)
{
	struct curl_header *header;

	if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header))
		return -1;
	return retry_after_ms(header->value,
			      (int64_t)(clock_ms(CLOCK_REALTIME) / 1000));
}

static void finish(struct endpoint *endpoint, CURLcode code)
{
	CURL *easy = endpoint->easy;
	curl_off_t duration_us = 0;
	long status = final_status(easy);
	int64_t told_ms = status ? told_wait_ms(easy) : -1;

	curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &duration_us);
	endpoint->counters.last_duration_s = (double)duration_us / 1e6;
	if (!status && !*endpoint->response.error)
		snprintf(endpoint->response.error, sizeof(endpoint->response.error),
			 "%s", curl_easy_strerror(code));
	curl_multi_remove_handle(endpoint->push->multi, easy);
	endpoint->is_sending = false;
	settle(endpoint, status, told_ms);
	send_next(endpoint);
}

/* Whether anything can be sent before the flush ends: not by an endpoint that
 * was told to wait for longer. */
static bool is_flush_useful(const struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++) {
		const struct endpoint *endpoint = &push->endpoints[i];

		if (endpoint->is_sending || endpoint->retry_at_ms < push->flush_end_ms)
			return true;
	}
	return false;
}

/* After every call into curl. */
static void collect_finished(struct push *push)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(push->multi, &left))) {
		struct endpoint *endpoint;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &endpoint);
		finish(endpoint, message->data.result);
	}
	rearm(push);
	if (push->flush_end_ms && !is_flush_useful(push))
		loop_stop(push->loop);
}

/* --- curl and the loop --------------------------------------------------------- */

static void on_timer(void *context)
{
	struct push *push = context;
	uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
	int running;

	if (push->curl_at_ms <= now_ms) {
		push->curl_at_ms = NEVER;
		curl_multi_socket_action(push->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (size_t i = 0; i < push->endpoint_count; i++) {
		struct endpoint *endpoint = &push->endpoints[i];

		if (endpoint->retry_at_ms > now_ms)
			continue;
		endpoint->retry_at_ms = NEVER;
		send_next(endpoint);
	}
	collect_finished(push);
}

static void on_socket(void *context, uint32_t events)
{
	/* curl may end the watch meanwhile. */
	const struct watch watch = *(struct watch *)context;
	int action = 0, running;

	if (events & EPOLLIN)
		action |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		action |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		action |= CURL_CSELECT_ERR;
	curl_multi_socket_action(watch.push->multi, watch.fd, action, &running);
	collect_finished(watch.push);
}

static struct watch *make_watch(struct push *push, curl_socket_t fd)
{
	struct watch *watch = malloc(sizeof(*watch));

	if (!watch)
		return NULL;
	*watch = (struct watch){.push = push, .fd = fd};
	curl_multi_assign(push->multi, fd, watch);
	return watch;
}

/* A descriptor that cannot be watched is one that never becomes ready: its
 * request ends by remote_timeout and is retried. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context,
			  void *socket_context)
{
	struct watch *watch = socket_context;
	struct push *push = context;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_unwatch(push->loop, fd);
		free(watch);
		curl_multi_assign(push->multi, fd, NULL);
		return 0;
	}
	if (what != CURL_POLL_OUT)
		events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		events |= EPOLLOUT;
	if (!watch)
		watch = make_watch(push, fd);
	if (watch)
		loop_watch(push->loop, fd, events, on_socket, watch);
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct push *push = context;

	(void)multi;
	push->curl_at_ms =
	    timeout_ms < 0 ? NEVER : clock_ms(CLOCK_MONOTONIC) + (uint64_t)timeout_ms;
	rearm(push);
	return 0;
}

/* Keeps what a log line shows. An answer that does not end is cut off: its
 * status is all that counts. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct response *response = context;
	size_t len = size * count, room = BODY_SHOWN - response->shown;
	size_t shown = len < room ? len : room;

	for (size_t i = 0; i < shown; i++)
		/* A NUL would hide the rest, and from us what is to be hidden. */
		response->body[response->shown++] = data[i] ? data[i] : ' ';
	response->len += len;
	return response->len > BODY_READ_MAX ? 0 : len;
}

/* --- making ------------------------------------------------------------------- */

static int set_text(CURL *easy, CURLoption option, const char *text)
{
	return !text || !curl_easy_setopt(easy, option, text) ? 0 : -ENOMEM;
}

static int set_number(CURL *easy, CURLoption option, long number)
{
	return curl_easy_setopt(easy, option, number) ? -EINVAL : 0;
}

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void free_text(char **text)
{
	curl_free(*text);
}

static int show_url(struct endpoint *endpoint, CURLU *url)
{
	CLEANUP(free_text) char *text = NULL;
	static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD,
					   CURLUPART_OPTIONS, CURLUPART_QUERY,
					   CURLUPART_FRAGMENT};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		curl_url_set(url, hidden[i], NULL, 0);
	if (curl_url_get(url, CURLUPART_URL, &text, 0))
		return -EINVAL;
	endpoint->shown_url = strdup(text);
	return endpoint->shown_url ? 0 : -ENOMEM;
}

/* curl takes the name to ask for (SNI) and to verify from the url, so that gets
 * the server's name; the connection still goes to the url's host, and so says
 * its Host header. */
static int set_server_name(struct endpoint *endpoint, CURLU *url)
{
	CLEANUP(free_text) char *host = NULL, *port = NULL, *changed = NULL;
	char connect_to[2 * HOST_LEN];
	const char *name = endpoint->config->tls.server_name;
	bool has_port = !curl_url_get(url, CURLUPART_PORT, &port, 0);

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) || strlen(host) > HOST_LEN ||
	    curl_url_set(url, CURLUPART_HOST, name, 0) ||
	    curl_url_get(url, CURLUPART_URL, &changed, 0))
		return -EINVAL;
	snprintf(connect_to, sizeof(connect_to), "::%s:", host);
	endpoint->connect_to = curl_slist_append(NULL, connect_to);
	if (!endpoint->connect_to)
		return -ENOMEM;
	if (asprintf(&endpoint->host, "Host: %s%s%s", host, has_port ? ":" : "",
		     has_port ? port : "") < 0) {
		endpoint->host = NULL;
		return -ENOMEM;
	}
	if (curl_easy_setopt(endpoint->easy, CURLOPT_CONNECT_TO, endpoint->connect_to))
		return -ENOMEM;
	return set_text(endpoint->easy, CURLOPT_URL, changed);
}

static int set_url(struct endpoint *endpoint)
{
	CLEANUP(free_url) CURLU *url = curl_url();
	int err;

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, endpoint->config->url, 0))
		return -EINVAL;
	err = set_text(endpoint->easy, CURLOPT_URL, endpoint->config->url);
	if (!err && endpoint->config->tls.server_name)
		err = set_server_name(endpoint, url);
	if (err)
		return err;
	if (curl_url_set(url, CURLUPART_URL, endpoint->config->url, 0))
		return -EINVAL;
	return show_url(endpoint, url);
}

static int set_tls(CURL *easy, const struct config_tls *tls)
{
	int err = set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);

	if (!err)
		err = set_text(easy, CURLOPT_CAINFO, tls->ca_file);
	/* Only the given authority, none of the system's beside it. */
	if (!err && tls->ca_file && curl_easy_setopt(easy, CURLOPT_CAPATH, NULL))
		err = -EINVAL;
	if (!err)
		err = set_text(easy, CURLOPT_SSLCERT, tls->cert_file);
	if (!err)
		err = set_text(easy, CURLOPT_SSLKEY, tls->key_file);
	if (!err && tls->insecure_skip_verify)
		err = set_number(easy, CURLOPT_SSL_VERIFYPEER, 0);
	if (!err && tls->insecure_skip_verify)
		err = set_number(easy, CURLOPT_SSL_VERIFYHOST, 0);
	return err;
}

static int set_options(struct endpoint *endpoint)
{
	static const struct {
		CURLoption option;
		long value;
	} numbers[] = {
	    {CURLOPT_POST, 1},
	    {CURLOPT_FOLLOWLOCATION, 0},
	    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
	    {CURLOPT_NOSIGNAL, 1},
	    {CURLOPT_NOPROGRESS, 1},
	    /* Or giving up on a request would wait for the resolver's thread: the
	     * loop, as long as a name server that is down is asked. */
	    {CURLOPT_QUICK_EXIT, 1},
	};
	CURL *easy = endpoint->easy;
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		err = set_number(easy, numbers[i].option, numbers[i].value);
	if (!err)
		err = set_number(easy, CURLOPT_TIMEOUT_MS,
				 (long)endpoint->config->remote_timeout_ms);
	if (!err)
		err = set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* Whoever starts us must not route the token elsewhere by http_proxy. */
	if (!err)
		err = set_text(easy, CURLOPT_PROXY, "");
	if (err)
		return err;
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, endpoint) ||
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, endpoint->response.error) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &endpoint->response))
		return -EINVAL;
	return 0;
}

static int endpoint_init(struct endpoint *endpoint, struct push *push,
			 const struct config_remote_write *config)
{
	int err = queue_create(config->queue.capacity, &endpoint->queue);

	endpoint->push = push;
	endpoint->config = config;
	endpoint->retry_at_ms = NEVER;
	draw_jitter(endpoint);
	if (err)
		return err;
	endpoint->easy = curl_easy_init();
	if (!endpoint->easy)
		return -ENOMEM;
	err = set_options(endpoint);
	if (!err)
		err = set_tls(endpoint->easy, &config->tls);
	return err ? err : set_url(endpoint);
}

static void endpoint_free(struct endpoint *endpoint)
{
	if (endpoint->is_sending)
		curl_multi_remove_handle(endpoint->push->multi, endpoint->easy);
	curl_easy_cleanup(endpoint->easy);
	wipe_list(&endpoint->headers);
	secret_wipe(&endpoint->secret);
	curl_slist_free_all(endpoint->connect_to);
	free(endpoint->host);
	free(endpoint->shown_url);
	queue_free(&endpoint->queue);
}

static int start_curl(struct push *push)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	push->has_curl = true;
	push->multi = curl_multi_init();
	if (!push->multi)
		return -ENOMEM;
	if (curl_multi_setopt(push->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) ||
	    curl_multi_setopt(push->multi, CURLMOPT_SOCKETDATA, push) ||
	    curl_multi_setopt(push->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) ||
	    curl_multi_setopt(push->multi, CURLMOPT_TIMERDATA, push))
		return -EINVAL;
	return 0;
}

static bool has_label(const struct config_labels *labels, const char *name)
{
	for (size_t i = 0; i < labels->count; i++) {
		if (!strcmp(labels->items[i].name, name))
			return true;
	}
	return false;
}

/* The smallest batch size of all endpoints is everybody's: they share batches. */
static uint32_t samples_max(const struct config *config)
{
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < config->remote_write_count; i++) {
		uint32_t max = config->remote_writes[i].queue.max_samples_per_send;

		if (max < least)
			least = max;
	}
	return least;
}

/* Pushed series need the two labels that a scrape would have given them. */
static int make_samples(struct push *push, const struct config *config)
{
	const struct config_labels *external = &config->external_labels;
	struct config_labels labels = {.count = external->count};
	AUTO_FREE struct config_label *items =
	    calloc(external->count + 2, sizeof(*items));
	char job[] = "job", bpftally[] = "bpftally", instance[] = "instance";
	char host[HOST_LEN] = "", host_label[HOST_LEN] = "";

	if (!items)
		return -ENOMEM;
	if (gethostname(host, sizeof(host) - 1))
		return -errno;
	/* sethostname(2) takes any bytes; receivers refuse what is not UTF-8. */
	slice_to_label(slice_of(host), host_label, sizeof(host_label));
	if (external->count)
		memcpy(items, external->items, external->count * sizeof(*items));
	if (!has_label(external, job))
		items[labels.count++] = (struct config_label){job, bpftally};
	if (!has_label(external, instance))
		items[labels.count++] = (struct config_label){instance, host_label};
	labels.items = items;
	return samples_create(&labels, &push->samples);
}

static void on_batch(void *context, struct wire_batch *batch)
{
	struct push *push = context;

	for (size_t i = 0; i < push->endpoint_count; i++) {
		struct endpoint *endpoint = &push->endpoints[i];

		endpoint->counters.dropped +=
		    queue_put(endpoint->queue, push->collection, wire_batch_get(batch));
	}
	wire_batch_put(&batch);
}

static int make_writer(struct push *push, const struct config *config)
{
	const struct wire_format format = {.samples_max = samples_max(config)};

	return wire_writer_create(&format, on_batch, push, &push->writer);
}

static int make_endpoints(struct push *push, const struct config *config)
{
	push->endpoints = calloc(config->remote_write_count, sizeof(*push->endpoints));
	if (!push->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < config->remote_write_count; i++) {
		int err = endpoint_init(&push->endpoints[push->endpoint_count++], push,
					&config->remote_writes[i]);

		if (err)
			return err;
	}
	return 0;
}

int push_create(struct loop *loop, const struct config *config, struct push **ret_push)
{
	CLEANUP(push_free) struct push *push = calloc(1, sizeof(*push));
	int err;

	if (!push)
		return -ENOMEM;
	push->loop = loop;
	push->curl_at_ms = NEVER;
	/* Without endpoints nothing is sent, and libcurl costs nothing. */
	if (config->remote_write_count) {
		err = loop_timer_create(loop, on_timer, push, &push->timer);
		if (!err)
			err = start_curl(push);
		if (!err)
			err = make_samples(push, config);
		if (!err)
			err = make_writer(push, config);
		if (!err)
			err = make_endpoints(push, config);
		if (err)
			return err;
	}
	*ret_push = TAKE(push);
	return 0;
}

void push_free(struct push **push)
{
	if (!*push)
		return;
	for (size_t i = 0; i < (*push)->endpoint_count; i++)
		endpoint_free(&(*push)->endpoints[i]);
	free((*push)->endpoints);
	(*push)->endpoint_count = 0;
	/* Takes back its sockets through on_curl_socket. */
	curl_multi_cleanup((*push)->multi);
	if ((*push)->has_curl)
		curl_global_cleanup();
	loop_timer_free(&(*push)->timer);
	wire_writer_free(&(*push)->writer);
	samples_free(&(*push)->samples);
	free(*push);
	*push = NULL;
}

/* --- collecting and flushing --------------------------------------------------- */

static int on_metric(void *context, const struct family *family, size_t count)
{
	const struct push *push = context;

	(void)family;
	return wire_begin(push->writer, count);
}

static int on_sample(void *context, const struct sample *sample)
{
	const struct push *push = context;

	return wire_add(push->writer, sample);
}

static int enqueue(struct push *push, const struct snapshot *snapshot)
{
	const struct samples_sink sink = {on_metric, on_sample, push};
	int err, finish_err;

	if (!push->endpoint_count || push->is_ended)
		return 0;
	err = samples_walk(push->samples, snapshot, &sink);
	finish_err = wire_finish(push->writer);
	if (!err)
		err = finish_err;
	for (size_t i = 0; i < push->endpoint_count; i++)
		send_next(&push->endpoints[i]);
	rearm(push);
	return err;
}

int push_collect(struct push *push, const struct snapshot *snapshot)
{
	push->collection++;
	return enqueue(push, snapshot);
}

static void on_deadline(void *context)
{
	loop_stop(context);
}

/* Who was left in a backoff gets a try now; who asked for a pause keeps it. */
static void cut_backoffs_short(struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++) {
		struct endpoint *endpoint = &push->endpoints[i];

		if (endpoint->is_told_to_wait)
			continue;
		endpoint->retry_at_ms = NEVER;
		send_next(endpoint);
	}
	rearm(push);
}

static int run_until_sent(struct push *push, uint64_t deadline_ms)
{
	CLEANUP(loop_timer_free) struct loop_timer *deadline = NULL;
	int err = loop_timer_create(push->loop, on_deadline, push->loop, &deadline);

	if (!err)
		err = loop_timer_arm(deadline, deadline_ms, 0);
	if (err)
		return err;
	cut_backoffs_short(push);
	push->flush_end_ms = clock_ms(CLOCK_MONOTONIC) + deadline_ms;
	if (is_flush_useful(push))
		err = loop_run(push->loop);
	push->flush_end_ms = 0;
	return err;
}

void push_flush(struct push *push, uint64_t deadline_ms)
{
	struct snapshot nothing;
	int err;

	/* Part of the last collection, which its markers must not push out. */
	snapshot_init(&nothing, (int64_t)clock_ms(CLOCK_REALTIME));
	nothing.boot_ms = (int64_t)clock_ms(CLOCK_BOOTTIME);
	err = enqueue(push, &nothing);
	snapshot_free(&nothing);
	push->is_ended = true;
	if (!err && push->endpoint_count)
		err = run_until_sent(push, deadline_ms);
	if (err)
		log_error("cannot flush remote_write: %s", strerrorname_np(-err));
	for (size_t i = 0; i < push->endpoint_count; i++) {
		uint32_t left = queue_samples(push->endpoints[i].queue);

		if (left)
			log_warning("remote_write \"%s\": %u samples were not sent "
				    "before the end",
				    push->endpoints[i].config->name, left);
	}
}

/* --- about itself -------------------------------------------------------------- */

enum {
	SAMPLES,
	SAMPLES_FAILED,
	SAMPLES_DROPPED,
	SAMPLES_RETRIED,
	SAMPLES_PENDING,
	BYTES,
	LAST_DURATION,
	HIGHEST_SENT,
	FAMILIES
};

#define NAME(rest) "bpftally_remote_write_" rest

static const struct family families[FAMILIES] = {
    [SAMPLES] = {NAME("samples"), "Samples that the endpoint accepted.", "",
		 METRIC_COUNTER, 1000},
    [SAMPLES_FAILED] = {NAME("samples_failed"),
			"Samples that the endpoint refused for good.", "",
			METRIC_COUNTER, 1001},
    [SAMPLES_DROPPED] = {NAME("samples_dropped"),
			 "Samples that were given up before they were sent, by reason.",
			 "", METRIC_COUNTER, 1002},
    [SAMPLES_RETRIED] = {NAME("samples_retried"),
			 "Samples in requests that failed and are sent again.", "",
			 METRIC_COUNTER, 1003},
    [SAMPLES_PENDING] = {NAME("samples_pending"),
			 "Samples that wait to be sent or are on their way.", "",
			 METRIC_GAUGE, 1004},
    [BYTES] = {NAME("bytes"), "Compressed bytes that the endpoint accepted.", "bytes",
	       METRIC_COUNTER, 1005},
    [LAST_DURATION] = {NAME("last_request_duration_seconds"),
		       "How long the last request took, successful or not.", "seconds",
		       METRIC_GAUGE, 1006},
    [HIGHEST_SENT] =
	{NAME("highest_sent_timestamp_seconds"),
	 "Time of the newest sample that the endpoint accepted, 0 if none.", "seconds",
	 METRIC_GAUGE, 1007},
};

static void describe_endpoint(const struct endpoint *endpoint,
			      struct snapshot *snapshot)
{
	const struct counters *counters = &endpoint->counters;
	const struct label labels[] = {
	    {"remote_name", endpoint->config->name},
	    {"url", endpoint->shown_url},
	    {"reason", "queue_full"},
	};
	struct label_set set = snapshot_labels(snapshot, labels, 2);
	struct label_set queue_full = snapshot_labels(snapshot, labels, 3);
	const double values[FAMILIES] = {
	    [SAMPLES] = (double)counters->samples,
	    [SAMPLES_FAILED] = (double)counters->failed,
	    [SAMPLES_DROPPED] = (double)counters->dropped,
	    [SAMPLES_RETRIED] = (double)counters->retried,
	    [SAMPLES_PENDING] = (double)queue_samples(endpoint->queue),
	    [BYTES] = (double)counters->bytes,
	    [LAST_DURATION] = counters->last_duration_s,
	    [HIGHEST_SENT] = (double)counters->highest_sent_ms / 1000,
	};

	for (size_t i = 0; i < FAMILIES; i++)
		snapshot_value(snapshot, &families[i],
			       i == SAMPLES_DROPPED ? queue_full : set, values[i]);
}

void push_describe(const struct push *push, struct snapshot *snapshot)
{
	for (size_t i = 0; i < push->endpoint_count; i++)
		describe_endpoint(&push->endpoints[i], snapshot);
}
