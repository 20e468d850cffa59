/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl says which descriptors it waits for and when it wants to be called: both go
 * to the loop. Idle, no timer is armed and no descriptor watched, though connections
 * stay open.
 *
 * libcurl copies a request's headers while it is on its way; those copies are beyond
 * our reach, ours are wiped. Certificates are handed over as bytes, so a connection
 * that was made with others is not used again.
 */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "retry.h"
#include "secret.h"

#define BODY_READ_MAX ((size_t)64 << 10)
#define PEM_LEN_MAX (4 << 20)
#define HOST_LEN 256
#define REDIRECTS_MAX 10
#define USER_AGENT "User-Agent: bpftally/" BPFTALLY_VERSION
/* A custom header's value of this length or more is worth hiding where a
 * receiver quotes it; credentials are hidden whatever their length. */
#define HIDDEN_LEN_MIN 8
#define AUTHORIZATION_BASIC "Authorization: Basic "

struct response {
	struct buf body; /* body_max of it at most, then a NUL */
	size_t body_max;
	bool is_too_long;
	char text[CLIENT_TEXT_MAX + 1];
	char error[CURL_ERROR_SIZE];
};

/* A file of tls_config as it was when it was read. */
struct pem {
	CURLoption option; /* that takes its bytes */
	const char *path;  /* NULL: not configured */
	const char *key;
	struct stat status;
	bool is_read;
};

enum { PEM_CA, PEM_CERT, PEM_KEY, PEMS };

struct exchange {
	struct client *client;
	const struct config_http *config;
	client_done done;
	void *context;
	CURL *easy;
	char *url;                     /* as it was given; secret */
	struct curl_slist *connect_to; /* with tls.server_name only */
	char *host;                    /* "Host: ...", likewise */
	char *secret;                  /* credentials of the request on its way */
	struct curl_slist *headers;    /* of that request */
	struct pem pems[PEMS];
	bool is_sending;
	bool is_get; /* the request on its way: what it answers with is all that counts
		      */
	struct response response;
};

struct client {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	bool has_curl;
};

/* A descriptor of curl's that the loop watches. */
struct watch {
	struct client *client;
	curl_socket_t fd;
};

/* --- the headers of one request ----------------------------------------------- */

static void wipe_list(struct curl_slist **list)
{
	for (struct curl_slist *item = *list; item; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(*list);
	*list = NULL;
}

static int add_header(struct exchange *exchange, const char *header)
{
	struct curl_slist *longer = curl_slist_append(exchange->headers, header);

	if (!longer)
		return -ENOMEM;
	exchange->headers = longer;
	return 0;
}

static int add_pair(struct exchange *exchange, const char *name, const char *value)
{
	AUTO_WIPE char *header = NULL;

	if (asprintf(&header, "%s: %s", name, value) < 0) {
		header = NULL;
		return -ENOMEM;
	}
	return add_header(exchange, header);
}

/* The secret from its file, or a copy of the configured one. */
static int load_secret(struct exchange *exchange, const char *text, const char *path,
		       const char *key)
{
	int err = 0;

	if (path)
		err = secret_read(path, &exchange->secret);
	else
		exchange->secret = strdup(text ? text : "");
	if (!err && !exchange->secret)
		err = -ENOMEM;
	if (err)
		snprintf(exchange->response.error, sizeof(exchange->response.error),
			 "cannot read %s \"%s\": %s", key, path ? path : "",
			 err == -EINVAL ? "empty, or with a control character"
					: strerror(-err));
	return err;
}

static int add_basic(struct exchange *exchange)
{
	const struct config_basic_auth *basic = &exchange->config->basic_auth;
	AUTO_WIPE char *credentials = NULL, *header = NULL;
	int err = load_secret(exchange, basic->password, basic->password_file,
			      "password_file");

	if (!err)
		err = secret_basic(basic->username, exchange->secret, &credentials);
	if (err)
		return err;
	if (asprintf(&header, AUTHORIZATION_BASIC "%s", credentials) < 0) {
		header = NULL;
		return -ENOMEM;
	}
	return add_header(exchange, header);
}

static int add_authorization(struct exchange *exchange)
{
	const struct config_authorization *authorization =
	    &exchange->config->authorization;
	AUTO_WIPE char *value = NULL;
	int err;

	if (exchange->config->basic_auth.username)
		return add_basic(exchange);
	if (!authorization->credentials && !authorization->credentials_file)
		return 0;
	err = load_secret(exchange, authorization->credentials,
			  authorization->credentials_file, "credentials_file");
	if (err)
		return err;
	if (asprintf(&value, "%s %s",
		     authorization->type ? authorization->type : "Bearer",
		     exchange->secret) < 0) {
		value = NULL;
		return -ENOMEM;
	}
	return add_pair(exchange, "Authorization", value);
}

static int make_headers(struct exchange *exchange, const char *const *headers,
			size_t count)
{
	const struct config_labels *custom = &exchange->config->headers;
	int err = add_header(exchange, USER_AGENT);

	/* Nothing after the colon: curl leaves its own out. A body does not wait for
	 * a "100 Continue" that many receivers never send. */
	if (!err)
		err = add_header(exchange, "Expect:");
	for (size_t i = 0; !err && i < count; i++)
		err = add_header(exchange, headers[i]);
	if (!err && exchange->host)
		err = add_header(exchange, exchange->host);
	for (size_t i = 0; !err && i < custom->count; i++)
		err = add_pair(exchange, custom->items[i].name, custom->items[i].value);
	if (!err)
		err = add_authorization(exchange);
	return err;
}

/* What a header holds, and what follows its scheme ("Bearer TOKEN"). */
static void hide_value(char *text, const char *value)
{
	const char *blank = strchr(value, ' ');

	if (strlen(value) >= HIDDEN_LEN_MIN)
		secret_hide(text, value);
	if (blank && strlen(blank + 1) >= HIDDEN_LEN_MIN)
		secret_hide(text, blank + 1);
}

/* A user with a password, and a query, which may be a key. */
static void hide_in_url(char *text, const char *url)
{
	const char *authority = strstr(url, "://"), *query = strchr(url, '?');
	AUTO_WIPE char *user = NULL;

	if (query && strlen(query + 1) >= HIDDEN_LEN_MIN)
		secret_hide(text, query + 1);
	if (!authority)
		return;
	authority += strlen("://");
	if (!memchr(authority, '@', strcspn(authority, "/?#")))
		return;
	user = strndup(authority, strcspn(authority, "@"));
	if (!user)
		return;
	secret_hide(text, user);
	if (strchr(user, ':'))
		secret_hide(text, strchr(user, ':') + 1);
}

/* Some receivers quote the request in their answer. */
static void hide_secrets(struct exchange *exchange, char *text)
{
	const struct config_labels *custom = &exchange->config->headers;

	for (size_t i = 0; i < custom->count; i++)
		hide_value(text, custom->items[i].value);
	hide_in_url(text, exchange->url);
	if (exchange->config->proxy_url)
		hide_in_url(text, exchange->config->proxy_url);
	if (!exchange->secret)
		return;
	secret_hide(text, exchange->secret);
	for (struct curl_slist *item = exchange->headers; item; item = item->next) {
		size_t start = strlen(AUTHORIZATION_BASIC);

		if (!strncmp(item->data, AUTHORIZATION_BASIC, start))
			secret_hide(text, item->data + start);
	}
}

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

static void wipe_request(struct exchange *exchange)
{
	secret_wipe(&exchange->secret);
	wipe_list(&exchange->headers);
}

/* No secret has a NUL in it, but a body may. */
static void hide_in_body(struct exchange *exchange)
{
	struct buf *body = &exchange->response.body;

	for (size_t at = 0; at < body->len; at += strlen(body->data + at) + 1)
		hide_secrets(exchange, body->data + at);
}

static void end_body(struct buf *body)
{
	buf_append(body, "", 1);
	if (body->error)
		buf_clear(body);
	if (body->len)
		body->len--;
}

/* What was asked for stays as it came; its beginning is hidden where it is quoted. */
static const char *text_of(struct exchange *exchange, long status)
{
	struct response *response = &exchange->response;
	size_t len;

	hide_secrets(exchange, response->error);
	end_body(&response->body);
	if (!exchange->is_get)
		hide_in_body(exchange);
	len =
	    response->body.len < CLIENT_TEXT_MAX ? response->body.len : CLIENT_TEXT_MAX;
	for (size_t i = 0; i < len; i++)
		response->text[i] =
		    response->body.data[i] ? response->body.data[i] : ' ';
	response->text[len] = 0;
	if (exchange->is_get)
		hide_secrets(exchange, response->text);
	return status ? response->text : response->error;
}

/* curl says that writing failed. */
static void explain(struct response *response, CURLcode code)
{
	if (response->is_too_long)
		snprintf(response->error, sizeof(response->error),
			 "the body is longer than %zu bytes", response->body_max);
	else if (response->body.error)
		snprintf(response->error, sizeof(response->error), "out of memory");
	else if (!*response->error)
		snprintf(response->error, sizeof(response->error), "%s",
			 curl_easy_strerror(code));
}

static void finish(struct exchange *exchange, CURLcode code)
{
	CURL *easy = exchange->easy;
	curl_off_t duration_us = 0;
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
	curl_multi_remove_handle(exchange->client->multi, easy);
	exchange->is_sending = false;
	wipe_request(exchange);
	exchange->done(exchange->context, &answer);
	/* Unless done has started the next one. */
	if (!exchange->is_sending)
		buf_free(&exchange->response.body);
}

/* --- curl and the loop --------------------------------------------------------- */

/* After every call into curl. */
static void collect_finished(struct client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct exchange *exchange;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
		finish(exchange, message->data.result);
	}
}

static void on_timer(void *context)
{
	struct client *client = context;
	int running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect_finished(client);
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
	curl_multi_socket_action(watch.client->multi, watch.fd, action, &running);
	collect_finished(watch.client);
}

static struct watch *make_watch(struct client *client, curl_socket_t fd)
{
	struct watch *watch = malloc(sizeof(*watch));

	if (!watch)
		return NULL;
	*watch = (struct watch){.client = client, .fd = fd};
	curl_multi_assign(client->multi, fd, watch);
	return watch;
}

/* A descriptor that cannot be watched is one that never becomes ready: its
 * request ends by remote_timeout and is retried. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context,
			  void *socket_context)
{
	struct watch *watch = socket_context;
	struct client *client = context;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_unwatch(client->loop, fd);
		free(watch);
		curl_multi_assign(client->multi, fd, NULL);
		return 0;
	}
	if (what != CURL_POLL_OUT)
		events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		events |= EPOLLOUT;
	if (!watch)
		watch = make_watch(client, fd);
	if (watch)
		loop_watch(client->loop, fd, events, on_socket, watch);
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct client *client = context;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_disarm(client->timer);
	else
		loop_timer_arm(client->timer, (uint64_t)timeout_ms, 0);
	return 0;
}

/* An answer that does not end is cut off. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct response *response = context;
	size_t len = size * count;

	if (len > response->body_max - response->body.len) {
		response->is_too_long = true;
		return 0;
	}
	buf_append(&response->body, data, len);
	return response->body.error ? 0 : len;
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

char *client_shown_url(const char *url)
{
	static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD,
					   CURLUPART_OPTIONS, CURLUPART_QUERY,
					   CURLUPART_FRAGMENT};
	CLEANUP(free_url) CURLU *parts = curl_url();
	CLEANUP(free_text) char *text = NULL;

	if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0))
		return NULL;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		curl_url_set(parts, hidden[i], NULL, 0);
	if (curl_url_get(parts, CURLUPART_URL, &text, 0))
		return NULL;
	return strdup(text);
}

/* curl takes the name to ask for (SNI) and to verify from the url, so that gets
 * the server's name; the connection still goes to the url's host, and so says
 * its Host header. */
static int set_server_name(struct exchange *exchange, CURLU *url)
{
	CLEANUP(free_text) char *host = NULL, *port = NULL, *changed = NULL;
	char connect_to[3 * HOST_LEN];
	const char *name = exchange->config->tls.server_name;
	bool has_port = !curl_url_get(url, CURLUPART_PORT, &port, 0);

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) || strlen(host) > HOST_LEN ||
	    curl_url_set(url, CURLUPART_HOST, name, 0) ||
	    curl_url_get(url, CURLUPART_URL, &changed, 0))
		return -EINVAL;
	snprintf(connect_to, sizeof(connect_to), "%s::%s:", name, host);
	curl_easy_setopt(exchange->easy, CURLOPT_CONNECT_TO, NULL);
	curl_slist_free_all(exchange->connect_to);
	exchange->connect_to = curl_slist_append(NULL, connect_to);
	if (!exchange->connect_to)
		return -ENOMEM;
	free(exchange->host);
	if (asprintf(&exchange->host, "Host: %s%s%s", host, has_port ? ":" : "",
		     has_port ? port : "") < 0) {
		exchange->host = NULL;
		return -ENOMEM;
	}
	if (curl_easy_setopt(exchange->easy, CURLOPT_CONNECT_TO, exchange->connect_to))
		return -ENOMEM;
	return set_text(exchange->easy, CURLOPT_URL, changed);
}

static int set_target(struct exchange *exchange)
{
	CLEANUP(free_url) CURLU *url = curl_url();

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, exchange->url, 0))
		return -EINVAL;
	if (exchange->config->tls.server_name)
		return set_server_name(exchange, url);
	return set_text(exchange->easy, CURLOPT_URL, exchange->url);
}

static int set_tls(struct exchange *exchange)
{
	const struct config_tls *tls = &exchange->config->tls;
	CURL *easy = exchange->easy;
	int err = set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);

	exchange->pems[PEM_CA] = (struct pem){
	    .option = CURLOPT_CAINFO_BLOB, .path = tls->ca_file, .key = "ca_file"};
	exchange->pems[PEM_CERT] = (struct pem){
	    .option = CURLOPT_SSLCERT_BLOB, .path = tls->cert_file, .key = "cert_file"};
	exchange->pems[PEM_KEY] = (struct pem){
	    .option = CURLOPT_SSLKEY_BLOB, .path = tls->key_file, .key = "key_file"};
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

/* curl itself does not look at HTTP_PROXY: in a CGI program a client sets it. We are
 * none. */
static const char *environment_proxy(const char *url)
{
	const char *proxy;

	if (strncasecmp(url, "http:", 5))
		return NULL;
	proxy = getenv("http_proxy");
	return proxy ? proxy : getenv("HTTP_PROXY");
}

/* Whoever starts us must not route the token elsewhere by http_proxy, unless the
 * file says so. */
static int set_proxy(struct exchange *exchange)
{
	const struct config_http *config = exchange->config;
	int err;

	if (config->proxy_from_environment)
		return set_text(exchange->easy, CURLOPT_PROXY,
				environment_proxy(exchange->url));
	err = set_text(exchange->easy, CURLOPT_PROXY,
		       config->proxy_url ? config->proxy_url : "");
	/* Set, it keeps the variable no_proxy out. */
	if (!err)
		err = set_text(exchange->easy, CURLOPT_NOPROXY,
			       config->no_proxy ? config->no_proxy : "");
	return err;
}

static int set_redirects(struct exchange *exchange)
{
	bool is_secure = !strncasecmp(exchange->url, "https:", 6);
	CURL *easy = exchange->easy;
	int err = set_number(easy, CURLOPT_FOLLOWLOCATION,
			     exchange->config->follow_redirects);

	if (!err)
		err = set_number(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	/* A POST that became a GET would be answered, and its body lost. */
	if (!err)
		err = set_number(easy, CURLOPT_POSTREDIR, CURL_REDIR_POST_ALL);
	if (!err)
		err = set_text(easy, CURLOPT_REDIR_PROTOCOLS_STR,
			       is_secure ? "https" : "http,https");
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
	    /* Or giving up on a request would wait for the resolver's thread: the
	     * loop, as long as a name server that is down is asked. */
	    {CURLOPT_QUICK_EXIT, 1},
	    {CURLOPT_TIMEOUT_MS, (long)timeout_ms},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		err = set_number(easy, numbers[i].option, numbers[i].value);
	return err ? err : set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https");
}

int exchange_set_url(struct exchange *exchange, const char *url)
{
	char *copy = strdup(url);
	int err;

	if (!copy)
		return -ENOMEM;
	secret_wipe(&exchange->url);
	exchange->url = copy;
	err = set_redirects(exchange);
	if (!err)
		err = set_proxy(exchange);
	return err ? err : set_target(exchange);
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
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange->response))
		return -EINVAL;
	return 0;
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
		curl_multi_remove_handle((*exchange)->client->multi, (*exchange)->easy);
	curl_easy_cleanup((*exchange)->easy);
	wipe_request(*exchange);
	buf_free(&(*exchange)->response.body);
	curl_slist_free_all((*exchange)->connect_to);
	secret_wipe(&(*exchange)->url);
	free((*exchange)->host);
	free(*exchange);
	*exchange = NULL;
}

/* --- starting a request ---------------------------------------------------------- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file that changes while it is read fails here or in curl, and the request is
 * tried again. */
static int read_bytes(int fd, char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = read(fd, bytes + done, len - done);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			return -EAGAIN;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* curl copies them. */
static int give_bytes(struct exchange *exchange, CURLoption option, int fd, size_t len)
{
	AUTO_FREE char *bytes = malloc(len);
	struct curl_blob blob = {bytes, len, CURL_BLOB_COPY};
	int err = bytes ? read_bytes(fd, bytes, len) : -ENOMEM;

	if (!err && curl_easy_setopt(exchange->easy, option, &blob))
		err = -ENOMEM;
	if (bytes)
		explicit_bzero(bytes, len);
	return err;
}

static int load_pem(struct exchange *exchange, struct pem *pem)
{
	AUTO_CLOSE int fd = -1;
	struct stat status;
	int err;

	if (!pem->path)
		return 0;
	fd = open(pem->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status))
		return -errno;
	if (pem->is_read && is_same_file(&status, &pem->status))
		return 0;
	if (!status.st_size || status.st_size > PEM_LEN_MAX)
		return status.st_size ? -EFBIG : -ENODATA;
	err = give_bytes(exchange, pem->option, fd, (size_t)status.st_size);
	pem->is_read = !err;
	pem->status = status;
	return err;
}

static int load_pems(struct exchange *exchange)
{
	for (size_t i = 0; i < PEMS; i++) {
		struct pem *pem = &exchange->pems[i];
		int err = load_pem(exchange, pem);

		if (!err)
			continue;
		snprintf(exchange->response.error, sizeof(exchange->response.error),
			 "cannot read %s \"%s\": %s", pem->key, pem->path,
			 strerror(-err));
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

static int hand_to_curl(struct exchange *exchange)
{
	if (curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers) ||
	    curl_multi_add_handle(exchange->client->multi, exchange->easy))
		return -ENOMEM;
	return 0;
}

static void expect_answer(struct response *response, size_t body_max)
{
	/* Room for a NUL behind it, whatever it is. */
	if (body_max > SIZE_MAX / 2)
		body_max = SIZE_MAX / 2;
	buf_clear(&response->body);
	response->body.ceiling = body_max + 1;
	response->body_max = body_max;
	response->is_too_long = false;
	snprintf(response->error, sizeof(response->error), "out of memory");
}

/* err: of what was to be set before. */
static int start(struct exchange *exchange, int err, const char *const *headers,
		 size_t header_count, struct client_answer *ret_answer)
{
	if (!err)
		err = load_pems(exchange);
	if (!err)
		err = make_headers(exchange, headers, header_count);
	if (!err)
		err = hand_to_curl(exchange);
	if (err) {
		*ret_answer = (struct client_answer){
		    .retry_after_ms = -1,
		    .text = text_of(exchange, 0),
		};
		wipe_request(exchange);
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
	expect_answer(&exchange->response, BODY_READ_MAX);
	return start(exchange, set_post(exchange->easy, body, len), headers,
		     header_count, ret_answer);
}

int exchange_get(struct exchange *exchange, const char *const *headers,
		 size_t header_count, size_t body_max, struct client_answer *ret_answer)
{
	exchange->is_get = true;
	expect_answer(&exchange->response, body_max);
	return start(exchange, set_get(exchange->easy), headers, header_count,
		     ret_answer);
}

/* --- the client ------------------------------------------------------------------ */

static int start_curl(struct client *client)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	client->has_curl = true;
	client->multi = curl_multi_init();
	if (!client->multi)
		return -ENOMEM;
	if (curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) ||
	    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) ||
	    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) ||
	    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client))
		return -EINVAL;
	return 0;
}

int client_create(struct loop *loop, struct client **ret_client)
{
	CLEANUP(client_free) struct client *client = calloc(1, sizeof(*client));
	int err;

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	err = loop_timer_create(loop, on_timer, client, &client->timer);
	if (!err)
		err = start_curl(client);
	if (err)
		return err;
	*ret_client = TAKE(client);
	return 0;
}

void client_free(struct client **client)
{
	if (!*client)
		return;
	/* Takes back its sockets through on_curl_socket. */
	curl_multi_cleanup((*client)->multi);
	if ((*client)->has_curl)
		curl_global_cleanup();
	loop_timer_free(&(*client)->timer);
	free(*client);
	*client = NULL;
}
