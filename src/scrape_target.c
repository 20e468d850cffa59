/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config_targets.h"
#include "config_value.h"
#include "length.h"
#include "table.h"

#define URL_LEN_MAX (64 * 1024)
#define PARAM_PREFIX "__param_"
#define DURATION_LEN 32

/* The labels that rules see. */
struct set {
	struct label labels[RELABEL_LABELS_MAX];
	size_t count;
	char interval[DURATION_LEN], timeout[DURATION_LEN];
	struct buf names; /* of parameters' labels: they stay where they are */
};

/* --- before the rules ------------------------------------------------------------ */

/* Prometheus' model.Duration: units from the largest, days and more only where
 * nothing is left of them. */
static void write_duration(uint64_t ms, char text[DURATION_LEN])
{
	static const struct {
		const char *name;
		uint64_t ms;
		bool whole;
	} units[] = {
	    {"y", 365 * 86400000ull, true},
	    {"w", 7 * 86400000ull, true},
	    {"d", 86400000, true},
	    {"h", 3600000, false},
	    {"m", 60000, false},
	    {"s", 1000, false},
	    {"ms", 1, false},
	};
	size_t len = 0;

	for (size_t i = 0; i < LENGTH(units); i++) {
		uint64_t number = ms / units[i].ms;

		if (!number || (units[i].whole && ms % units[i].ms))
			continue;
		len += (size_t)snprintf(text + len, DURATION_LEN - len, "%llu%s",
					(unsigned long long)number, units[i].name);
		ms -= number * units[i].ms;
	}
}

static struct label *find(struct set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++) {
		if (!strcmp(set->labels[i].name, name))
			return &set->labels[i];
	}
	return NULL;
}

/* What does not fit is judged by its count. */
static void set_label(struct set *set, const char *name, const char *value)
{
	struct label *old = find(set, name);

	if (old)
		old->value = value;
	else if (set->count++ < RELABEL_LABELS_MAX)
		set->labels[set->count - 1] = (struct label){name, value};
}

static void set_default(struct set *set, const char *name, const char *value)
{
	const struct label *old = find(set, name);

	if (!old || !*old->value)
		set_label(set, name, value);
}

/* The first value of each is a label, where there is none of that name. */
static int set_params(struct set *set, const struct config_scrape *job)
{
	size_t room = 0;
	char *name;

	for (size_t i = 0; i < job->param_count; i++)
		room += strlen(PARAM_PREFIX) + strlen(job->params[i].name) + 1;
	name = buf_reserve(&set->names, room + 1);
	if (!name)
		return set->names.error;
	for (size_t i = 0; i < job->param_count; i++) {
		const struct config_param *param = &job->params[i];

		if (!param->values.count)
			continue;
		stpcpy(stpcpy(name, PARAM_PREFIX), param->name);
		set_default(set, name, param->values.items[0]);
		name += strlen(name) + 1;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void leave_empty_ones_out(struct set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		if (*set->labels[i].value)
			set->labels[kept++] = set->labels[i];
	}
	set->count = kept;
}

/* PopulateDiscoveredLabels. */
static int populate(struct set *set, const struct config_scrape *job,
		    const struct scrape_discovered *discovered)
{
	const struct config_labels *labels = discovered->labels;
	int err;

	for (size_t i = 0; labels && i < labels->count && i < RELABEL_LABELS_MAX; i++)
		set_label(set, labels->items[i].name, labels->items[i].value);
	for (size_t i = 0; i < LENGTH(discovered->more); i++) {
		if (discovered->more[i].name)
			set_default(set, discovered->more[i].name,
				    discovered->more[i].value);
	}
	write_duration(job->interval_ms, set->interval);
	write_duration(job->timeout_ms, set->timeout);
	set_label(set, "__address__", discovered->address);
	set_default(set, "job", job->job_name);
	set_default(set, "__scrape_interval__", set->interval);
	set_default(set, "__scrape_timeout__", set->timeout);
	set_default(set, "__metrics_path__", job->metrics_path);
	set_default(set, "__scheme__", job->scheme);
	err = set_params(set, job);
	if (err || set->count > RELABEL_LABELS_MAX)
		return err ? err : -E2BIG;
	leave_empty_ones_out(set);
	qsort(set->labels, set->count, sizeof(*set->labels), by_name);
	return 0;
}

/* --- the URL ---------------------------------------------------------------------- */

static bool is_unreserved(char byte)
{
	return isalnum((unsigned char)byte) || (byte && strchr("-_.~", byte));
}

static void write_escaped(struct buf *url, const char *text, const char *kept)
{
	for (; *text; text++) {
		if (is_unreserved(*text) || strchr(kept, *text))
			buf_append(url, text, 1);
		else
			buf_printf(url, "%%%02X", (unsigned char)*text);
	}
}

/* As Go's url.QueryEscape. */
static void write_query_part(struct buf *url, const char *text)
{
	for (; *text; text++) {
		if (*text == ' ')
			buf_string(url, "+");
		else
			write_escaped(url, (char[2]){*text}, "");
	}
}

/* A parameter: the values of the configuration, of which a label replaces the first. */
struct param {
	const char *name;
	const char *first;
	const struct config_strings *values; /* NULL: none */
};

static int by_param_name(const void *a, const void *b)
{
	return strcmp(((const struct param *)a)->name, ((const struct param *)b)->name);
}

static size_t list_params(const struct config_scrape *job, const struct label *labels,
			  size_t label_count, struct param *params)
{
	const size_t prefix = strlen(PARAM_PREFIX);
	size_t count = 0;

	for (size_t i = 0; i < job->param_count; i++)
		params[count++] =
		    (struct param){job->params[i].name, NULL, &job->params[i].values};
	for (size_t i = 0; i < label_count; i++) {
		size_t j = 0;

		if (strncmp(labels[i].name, PARAM_PREFIX, prefix) != 0)
			continue;
		while (j < count && strcmp(params[j].name, labels[i].name + prefix))
			j++;
		if (j == count)
			params[count++] =
			    (struct param){.name = labels[i].name + prefix};
		params[j].first = labels[i].value;
	}
	qsort(params, count, sizeof(*params), by_param_name);
	return count;
}

static void write_value(struct buf *url, char *mark, const char *name,
			const char *value)
{
	buf_append(url, mark, 1);
	*mark = '&';
	write_query_part(url, name);
	buf_string(url, "=");
	write_query_part(url, value);
}

static void write_query(struct buf *url, const struct config_scrape *job,
			const struct label *labels, size_t count)
{
	struct param params[CONFIG_LIST_MAX + RELABEL_LABELS_MAX];
	size_t param_count = list_params(job, labels, count, params);
	char mark = '?';

	for (size_t i = 0; i < param_count; i++) {
		const struct config_strings *values = params[i].values;

		if (params[i].first)
			write_value(url, &mark, params[i].name, params[i].first);
		for (size_t j = params[i].first != NULL; values && j < values->count;
		     j++)
			write_value(url, &mark, params[i].name, values->items[j]);
	}
}

/* --- after the rules -------------------------------------------------------------- */

static const char *value_of(const struct label *labels, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(labels[i].name, name))
			return labels[i].value;
	}
	return "";
}

static int fail(char *error, const char *what, const char *value, const char *problem)
{
	char quoted[VALUE_QUOTE_LEN];

	value_quote(value, quoted);
	snprintf(error, SCRAPE_TARGET_ERROR_LEN, "%s '%s' %s", what, quoted, problem);
	return -EINVAL;
}

static int read_times(const struct label *labels, size_t count,
		      struct scrape_target *target, char *error)
{
	const char *interval = value_of(labels, count, "__scrape_interval__");
	const char *timeout = value_of(labels, count, "__scrape_timeout__");

	if (!value_duration_ms(interval, &target->interval_ms) || !target->interval_ms)
		return fail(error, "__scrape_interval__", interval,
			    "is not a duration above 0");
	if (!value_duration_ms(timeout, &target->timeout_ms) || !target->timeout_ms)
		return fail(error, "__scrape_timeout__", timeout,
			    "is not a duration above 0");
	if (target->timeout_ms > target->interval_ms)
		return fail(error, "__scrape_timeout__", timeout,
			    "is above __scrape_interval__");
	return 0;
}

static int make_url(const struct config_scrape *job, const struct label *labels,
		    size_t count, struct scrape_target *target, char *error)
{
	const char *address = value_of(labels, count, "__address__");
	const char *path = value_of(labels, count, "__metrics_path__");
	const char *scheme = value_of(labels, count, "__scheme__");
	const char *problem = config_address_problem(address);
	struct buf url = BUF_INIT(URL_LEN_MAX);

	if (problem)
		return fail(error, "address", address, problem);
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		return fail(error, "__scheme__", scheme, "must be http or https");
	buf_printf(&url, "%s://%s%s", scheme, address, *path == '/' ? "" : "/");
	write_escaped(&url, path, "$&+,/:;=@");
	write_query(&url, job, labels, count);
	buf_append(&url, "", 1);
	if (url.error) {
		buf_free(&url);
		return url.error == -E2BIG
			   ? fail(error, "address", address, "has too long a URL")
			   : -ENOMEM;
	}
	target->url = url.data;
	return 0;
}

/* In the order they had, `instance` in its place. */
static int take_labels(const struct label *labels, size_t count,
		       struct scrape_target *target)
{
	bool has_instance = *value_of(labels, count, "instance");
	const char *address = value_of(labels, count, "__address__");

	for (size_t i = 0; i <= count; i++) {
		const struct label *label = i < count ? &labels[i] : NULL;

		if (label && !strncmp(label->name, "__", 2))
			continue;
		if (!has_instance && (!label || strcmp(label->name, "instance") > 0)) {
			has_instance = true;
			if (!config_add_label(&target->labels, "instance", address))
				return -ENOMEM;
		}
		if (label &&
		    !config_add_label(&target->labels, label->name, label->value))
			return -ENOMEM;
	}
	return 0;
}

static void hash_target(struct scrape_target *target)
{
	uint64_t hash = table_hash(0, target->url, strlen(target->url) + 1);

	for (size_t i = 0; i < target->labels.count; i++) {
		const struct config_label *label = &target->labels.items[i];

		hash = table_hash(hash, label->name, strlen(label->name) + 1);
		hash = table_hash(hash, label->value, strlen(label->value) + 1);
	}
	target->hash = hash;
}

static int finish(const struct config_scrape *job, const struct label *labels,
		  size_t count, struct scrape_target **ret_target, char *error)
{
	CLEANUP(scrape_target_free)
	struct scrape_target *target = calloc(1, sizeof(*target));
	int err = target ? 0 : -ENOMEM;

	if (!err)
		err = read_times(labels, count, target, error);
	if (!err)
		err = make_url(job, labels, count, target, error);
	if (!err)
		err = take_labels(labels, count, target);
	if (err)
		return err;
	hash_target(target);
	*ret_target = TAKE(target);
	return 0;
}

int scrape_target_create(const struct config_scrape *job, struct relabel *relabel,
			 const struct scrape_discovered *discovered,
			 struct scrape_target **ret_target,
			 char ret_error[SCRAPE_TARGET_ERROR_LEN])
{
	struct set set = {.names = BUF_INIT(URL_LEN_MAX)};
	const struct label *labels;
	size_t count;
	int err = populate(&set, job, discovered);

	*ret_target = NULL;
	if (err == -E2BIG)
		err = fail(ret_error, "address", discovered->address,
			   "has too many labels or parameters");
	else if (!err && relabel_apply(relabel, set.labels, set.count, &labels, &count))
		err = finish(job, labels, count, ret_target, ret_error);
	buf_free(&set.names);
	return err;
}

void scrape_target_free(struct scrape_target **target)
{
	if (!*target)
		return;
	free((*target)->url);
	config_free_labels(&(*target)->labels);
	free(*target);
	*target = NULL;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_labels(const struct config_labels *a, const struct config_labels *b)
{
	int order = compare_numbers(a->count, b->count);

	for (size_t i = 0; !order && i < a->count; i++) {
		order = strcmp(a->items[i].name, b->items[i].name);
		if (!order)
			order = strcmp(a->items[i].value, b->items[i].value);
	}
	return order;
}

int scrape_target_compare(const struct scrape_target *a, const struct scrape_target *b)
{
	int order = compare_numbers(a->hash, b->hash);

	if (!order)
		order = strcmp(a->url, b->url);
	if (!order)
		order = compare_labels(&a->labels, &b->labels);
	if (!order)
		order = compare_numbers(a->interval_ms, b->interval_ms);
	return order ? order : compare_numbers(a->timeout_ms, b->timeout_ms);
}
