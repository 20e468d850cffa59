/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_families.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "length.h"
#include "registry.h"

/* As long as Prometheus remembers them. */
#define SCRAPES_KEPT 10

const struct family scrape_families_unknown = {
    .name = "",
    .help = "",
    .unit = "",
    .type = METRIC_UNKNOWN,
    .order = FAMILY_SCRAPED,
};

/* With its strings behind it. */
struct version {
	struct version *next; /* of those that were replaced */
	struct family family;
	char strings[];
};

/* One name, and what the body has said of it so far. */
struct named {
	struct version *version; /* NULL: none yet */
	struct named *next;      /* of those that the body says something new of */
	bool is_changed;
	uint32_t scrape; /* the last one that named it */
	enum metric_type type;
	enum textparse_format format;
	/* What the version was made of, as it stood, or will be. */
	struct slice help, unit;
	char *raw_help, *raw_unit; /* owned; what the slices point to between bodies */
	size_t name_len;
	char name[];
};

struct scrape_families {
	struct registry_keys keys;
	struct registry names;
	struct named *changed;
	struct version *retired, *retired_before; /* since this body began, the last */
	uint64_t generation;
	uint32_t scrape;
};

/* What may be a part of what. */
static const struct {
	const char *suffix;
	unsigned int types; /* 1 << enum metric_type */
} suffixes[] = {
    {"_bucket", 1u << METRIC_HISTOGRAM | 1u << METRIC_GAUGE_HISTOGRAM},
    {"_count", 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_sum", 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_total", 1u << METRIC_COUNTER},
    {"_created", 1u << METRIC_COUNTER | 1u << METRIC_HISTOGRAM | 1u << METRIC_SUMMARY},
    {"_info", 1u << METRIC_INFO},
    {"_gcount", 1u << METRIC_GAUGE_HISTOGRAM},
    {"_gsum", 1u << METRIC_GAUGE_HISTOGRAM},
};

int scrape_families_create(struct scrape_families **ret_families)
{
	struct scrape_families *families = calloc(1, sizeof(*families));

	if (!families)
		return -ENOMEM;
	registry_keys_init(&families->keys);
	*ret_families = families;
	return 0;
}

static void free_versions(struct version *version)
{
	while (version) {
		struct version *next = version->next;

		free(version);
		version = next;
	}
}

static void retire(struct scrape_families *families, struct version *version)
{
	if (!version)
		return;
	version->next = families->retired;
	families->retired = version;
}

static void free_named(struct named *named)
{
	free(named->raw_help);
	free(named->raw_unit);
	free(named);
}

static bool drop_named(void *item, void *context)
{
	struct named *named = item;

	retire(context, named->version);
	free_named(named);
	return false;
}

void scrape_families_free(struct scrape_families **families)
{
	if (!*families)
		return;
	registry_sweep(&(*families)->names, drop_named, *families);
	registry_free(&(*families)->names);
	free_versions((*families)->retired);
	free_versions((*families)->retired_before);
	free(*families);
	*families = NULL;
}

/* --- names -------------------------------------------------------------------- */

static bool is_named(const void *item, const void *wanted)
{
	const struct named *named = item;
	const struct slice *name = wanted;

	return named->name_len == name->len &&
	       !memcmp(named->name, name->text, name->len);
}

static struct named *find(const struct scrape_families *families, struct slice name)
{
	return registry_find(&families->names,
			     registry_hash(&families->keys, name.text, name.len),
			     is_named, &name);
}

/* NULL: no memory, or no room. */
static struct named *add_named(struct scrape_families *families, struct slice name)
{
	struct named *named = calloc(1, sizeof(*named) + name.len + 1);

	if (!named)
		return NULL;
	memcpy(named->name, name.text, name.len);
	named->name_len = name.len;
	named->type = METRIC_UNKNOWN;
	if (!registry_add(&families->names,
			  registry_hash(&families->keys, name.text, name.len), named))
		return named;
	free_named(named);
	return NULL;
}

/* --- a body ------------------------------------------------------------------- */

/* Back to what was true before a body that came to nothing. */
static void forget_changes(struct scrape_families *families)
{
	for (struct named *named = families->changed; named; named = named->next) {
		named->is_changed = false;
		named->help = slice_of(named->raw_help ? named->raw_help : "");
		named->unit = slice_of(named->raw_unit ? named->raw_unit : "");
		named->type =
		    named->version ? named->version->family.type : METRIC_UNKNOWN;
	}
	families->changed = NULL;
}

void scrape_families_begin(struct scrape_families *families)
{
	forget_changes(families);
	free_versions(families->retired_before);
	families->retired_before = families->retired;
	families->retired = NULL;
	families->scrape++;
}

static enum metric_type type_of(enum textparse_type type)
{
	static const enum metric_type types[] = {
	    [TEXTPARSE_UNKNOWN] = METRIC_UNKNOWN,
	    [TEXTPARSE_COUNTER] = METRIC_COUNTER,
	    [TEXTPARSE_GAUGE] = METRIC_GAUGE,
	    [TEXTPARSE_HISTOGRAM] = METRIC_HISTOGRAM,
	    [TEXTPARSE_GAUGE_HISTOGRAM] = METRIC_GAUGE_HISTOGRAM,
	    [TEXTPARSE_SUMMARY] = METRIC_SUMMARY,
	    [TEXTPARSE_INFO] = METRIC_INFO,
	    [TEXTPARSE_STATE_SET] = METRIC_STATE_SET,
	};

	return types[type];
}

/* Whether it is something else than it was. */
static bool set_text(struct slice *text, struct slice said)
{
	/* A NUL would be its end later; it is here, so that it compares. */
	said.len = strnlen(said.text, said.len);
	if (text->len == said.len &&
	    (!said.len || !memcmp(text->text, said.text, said.len)))
		return false;
	*text = said;
	return true;
}

static bool set(struct named *named, enum textparse_kind kind,
		const struct textparse_entry *entry)
{
	enum metric_type type;

	if (kind == TEXTPARSE_HELP)
		return set_text(&named->help, entry->text);
	if (kind == TEXTPARSE_UNIT)
		return set_text(&named->unit, entry->text);
	type = type_of(entry->type);
	if (named->type == type)
		return false;
	named->type = type;
	return true;
}

int scrape_families_note(struct scrape_families *families, enum textparse_format format,
			 enum textparse_kind kind, const struct textparse_entry *entry)
{
	AUTO_FREE char *text = NULL;
	struct slice name = entry->name;
	struct named *named;

	if (entry->is_quoted) {
		text = malloc(name.len + 1);
		if (!text)
			return -ENOMEM;
		name = (struct slice){text, textparse_unescape(name, text)};
	}
	named = find(families, name);
	if (!named && families->names.count >= SCRAPE_FAMILIES_MAX)
		return 0;
	if (!named)
		named = add_named(families, name);
	if (!named)
		return -ENOMEM;
	named->scrape = families->scrape;
	if ((!set(named, kind, entry) && named->version) || named->is_changed)
		return 0;
	named->is_changed = true;
	named->format = format;
	named->next = families->changed;
	families->changed = named;
	return 0;
}

/* --- what holds --------------------------------------------------------------- */

static struct version *make_version(const struct named *named)
{
	const size_t room = named->name_len + named->help.len + named->unit.len + 3;
	struct version *version = calloc(1, sizeof(*version) + room);
	char *help, *unit;

	if (!version)
		return NULL;
	memcpy(version->strings, named->name, named->name_len);
	help = version->strings + named->name_len + 1;
	unit = help + textparse_unescape_help(named->format, named->help, help) + 1;
	if (named->unit.len)
		memcpy(unit, named->unit.text, named->unit.len);
	version->family = (struct family){
	    .name = version->strings,
	    .help = help,
	    .unit = unit,
	    .type = named->type,
	    .order = FAMILY_SCRAPED,
	};
	return version;
}

static int commit_named(struct scrape_families *families, struct named *named)
{
	struct version *version = make_version(named);
	AUTO_FREE char *help =
	    strndup(named->help.len ? named->help.text : "", named->help.len);
	AUTO_FREE char *unit =
	    strndup(named->unit.len ? named->unit.text : "", named->unit.len);

	if (!version || !help || !unit) {
		free(version);
		return -ENOMEM;
	}
	retire(families, named->version);
	named->version = version;
	free(named->raw_help);
	free(named->raw_unit);
	named->help = (struct slice){help, named->help.len};
	named->unit = (struct slice){unit, named->unit.len};
	named->raw_help = TAKE(help);
	named->raw_unit = TAKE(unit);
	named->is_changed = false;
	return 0;
}

static bool is_recent(void *item, void *context)
{
	const struct scrape_families *families = context;
	const struct named *named = item;

	return families->scrape - named->scrape <= SCRAPES_KEPT ||
	       drop_named(item, context);
}

int scrape_families_commit(struct scrape_families *families)
{
	const size_t before = families->names.count;
	int err = 0;

	if (families->changed)
		families->generation++;
	while (families->changed && !err) {
		err = commit_named(families, families->changed);
		if (!err)
			families->changed = families->changed->next;
	}
	/* Those for which there was no memory. */
	forget_changes(families);
	registry_sweep(&families->names, is_recent, families);
	families->generation += families->names.count != before;
	return err;
}

uint64_t scrape_families_generation(const struct scrape_families *families)
{
	return families->generation;
}

/* --- metrics ------------------------------------------------------------------ */

const char *scrape_families_strip(struct slice *metric)
{
	for (size_t i = 0; i < LENGTH(suffixes); i++) {
		if (slice_strip_suffix(metric, suffixes[i].suffix))
			return suffixes[i].suffix;
	}
	return "";
}

static const struct family *known_family(const struct scrape_families *families,
					 struct slice name)
{
	const struct named *named = find(families, name);

	return named && named->version ? &named->version->family : NULL;
}

const struct family *scrape_families_find(const struct scrape_families *families,
					  struct slice metric)
{
	const struct family *family = known_family(families, metric);

	for (size_t i = 0; !family && i < LENGTH(suffixes); i++) {
		struct slice base = metric;

		if (!slice_strip_suffix(&base, suffixes[i].suffix))
			continue;
		family = known_family(families, base);
		if (family && !(suffixes[i].types >> family->type & 1))
			family = NULL;
	}
	return family ? family : &scrape_families_unknown;
}
