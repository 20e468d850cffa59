/* SPDX-License-Identifier: Apache-2.0 */
#include "observed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "holders.h"
#include "length.h"
#include "listening.h"
#include "log.h"
#include "observer.h"
#include "proc.h"
#include "retry.h"
#include "scraped.h"
#include "slice.h"
#include "targets.h"

#define PROC "/proc"
#define FIRST_LOOK_MS 1000
#define LOOK_MAX_MS 15000
#define RETRIES 5
#define ASKERS 4 /* questions at a time, each to another process */
#define PORTS_MAX 4096
#define BODY_BYTES_MAX ((size_t)16 << 20)
#define HOST_LEN 256
#define PID_LEN 16

/* PORT_WAITS: to be asked again. */
enum port_state { PORT_NEW, PORT_ASKED, PORT_WAITS, PORT_SERVES, PORT_SERVES_NOT };

/* A socket that an observed process listens on. */
struct port {
	struct listening_socket socket;
	enum port_state state;
	unsigned int retries; /* so far */
	uint64_t wait_looks;  /* until it is asked again */
	uint32_t pid;
	uint64_t start_ticks; /* of that process */
	bool is_seen;         /* while all are looked at */
	char service[PROC_NAME_LEN];
	char instance[HOST_LEN + 8];
};

struct asker {
	struct observed *observed;
	struct exchange *exchange;
	uint64_t inode; /* of what is asked; 0: idle */
};

struct observed {
	const struct config_scrape *job;
	const struct observer *observer;
	observed_changed changed;
	void *context;
	struct config_http http; /* the job's; owns nothing */
	struct relabel *relabel;
	struct client *client;
	struct loop_timer *timer;
	struct asker askers[ASKERS];
	struct holders *holders;
	bool is_looking;
	struct port *ports; /* PORTS_MAX */
	size_t count;
	bool has_changed; /* while all are looked at */
	char host[HOST_LEN];
};

/* --- a port as a target ----------------------------------------------------------- */

static void discover(const struct port *port, char pid[PID_LEN],
		     struct scrape_discovered *ret_discovered)
{
	snprintf(pid, PID_LEN, "%u", port->pid);
	*ret_discovered = (struct scrape_discovered){
	    .address = port->socket.address,
	    .more = {{"instance", port->instance},
		     {"service_name", port->service},
		     {"__meta_process_pid", pid}},
	};
}

void observed_each(const struct observed *observed, observed_visit visit, void *context)
{
	for (size_t i = 0; i < observed->count; i++) {
		struct scrape_discovered discovered;
		char pid[PID_LEN];

		if (observed->ports[i].state != PORT_SERVES)
			continue;
		discover(&observed->ports[i], pid, &discovered);
		visit(context, &discovered);
	}
}

static struct port *find_port(struct observed *observed, uint64_t inode)
{
	for (size_t i = 0; i < observed->count; i++) {
		if (observed->ports[i].socket.inode == inode)
			return &observed->ports[i];
	}
	return NULL;
}

/* --- asking ----------------------------------------------------------------------- */

static bool is_exposition(const struct observed *observed,
			  const struct exchange *exchange, const char *body, size_t len)
{
	AUTO_FREE struct textparse *parser = malloc(sizeof(*parser));
	struct textparse_entry entry;
	enum textparse_kind kind;
	bool has_sample = false;

	if (!parser || !len)
		return false;
	textparse_init(parser,
		       scraped_format(observed->job, exchange_content_type(exchange)),
		       body, len);
	while ((kind = textparse_next(parser, &entry)) != TEXTPARSE_END &&
	       kind != TEXTPARSE_INVALID)
		has_sample |= kind == TEXTPARSE_SAMPLE;
	return has_sample && kind == TEXTPARSE_END;
}

static uint64_t look_ms(const struct observed *observed)
{
	uint64_t interval_ms = observed->job->interval_ms;

	return interval_ms < LOOK_MAX_MS ? interval_ms : LOOK_MAX_MS;
}

/* Who just starts may refuse connections, or say 503: it is asked again after one
 * interval of the job, then after two, four, ... */
static bool wait_for(const struct observed *observed, struct port *port, long status)
{
	uint64_t looks =
	    (observed->job->interval_ms + look_ms(observed) - 1) / look_ms(observed);

	if (retry_judge(status, false) != RETRY_LATER || port->retries == RETRIES)
		return false;
	port->wait_looks = looks << port->retries++;
	port->state = PORT_WAITS;
	log_debug("process %u does not answer on %s yet: asked again", port->pid,
		  port->socket.address);
	return true;
}

static void ask_next(struct observed *observed);

static void on_answer(void *context, const struct client_answer *answer)
{
	struct asker *asker = context;
	struct observed *observed = asker->observed;
	struct port *port = find_port(observed, asker->inode);
	size_t len;
	const char *body = exchange_body(asker->exchange, &len);
	bool serves = answer->status == 200 &&
		      is_exposition(observed, asker->exchange, body, len);

	asker->inode = 0;
	if (port && !wait_for(observed, port, answer->status)) {
		port->state = serves ? PORT_SERVES : PORT_SERVES_NOT;
		log_debug("process %u serves %s metrics on %s", port->pid,
			  serves ? "its" : "no", port->socket.address);
	}
	if (port && serves)
		observed->changed(observed->context);
	ask_next(observed);
}

/* What rules drop, or make no target of, is not asked either. */
static int ask(struct observed *observed, struct asker *asker, const struct port *port)
{
	CLEANUP(scrape_target_free) struct scrape_target *target = NULL;
	const char *headers[] = {observed->job->accept};
	char error[SCRAPE_TARGET_ERROR_LEN], pid[PID_LEN];
	struct scrape_discovered discovered;
	struct client_answer failed;
	int err;

	discover(port, pid, &discovered);
	err = scrape_target_create(observed->job, observed->relabel, &discovered,
				   &target, error);
	if (err || !target)
		return err ? err : -ENOENT;
	err = exchange_set_url(asker->exchange, target->url);
	return err ? err
		   : exchange_get(asker->exchange, headers, LENGTH(headers),
				  BODY_BYTES_MAX, &failed);
}

static bool is_being_asked(struct observed *observed, uint32_t pid)
{
	for (size_t i = 0; i < observed->count; i++) {
		if (observed->ports[i].state == PORT_ASKED &&
		    observed->ports[i].pid == pid)
			return true;
	}
	return false;
}

static struct port *find_new(struct observed *observed)
{
	for (size_t i = 0; i < observed->count; i++) {
		struct port *port = &observed->ports[i];

		if (port->state == PORT_NEW && !is_being_asked(observed, port->pid))
			return port;
	}
	return NULL;
}

static struct asker *find_asker(struct observed *observed)
{
	for (size_t i = 0; i < LENGTH(observed->askers); i++) {
		if (!observed->askers[i].inode)
			return &observed->askers[i];
	}
	return NULL;
}

static void ask_next(struct observed *observed)
{
	struct asker *asker;
	struct port *port;

	while ((asker = find_asker(observed)) && (port = find_new(observed))) {
		port->state = PORT_ASKED;
		asker->inode = port->socket.inode;
		if (ask(observed, asker, port)) {
			port->state = PORT_SERVES_NOT;
			asker->inode = 0;
		}
	}
}

/* --- looking ---------------------------------------------------------------------- */

static struct port *add_port(struct observed *observed,
			     const struct listening_socket *socket)
{
	struct port *port = &observed->ports[observed->count];

	if (observed->count == PORTS_MAX)
		return NULL;
	observed->count++;
	*port = (struct port){.socket = *socket};
	snprintf(port->instance, sizeof(port->instance), "%s:%u", observed->host,
		 socket->port);
	return port;
}

/* Another process may have inherited a socket, of a unit of systemd say: it is asked
 * anew, but for one that serves, where scrapes tell. */
static void note_process(struct port *port, const struct holder *holder)
{
	if (port->start_ticks != holder->start_ticks) {
		port->retries = 0;
		if (port->state == PORT_SERVES_NOT || port->state == PORT_WAITS)
			port->state = PORT_NEW;
	}
	port->pid = holder->pid;
	port->start_ticks = holder->start_ticks;
}

static void see_socket(void *context, const struct listening_socket *socket,
		       const struct holder *holder)
{
	struct observed *observed = context;
	struct port *port = find_port(observed, socket->inode);

	if (!port)
		port = add_port(observed, socket);
	if (!port)
		return;
	port->is_seen = true;
	if (port->state == PORT_WAITS && !--port->wait_looks)
		port->state = PORT_NEW;
	note_process(port, holder);
	if (strcmp(port->service, holder->service) != 0)
		observed->has_changed |= port->state == PORT_SERVES;
	snprintf(port->service, sizeof(port->service), "%s", holder->service);
}

static void leave_unseen_out(struct observed *observed)
{
	size_t kept = 0;

	for (size_t i = 0; i < observed->count; i++) {
		struct port *port = &observed->ports[i];

		if (!port->is_seen) {
			observed->has_changed |= port->state == PORT_SERVES;
			continue;
		}
		port->is_seen = false;
		observed->ports[kept++] = *port;
	}
	observed->count = kept;
}

static void add_process(void *context, uint32_t pid, const struct service *service)
{
	struct observed *observed = context;

	if (pid != (uint32_t)getpid())
		holders_add(observed->holders, pid, service->name);
}

static bool begin_look(struct observed *observed)
{
	int err = holders_begin(observed->holders);

	if (err) {
		log_debug("cannot read which ports are listened on: %s",
			  strerror(-err));
		return false;
	}
	observer_each_process(observed->observer, add_process, observed);
	return true;
}

static void end_look(struct observed *observed)
{
	observed->has_changed = false;
	holders_each(observed->holders, see_socket, observed);
	leave_unseen_out(observed);
	if (observed->has_changed)
		observed->changed(observed->context);
	ask_next(observed);
}

/* A look takes as many turns of the loop as there are portions to be read. */
static void on_timer(void *context)
{
	struct observed *observed = context;

	if (!observed->is_looking)
		observed->is_looking = begin_look(observed);
	if (observed->is_looking && holders_go_on(observed->holders)) {
		loop_timer_arm(observed->timer, 0, 0);
		return;
	}
	loop_timer_arm(observed->timer, look_ms(observed), 0);
	if (observed->is_looking)
		end_look(observed);
	observed->is_looking = false;
}

/* --- life ------------------------------------------------------------------------- */

static void name_host(struct observed *observed)
{
	char host[HOST_LEN] = "";

	if (gethostname(host, sizeof(host) - 1) ||
	    !slice_to_label(slice_of(host), observed->host, sizeof(observed->host)))
		strcpy(observed->host, "localhost");
}

static int make_askers(struct observed *observed)
{
	int err = 0;

	for (size_t i = 0; !err && i < LENGTH(observed->askers); i++) {
		struct asker *asker = &observed->askers[i];

		asker->observed = observed;
		err = exchange_create(observed->client, &observed->http, on_answer,
				      asker, &asker->exchange);
	}
	return err;
}

int observed_create(struct loop *loop, const struct config_scrape *job,
		    const struct observer *observer, observed_changed changed,
		    void *context, struct observed **ret_observed)
{
	CLEANUP(observed_free) struct observed *observed = calloc(1, sizeof(*observed));
	int err;

	if (!observed)
		return -ENOMEM;
	observed->job = job;
	observed->observer = observer;
	observed->changed = changed;
	observed->context = context;
	observed->http = job->http;
	name_host(observed);
	observed->ports = calloc(PORTS_MAX, sizeof(*observed->ports));
	if (!observed->ports)
		return -ENOMEM;
	err = relabel_create(job->relabels, job->relabel_count, &observed->relabel);
	if (!err)
		err = holders_create(PROC, &observed->holders);
	if (!err)
		err = client_create(loop, &observed->client);
	if (!err)
		err = make_askers(observed);
	if (!err)
		err = loop_timer_create(loop, on_timer, observed, &observed->timer);
	if (!err)
		err = loop_timer_arm(observed->timer, FIRST_LOOK_MS, 0);
	if (err)
		return err;
	*ret_observed = TAKE(observed);
	return 0;
}

void observed_free(struct observed **observed)
{
	if (!*observed)
		return;
	for (size_t i = 0; i < LENGTH((*observed)->askers); i++)
		exchange_free(&(*observed)->askers[i].exchange);
	loop_timer_free(&(*observed)->timer);
	client_free(&(*observed)->client);
	relabel_free(&(*observed)->relabel);
	holders_free(&(*observed)->holders);
	free((*observed)->ports);
	free(*observed);
	*observed = NULL;
}
