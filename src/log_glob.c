/* SPDX-License-Identifier: Apache-2.0 */
#include "log_glob.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "config_internal.h"
#include "slice.h"

#define ANY_DEPTH "**"

/* --- matching ----------------------------------------------------------------- */

static bool name_matches(struct slice pattern, struct slice name)
{
	char pattern_text[NAME_MAX + 1], name_text[NAME_MAX + 1];

	if (pattern.len > NAME_MAX || name.len > NAME_MAX)
		return false;
	memcpy(pattern_text, pattern.text, pattern.len);
	pattern_text[pattern.len] = 0;
	memcpy(name_text, name.text, name.len);
	name_text[name.len] = 0;
	return !fnmatch(pattern_text, name_text, 0);
}

/* `**` is tried once at each place, the last one only where what follows it fails:
 * an earlier one could take no more than it does. */
static bool matches(struct slice pattern, struct slice path)
{
	struct slice after = {0}, from = {0};
	bool can_retry = false;

	while (path.len || pattern.len) {
		struct slice rest = pattern, rest_path = path;
		struct slice part = pattern.len ? slice_split(&rest, '/') : pattern;

		if (slice_is(part, ANY_DEPTH) && pattern.len) {
			after = pattern = rest;
			from = path;
			can_retry = true;
			if (!rest.len)
				return true;
			continue;
		}
		if (pattern.len && path.len &&
		    name_matches(part, slice_split(&rest_path, '/'))) {
			pattern = rest;
			path = rest_path;
			continue;
		}
		if (!can_retry || !from.len)
			return false;
		slice_split(&from, '/');
		pattern = after;
		path = from;
	}
	return true;
}

bool log_glob_matches(const char *pattern, const char *path)
{
	struct slice pattern_slice = slice_of(pattern), path_slice = slice_of(path);

	return matches(pattern_slice, path_slice);
}

/* --- braces ------------------------------------------------------------------- */

/* The first pair: NULL where there is none. */
static const char *closing(const char *open)
{
	unsigned int depth = 0;

	for (const char *at = open; *at; at++) {
		depth += *at == '{';
		if (*at == '}' && !--depth)
			return at;
	}
	return NULL;
}

static const char *choice_end(const char *choice, const char *close)
{
	unsigned int depth = 0;

	for (; choice < close; choice++) {
		if (*choice == ',' && !depth)
			return choice;
		depth += *choice == '{';
		depth -= *choice == '}';
	}
	return close;
}

int log_glob_expand(const char *pattern, size_t max, struct config_strings *ret)
{
	const char *open = strchr(pattern, '{'), *close = open ? closing(open) : NULL;
	int err = 0;

	if (!close) {
		char *copy = strdup(pattern);

		if (ret->count >= max) {
			free(copy);
			return -E2BIG;
		}
		return config_add_string(ret, &copy) ? 0 : -ENOMEM;
	}
	for (const char *choice = open + 1; !err && choice <= close;) {
		const char *end = choice_end(choice, close);
		AUTO_FREE char *chosen = NULL;

		if (asprintf(&chosen, "%.*s%.*s%s", (int)(open - pattern), pattern,
			     (int)(end - choice), choice, close + 1) < 0) {
			chosen = NULL;
			return -ENOMEM;
		}
		err = log_glob_expand(chosen, max, ret);
		choice = end + 1;
	}
	return err;
}

/* --- walking ------------------------------------------------------------------ */

struct walk {
	const struct log_glob_visitor *visitor;
	char path[PATH_MAX];
	size_t len;
	unsigned int depth;
};

static void descend(struct walk *walk, struct slice pattern);

static bool is_literal(struct slice part)
{
	for (size_t i = 0; i < part.len; i++) {
		if (strchr("*?[\\", part.text[i]))
			return false;
	}
	return true;
}

/* Returns what the length was before; 0: there is no room. */
static size_t enter(struct walk *walk, struct slice name)
{
	size_t before = walk->len;

	if (walk->len + name.len + 2 > sizeof(walk->path))
		return 0;
	if (walk->path[walk->len - 1] != '/')
		walk->path[walk->len++] = '/';
	memcpy(walk->path + walk->len, name.text, name.len);
	walk->len += name.len;
	walk->path[walk->len] = 0;
	return before;
}

static void leave(struct walk *walk, size_t before)
{
	walk->len = before;
	walk->path[before] = 0;
}

static bool is_directory(const struct walk *walk, const struct dirent *entry,
			 bool follow)
{
	struct stat stat_of;

	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_DIR;
	if (follow ? stat(walk->path, &stat_of) : lstat(walk->path, &stat_of))
		return false;
	return S_ISDIR(stat_of.st_mode);
}

static bool may_be_file(const struct dirent *entry)
{
	return entry->d_type == DT_REG || entry->d_type == DT_LNK ||
	       entry->d_type == DT_UNKNOWN;
}

/* What is left of a pattern: its first part, what comes after it, and both. */
struct left {
	struct slice part, rest, whole;
};

static void visit(struct walk *walk, const struct dirent *entry,
		  const struct left *left)
{
	const struct log_glob_visitor *visitor = walk->visitor;
	bool is_any_depth = slice_is(left->part, ANY_DEPTH);
	size_t before = enter(walk, slice_of(entry->d_name));

	if (!before)
		return;
	if (!left->rest.len && !is_any_depth) {
		if (may_be_file(entry))
			visitor->file(visitor->context, walk->path,
				      entry->d_type == DT_REG ? entry->d_ino : 0);
	} else if (is_directory(walk, entry, !is_any_depth)) {
		walk->depth += is_any_depth;
		if (walk->depth <= LOG_GLOB_DEPTH_MAX)
			descend(walk, is_any_depth ? left->whole : left->rest);
		walk->depth -= is_any_depth;
	}
	leave(walk, before);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* The part has a wildcard: each name in the directory that matches it. */
static void list(struct walk *walk, const struct left *left)
{
	bool is_any_depth = slice_is(left->part, ANY_DEPTH);
	DIR *listing = opendir(walk->path);
	struct dirent *entry;

	if (!listing)
		return;
	walk->visitor->directory(walk->visitor->context, walk->path,
				 !left->rest.len && !is_any_depth);
	while ((entry = readdir(listing))) {
		if (!is_dots(entry->d_name) &&
		    (is_any_depth || name_matches(left->part, slice_of(entry->d_name))))
			visit(walk, entry, left);
	}
	closedir(listing);
}

static void follow_literal(struct walk *walk, struct slice part, struct slice rest)
{
	const struct log_glob_visitor *visitor = walk->visitor;
	struct stat stat_of;
	size_t before = enter(walk, part);
	bool is_there, is_link;

	if (!before)
		return;
	is_link = !lstat(walk->path, &stat_of) && S_ISLNK(stat_of.st_mode);
	is_there = !stat(walk->path, &stat_of);
	leave(walk, before);
	/* Whoever makes it, or a file of that name, or lets it lead elsewhere, does so
	 * here. */
	if (!rest.len || !is_there || is_link)
		visitor->directory(visitor->context, walk->path, !rest.len);
	enter(walk, part);
	if (!rest.len && is_there)
		visitor->file(visitor->context, walk->path, 0);
	else if (is_there && S_ISDIR(stat_of.st_mode))
		descend(walk, rest);
	leave(walk, before);
}

/* `pattern`: what is left of it below walk->path. */
static void descend(struct walk *walk, struct slice pattern)
{
	struct left left = {.whole = pattern};

	while (pattern.len && *pattern.text == '/') {
		pattern.text++;
		pattern.len--;
	}
	if (!pattern.len)
		return;
	left.whole = left.rest = pattern;
	left.part = slice_split(&left.rest, '/');
	if (slice_is(left.part, ANY_DEPTH)) {
		/* At the end it means every file below. */
		descend(walk, left.rest.len ? left.rest : slice_of("*"));
		list(walk, &left);
	} else if (is_literal(left.part)) {
		follow_literal(walk, left.part, left.rest);
	} else {
		list(walk, &left);
	}
}

void log_glob_walk(const char *pattern, const struct log_glob_visitor *visitor)
{
	struct walk walk = {.visitor = visitor, .path = "/", .len = 1};

	descend(&walk, slice_of(pattern));
}
