/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation renames, or copies, all files of a directory at once. To look through the
 * directory for each of them takes a time that grows with the square of their number:
 * so what is sought is put into tables, and each entry of the directory looked up.
 */
#include "log_siblings.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "length.h"
#include "log_index.h"
#include "slice.h"

#define MARKS "-._~"
#define DATE_DIGITS 6  /* 240101 */
#define MONTH_DIGITS 4 /* 01Jan24, 2024-Jan */
#define VISITS_MAX 3   /* while files are renamed in a directory */

/* --- names -------------------------------------------------------------------- */

/* In a date, whatever the case; months and days may be shorter, down to 3 letters. */
static const char *const months[] = {"January",   "February", "March",    "April",
				     "May",       "June",     "July",     "August",
				     "September", "October",  "November", "December"};
static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
				   "Friday", "Saturday", "Sunday"};
static const char *const signs[] = {"T", "Z", "W", "AM", "PM", "UTC", "GMT"};
static const char *const units[] = {"y", "d", "h", "m", "min", "s"}; /* 10h30m */

static bool begins_one(struct slice word, size_t len_min, const char *const *words,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const size_t len = strlen(words[i]);

		if (word.len >= (len_min ? len_min : len) && word.len <= len &&
		    !strncasecmp(words[i], word.text, word.len))
			return true;
	}
	return false;
}

static bool is_month(struct slice word)
{
	return begins_one(word, 3, months, LENGTH(months));
}

static bool is_of_date(struct slice word, bool is_behind_digit)
{
	return begins_one(word, 3, days, LENGTH(days)) ||
	       begins_one(word, 0, signs, LENGTH(signs)) ||
	       (is_behind_digit && begins_one(word, 0, units, LENGTH(units)));
}

static struct slice word_at(const char *text, const char *end)
{
	struct slice word = {text, 0};

	while (text + word.len < end && isalpha((unsigned char)text[word.len]))
		word.len++;
	return word;
}

/* Nothing but digits and what stands between them; or with letters, too, if these are a
 * date's and it has the digits of one: a.log.s3 and a-5m.log are other logs. */
static bool is_date(const char *text, size_t len)
{
	size_t digits = 0, digits_min = 0;
	bool has_month = false;

	for (const char *at = text, *end = text + len; at < end;) {
		const struct slice word = word_at(at, end);
		const bool is_behind_digit =
		    at > text && isdigit((unsigned char)at[-1]);

		if (!word.len && !isdigit((unsigned char)*at) &&
		    !strchr(MARKS ":+", *at))
			return false;
		if (word.len && !is_month(word) && !is_of_date(word, is_behind_digit))
			return false;
		has_month |= word.len && is_month(word);
		if (word.len)
			digits_min = has_month ? MONTH_DIGITS : DATE_DIGITS;
		digits += !word.len && isdigit((unsigned char)*at);
		at += word.len ? word.len : 1;
	}
	return digits >= digits_min;
}

bool log_siblings_is_named_after(const char *name, const char *original)
{
	size_t len = strlen(original), stem_len, extension_len, name_len = strlen(name);
	const char *extension = strrchr(original, '.');

	if (!strncmp(name, original, len))
		return name[len] && strchr(MARKS, name[len]);
	if (!extension || extension == original)
		return false;
	stem_len = (size_t)(extension - original);
	extension_len = len - stem_len;
	return name_len > len && !strncmp(name, original, stem_len) &&
	       !strcmp(name + name_len - extension_len, extension) &&
	       strchr(MARKS, name[stem_len]) &&
	       is_date(name + stem_len, name_len - extension_len - stem_len);
}

bool log_siblings_is_rotated(const char *name, const char *original)
{
	size_t len = strlen(original);
	const char *end = name + len;

	if (!log_siblings_is_named_after(name, original))
		return false;
	return strncmp(name, original, len) != 0 || is_date(end, strlen(end)) ||
	       !strcmp(end + 1, "old") || !strcmp(end + 1, "bak");
}

/* What stands before a mark, and that with the extension. */
void log_siblings_each_original(const char *path, log_siblings_original call,
				void *context)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *extension = strrchr(base, '.');

	for (const char *at = base; *at; at++) {
		char original[PATH_MAX];
		const int len = (int)(at - path);

		if (at == base || !strchr(MARKS, *at))
			continue;
		snprintf(original, sizeof(original), "%.*s", len, path);
		if (call(context, original))
			return;
		if (!extension || extension <= at)
			continue;
		snprintf(original, sizeof(original), "%.*s%s", len, path, extension);
		if (strncmp(path, original, strlen(original)) != 0 &&
		    call(context, original))
			return;
	}
}

/* --- what is sought in a directory -------------------------------------------- */

/* Where one thing of one file is sought. */
struct place {
	struct slice directory; /* without the slash at its end */
	const char *base;       /* what names are to be after; NULL: its number */
	struct log_sought *sought;
	struct log_node node;
};

struct visit {
	const struct log_siblings_visitor *visitor;
	char directory[PATH_MAX];
	struct log_index by_base, by_number;
	bool was_told; /* of the entry that is looked up */
};

static struct place *place_of(struct log_node *node)
{
	return (void *)((char *)node - offsetof(struct place, node));
}

static int compare_places(const void *left, const void *right)
{
	const struct slice a = ((const struct place *)left)->directory;
	const struct slice b = ((const struct place *)right)->directory;

	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return memcmp(a.text, b.text, a.len);
}

static void add_place(struct place *places, size_t *count, struct log_sought *sought,
		      const char *path, bool is_named)
{
	const char *slash = strrchr(path, '/');

	if (slash)
		places[(*count)++] = (struct place){
		    .directory = {path, (size_t)(slash - path)},
		    .base = is_named ? slash + 1 : NULL,
		    .sought = sought,
		};
}

static int add_to_tables(struct visit *visit, struct place *place)
{
	struct log_file *file = place->sought->file;

	if (place->base)
		return log_index_add(&visit->by_base, &place->node, file,
				     log_index_text(place->base));
	return log_index_add(&visit->by_number, &place->node, file,
			     log_index_inode(0, file->identity.inode));
}

/* --- reading it --------------------------------------------------------------- */

static void tell(struct visit *visit, log_sibling_call call, struct log_sought *sought,
		 const char *path)
{
	call(visit->visitor->context, sought, path);
	visit->was_told = true;
}

struct entry {
	struct visit *visit;
	const char *name, *path;
};

static bool tell_named(void *context, const char *original)
{
	const struct entry *entry = context;
	struct visit *visit = entry->visit;
	struct log_node *node =
	    log_index_first(&visit->by_base, log_index_text(original));

	for (; node; node = log_index_next(node)) {
		const struct place *place = place_of(node);

		if (place->sought->wants_named && !strcmp(place->base, original) &&
		    log_siblings_is_named_after(entry->name, original) &&
		    !log_rule_excludes(node->file->rule, entry->path))
			tell(visit, visit->visitor->named, place->sought, entry->path);
	}
	return false;
}

static void look_up_name(struct visit *visit, const char *name, const char *path)
{
	struct entry entry = {visit, name, path};

	if (visit->by_base.count)
		log_siblings_each_original(name, tell_named, &entry);
}

static void look_up_number(struct visit *visit, uint64_t inode, const char *path)
{
	struct log_node *node =
	    log_index_first(&visit->by_number, log_index_inode(0, inode));

	for (; node; node = log_index_next(node)) {
		struct log_sought *sought = place_of(node)->sought;

		if (sought->wants_numbered && sought->file->identity.inode == inode)
			tell(visit, visit->visitor->numbered, sought, path);
	}
}

/* What was told of is what was listed. */
static bool is_still(DIR *listing, const struct dirent *entry)
{
	struct stat found;

	return !fstatat(dirfd(listing), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) &&
	       found.st_ino == entry->d_ino;
}

/* False: what is sought may have been renamed meanwhile, and not been told of. */
static bool read_directory(struct visit *visit)
{
	DIR *listing = opendir(*visit->directory ? visit->directory : "/");
	const struct dirent *entry;
	bool is_whole = true;
	char path[PATH_MAX];

	while (listing && (entry = readdir(listing))) {
		if (snprintf(path, sizeof(path), "%s/%s", visit->directory,
			     entry->d_name) >= (int)sizeof(path))
			continue;
		visit->was_told = false;
		look_up_number(visit, entry->d_ino, path);
		look_up_name(visit, entry->d_name, path);
		is_whole &= !visit->was_told || is_still(listing, entry);
	}
	if (listing)
		closedir(listing);
	return is_whole;
}

/* All of one directory. */
static int visit_places(struct place *places, size_t count,
			const struct log_siblings_visitor *visitor)
{
	struct visit visit = {.visitor = visitor};
	int err = 0;

	snprintf(visit.directory, sizeof(visit.directory), "%.*s",
		 (int)places->directory.len, places->directory.text);
	for (size_t i = 0; !err && i < count; i++)
		err = add_to_tables(&visit, &places[i]);
	for (int i = 0; !err && i < VISITS_MAX && !read_directory(&visit); i++)
		;
	log_index_free(&visit.by_base);
	log_index_free(&visit.by_number);
	return err;
}

static size_t same_directory(const struct place *places, size_t count)
{
	size_t same = 1;

	while (same < count && !compare_places(&places[same], places))
		same++;
	return same;
}

int log_siblings_visit(struct log_sought *sought, size_t count,
		       const struct log_siblings_visitor *visitor)
{
	AUTO_FREE struct place *places = calloc(3 * count + 1, sizeof(*places));
	size_t place_count = 0;
	int err = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (sought[i].wants_named)
			add_place(places, &place_count, &sought[i],
				  sought[i].file->name, true);
		if (sought[i].wants_named && sought[i].file->target)
			add_place(places, &place_count, &sought[i],
				  sought[i].file->target, true);
		if (sought[i].wants_numbered)
			add_place(places, &place_count, &sought[i],
				  log_file_place(sought[i].file), false);
	}
	qsort(places, place_count, sizeof(*places), compare_places);
	for (size_t i = 0, same; !err && i < place_count; i += same) {
		same = same_directory(&places[i], place_count - i);
		err = visit_places(&places[i], same, visitor);
	}
	return err;
}
