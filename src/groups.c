/* SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include <string.h>
#include <sys/utsname.h>

#include "drain.h"
#include "slice.h"
#include "table.h"

#define TARGET_LABELS_MAX 8
#define HOST_NAME_LEN 65 /* HOST_NAME_MAX of Linux, and a NUL */

/* All rows with the same labels. */
struct group {
	enum requests_role role;
	struct label_set labels;
	struct tally_series *value;
	struct group *next;
};

/* The gauges of one service. */
struct serving {
	struct label_set labels;
	bool is_target;
	bool shown[REQUESTS_ROLES];
	uint64_t in_flight[REQUESTS_ROLES];
	uint64_t open[REQUESTS_ROLES];
	struct serving *next;
};

struct groups {
	struct snapshot *snapshot;
	uint64_t seed;
	struct group *all_groups;
	struct serving *all_servings;
	struct table by_labels, by_service;
};

struct groups *groups_create(struct snapshot *snapshot, uint64_t seed)
{
	struct groups *groups = snapshot_alloc(snapshot, sizeof(*groups));

	if (groups)
		*groups = (struct groups){.snapshot = snapshot, .seed = seed};
	return groups;
}

/* --- services ---------------------------------------------------------------- */

static bool same_serving(const void *item, const void *wanted)
{
	return !label_set_compare(&((const struct serving *)item)->labels, wanted);
}

static struct serving *make_serving(struct groups *groups, uint64_t hash,
				    struct label_set labels)
{
	struct serving *serving = snapshot_alloc(groups->snapshot, sizeof(*serving));

	if (!serving ||
	    !table_add(&groups->by_service, hash, serving, groups->snapshot))
		return NULL;
	serving->labels = labels;
	serving->next = groups->all_servings;
	groups->all_servings = serving;
	return serving;
}

static struct serving *get_serving(struct groups *groups,
				   const struct requests_names *names, bool is_target)
{
	const struct label labels[] = {
	    {"service_name", names->service},
	    {"service_namespace", names->name_space},
	};
	struct label_set set = snapshot_labels(groups->snapshot, labels, 2);
	uint64_t hash = table_hash_labels(groups->seed, &set);
	struct serving *serving =
	    table_find(&groups->by_service, hash, same_serving, &set);

	if (!serving)
		serving = make_serving(groups, hash, set);
	if (serving && is_target)
		serving->is_target = true;
	return serving;
}

void groups_add_connections(struct groups *groups, const struct requests_names *names,
			    bool is_target, uint8_t tally_role,
			    const struct tally_connections *sum)
{
	enum requests_role role = requests_role(tally_role);
	struct serving *serving;

	if (tally_role == TALLY_ROLE_UNKNOWN)
		return;
	serving = get_serving(groups, names, is_target);
	if (!serving)
		return;
	serving->shown[role] = true;
	serving->open[role] += sum->open;
	serving->in_flight[role] += sum->in_flight;
}

/* --- rows -------------------------------------------------------------------- */

static bool same_group(const void *item, const void *wanted)
{
	const struct group *a = item, *b = wanted;

	return a->role == b->role && !label_set_compare(&a->labels, &b->labels);
}

void groups_add(struct groups *groups, const struct requests_names *names,
		bool is_target, const struct tally_series_key *key,
		struct tally_series *value)
{
	struct snapshot *snapshot = groups->snapshot;
	struct group wanted = {
	    .role = requests_role(key->role),
	    .labels = requests_labels(snapshot, names, key),
	    .value = value,
	};
	uint64_t hash = table_hash_labels(groups->seed, &wanted.labels);
	struct group *group = table_find(&groups->by_labels, hash, same_group, &wanted);
	struct serving *serving;

	if (group) {
		drain_add(group->value, value);
		return;
	}
	group = snapshot_alloc(snapshot, sizeof(*group));
	if (!group || !table_add(&groups->by_labels, hash, group, snapshot))
		return;
	*group = wanted;
	group->next = groups->all_groups;
	groups->all_groups = group;
	serving = get_serving(groups, names, is_target);
	if (serving)
		serving->shown[group->role] = true;
}

/* --- metrics ----------------------------------------------------------------- */

static const struct family target = {
    .name = "target",
    .help = "What each observed service is and where it runs.",
    .unit = "",
    .type = METRIC_INFO,
    .order = 0, /* OpenMetrics wants it first */
};

static const struct family services = {
    .name = "bpftally_services",
    .help = "Services that have metrics in this collection.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = GROUPS_ORDER_LAST,
};

static void emit_groups(const struct groups *groups)
{
	const struct requests_bounds *bounds = requests_bounds(groups->snapshot);

	for (const struct group *group = bounds ? groups->all_groups : NULL; group;
	     group = group->next)
		requests_emit(groups->snapshot, bounds, group->role, group->labels,
			      group->value);
}

void groups_summarize(const struct groups *groups, struct summaries *summaries,
		      int64_t now_ms)
{
	summaries_begin(summaries, groups->snapshot, now_ms);
	for (const struct group *group = groups->all_groups; group; group = group->next)
		requests_summarize(summaries, group->role, group->labels, group->value);
	summaries_end(summaries);
}

/* Zero is said of a service that had requests; unknown is not said. */
static void emit_gauges(const struct groups *groups, const struct serving *serving)
{
	for (unsigned int role = 0; role < REQUESTS_ROLES; role++)
		if (serving->shown[role])
			requests_emit_gauges(groups->snapshot, role, serving->labels,
					     serving->in_flight[role],
					     serving->open[role]);
}

static void emit_target(const struct groups *groups, const struct serving *serving,
			const char *host_name)
{
	struct label labels[TARGET_LABELS_MAX];
	size_t count = 0;

	labels[count++] = (struct label){"host_name", host_name};
	labels[count++] = (struct label){"os_type", "linux"};
	for (size_t i = 0; i < serving->labels.count; i++)
		labels[count++] = serving->labels.labels[i];
	labels[count++] = (struct label){"telemetry_distro_name", "bpftally"};
	labels[count++] = (struct label){"telemetry_distro_version", BPFTALLY_VERSION};
	snapshot_value(groups->snapshot, &target,
		       snapshot_labels(groups->snapshot, labels, count), 1);
}

/* sethostname(2) takes any bytes; a label is UTF-8. */
static const char *host_name(struct snapshot *snapshot)
{
	char *name = snapshot_alloc(snapshot, HOST_NAME_LEN);
	struct utsname system;

	if (!name || uname(&system))
		return "";
	slice_to_label(slice_of(system.nodename), name, HOST_NAME_LEN);
	return name;
}

void groups_emit(const struct groups *groups, bool are_connections_known)
{
	const char *host = host_name(groups->snapshot);
	size_t count = 0;

	emit_groups(groups);
	for (const struct serving *serving = groups->all_servings; serving;
	     serving = serving->next) {
		count++;
		if (are_connections_known)
			emit_gauges(groups, serving);
		if (serving->is_target)
			emit_target(groups, serving, host);
	}
	snapshot_value(groups->snapshot, &services, (struct label_set){0},
		       (double)count);
}
