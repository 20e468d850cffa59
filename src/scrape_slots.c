/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "length.h"

#define HEADERS_MAX 3
#define BODIES_BYTES_MAX ((size_t)256 << 20) /* of all that are read at a time */

/* A request, or the memory of one: what it was made with serves the next of its job. */
struct scrape_slot {
	struct scrape_slots *slots;
	const struct config_scrape *job;
	struct config_http
	    http; /* the job's, with the target's timeout; owns nothing */
	struct exchange *exchange;
	struct scraped *scraped; /* NULL: idle */
	int64_t time_ms;
	bool is_slow;
	struct scrape_slot *next; /* of all */
};

struct line {
	struct scraped *first;
	struct scraped **last; /* where the next one goes */
	size_t running;
	size_t running_max;
};

enum { QUICK, SLOW, LINES };

struct scrape_slots {
	struct push *push;
	struct client *client;
	struct loop_timer *timer; /* requests begin in a turn of their own */
	scrape_slots_done done;
	void *context;
	struct scrape_slot *all;
	size_t count;
	struct line lines[LINES];
	size_t running;
};

/* --- lines ------------------------------------------------------------------------ */

static void append(struct line *line, struct scraped *scraped)
{
	scraped->turn.state = SCRAPED_WAITING;
	scraped->turn.next = NULL;
	*line->last = scraped;
	line->last = &scraped->turn.next;
}

static struct scraped *take_first(struct line *line)
{
	struct scraped *scraped = line->first;

	line->first = scraped->turn.next;
	if (!line->first)
		line->last = &line->first;
	scraped->turn.next = NULL;
	return scraped;
}

static void take_out(struct line *line, struct scraped *scraped)
{
	struct scraped **at = &line->first;

	while (*at && *at != scraped)
		at = &(*at)->turn.next;
	if (!*at)
		return;
	*at = scraped->turn.next;
	if (!*at)
		line->last = at;
}

static void begin_soon(struct scrape_slots *slots)
{
	loop_timer_arm(slots->timer, 0, 0);
}

bool scrape_slots_is_idle(const struct scraped *scraped)
{
	return scraped->turn.state == SCRAPED_IDLE;
}

void scrape_slots_add(struct scrape_slots *slots, struct scraped *scraped)
{
	if (scraped->turn.state == SCRAPED_RUNNING)
		scraped->turn.is_due_again = true;
	if (!scrape_slots_is_idle(scraped))
		return;
	append(&slots->lines[scraped->outcome.is_slow ? SLOW : QUICK], scraped);
	begin_soon(slots);
}

/* --- the end of a request --------------------------------------------------------- */

static void release(struct scrape_slot *slot)
{
	struct scraped *scraped = slot->scraped;

	slot->slots->lines[slot->is_slow ? SLOW : QUICK].running--;
	slot->slots->running--;
	slot->scraped = NULL;
	scraped->turn.slot = NULL;
	scraped->turn.state = SCRAPED_IDLE;
}

static void tell(struct scrape_slot *slot, const struct scraped_answer *answer)
{
	struct scrape_slots *slots = slot->slots;
	struct scraped *scraped = slot->scraped;
	bool is_due_again = scraped->turn.is_due_again;

	release(slot);
	scraped->turn.is_due_again = false;
	slots->done(slots->context, scraped, answer);
	if (is_due_again)
		scrape_slots_add(slots, scraped);
	else if (slots->lines[QUICK].first || slots->lines[SLOW].first)
		begin_soon(slots);
}

static void on_answer(void *context, const struct client_answer *client)
{
	struct scrape_slot *slot = context;
	struct scraped_answer answer = {
	    .content_type = exchange_content_type(slot->exchange),
	    .duration_s = client->duration_s,
	    .time_ms = slot->time_ms,
	};
	char error[SCRAPED_ERROR_LEN];

	answer.body = exchange_body(slot->exchange, &answer.len);
	if (client->status == 200) {
		tell(slot, &answer);
		return;
	}
	answer.result = client->status ? SCRAPED_BAD_STATUS : SCRAPED_NO_ANSWER;
	if (client->status)
		snprintf(error, sizeof(error), "HTTP status %ld", client->status);
	else
		snprintf(error, sizeof(error), "%s", client->text);
	answer.error = error;
	answer.len = 0;
	tell(slot, &answer);
}

/* --- its beginning ---------------------------------------------------------------- */

static bool fits(const struct scrape_slot *slot, const struct scraped *scraped)
{
	return !slot->scraped && slot->job == scraped->config &&
	       slot->http.timeout_ms == scraped->target->timeout_ms;
}

static void free_slot(struct scrape_slots *slots, struct scrape_slot **at)
{
	struct scrape_slot *slot = *at;

	*at = slot->next;
	slots->count--;
	exchange_free(&slot->exchange);
	free(slot);
}

static struct scrape_slot *make_slot(struct scrape_slots *slots,
				     const struct scraped *scraped)
{
	AUTO_FREE struct scrape_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->slots = slots;
	slot->job = scraped->config;
	slot->http = scraped->config->http;
	slot->http.timeout_ms = scraped->target->timeout_ms;
	if (exchange_create(slots->client, &slot->http, on_answer, slot,
			    &slot->exchange))
		return NULL;
	slot->next = slots->all;
	slots->all = slot;
	slots->count++;
	return TAKE(slot);
}

/* An idle one that fits, or a new one, in the place of one that does not. */
static struct scrape_slot *find_slot(struct scrape_slots *slots,
				     const struct scraped *scraped)
{
	struct scrape_slot **idle = NULL;

	for (struct scrape_slot **at = &slots->all; *at; at = &(*at)->next) {
		if (fits(*at, scraped))
			return *at;
		if (!(*at)->scraped)
			idle = at;
	}
	if (slots->count >= SCRAPE_SLOTS_MAX && idle)
		free_slot(slots, idle);
	return make_slot(slots, scraped);
}

static int ask(struct scrape_slot *slot, struct client_answer *ret_answer)
{
	const struct config_scrape *job = slot->job;
	const struct scrape_target *target = slot->scraped->target;
	char timeout[80];
	const char *headers[HEADERS_MAX] = {job->accept, timeout,
					    "Accept-Encoding: identity"};
	size_t limit =
	    job->limits.body_bytes ? job->limits.body_bytes : SCRAPE_BODY_BYTES_MAX;
	int err;

	snprintf(timeout, sizeof(timeout), "X-Prometheus-Scrape-Timeout-Seconds: %.10g",
		 (double)target->timeout_ms / 1000);
	err = exchange_set_url(slot->exchange, target->url);
	if (err)
		return err;
	return exchange_get(slot->exchange, headers,
			    HEADERS_MAX - job->enable_compression, limit, ret_answer);
}

static void begin(struct scrape_slots *slots, struct line *line)
{
	struct scraped *scraped = take_first(line);
	struct scraped_answer answer = {.result = SCRAPED_NOT_ASKED,
					.error = "out of memory"};
	struct scrape_slot *slot = find_slot(slots, scraped);
	struct client_answer failed = {.text = "cannot be asked"};

	scraped->turn.state = SCRAPED_IDLE;
	answer.time_ms = scraped_time_ms(scraped, slots->push);
	if (!slot) {
		slots->done(slots->context, scraped, &answer);
		return;
	}
	slot->scraped = scraped;
	slot->time_ms = answer.time_ms;
	slot->is_slow = line == &slots->lines[SLOW];
	scraped->turn.slot = slot;
	scraped->turn.state = SCRAPED_RUNNING;
	line->running++;
	slots->running++;
	if (ask(slot, &failed)) {
		answer.error = failed.text;
		tell(slot, &answer);
	}
}

static void on_timer(void *context)
{
	struct scrape_slots *slots = context;

	for (size_t i = 0; i < LENGTH(slots->lines); i++) {
		struct line *line = &slots->lines[i];

		while (line->first && line->running < line->running_max &&
		       slots->running < SCRAPE_SLOTS_MAX)
			begin(slots, line);
	}
}

/* --- life ------------------------------------------------------------------------- */

void scrape_slots_remove(struct scrape_slots *slots, struct scraped *scraped)
{
	struct scrape_slot **at = &slots->all;

	for (size_t i = 0; scraped->turn.state == SCRAPED_WAITING && i < LINES; i++)
		take_out(&slots->lines[i], scraped);
	if (scraped->turn.state == SCRAPED_RUNNING) {
		while (*at != scraped->turn.slot)
			at = &(*at)->next;
		release(*at);
		free_slot(slots, at);
		begin_soon(slots);
	}
	scraped->turn.state = SCRAPED_IDLE;
	scraped->turn.is_due_again = false;
}

int scrape_slots_create(struct loop *loop, struct push *push, scrape_slots_done done,
			void *context, struct scrape_slots **ret_slots)
{
	CLEANUP(scrape_slots_free)
	struct scrape_slots *slots = calloc(1, sizeof(*slots));
	int err;

	if (!slots)
		return -ENOMEM;
	slots->push = push;
	slots->done = done;
	slots->context = context;
	for (size_t i = 0; i < LENGTH(slots->lines); i++)
		slots->lines[i].last = &slots->lines[i].first;
	slots->lines[QUICK].running_max = SCRAPE_SLOTS_MAX;
	slots->lines[SLOW].running_max = SCRAPE_SLOW_SLOTS_MAX;
	err = client_create(loop, &slots->client);
	if (!err)
		err = loop_timer_create(loop, on_timer, slots, &slots->timer);
	if (err)
		return err;
	client_limit(slots->client, SCRAPE_SLOTS_MAX, BODIES_BYTES_MAX);
	*ret_slots = TAKE(slots);
	return 0;
}

void scrape_slots_free(struct scrape_slots **slots)
{
	if (!*slots)
		return;
	while ((*slots)->all)
		free_slot(*slots, &(*slots)->all);
	loop_timer_free(&(*slots)->timer);
	client_free(&(*slots)->client);
	free(*slots);
	*slots = NULL;
}
