/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A curl handle is set up once, for a url at a time; a request adds its method, headers
 * and body.
 *
 * libcurl copies a request's headers while it is on its way; those copies are beyond
 * our reach, ours are wiped. Certificates are handed over as bytes, so a connection
 * that was made with others is not used again.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "buf.h"
#include "cleanup.h"
#include "client_internal.h"
#include "exchange_route.h"
#include "gzip.h"
#include "pem.h"
#include "request_head.h"
#include "retry.h"

#define ANSWER_READ_MAX ((size_t)64 << 10)
#define PLAIN_BYTES 16384 /* that are unpacked at a time */

_Static_assert(CURL_ERROR_SIZE >= REQUEST_ERROR_LEN, "one buffer for both");

struct response {
	struct buf body; /* body_max of it at most, then a NUL */
	size_t body_max;
	size_t room_bytes; /* of the client's, that the body has */
	bool is_too_long;
	bool is_crowded;       /* others have the room that it needs */
	bool has_begun;        /* its first byte came */
	bool is_no_gzip;       /* though its header says so */
	bool is_unpacked;      /* it was gzip up to its end */
	int socket_error;      /* no socket could be opened; 0: all could */
	struct gunzip *gunzip; /* NULL: it is taken as it comes */
	char text[CLIENT_TEXT_MAX + 1];
	char error[CURL_ERROR_SIZE];
};

/* Files of tls_config, and what takes their bytes. */
enum { PEM_CA, PEM_CERT, PEM_KEY, PEMS };

static const struct {
	CURLoption option;
	const char *key;
} pem_options[PEMS] = {
    [PEM_CA] = {CURLOPT_CAINFO_BLOB, "ca_file"},
    [PEM_CERT] = {CURLOPT_SSLCERT_BLOB, "cert_file"},
    [PEM_KEY] = {CURLOPT_SSLKEY_BLOB, "key_file"},
};

struct exchange {
	struct client *client;
	const struct config_http *config;
	client_done done;
	void *context;
	CURL *easy;
	struct route route;
	struct request_head head;   /* of the request on its way, */
	struct curl_slist *headers; /* and curl's copy */
	struct pem pems[PEMS];
	bool is_sending;
	bool is_get;       /* the request on its way: it asks for the body */
	size_t answer_max; /* of one that does not */
	struct response response;
};

/* --- the end of a request ------------------------------------------------------- */

/* The redirect was followed, and there nobody answered. */
static bool has_lost_its_way(const struct exchange *exchange, long status,
			     CURLcode code)
{
	if (status / 100 != 3 || !exchange->config->follow_redirects)
		return false;
	return code != CURLE_OK && code != CURLE_TOO_MANY_REDIRECTS &&
	       code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT;
}

/* A status that arrived counts, even where the rest of the answer did not: but not to
 * who asked for the rest. A redirect that cannot be followed is an answer, too. */
static long final_status(const struct exchange *exchange, CURLcode code)
{
	long status = 0;

	curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || has_lost_its_way(exchange, status, code))
		return 0;
	return exchange->is_get && status / 100 == 2 && code ? 0 : status;
}

static const char *answer_header(CURL *easy, const char *name)
{
	struct curl_header *header;

	/* -1: of the last request, where redirects were followed. */
	return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header)
		   ? NULL
		   : header->value;
}

int64_t exchange_number(const struct exchange *exchange, const char *header)
{
	const char *text = answer_header(exchange->easy, header);
	char *end;
	long long number;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	number = strtoll(text, &end, 10);
	return errno || *end ? -1 : number;
}

const char *exchange_content_type(const struct exchange *exchange)
{
	return answer_header(exchange->easy, "Content-Type");
}

char *exchange_body(const struct exchange *exchange, size_t *ret_len)
{
	*ret_len = exchange->response.body.len;
	return exchange->response.body.data;
}

bool exchange_is_cut(const struct exchange *exchange)
{
	return exchange->response.is_too_long;
}

static void wipe_request(struct exchange *exchange)
{
	for (struct curl_slist *item = exchange->headers; item; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(exchange->headers);
	exchange->headers = NULL;
	request_head_wipe(&exchange->head);
}

static void give_room(struct exchange *exchange)
{
	client_give_room(exchange->client, exchange->response.room_bytes);
	exchange->response.room_bytes = 0;
}

static void forget_request(struct exchange *exchange)
{
	wipe_request(exchange);
	give_room(exchange);
	gunzip_free(&exchange->response.gunzip);
	buf_free(&exchange->response.body);
}

void exchange_hide(const struct exchange *exchange, char *text)
{
	request_head_hide(&exchange->head, exchange->config, exchange->route.url, text);
}

static void end_body(struct buf *body)
{
	buf_append(body, "", 1);
	if (body->error)
		buf_clear(body);
	if (body->len)
		body->len--;
}

/* The body stays as it came, but for what is a servers' habit: a line end behind it. No
 * secret has a NUL in it, but a body may: one that hides a secret so would not be known
 * by it. */
static const char *text_of(struct exchange *exchange, long status)
{
	struct response *response = &exchange->response;
	size_t len;

	exchange_hide(exchange, response->error);
	end_body(&response->body);
	len =
	    response->body.len < CLIENT_TEXT_MAX ? response->body.len : CLIENT_TEXT_MAX;
	for (size_t i = 0; i < len; i++)
		response->text[i] =
		    response->body.data[i] ? response->body.data[i] : ' ';
	response->text[len] = 0;
	exchange_hide(exchange, response->text);
	len = strlen(response->text);
	while (len && isspace((unsigned char)response->text[len - 1]))
		response->text[--len] = 0;
	return status ? response->text : response->error;
}

/* curl says that writing failed, or that it could not connect. */
static void explain(struct response *response, CURLcode code)
{
	if (response->is_no_gzip)
		snprintf(response->error, sizeof(response->error),
			 "the body is not whole gzip, as its Content-Encoding says");
	else if (response->is_too_long)
		snprintf(response->error, sizeof(response->error),
			 "the body is longer than %zu byte%s", response->body_max,
			 response->body_max == 1 ? "" : "s");
	else if (response->socket_error)
		snprintf(response->error, sizeof(response->error),
			 "cannot open a socket: %s", strerror(response->socket_error));
	else if (response->is_crowded || response->body.error)
		snprintf(response->error, sizeof(response->error), "%s",
			 response->is_crowded ? "other bodies take all the room"
					      : "out of memory");
	else if (!*response->error)
		snprintf(response->error, sizeof(response->error), "%s",
			 curl_easy_strerror(code));
}

/* Who asks for a body is given gzip unpacked; the answer to a POST stays as it came. */
static bool is_gzip(const struct exchange *exchange)
{
	const char *encoding = answer_header(exchange->easy, "Content-Encoding");

	return exchange->is_get && encoding &&
	       (!strcasecmp(encoding, "gzip") || !strcasecmp(encoding, "x-gzip"));
}

/* curl's own unpacking does not tell: gzip that ends too early is good to it. */
static CURLcode judge_end(struct exchange *exchange, CURLcode code)
{
	struct response *response = &exchange->response;

	if (code || !is_gzip(exchange) || response->is_unpacked)
		return code;
	response->is_no_gzip = true;
	return CURLE_BAD_CONTENT_ENCODING;
}

void exchange_finish(struct exchange *exchange, int curl_code)
{
	CURL *easy = exchange->easy;
	curl_off_t duration_us = 0;
	CURLcode code = judge_end(exchange, (CURLcode)curl_code);
	struct client_answer answer = {.status = final_status(exchange, code),
				       .retry_after_ms = -1};

	curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &duration_us);
	answer.duration_s = (double)duration_us / 1e6;
	if (answer.status)
		answer.retry_after_ms =
		    retry_after_ms(answer_header(easy, "Retry-After"), time(NULL));
	else
		explain(&exchange->response, code);
	answer.text = text_of(exchange, answer.status);
	client_stop(exchange->client, easy);
	exchange->is_sending = false;
	exchange->done(exchange->context, &answer);
	/* Unless done has started the next one. */
	if (!exchange->is_sending)
		forget_request(exchange);
}

/* An answer that does not end is cut off. */
static bool take(struct exchange *exchange, const char *data, size_t len)
{
	struct response *response = &exchange->response;

	if (len > response->body_max - response->body.len) {
		response->is_too_long = true;
		return false;
	}
	if (!client_take_room(exchange->client, len)) {
		response->is_crowded = true;
		return false;
	}
	response->room_bytes += len;
	buf_append(&response->body, data, len);
	return !response->body.error;
}

static bool take_gzip(struct exchange *exchange, const char *data, size_t len)
{
	struct response *response = &exchange->response;
	struct gzip_flow flow = {.in = data, .in_len = len};
	char plain[PLAIN_BYTES];

	do {
		int err;

		flow.out = plain;
		flow.out_room = sizeof(plain);
		err = gunzip_step(response->gunzip, &flow);
		response->is_no_gzip = err == -EBADMSG;
		if (err || !take(exchange, plain, sizeof(plain) - flow.out_room))
			return false;
	} while (flow.in_len || !flow.out_room);
	response->is_unpacked = flow.is_done;
	return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct exchange *exchange = context;
	struct response *response = &exchange->response;
	size_t len = size * count;
	bool is_taken;

	if (!response->has_begun && is_gzip(exchange) &&
	    gunzip_create(&response->gunzip))
		return 0;
	response->has_begun = true;
	is_taken = response->gunzip ? take_gzip(exchange, data, len)
				    : take(exchange, data, len);
	return is_taken ? len : 0;
}

/* As curl does, which does not say why it could not. */
static curl_socket_t on_open(void *context, curlsocktype purpose,
			     struct curl_sockaddr *address)
{
	struct exchange *exchange = context;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
			address->protocol);

	(void)purpose;
	/* Where there is no IPv6, one of the other family follows. */
	if (fd < 0 && errno != EAFNOSUPPORT)
		exchange->response.socket_error = errno;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* --- making ------------------------------------------------------------------- */

static int set_number(CURL *easy, CURLoption option, long number)
{
	return curl_easy_setopt(easy, option, number) ? -EINVAL : 0;
}

static int set_tls(struct exchange *exchange)
{
	const struct config_tls *tls = &exchange->config->tls;
	CURL *easy = exchange->easy;
	int err = set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);

	exchange->pems[PEM_CA].path = tls->ca_file;
	exchange->pems[PEM_CERT].path = tls->cert_file;
	exchange->pems[PEM_KEY].path = tls->key_file;
	/* Only the given authority, none of the system's beside it. */
	if (!err && tls->ca_file &&
	    (curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) ||
	     curl_easy_setopt(easy, CURLOPT_CAINFO, NULL)))
		err = -EINVAL;
	if (!err && tls->insecure_skip_verify)
		err = set_number(easy, CURLOPT_SSL_VERIFYPEER, 0);
	if (!err && tls->insecure_skip_verify)
		err = set_number(easy, CURLOPT_SSL_VERIFYHOST, 0);
	return err;
}

static int set_numbers(CURL *easy, uint64_t timeout_ms)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
	    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
	    {CURLOPT_NOSIGNAL, 1},
	    {CURLOPT_NOPROGRESS, 1},
	    {CURLOPT_HTTP_CONTENT_DECODING, 0},
	    /* Or giving up on a request would wait for the resolver's thread: the
	     * loop, as long as a name server that is down is asked. */
	    {CURLOPT_QUICK_EXIT, 1},
	    {CURLOPT_TIMEOUT_MS, (long)timeout_ms},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		err = set_number(easy, numbers[i].option, numbers[i].value);
	if (!err && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"))
		err = -EINVAL;
	return err;
}

static int set_options(struct exchange *exchange)
{
	CURL *easy = exchange->easy;
	int err = set_numbers(easy, exchange->config->timeout_ms);

	if (!err)
		err = set_tls(exchange);
	if (!err && exchange->config->url)
		err = exchange_set_url(exchange, exchange->config->url);
	if (err)
		return err;
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange) ||
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->response.error) ||
	    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) ||
	    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange))
		return -EINVAL;
	return 0;
}

void exchange_set_answer_max(struct exchange *exchange, size_t answer_max)
{
	exchange->answer_max = answer_max;
}

int exchange_set_url(struct exchange *exchange, const char *url)
{
	return route_set(&exchange->route, exchange->easy, exchange->config, url);
}

int exchange_create(struct client *client, const struct config_http *config,
		    client_done done, void *context, struct exchange **ret_exchange)
{
	CLEANUP(exchange_free) struct exchange *exchange = calloc(1, sizeof(*exchange));
	int err;

	if (!exchange)
		return -ENOMEM;
	exchange->client = client;
	exchange->config = config;
	exchange->done = done;
	exchange->context = context;
	exchange->answer_max = ANSWER_READ_MAX;
	exchange->easy = curl_easy_init();
	if (!exchange->easy)
		return -ENOMEM;
	err = set_options(exchange);
	if (err)
		return err;
	*ret_exchange = TAKE(exchange);
	return 0;
}

void exchange_free(struct exchange **exchange)
{
	if (!*exchange)
		return;
	if ((*exchange)->is_sending)
		client_stop((*exchange)->client, (*exchange)->easy);
	curl_easy_cleanup((*exchange)->easy);
	forget_request(*exchange);
	route_free(&(*exchange)->route);
	free(*exchange);
	*exchange = NULL;
}

/* --- starting a request ---------------------------------------------------------- */

static int load_pem(struct exchange *exchange, size_t i)
{
	struct pem *pem = &exchange->pems[i];
	struct curl_blob blob = {.flags = CURL_BLOB_COPY};
	char *bytes;
	int err = pem_load(pem, &bytes, &blob.len);

	if (err || !bytes)
		return err;
	blob.data = bytes;
	if (curl_easy_setopt(exchange->easy, pem_options[i].option, &blob)) {
		pem->is_read = false;
		err = -ENOMEM;
	}
	pem_wipe(&bytes, blob.len);
	return err;
}

static int load_pems(struct exchange *exchange)
{
	for (size_t i = 0; i < PEMS; i++) {
		int err = load_pem(exchange, i);

		if (!err)
			continue;
		snprintf(exchange->response.error, sizeof(exchange->response.error),
			 "cannot read %s \"%s\": %s", pem_options[i].key,
			 exchange->pems[i].path, strerror(-err));
		return err;
	}
	return 0;
}

static int set_post(CURL *easy, const void *body, size_t len)
{
	if (curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL) ||
	    curl_easy_setopt(easy, CURLOPT_POST, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)body) ||
	    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len))
		return -ENOMEM;
	return 0;
}

static int set_get(CURL *easy)
{
	if (curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip") ||
	    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L))
		return -ENOMEM;
	return 0;
}

static int copy_head(struct exchange *exchange)
{
	const struct request_head *head = &exchange->head;

	for (size_t i = 0; i < head->count; i++) {
		struct curl_slist *longer =
		    curl_slist_append(exchange->headers, head->lines[i]);

		if (!longer)
			return -ENOMEM;
		exchange->headers = longer;
	}
	return 0;
}

static int hand_to_curl(struct exchange *exchange)
{
	int err = copy_head(exchange);

	if (err)
		return err;
	if (curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers))
		return -ENOMEM;
	return client_start(exchange->client, exchange->easy);
}

static void expect_answer(struct exchange *exchange, size_t body_max)
{
	struct response *response = &exchange->response;

	wipe_request(exchange);
	/* Room for a NUL behind it, whatever it is. */
	if (body_max > SIZE_MAX / 2)
		body_max = SIZE_MAX / 2;
	buf_clear(&response->body);
	give_room(exchange);
	response->body.ceiling = body_max + 1;
	response->body_max = body_max;
	gunzip_free(&response->gunzip);
	response->is_too_long = response->is_crowded = false;
	response->has_begun = response->is_no_gzip = response->is_unpacked = false;
	response->socket_error = 0;
	snprintf(response->error, sizeof(response->error), "out of memory");
}

/* err: of what was to be set before. */
static int start(struct exchange *exchange, int err, const char *const *headers,
		 size_t header_count, struct client_answer *ret_answer)
{
	if (!err)
		err = load_pems(exchange);
	if (!err)
		err = request_head_make(&exchange->head, exchange->config,
					exchange->route.host, headers, header_count,
					exchange->response.error);
	if (!err)
		err = hand_to_curl(exchange);
	if (err) {
		*ret_answer = (struct client_answer){
		    .retry_after_ms = -1,
		    .text = text_of(exchange, 0),
		};
		forget_request(exchange);
		return err;
	}
	exchange->response.error[0] = 0;
	exchange->is_sending = true;
	return 0;
}

int exchange_post(struct exchange *exchange, const char *const *headers,
		  size_t header_count, const void *body, size_t len,
		  struct client_answer *ret_answer)
{
	exchange->is_get = false;
	expect_answer(exchange, exchange->answer_max);
	return start(exchange, set_post(exchange->easy, body, len), headers,
		     header_count, ret_answer);
}

int exchange_get(struct exchange *exchange, const char *const *headers,
		 size_t header_count, size_t body_max, struct client_answer *ret_answer)
{
	exchange->is_get = true;
	expect_answer(exchange, body_max);
	return start(exchange, set_get(exchange->easy), headers, header_count,
		     ret_answer);
}
