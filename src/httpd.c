/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>

#include "answer.h"
#include "basic_auth.h"
#include "body.h"
#include "cleanup.h"
#include "clients.h"
#include "clock.h"
#include "listener.h"
#include "log.h"

/* Of a connection: its request's head, then what of a response is sent at once. From
 * more than half of it libmicrohttpd makes a chunk, and a system call costs by itself:
 * with 16 kB a page of a megabyte took a fifth more. Mapped, so what is not used is not
 * there. */
#define CONNECTION_BYTES ((size_t)64 << 10)
#define HEADER_BYTES_MAX (16 * 1024)
#define IDLE_SECONDS 10
#define TIMER_SLACK_MS 100
#define TELL_PERIOD_MS 60000
/* A handshake takes several round trips before there can be a request. Without
 * this, a crowd of them would push each other out before any has come that far. */
#define HANDSHAKE_MS 250
/* In a row, of 48 kB for each client: two tenths of a millisecond and more. Then the
 * loop has its turn, and a timer brings us back. */
#define RUNS_MAX 8
/* A request's body means nothing here: so much is read and thrown away. */
#define UPLOAD_BYTES_MAX (64 * 1024)
/* Pages that are made or being sent: each holds a snapshot. Two scrapers, a
 * browser, and one that stalls. */
#define PAGES_MAX 4
/* What libmicrohttpd asks for at once where it does not send chunks. */
#define BLOCK_BYTES ((size_t)16 << 10)

struct httpd {
	struct loop *loop;
	struct web *web;         /* NULL: plain, for everybody */
	struct basic_auth *auth; /* with web */
	struct loop_timer *timer;
	uint64_t timer_ms;      /* when it goes off; UINT64_MAX: it is not armed */
	uint64_t room_ms;       /* when the next one may be cut off for another */
	uint64_t limit_told_ms; /* that there was no descriptor; 0: never */
	struct MHD_Daemon *daemon;
	int epoll_fd; /* the daemon's */
	unsigned int port;
	struct answers answers;
	struct clients clients;
	unsigned int page_count; /* of PAGES_MAX */
};

/* A page on its way: lives as long as libmicrohttpd's response. */
struct page {
	struct httpd *httpd;
	struct answer_trouble *trouble;
	struct body *body;
};

static uint64_t now_ms(void)
{
	return (uint64_t)clock_ms(CLOCK_MONOTONIC);
}

/* --- responses ------------------------------------------------------------- */

static bool add_header(struct MHD_Response *response, const char *name,
		       const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* What the file says, in place of what we would. */
static bool add_configured(const struct httpd *httpd, struct MHD_Response *response)
{
	const struct config_labels *headers =
	    httpd->web ? &web_config(httpd->web)->headers : NULL;

	for (size_t i = 0; headers && i < headers->count; i++) {
		if (!add_header(response, headers->items[i].name,
				headers->items[i].value))
			return false;
	}
	return true;
}

static bool add_missing(struct MHD_Response *response, const char *name,
			const char *value)
{
	return MHD_get_response_header(response, name) ||
	       add_header(response, name, value);
}

/* Consumes response, which may be NULL. MHD_NO ends the connection. */
static enum MHD_Result send_response(const struct httpd *httpd,
				     const struct client *client,
				     const struct answer *answer,
				     struct MHD_Response *response)
{
	enum MHD_Result result = MHD_NO;
	bool complete;

	if (!response)
		return MHD_NO;
	complete = add_configured(httpd, response) &&
		   add_missing(response, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < answer->header_count && complete; i++)
		complete = add_missing(response, answer->headers[i].name,
				       answer->headers[i].value);
	if (complete)
		result =
		    MHD_queue_response(client->connection, answer->status, response);
	MHD_destroy_response(response); /* the connection holds its own reference */
	return result;
}

static ssize_t read_page(void *context, uint64_t position, char *bytes, size_t size)
{
	struct page *page = context;
	ssize_t len = body_read(page->body, bytes, size);

	(void)position; /* never goes back */
	if (len <= 0)
		answer_tell(page->trouble, (int)len);
	if (!len)
		return MHD_CONTENT_READER_END_OF_STREAM;
	/* The connection ends without the last chunk: the client knows. */
	return len < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : len;
}

static void free_page(void *context)
{
	struct page *page = context;

	page->httpd->page_count--;
	body_free(&page->body);
	free(page);
}

/* Of a length that is not known: chunks, and to HTTP/1.0 until the connection's
 * end. Takes the body over; NULL when there is no memory. */
static struct MHD_Response *make_page(struct httpd *httpd, struct answer *answer)
{
	struct page *page = malloc(sizeof(*page));
	struct MHD_Response *response;

	if (!page)
		return NULL;
	*page = (struct page){
	    .httpd = httpd,
	    .trouble = answer->trouble,
	    .body = TAKE(answer->body),
	};
	httpd->page_count++;
	response = MHD_create_response_from_callback(
	    answer->size == ANSWER_SIZE_UNKNOWN ? MHD_SIZE_UNKNOWN : answer->size,
	    BLOCK_BYTES, read_page, page, free_page);
	if (!response)
		free_page(page);
	return response;
}

static enum MHD_Result send_answer(struct httpd *httpd, const struct client *client,
				   struct answer *answer)
{
	struct MHD_Response *response =
	    answer->body
		? make_page(httpd, answer)
		: MHD_create_response_from_buffer(strlen(answer->text), answer->text,
						  MHD_RESPMEM_MUST_COPY);

	return send_response(httpd, client, answer, response);
}

static enum MHD_Result send_text(struct httpd *httpd, const struct client *client,
				 unsigned int status, const char *text)
{
	struct answer answer = {0};

	answer_text(&answer, status, text);
	return send_answer(httpd, client, &answer);
}

/* --- requests -------------------------------------------------------------- */

struct field_search {
	const char *name;
	struct buf *list;
};

static enum MHD_Result append_field(void *context, enum MHD_ValueKind kind,
				    const char *name, const char *value)
{
	const struct field_search *search = context;

	(void)kind;
	if (value && !strcasecmp(name, search->name)) {
		if (search->list->len)
			buf_string(search->list, ",");
		buf_string(search->list, value);
	}
	return MHD_YES;
}

/* The fields of that name as one list (RFC 9110 section 5.3), NUL terminated in
 * list; NULL when there is none. */
static const char *request_field(struct MHD_Connection *connection, const char *name,
				 struct buf *list)
{
	struct field_search search = {.name = name, .list = list};

	MHD_get_connection_values(connection, MHD_HEADER_KIND, append_field, &search);
	if (!list->len)
		return NULL;
	buf_append(list, "", 1);
	return list->error ? NULL : list->data;
}

/* A field that is a secret leaves no copy of ours. */
static enum basic_auth_verdict judge(struct httpd *httpd, struct client *client)
{
	CLEANUP(buf_free) struct buf list = BUF_INIT(HEADER_BYTES_MAX);
	const struct config_labels *users = &web_config(httpd->web)->users;
	enum basic_auth_verdict verdict;

	if (!users->count)
		return BASIC_AUTH_GRANTED;
	verdict = basic_auth_judge(
	    httpd->auth, users,
	    request_field(client->connection, "Authorization", &list), client);
	if (list.data)
		explicit_bzero(list.data, list.len);
	return verdict;
}

/* What the thread that hashes found out, or is asked now. */
static enum basic_auth_verdict may_enter(struct httpd *httpd, struct client *client)
{
	if (!httpd->web)
		return BASIC_AUTH_GRANTED;
	if (client->check == CLIENT_NOT_CHECKED)
		return judge(httpd, client);
	return client->check == CLIENT_IS_RIGHT ? BASIC_AUTH_GRANTED
						: BASIC_AUTH_DENIED;
}

/* Until on_checked. It keeps its place meanwhile. */
static enum MHD_Result wait_for_check(struct client *client)
{
	client->is_suspended = true;
	MHD_suspend_connection(client->connection);
	return MHD_YES;
}

/* There is room for more in the connection's memory: that is for responses. */
static bool is_head_too_large(struct client *client)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    client->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info && info->header_size > HEADER_BYTES_MAX;
}

static enum MHD_Result answer_page(struct httpd *httpd, struct client *client,
				   const char *target, const char *method)
{
	CLEANUP(buf_free) struct buf accept = BUF_INIT(HEADER_BYTES_MAX);
	CLEANUP(buf_free) struct buf encoding = BUF_INIT(HEADER_BYTES_MAX);
	const struct answer_request request = {
	    .target = target,
	    .method = method,
	    .accept = request_field(client->connection, "Accept", &accept),
	    .accept_encoding =
		request_field(client->connection, "Accept-Encoding", &encoding),
	    .is_busy = httpd->page_count >= PAGES_MAX,
	};
	CLEANUP(answer_free) struct answer answer = {0};

	answers_choose(&httpd->answers, &request, &answer);
	return send_answer(httpd, client, &answer);
}

static enum MHD_Result answer_client(struct httpd *httpd, struct client *client,
				     const char *target, const char *method)
{
	if (is_head_too_large(client))
		return send_text(httpd, client,
				 MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
				 "headers too large\n");
	switch (may_enter(httpd, client)) {
	case BASIC_AUTH_GRANTED:
		break;
	case BASIC_AUTH_DENIED:
		return send_text(httpd, client, MHD_HTTP_UNAUTHORIZED,
				 "Unauthorized\n");
	case BASIC_AUTH_WAITS:
		return wait_for_check(client);
	case BASIC_AUTH_BUSY:
		return send_text(httpd, client, MHD_HTTP_SERVICE_UNAVAILABLE,
				 "too many passwords are being checked\n");
	}
	return answer_page(httpd, client, target, method);
}

/* What follows "%00" would be cut off: with it a target is left as it is, and has
 * no answer. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static void refresh(struct httpd *httpd)
{
	if (httpd->web && web_refresh(httpd->web, now_ms()))
		basic_auth_forget(httpd->auth);
}

/* Called when the headers are there, then for each piece of a body, then for the
 * answer: libmicrohttpd takes an early one for POST and PUT only. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *target, const char *method,
				  const char *version, const char *upload,
				  size_t *upload_len, void **request_context)
{
	struct client *client =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		->socket_context;
	struct httpd *httpd = context;

	(void)version;
	(void)upload;
	if (!client)
		return MHD_NO;
	if (!*request_context) {
		*request_context = client;
		client->upload_bytes = 0;
		client->check = CLIENT_NOT_CHECKED;
		refresh(httpd);
		return MHD_YES;
	}
	if (*upload_len) {
		client->upload_bytes += *upload_len;
		*upload_len = 0;
		return client->upload_bytes <= UPLOAD_BYTES_MAX ? MHD_YES : MHD_NO;
	}
	clients_asked(client, now_ms());
	return answer_client(httpd, client, target, method);
}

static void on_completed(void *context, struct MHD_Connection *connection,
			 void **request_context, enum MHD_RequestTerminationCode how)
{
	struct client *client = *request_context;
	struct httpd *httpd = context;

	(void)connection;
	(void)how;
	if (!client)
		return;
	clients_answered(&httpd->clients, client, now_ms());
	*request_context = NULL;
}

/* --- connections ----------------------------------------------------------- */

static int fd_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
	    ->connect_fd;
}

/* Each connection has the certificate and the rules of when it came. */
static void begin_tls(struct httpd *httpd, struct client *client)
{
	const union MHD_ConnectionInfo *info;

	refresh(httpd);
	if (!web_tls_of(httpd->web))
		return;
	info = MHD_get_connection_info(client->connection,
				       MHD_CONNECTION_INFO_GNUTLS_SESSION);
	client->tls = web_tls_get(web_tls_of(httpd->web));
	client->stays_until_ms = now_ms() + HANDSHAKE_MS;
	if (!info || web_tls_begin(client->tls, info->tls_session))
		client_cut_off(client);
}

static void on_connection(void *context, struct MHD_Connection *connection,
			  void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct httpd *httpd = context;
	struct client *client = *socket_context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		client = clients_take(&httpd->clients, connection, fd_of(connection),
				      now_ms());
		*socket_context = client;
		if (client && httpd->web)
			begin_tls(httpd, client);
	} else if (client) {
		web_tls_put(&client->tls);
		clients_leave(&httpd->clients, client);
		*socket_context = NULL;
	}
}

/* When something is due: what libmicrohttpd has in hand or will close, a client
 * whose time is over, or one that may make room. UINT64_MAX: never. */
static uint64_t due_ms(const struct httpd *httpd, uint64_t now)
{
	uint64_t due = clients_deadline_ms(&httpd->clients);
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (MHD_get_timeout(httpd->daemon, &timeout_ms) == MHD_YES &&
	    now + timeout_ms < due)
		due = now + timeout_ms;
	return httpd->room_ms < due ? httpd->room_ms : due;
}

static void arm(struct httpd *httpd, uint64_t now, uint64_t delay_ms)
{
	int err = loop_timer_arm(httpd->timer, delay_ms, 0);

	httpd->timer_ms = err ? UINT64_MAX : now + delay_ms;
	if (err)
		log_error("cannot arm the HTTP server's timer: %s",
			  strerrorname_np(-err));
}

/* Armed only while there is a connection: without one nothing wakes. A response
 * is many events, each of which moves the limits on by what it took: the timer
 * goes a little late, and stays where it is meanwhile. */
static void schedule(struct httpd *httpd)
{
	uint64_t now = now_ms(), due = due_ms(httpd, now);

	if (due == UINT64_MAX) {
		if (httpd->timer_ms != UINT64_MAX)
			loop_timer_disarm(httpd->timer);
		httpd->timer_ms = UINT64_MAX;
		return;
	}
	if (httpd->timer_ms >= due && httpd->timer_ms <= due + TIMER_SLACK_MS)
		return;
	arm(httpd, now, due > now ? due + TIMER_SLACK_MS - now : 0);
}

/* A response goes on as long as the client's socket takes it. */
static bool has_work(struct httpd *httpd)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	return MHD_get_timeout(httpd->daemon, &timeout_ms) == MHD_YES && !timeout_ms;
}

/* libmicrohttpd watches its listening socket again only at the start of a run,
 * after a full house has lost a guest at the end of the run before. */
static void run_daemon(struct httpd *httpd)
{
	unsigned int count, runs = 0;

	do {
		count = httpd->clients.count;
		MHD_run(httpd->daemon);
		runs++;
	} while (httpd->clients.count < count || (runs < RUNS_MAX && has_work(httpd)));
	httpd->room_ms = clients_make_room(&httpd->clients, now_ms());
	schedule(httpd);
}

static void on_ready(void *context, uint32_t events)
{
	(void)events;
	run_daemon(context);
}

static void on_timeout(void *context)
{
	struct httpd *httpd = context;

	httpd->timer_ms = UINT64_MAX;
	clients_cut_off_late(&httpd->clients, now_ms());
	run_daemon(httpd);
}

/* libmicrohttpd resumes in its next run, for which nothing would wake us. */
static void on_checked(void *context, void *asker, bool granted)
{
	struct httpd *httpd = context;
	struct client *client = asker;

	client->check = granted ? CLIENT_IS_RIGHT : CLIENT_IS_WRONG;
	client->is_suspended = false;
	MHD_resume_connection(client->connection);
	arm(httpd, now_ms(), 0);
}

/* --- start and stop -------------------------------------------------------- */

/* libmicrohttpd tries at once again, and says so each time. */
static void tell_limit(struct httpd *httpd)
{
	uint64_t now = now_ms();

	if (httpd->limit_told_ms && now - httpd->limit_told_ms < TELL_PERIOD_MS)
		return;
	httpd->limit_told_ms = now;
	log_warning("the HTTP server cannot take a connection: no descriptor or memory "
		    "is left");
}

__attribute__((format(printf, 2, 0))) static void
log_daemon(void *context, const char *format, va_list arguments)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = '\0';
	log_debug("HTTP server: %s", text);
	if (strstr(text, "resource limit"))
		tell_limit(context);
}

/* Every session is given its own before the handshake (begin_tls). */
static int no_certificate(void)
{
	return -1;
}

/* A check of a password takes its time beside the loop; TLS, where there is. */
static unsigned int flags_of(const struct httpd *httpd)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;

	if (!httpd->web)
		return flags;
	if (web_tls_of(httpd->web))
		flags |= MHD_USE_TLS;
	return flags | MHD_ALLOW_SUSPEND_RESUME;
}

/* The listening socket becomes the daemon's when it starts. */
static int start_daemon(struct httpd *httpd, int *listener)
{
	bool has_tls = httpd->web && web_tls_of(httpd->web);
	const struct MHD_OptionItem tls[] = {
	    {has_tls ? MHD_OPTION_HTTPS_CERT_CALLBACK : MHD_OPTION_END, 0,
	     (void *)no_certificate},
	    {MHD_OPTION_END, 0, NULL},
	};
	const union MHD_DaemonInfo *info;

	errno = 0;
	httpd->daemon = MHD_start_daemon(
	    flags_of(httpd), 0, NULL, NULL, on_request, httpd,
	    MHD_OPTION_EXTERNAL_LOGGER, log_daemon, httpd, /* first: it may log */
	    MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_LISTEN_SOCKET,
	    *listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CLIENTS_MAX,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_SECONDS,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, httpd,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd, MHD_OPTION_ARRAY, tls,
	    MHD_OPTION_END);
	if (!httpd->daemon)
		return errno ? -errno : -ENOMEM;
	*listener = -1;
	info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -ENOTSUP; /* a libmicrohttpd built without epoll */
	httpd->epoll_fd = info->epoll_fd;
	return loop_watch(httpd->loop, httpd->epoll_fd, EPOLLIN, on_ready, httpd);
}

int httpd_start(struct loop *loop, const char *listen_address, struct web *web,
		const struct answer_pages *pages, struct httpd **ret_httpd)
{
	CLEANUP(httpd_stop) struct httpd *httpd = calloc(1, sizeof(*httpd));
	AUTO_CLOSE int listener = -1;
	int err;

	if (!httpd)
		return -ENOMEM;
	httpd->loop = loop;
	httpd->web = web;
	answers_init(&httpd->answers, pages);
	httpd->timer_ms = httpd->room_ms = UINT64_MAX;
	httpd->epoll_fd = -1;
	err = listener_open(listen_address, &listener);
	if (!err)
		err = listener_port(listener, &httpd->port);
	if (!err)
		err = loop_timer_create(loop, on_timeout, httpd, &httpd->timer);
	if (!err && web)
		err = basic_auth_create(loop, on_checked, httpd, &httpd->auth);
	if (!err)
		err = start_daemon(httpd, &listener);
	if (err)
		return err;
	*ret_httpd = TAKE(httpd);
	return 0;
}

unsigned int httpd_port(const struct httpd *httpd)
{
	return httpd->port;
}

/* libmicrohttpd does not stop while one is suspended. */
static void resume_all(struct httpd *httpd)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &httpd->clients.places[i];

		if (client->connection && client->is_suspended)
			MHD_resume_connection(client->connection);
	}
}

void httpd_stop(struct httpd **httpd)
{
	if (!*httpd)
		return;
	basic_auth_free(&(*httpd)->auth);
	resume_all(*httpd);
	loop_unwatch((*httpd)->loop, (*httpd)->epoll_fd);
	if ((*httpd)->daemon)
		MHD_stop_daemon((*httpd)->daemon);
	loop_timer_free(&(*httpd)->timer);
	free(*httpd);
	*httpd = NULL;
}
