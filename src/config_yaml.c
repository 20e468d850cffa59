/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that knows libyaml. It loads one document and walks it with the
 * tables of config_internal.h. The library resolves an alias to the node it
 * names, so nothing is copied however often it is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <yaml.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "config_internal.h"
#include "config_value.h"
#include "length.h"
#include "secret.h"
#include "slice.h"

#define FILE_LEN_MAX (1024 * 1024)
#define PIPE_PATIENCE_MS 10000
#define VALUE_LEN_MAX (64 * 1024)
#define DEPTH_MAX 16 /* the tables need 6 */
#define ANCHORS_MAX 64
#define SHOWN_PATH_LEN_MAX 200 /* leaves room for the rest of the line */

struct config_reader {
	const char *path;
	const char *shown; /* its end, when it is long */
	bool is_literal;   /* ${env:NAME} is text like any other */
	yaml_document_t document;
	char *error; /* CONFIG_ERROR_LEN */
};

/* --- nodes ------------------------------------------------------------------ */

/* The library's node, which other files hold as an opaque one. */
static const yaml_node_t *inside(const struct config_node *node)
{
	return (const yaml_node_t *)node;
}

static const struct config_node *node_at(struct config_reader *reader, int index)
{
	return (const struct config_node *)yaml_document_get_node(&reader->document,
								  index);
}

__attribute__((format(printf, 3, 0))) static int
fail_at_line(struct config_reader *reader, size_t line, const char *format,
	     va_list arguments)
{
	int len =
	    snprintf(reader->error, CONFIG_ERROR_LEN, "%s:%zu: ", reader->shown, line);

	vsnprintf(reader->error + len, CONFIG_ERROR_LEN - (size_t)len, format,
		  arguments);
	return -EINVAL;
}

int config_fail(struct config_reader *reader, const struct config_node *node,
		const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail_at_line(reader, inside(node)->start_mark.line + 1, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static const char *kind_name(const struct config_node *node)
{
	switch (inside(node)->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a mapping";
	default:
		return "a single value";
	}
}

int config_fail_value(struct config_reader *reader, const struct config_node *node,
		      const char *key, const char *must)
{
	char quoted[VALUE_QUOTE_LEN];

	if (inside(node)->type != YAML_SCALAR_NODE)
		return config_fail(reader, node, "'%s' must be %s, not %s", key, must,
				   kind_name(node));
	value_quote((const char *)inside(node)->data.scalar.value, quoted);
	return config_fail(reader, node, "'%s' must be %s, not '%s'", key, must,
			   quoted);
}

int config_fail_quoted(struct config_reader *reader, const struct config_node *node,
		       const char *key, const char *problem)
{
	char quoted[VALUE_QUOTE_LEN];

	value_quote((const char *)inside(node)->data.scalar.value, quoted);
	return config_fail(reader, node, "'%s' '%s' %s", key, quoted, problem);
}

int config_fail_path(struct config_reader *reader, const struct config_node *node,
		     const char *key, const char *problem)
{
	char what[CONFIG_ERROR_LEN];

	snprintf(what, sizeof(what), "cannot be read: %s", problem);
	return config_fail_quoted(reader, node, key, what);
}

bool config_is_null(const struct config_node *node)
{
	static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};
	const yaml_node_t *yaml = inside(node);

	if (yaml->type != YAML_SCALAR_NODE ||
	    yaml->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < LENGTH(spellings); i++) {
		if (!strcmp((const char *)yaml->data.scalar.value, spellings[i]))
			return true;
	}
	return false;
}

bool config_is_list(const struct config_node *node)
{
	return inside(node)->type == YAML_SEQUENCE_NODE;
}

bool config_is_mapping(const struct config_node *node)
{
	return inside(node)->type == YAML_MAPPING_NODE;
}

bool config_is_plain(const struct config_node *node, const char *word)
{
	const yaml_node_t *yaml = inside(node);

	return yaml->type == YAML_SCALAR_NODE &&
	       yaml->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       !strcmp((const char *)yaml->data.scalar.value, word);
}

size_t config_item_count(const struct config_node *list)
{
	const yaml_node_t *yaml = inside(list);

	return (size_t)(yaml->data.sequence.items.top -
			yaml->data.sequence.items.start);
}

const struct config_node *config_item(struct config_reader *reader,
				      const struct config_node *list, size_t index)
{
	return node_at(reader, inside(list)->data.sequence.items.start[index]);
}

static int expand(struct config_reader *reader, const struct config_node *node,
		  const char *key, struct buf *text)
{
	const char *value = (const char *)inside(node)->data.scalar.value;
	enum value_expansion expansion = VALUE_EXPANDED;
	char name[VALUE_ENV_NAME_LEN];

	if (reader->is_literal)
		buf_string(text, value);
	else
		expansion = value_expand(value, text, name);
	switch (expansion) {
	case VALUE_ENV_MALFORMED:
		return config_fail(
		    reader, node, "'%s' has '${env:' without a variable's name and '}'",
		    key);
	case VALUE_ENV_UNSET:
		return config_fail(reader, node,
				   "'%s' needs the environment variable '%s', which is "
				   "not set",
				   key, name);
	case VALUE_ENV_NOT_UTF8:
		return config_fail(reader, node,
				   "'%s': the environment variable '%s' is not UTF-8",
				   key, name);
	case VALUE_EXPANDED:
		break;
	}
	buf_append(text, "", 1); /* the NUL */
	if (text->error == -E2BIG)
		return config_fail(reader, node, "'%s' is longer than %d bytes", key,
				   VALUE_LEN_MAX);
	if (text->error)
		return config_fail(reader, node, "out of memory");
	return 0;
}

static int check_scalar(struct config_reader *reader, const struct config_node *node,
			const char *key)
{
	const yaml_node_t *yaml = inside(node);

	if (yaml->type != YAML_SCALAR_NODE)
		return config_fail_value(reader, node, key, "a single value");
	if (strcmp((const char *)yaml->tag, YAML_DEFAULT_SCALAR_TAG) != 0)
		return config_fail(reader, node,
				   "'%s' has a tag ('!...'), which is not "
				   "supported",
				   key);
	if (strlen((const char *)yaml->data.scalar.value) != yaml->data.scalar.length)
		return config_fail(reader, node, "'%s' has a NUL byte", key);
	return 0;
}

int config_scalar_or_empty(struct config_reader *reader, const struct config_node *node,
			   const char *key, char **ret_text)
{
	struct buf text = BUF_INIT(VALUE_LEN_MAX);
	int err = check_scalar(reader, node, key);

	if (err)
		return err;
	if (config_is_null(node))
		return config_fail(reader, node, "'%s' has no value", key);
	err = expand(reader, node, key, &text);
	if (err) {
		buf_free(&text);
		return err;
	}
	*ret_text = TAKE(text.data);
	return 0;
}

int config_scalar(struct config_reader *reader, const struct config_node *node,
		  const char *key, char **ret_text)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar_or_empty(reader, node, key, &text);

	if (!err && !*text)
		err = config_fail(reader, node, "'%s' has no value", key);
	if (!err)
		*ret_text = TAKE(text);
	return err;
}

char *config_resolve_path(const struct config_reader *reader, const char *path)
{
	const char *slash = strrchr(reader->path, '/');
	char *resolved;

	if (*path == '/' || !slash)
		return strdup(path);
	if (asprintf(&resolved, "%.*s/%s", (int)(slash - reader->path), reader->path,
		     path) < 0)
		return NULL;
	return resolved;
}

char *config_where(const struct config_reader *reader, const struct config_node *node)
{
	char *where;

	if (asprintf(&where, "%s:%zu", reader->shown,
		     inside(node)->start_mark.line + 1) < 0)
		return NULL;
	return where;
}

/* --- mappings --------------------------------------------------------------- */

static size_t pair_count(const struct config_node *mapping)
{
	const yaml_node_t *yaml = inside(mapping);

	return (size_t)(yaml->data.mapping.pairs.top - yaml->data.mapping.pairs.start);
}

struct pair {
	const struct config_node *key;
	const struct config_node *value;
	const char *name; /* of the key; NULL when it is not a word */
};

static struct pair pair_at(struct config_reader *reader,
			   const struct config_node *mapping, size_t index)
{
	const yaml_node_pair_t *at = &inside(mapping)->data.mapping.pairs.start[index];
	struct pair pair = {.key = node_at(reader, at->key),
			    .value = node_at(reader, at->value)};
	const yaml_node_t *key = inside(pair.key);
	const char *text = (const char *)key->data.scalar.value;

	if (key->type == YAML_SCALAR_NODE && strlen(text) == key->data.scalar.length)
		pair.name = text;
	return pair;
}

static int fail_key(struct config_reader *reader, const struct config_node *key)
{
	return config_fail(reader, key, "a key must be a word, not %s",
			   inside(key)->type == YAML_SCALAR_NODE ? "bytes"
								 : kind_name(key));
}

/* A key with nothing below it, all of it commented out say, is an empty one. */
static int check_mapping(struct config_reader *reader, const struct config_node *node,
			 const char *key, bool *ret_empty)
{
	*ret_empty = config_is_null(node);
	if (*ret_empty || inside(node)->type == YAML_MAPPING_NODE)
		return 0;
	return config_fail(reader, node, "%s must be a mapping (key: value), not %s",
			   key, kind_name(node));
}

/* The block in this section that has such a key; NULL: none. */
static const char *block_with(const struct config_section *section, const char *name)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_section *block = section->fields[i].section;

		for (size_t j = 0; block && j < block->count; j++) {
			if (!strcmp(block->fields[j].key, name))
				return section->fields[i].key;
		}
	}
	return NULL;
}

static int fail_unknown(struct config_reader *reader, const struct config_node *key,
			const char *name, const struct config_section *section)
{
	const char *block = block_with(section, name);
	unsigned int distance = VALUE_UNLIKE;
	char quoted[VALUE_QUOTE_LEN];
	const char *nearest = NULL;

	value_quote(name, quoted);
	if (block)
		return config_fail(reader, key,
				   "unknown key '%s' in %s; it belongs under '%s'",
				   quoted, section->name, block);
	for (size_t i = 0; i < section->count; i++) {
		if (section->fields[i].read &&
		    value_is_nearer(name, section->fields[i].key, &distance))
			nearest = section->fields[i].key;
	}
	if (nearest)
		return config_fail(reader, key,
				   "unknown key '%s' in %s (did you mean '%s'?)",
				   quoted, section->name, nearest);
	return config_fail(reader, key, "unknown key '%s' in %s", quoted,
			   section->name);
}

/* Whether fields[index] may follow those in `seen`. */
static int check_first(struct config_reader *reader, const struct config_node *key,
		       const struct config_section *section, uint64_t seen,
		       size_t index)
{
	const struct config_field *field = &section->fields[index];

	if (seen & (1ull << index))
		return config_fail(reader, key, "key '%s' is given twice", field->key);
	for (size_t i = 0; field->choice && i < section->count; i++) {
		if ((seen & (1ull << i)) && section->fields[i].choice == field->choice)
			return config_fail(reader, key,
					   "'%s' and '%s' exclude each other",
					   section->fields[i].key, field->key);
	}
	return 0;
}

static bool is_key(const char *key, const char *name)
{
	return *key == '*' ? slice_ends_with(slice_of(name), key + 1)
			   : !strcmp(key, name);
}

static bool has_key(struct config_reader *reader, const struct config_node *mapping,
		    const char *name)
{
	for (size_t i = 0; i < pair_count(mapping); i++) {
		const struct pair pair = pair_at(reader, mapping, i);

		if (pair.name && !strcmp(pair.name, name))
			return true;
	}
	return false;
}

/* At once, where a whole file was pasted: one after the other would be tedious. */
static int refuse_foreign(struct config_reader *reader,
			  const struct config_node *mapping,
			  const struct config_node *first,
			  const struct config_section *section)
{
	CLEANUP(buf_free) struct buf names = BUF_INIT(CONFIG_ERROR_LEN);
	size_t count = 0;

	for (size_t i = 0; i < section->count; i++) {
		const struct config_field *field = &section->fields[i];

		if (!field->read && has_key(reader, mapping, field->key))
			buf_printf(&names, "%s'%s'", count++ ? ", " : "", field->key);
	}
	buf_append(&names, "", 1);
	return config_fail(reader, first,
			   "%s: Prometheus' own, which bpftally does not have; leave "
			   "%s out",
			   names.error ? "keys" : names.data,
			   count == 1 ? "it" : "them");
}

static int read_pair(struct config_reader *reader, const struct config_node *mapping,
		     size_t index, const struct config_section *section, void *target,
		     uint64_t *seen)
{
	struct pair pair = pair_at(reader, mapping, index);
	char quoted[VALUE_QUOTE_LEN];
	struct config_field field;
	size_t i = 0;
	int err;

	if (!pair.name)
		return fail_key(reader, pair.key);
	while (i < section->count && !is_key(section->fields[i].key, pair.name))
		i++;
	if (i == section->count)
		return fail_unknown(reader, pair.key, pair.name, section);
	if (!section->fields[i].read)
		return refuse_foreign(reader, mapping, pair.key, section);
	err = check_first(reader, pair.key, section, *seen, i);
	if (err)
		return err;
	*seen |= 1ull << i;
	field = section->fields[i];
	if (*field.key == '*') { /* messages name the key that is there */
		value_quote(pair.name, quoted);
		field.key = quoted;
	}
	return field.read(reader, pair.value, &field, (char *)target + field.offset);
}

int config_read_mapping(struct config_reader *reader, const struct config_node *node,
			const struct config_section *section, void *target)
{
	uint64_t seen = 0;
	bool empty;
	int err = check_mapping(reader, node, section->name, &empty);

	for (size_t i = 0; !err && !empty && i < pair_count(node); i++)
		err = read_pair(reader, node, i, section, target, &seen);
	for (size_t i = 0; !err && i < section->count; i++) {
		if (section->fields[i].required && !(seen & (1ull << i)))
			err = config_fail(reader, node, "%s needs '%s'", section->name,
					  section->fields[i].key);
	}
	if (!err && section->check)
		err = section->check(reader, node, target);
	return err;
}

static int read_free_pair(struct config_reader *reader,
			  const struct config_node *mapping, size_t index,
			  config_add_pair *add, void *target)
{
	struct pair pair = pair_at(reader, mapping, index);
	char quoted[VALUE_QUOTE_LEN];

	if (!pair.name)
		return fail_key(reader, pair.key);
	for (size_t i = 0; i < index; i++) {
		if (strcmp(pair_at(reader, mapping, i).name, pair.name) != 0)
			continue;
		value_quote(pair.name, quoted);
		return config_fail(reader, pair.key, "key '%s' is given twice", quoted);
	}
	return add(reader, pair.key, pair.name, pair.value, target);
}

int config_read_each(struct config_reader *reader, const struct config_node *node,
		     const char *key, size_t max, config_add_pair *add, void *target)
{
	bool empty;
	int err = check_mapping(reader, node, key, &empty);

	if (err || empty)
		return err;
	if (pair_count(node) > max)
		return config_fail(reader, node, "%s has more than %zu entries", key,
				   max);
	for (size_t i = 0; !err && i < pair_count(node); i++)
		err = read_free_pair(reader, node, i, add, target);
	return err;
}

struct text_pairs {
	const char *key;
	config_pair_problem *problem;
	struct config_labels *labels;
};

static int add_text_pair(struct config_reader *reader, const struct config_node *key,
			 const char *name, const struct config_node *value_node,
			 void *target)
{
	struct text_pairs *pairs = target;
	AUTO_WIPE char *value = NULL;
	char quoted[VALUE_QUOTE_LEN];
	const char *wrong;
	int err;

	value_quote(name, quoted);
	err = config_scalar(reader, value_node, quoted, &value);
	if (err)
		return err;
	wrong = pairs->problem(name, value);
	if (wrong)
		return config_fail(reader, key, "'%s' in %s %s", quoted, pairs->key,
				   wrong);
	if (!config_add_label(pairs->labels, name, value))
		return config_fail(reader, key, "out of memory");
	return 0;
}

int config_read_pairs(struct config_reader *reader, const struct config_node *node,
		      const char *key, config_pair_problem *problem,
		      struct config_labels *labels)
{
	struct text_pairs pairs = {key, problem, labels};

	return config_read_each(reader, node, key, CONFIG_LIST_MAX, add_text_pair,
				&pairs);
}

/* --- the file --------------------------------------------------------------- */

static int fail_file(struct config_reader *reader, const char *what, const char *why)
{
	snprintf(reader->error, CONFIG_ERROR_LEN, "%s: %s%s%s", reader->shown, what,
		 why ? ": " : "", why ? why : "");
	return -EINVAL;
}

/* /dev/stdin and a shell's <(...): a pipe that somebody writes to, or has. One of
 * a name in the file system would be waited for. */
static bool is_own_descriptor(const char *path)
{
	static const char *const prefixes[] = {"/dev/fd/", "/proc/self/fd/"};

	for (size_t i = 0; i < LENGTH(prefixes); i++) {
		if (!strncmp(path, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return !strcmp(path, "/dev/stdin");
}

/* Judged before it is opened, which some devices answer by doing something. */
static int open_file(struct config_reader *reader, int *ret_fd)
{
	struct stat status;
	int fd;

	if (stat(reader->path, &status))
		return fail_file(reader, "cannot be opened", strerror(errno));
	if (!S_ISREG(status.st_mode) &&
	    !(S_ISFIFO(status.st_mode) && is_own_descriptor(reader->path)))
		return fail_file(reader, "is not a regular file", NULL);
	fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail_file(reader, "cannot be opened", strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* Of a regular file, only some of the kernel's own have nothing yet. */
static int wait_for_writer(struct config_reader *reader, int fd, int64_t deadline_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int64_t left_ms = deadline_ms - clock_ms(CLOCK_MONOTONIC);
	struct stat status;

	if (fstat(fd, &status) || !S_ISFIFO(status.st_mode))
		return fail_file(reader, "cannot be read", strerror(EAGAIN));
	if (left_ms > 0 && poll(&poller, 1, (int)left_ms) != 0)
		return 0; /* an error shows when it is read */
	return fail_file(reader, "has no end after 10 seconds", NULL);
}

/* One byte more than a file may have, at most. */
static int read_all(struct config_reader *reader, int fd, char *bytes, size_t *ret_len)
{
	int64_t deadline_ms = clock_ms(CLOCK_MONOTONIC) + PIPE_PATIENCE_MS;
	size_t len = 0;
	ssize_t got = 1;
	int err;

	while (got && len <= FILE_LEN_MAX) {
		got = read(fd, bytes + len, FILE_LEN_MAX + 1 - len);
		if (got >= 0) {
			len += (size_t)got;
			continue;
		}
		if (errno != EAGAIN)
			return fail_file(reader, "cannot be read", strerror(errno));
		err = wait_for_writer(reader, fd, deadline_ms);
		if (err)
			return err;
	}
	*ret_len = len;
	return 0;
}

static int read_bytes(struct config_reader *reader, char **ret_bytes, size_t *ret_len)
{
	AUTO_FREE char *bytes = malloc(FILE_LEN_MAX + 1);
	AUTO_CLOSE int fd = -1;
	size_t len = 0;
	int err;

	if (!bytes)
		return fail_file(reader, "out of memory", NULL);
	err = open_file(reader, &fd);
	if (!err)
		err = read_all(reader, fd, bytes, &len);
	if (err)
		return err;
	if (len > FILE_LEN_MAX)
		return fail_file(reader, "is larger than 1 MiB", NULL);
	*ret_bytes = TAKE(bytes);
	*ret_len = len;
	return 0;
}

__attribute__((format(printf, 3, 4))) static int
fail_syntax(struct config_reader *reader, size_t line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail_at_line(reader, line, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* The library's problem texts are constants: they quote nothing of the file.
 * Below the characters it knows an offset only, no line. */
static int fail_parser(struct config_reader *reader, const yaml_parser_t *parser,
		       const char *bytes, size_t len)
{
	const char *problem = parser->problem ? parser->problem : "cannot be parsed";
	size_t line = 1;

	if (parser->error == YAML_MEMORY_ERROR)
		return fail_file(reader, "out of memory", NULL);
	if (parser->error != YAML_READER_ERROR)
		return fail_syntax(reader, parser->problem_mark.line + 1,
				   "not valid YAML: %s%s%s", problem,
				   parser->context ? " " : "",
				   parser->context ? parser->context : "");
	for (size_t i = 0; i < parser->problem_offset && i < len; i++)
		line += bytes[i] == '\n';
	return fail_syntax(reader, line, "not UTF-8 text: %s", problem);
}

/* libyaml (0.2.5) counts it as a column, so that a first key stands further right
 * than the second, and finds no "---" behind it. */
static void drop_byte_order_mark(char *bytes, size_t *len)
{
	static const char mark[] = "\xef\xbb\xbf";
	const size_t mark_len = sizeof(mark) - 1;

	if (*len < mark_len || memcmp(bytes, mark, mark_len))
		return;
	*len -= mark_len;
	memmove(bytes, bytes + mark_len, *len);
}

static bool start_parser(yaml_parser_t *parser, const char *bytes, size_t len)
{
	if (!yaml_parser_initialize(parser))
		return false;
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)bytes, len);
	return true;
}

struct shape {
	unsigned int depth;
	unsigned int anchors;
	unsigned int documents;
};

static bool has_anchor(const yaml_event_t *event)
{
	return (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor) ||
	       (event->type == YAML_SEQUENCE_START_EVENT &&
		event->data.sequence_start.anchor) ||
	       (event->type == YAML_MAPPING_START_EVENT &&
		event->data.mapping_start.anchor);
}

static int check_event(struct config_reader *reader, const yaml_event_t *event,
		       struct shape *shape)
{
	size_t line = event->start_mark.line + 1;

	if (event->type == YAML_DOCUMENT_START_EVENT && ++shape->documents > 1)
		return fail_syntax(reader, line,
				   "a second document ('---') is not read");
	if (has_anchor(event) && ++shape->anchors > ANCHORS_MAX)
		return fail_syntax(reader, line, "more than %d anchors ('&...')",
				   ANCHORS_MAX);
	if (event->type == YAML_SEQUENCE_END_EVENT ||
	    event->type == YAML_MAPPING_END_EVENT)
		shape->depth--;
	if ((event->type == YAML_SEQUENCE_START_EVENT ||
	     event->type == YAML_MAPPING_START_EVENT) &&
	    ++shape->depth > DEPTH_MAX)
		return fail_syntax(reader, line, "nested deeper than %d levels",
				   DEPTH_MAX);
	return 0;
}

/* libyaml 0.2.5 takes time that grows with the square of the depth and of the
 * number of anchors: a MiB of '[' kept it busy for minutes. Its events come one
 * by one, so this first pass stops early. */
static int check_shape(struct config_reader *reader, const char *bytes, size_t len)
{
	CLEANUP(yaml_parser_delete) yaml_parser_t parser = {0};
	struct shape shape = {0};
	bool done = false;
	int err = 0;

	if (!start_parser(&parser, bytes, len))
		return fail_file(reader, "out of memory", NULL);
	while (!err && !done) {
		CLEANUP(yaml_event_delete) yaml_event_t event = {0};

		if (!yaml_parser_parse(&parser, &event))
			return fail_parser(reader, &parser, bytes, len);
		err = check_event(reader, &event, &shape);
		done = event.type == YAML_STREAM_END_EVENT;
	}
	return err;
}

static int read_document(struct config_reader *reader, const char *bytes, size_t len,
			 config_read *read, const struct config_field *field,
			 void *target)
{
	CLEANUP(yaml_parser_delete) yaml_parser_t parser = {0};
	const yaml_node_t *root;

	if (!start_parser(&parser, bytes, len))
		return fail_file(reader, "out of memory", NULL);
	if (!yaml_parser_load(&parser, &reader->document))
		return fail_parser(reader, &parser, bytes, len);
	root = yaml_document_get_root_node(&reader->document);
	if (!root) /* nothing but comments */
		return 0;
	return read(reader, (const struct config_node *)root, field, target);
}

static int read_path(struct config_reader *reader, config_read *read,
		     const struct config_field *field, void *target)
{
	AUTO_FREE char *bytes = NULL;
	size_t path_len = strlen(reader->path), len = 0;
	int err;

	reader->shown = reader->path;
	if (path_len > SHOWN_PATH_LEN_MAX)
		reader->shown += path_len - SHOWN_PATH_LEN_MAX;
	err = read_bytes(reader, &bytes, &len);
	if (err)
		return err;
	drop_byte_order_mark(bytes, &len);
	err = check_shape(reader, bytes, len);
	if (err)
		return err;
	err = read_document(reader, bytes, len, read, field, target);
	yaml_document_delete(&reader->document);
	return err;
}

int config_read_file(const char *path, const struct config_section *section,
		     void *target, char ret_error[CONFIG_ERROR_LEN])
{
	const struct config_field root = {.section = section};
	struct config_reader reader = {.path = path, .error = ret_error};

	return read_path(&reader, config_read_section, &root, target);
}

int config_read_literal_file(const char *path, config_read *read, void *target,
			     char ret_error[CONFIG_ERROR_LEN])
{
	const struct config_field root = {.key = "the file"};
	struct config_reader reader = {
	    .path = path, .is_literal = true, .error = ret_error};

	return read_path(&reader, read, &root, target);
}
