/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <zlib.h>

#include "address.h"
#include "cleanup.h"
#include "log.h"
#include "negotiate.h"

#define CONNECTIONS_MAX 64
#define BACKLOG 128
#define HEADER_BYTES_MAX (16 * 1024)
#define IDLE_SECONDS 10
/* The idle limit starts anew with every byte; these do not, so a client that
 * trickles cannot keep its place. A request has its ten seconds after a
 * connection sat idle for as long as it may. */
#define REQUEST_MS 20000
#define RESPONSE_MS 60000
/* A request's body means nothing here: so much is read and thrown away. */
#define UPLOAD_BYTES_MAX (64 * 1024)
/* Of all bodies that are being sent, together. */
#define BODY_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define GZIP_CHUNK 16384

struct client {
	struct MHD_Connection *connection; /* NULL: place is free */
	uint64_t deadline_ms;              /* UINT64_MAX: has been cut off */
	size_t upload_bytes;
	size_t body_bytes; /* memory of the response being sent */
};

struct httpd {
	struct loop *loop;
	struct loop_timer *timer;
	struct MHD_Daemon *daemon;
	int epoll_fd; /* the daemon's */
	unsigned int port;
	struct httpd_pages pages;
	struct client clients[CONNECTIONS_MAX];
	unsigned int client_count;
	size_t body_bytes; /* sum over clients */
};

struct header {
	const char *name;
	const char *value;
};

/* A body in memory that goes over to libmicrohttpd, and what describes it. */
struct page {
	struct buf body;
	const char *content_type;
	const char *vary;
	bool is_html;
	bool is_gzip;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- responses ------------------------------------------------------------- */

static bool add_header(struct MHD_Response *response, const char *name,
		       const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Consumes response, which may be NULL. MHD_NO ends the connection. */
static enum MHD_Result send_response(struct MHD_Connection *connection,
				     unsigned int status, struct MHD_Response *response,
				     const struct header *headers, size_t header_count)
{
	enum MHD_Result result = MHD_NO;
	bool complete;

	if (!response)
		return MHD_NO;
	complete = add_header(response, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < header_count && complete; i++)
		complete = add_header(response, headers[i].name, headers[i].value);
	if (complete)
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response); /* the connection holds its own reference */
	return result;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned int status,
				 const char *text)
{
	static const struct header headers[] = {
	    {"Content-Type", "text/plain; charset=utf-8"},
	    {"Allow", "GET, HEAD"}, /* last: for 405 only */
	};
	bool is_method_wrong = status == MHD_HTTP_METHOD_NOT_ALLOWED;

	return send_response(connection, status,
			     MHD_create_response_from_buffer(strlen(text), (void *)text,
							     MHD_RESPMEM_MUST_COPY),
			     headers, is_method_wrong ? 2 : 1);
}

/* 500 with the reason's name. A body that found no room only because others are
 * still being sent is 503: it can be had later. */
static enum MHD_Result send_failure(const struct httpd *httpd,
				    struct MHD_Connection *connection, int err)
{
	const char *name = strerrorname_np(abs(err));
	char text[64];

	if (err == -E2BIG && httpd->body_bytes)
		return send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				 "other responses fill the memory for them\n");
	snprintf(text, sizeof(text), "failed: %s\n", name ? name : "unknown error");
	return send_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, text);
}

/* The body's memory becomes libmicrohttpd's. */
static enum MHD_Result send_page(struct httpd *httpd, struct client *client,
				 struct page *page)
{
	const struct header headers[] = {
	    {"Content-Type", page->content_type},
	    {"Vary", page->vary},
	    {page->is_html ? "Content-Security-Policy" : NULL,
	     "default-src 'none'; style-src 'unsafe-inline'"},
	    {page->is_gzip ? "Content-Encoding" : NULL, "gzip"},
	};
	struct header present[sizeof(headers) / sizeof(headers[0])];
	size_t count = 0, body_bytes = page->body.capacity;
	struct MHD_Response *response;
	enum MHD_Result result;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (headers[i].name)
			present[count++] = headers[i];
	}
	response = MHD_create_response_from_buffer(page->body.len, page->body.data,
						   MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	page->body = (struct buf){0};
	/* Before the answer is queued: sending may end, and be booked, in there. */
	client->body_bytes = body_bytes;
	httpd->body_bytes += body_bytes;
	result =
	    send_response(client->connection, MHD_HTTP_OK, response, present, count);
	if (result != MHD_YES) {
		httpd->body_bytes -= client->body_bytes;
		client->body_bytes = 0;
	}
	return result;
}

static size_t body_room(const struct httpd *httpd)
{
	return httpd->body_bytes < BODY_BYTES_MAX ? BODY_BYTES_MAX - httpd->body_bytes
						  : 0;
}

/* --- gzip ------------------------------------------------------------------ */

static int deflate_into(z_stream *stream, struct buf *out)
{
	unsigned char chunk[GZIP_CHUNK];
	int status;

	do {
		stream->next_out = chunk;
		stream->avail_out = sizeof(chunk);
		status = deflate(stream, Z_FINISH);
		buf_append(out, chunk, sizeof(chunk) - stream->avail_out);
	} while (status == Z_OK && !out->error);
	if (out->error)
		return out->error;
	return status == Z_STREAM_END ? 0 : -EIO;
}

/* Replaces the body by its gzip form. The fastest level: exposition text shrinks
 * tenfold by any, and the time is the daemon's only thread's. On failure the
 * body stays, which every client takes too. */
static void compress_page(struct page *page, size_t ceiling)
{
	CLEANUP(buf_free) struct buf packed = BUF_INIT(ceiling);
	z_stream stream = {
	    .next_in = (unsigned char *)page->body.data,
	    .avail_in = (unsigned int)page->body.len, /* <= BODY_BYTES_MAX */
	};
	int err;

	if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return;
	err = deflate_into(&stream, &packed);
	deflateEnd(&stream);
	if (err)
		return;
	buf_free(&page->body);
	page->body = packed;
	packed = (struct buf){0};
	page->is_gzip = true;
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

static enum text_format wanted_format(struct MHD_Connection *connection)
{
	CLEANUP(buf_free) struct buf list = BUF_INIT(HEADER_BYTES_MAX);

	return negotiate_format(request_field(connection, "Accept", &list));
}

static bool wants_gzip(struct MHD_Connection *connection)
{
	CLEANUP(buf_free) struct buf list = BUF_INIT(HEADER_BYTES_MAX);

	return negotiate_gzip(request_field(connection, "Accept-Encoding", &list));
}

/* err is what the page's writer returned. */
static enum MHD_Result finish_page(struct httpd *httpd, struct client *client,
				   struct page *page, int err)
{
	if (!err)
		err = page->body.error;
	if (err)
		return send_failure(httpd, client->connection, err);
	if (wants_gzip(client->connection))
		compress_page(page, body_room(httpd));
	return send_page(httpd, client, page);
}

static enum MHD_Result answer_metrics(struct httpd *httpd, struct client *client)
{
	enum text_format format = wanted_format(client->connection);
	struct page page = {
	    .body = BUF_INIT(body_room(httpd)),
	    .content_type = text_content_type(format),
	    .vary = "Accept, Accept-Encoding",
	};
	enum MHD_Result result;

	result =
	    finish_page(httpd, client, &page,
			httpd->pages.metrics(httpd->pages.context, format, &page.body));
	buf_free(&page.body);
	return result;
}

static enum MHD_Result answer_status(struct httpd *httpd, struct client *client)
{
	struct page page = {
	    .body = BUF_INIT(body_room(httpd)),
	    .content_type = "text/html; charset=utf-8",
	    .vary = "Accept-Encoding",
	    .is_html = true,
	};
	enum MHD_Result result;

	result = finish_page(httpd, client, &page,
			     httpd->pages.status(httpd->pages.context, &page.body));
	buf_free(&page.body);
	return result;
}

static enum MHD_Result answer_healthy(struct httpd *httpd, struct client *client)
{
	(void)httpd;
	return send_text(client->connection, MHD_HTTP_OK, "bpftally is healthy.\n");
}

static enum MHD_Result answer_ready(struct httpd *httpd, struct client *client)
{
	if (httpd->pages.ready(httpd->pages.context))
		return send_text(client->connection, MHD_HTTP_OK,
				 "bpftally is ready.\n");
	return send_text(client->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			 "bpftally is not ready.\n");
}

static const struct {
	const char *path;
	enum MHD_Result (*answer)(struct httpd *httpd, struct client *client);
} routes[] = {
    {"/metrics", answer_metrics},
    {"/", answer_status},
    {"/-/healthy", answer_healthy},
    {"/-/ready", answer_ready},
};

static enum MHD_Result answer(struct httpd *httpd, struct client *client,
			      const char *path, const char *method)
{
	bool is_read = !strcmp(method, "GET") || !strcmp(method, "HEAD");

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(path, routes[i].path))
			continue;
		if (is_read)
			return routes[i].answer(httpd, client);
		return send_text(client->connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				 "method not allowed\n");
	}
	return send_text(client->connection, MHD_HTTP_NOT_FOUND, "not found\n");
}

/* Called when the headers are there, then for each piece of a body, then for the
 * answer: libmicrohttpd takes an early one for POST and PUT only. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method,
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
		return MHD_YES;
	}
	if (*upload_len) {
		client->upload_bytes += *upload_len;
		*upload_len = 0;
		return client->upload_bytes <= UPLOAD_BYTES_MAX ? MHD_YES : MHD_NO;
	}
	client->deadline_ms = now_ms() + RESPONSE_MS;
	return answer(httpd, client, path, method);
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
	httpd->body_bytes -= client->body_bytes;
	client->body_bytes = 0;
	client->deadline_ms = now_ms() + REQUEST_MS;
	*request_context = NULL;
}

/* --- connections ----------------------------------------------------------- */

static struct client *take_place(struct httpd *httpd, struct MHD_Connection *connection)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct client *client = &httpd->clients[i];

		if (client->connection)
			continue;
		*client = (struct client){
		    .connection = connection,
		    .deadline_ms = now_ms() + REQUEST_MS,
		};
		httpd->client_count++;
		return client;
	}
	return NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection,
			  void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct httpd *httpd = context;
	struct client *client = *socket_context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = take_place(httpd, connection);
	} else if (client) {
		client->connection = NULL;
		httpd->client_count--;
		*socket_context = NULL;
	}
}

/* libmicrohttpd finds the end of the stream and closes. */
static void cut_off_late_clients(struct httpd *httpd)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct client *client = &httpd->clients[i];

		if (!client->connection || client->deadline_ms > now)
			continue;
		client->deadline_ms = UINT64_MAX;
		shutdown(MHD_get_connection_info(client->connection,
						 MHD_CONNECTION_INFO_CONNECTION_FD)
			     ->connect_fd,
			 SHUT_RDWR);
	}
}

static uint64_t earliest_deadline_ms(const struct httpd *httpd)
{
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		const struct client *client = &httpd->clients[i];

		if (client->connection && client->deadline_ms < earliest)
			earliest = client->deadline_ms;
	}
	return earliest;
}

/* Armed only while there is a connection: without one nothing wakes. */
static void schedule(struct httpd *httpd)
{
	uint64_t now = now_ms(), deadline_ms = earliest_deadline_ms(httpd);
	uint64_t delay_ms = UINT64_MAX;
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	int err;

	if (deadline_ms != UINT64_MAX)
		delay_ms = deadline_ms > now ? deadline_ms - now : 0;
	if (MHD_get_timeout(httpd->daemon, &timeout_ms) == MHD_YES &&
	    timeout_ms < delay_ms)
		delay_ms = timeout_ms;
	if (delay_ms == UINT64_MAX) {
		loop_timer_disarm(httpd->timer);
		return;
	}
	err = loop_timer_arm(httpd->timer, delay_ms, 0);
	if (err)
		log_error("cannot arm the HTTP server's timer: %s",
			  strerrorname_np(-err));
}

/* libmicrohttpd watches its listening socket again only at the start of a run,
 * after a full house has lost a guest at the end of the run before. */
static void run_daemon(struct httpd *httpd)
{
	unsigned int count;

	do {
		count = httpd->client_count;
		MHD_run(httpd->daemon);
	} while (httpd->client_count < count);
	schedule(httpd);
}

static void on_ready(void *context, uint32_t events)
{
	(void)events;
	run_daemon(context);
}

static void on_timeout(void *context)
{
	cut_off_late_clients(context);
	run_daemon(context);
}

/* --- start and stop -------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void
log_daemon(void *context, const char *format, va_list arguments)
{
	char text[512];

	(void)context;
	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = '\0';
	log_debug("HTTP server: %s", text);
}

static int enable(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int open_listener(const struct sockaddr_storage *address, socklen_t len,
			 int *ret_fd)
{
	AUTO_CLOSE int fd =
	    socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err && address->ss_family == AF_INET6)
		err = enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (err)
		return err;
	if (bind(fd, (const struct sockaddr *)address, len))
		return -errno;
	if (listen(fd, BACKLOG))
		return -errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ":PORT" on a kernel without IPv6 is every IPv4 address. */
static int listen_on(const char *text, int *ret_fd)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_storage address;
	socklen_t len;
	int err = address_parse(text, &address, &len);

	if (err)
		return err;
	err = open_listener(&address, len, ret_fd);
	if (err != -EAFNOSUPPORT || text[0] != ':')
		return err;
	ipv4.sin_port = ((const struct sockaddr_in6 *)&address)->sin6_port;
	memcpy(&address, &ipv4, sizeof(ipv4));
	return open_listener(&address, sizeof(ipv4), ret_fd);
}

static int port_of(int fd, unsigned int *ret_port)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	*ret_port = ntohs(address.ss_family == AF_INET
			      ? ((struct sockaddr_in *)&address)->sin_port
			      : ((struct sockaddr_in6 *)&address)->sin6_port);
	return 0;
}

/* The listening socket becomes the daemon's when it starts. */
static int start_daemon(struct httpd *httpd, int *listener)
{
	const union MHD_DaemonInfo *info;

	errno = 0;
	httpd->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, httpd,
	    MHD_OPTION_EXTERNAL_LOGGER, log_daemon, NULL, /* first: it may log */
	    MHD_OPTION_LISTEN_SOCKET, *listener, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned int)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)HEADER_BYTES_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
	    httpd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd, MHD_OPTION_END);
	if (!httpd->daemon)
		return errno ? -errno : -ENOMEM;
	*listener = -1;
	info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -ENOTSUP; /* a libmicrohttpd built without epoll */
	httpd->epoll_fd = info->epoll_fd;
	return loop_watch(httpd->loop, httpd->epoll_fd, EPOLLIN, on_ready, httpd);
}

int httpd_start(struct loop *loop, const char *listen_address,
		const struct httpd_pages *pages, struct httpd **ret_httpd)
{
	CLEANUP(httpd_stop) struct httpd *httpd = calloc(1, sizeof(*httpd));
	AUTO_CLOSE int listener = -1;
	int err;

	if (!httpd)
		return -ENOMEM;
	httpd->loop = loop;
	httpd->pages = *pages;
	httpd->epoll_fd = -1;
	err = listen_on(listen_address, &listener);
	if (!err)
		err = port_of(listener, &httpd->port);
	if (!err)
		err = loop_timer_create(loop, on_timeout, httpd, &httpd->timer);
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

void httpd_stop(struct httpd **httpd)
{
	if (!*httpd)
		return;
	loop_unwatch((*httpd)->loop, (*httpd)->epoll_fd);
	if ((*httpd)->daemon)
		MHD_stop_daemon((*httpd)->daemon);
	loop_timer_free(&(*httpd)->timer);
	free(*httpd);
	*httpd = NULL;
}
