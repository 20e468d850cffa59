/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each read begins LOG_TAIL_BYTES before what is new. What stands there is compared
 * with what stood there: so a file that was emptied, or written anew, is not read on
 * as if it had grown, however long it is by now; in the same system call, which leaves
 * no time in between.
 */
#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log_text.h"

struct log_file *log_file_create(const struct log_identity *identity,
				 struct log_rule *rule, const char *path,
				 const char *name, const char *service, uint64_t offset)
{
	CLEANUP(log_file_free) struct log_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->identity = *identity;
	file->rule = rule;
	file->fd = -1;
	file->note = LOG_NO_NOTE;
	file->offset = file->read_end = file->size = offset;
	file->lines.line_max = rule->config->max_line_bytes;
	file->multiline.len_max = rule->config->max_line_bytes;
	file->multiline.lines_max = rule->config->max_lines;
	file->path = strdup(path);
	file->name = strdup(name ? name : path);
	file->service = service && *service ? strdup(service) : NULL;
	if (!file->path || !file->name || (service && *service && !file->service))
		return NULL;
	file->labels = log_rule_labels(rule, file->name, file->service);
	return file->labels ? TAKE(file) : NULL;
}

void log_file_free(struct log_file **file)
{
	if (!*file)
		return;
	log_file_close(*file);
	log_lines_free(&(*file)->lines);
	log_multiline_free(&(*file)->multiline);
	free((*file)->name);
	free((*file)->path);
	free((*file)->target);
	free((*file)->service);
	free((*file)->labels);
	free(*file);
	*file = NULL;
}

void log_file_close(struct log_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

const char *log_file_place(const struct log_file *file)
{
	return file->is_linked ? file->target : file->path;
}

bool log_file_is_pending(const struct log_file *file)
{
	return file->lines.pending || file->multiline.pending;
}

void log_file_restart(struct log_file *file, uint64_t offset, struct log_print tail)
{
	log_lines_reset(&file->lines);
	log_multiline_reset(&file->multiline);
	file->offset = file->read_end = file->size = offset;
	file->tail = tail;
	/* What stood before the same position in another content is no print of it. */
	file->mark = (struct log_print){0};
	file->mark_offset = 0;
	if (!offset)
		file->identity.head = (struct log_print){0};
}

/* --- opening ------------------------------------------------------------------ */

void log_file_set_stamp(struct log_file *file, struct log_stamp stamp)
{
	file->stamp = stamp;
	file->stamp_ms = 0;
	file->is_settled = false;
}

/* The prints of what was there before it was closed, or before a restart. */
static enum log_read verify(struct log_file *file)
{
	if (file->size < file->read_end ||
	    !log_head_is(file->fd, file->identity.head) ||
	    !log_before_is(file->fd, file->read_end, file->tail))
		return LOG_READ_CHANGED;
	return LOG_READ_END;
}

/* Without waiting for whom a pipe or a device may wait for: what is opened is judged
 * before it is read. */
enum log_read log_file_open(struct log_file *file)
{
	AUTO_CLOSE int fd = -1;
	struct log_stat found;
	int err;

	if (file->fd >= 0)
		return LOG_READ_END;
	if (!file->path)
		return LOG_READ_GONE;
	fd = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? LOG_READ_GONE
							   : LOG_READ_FAILED;
	err = log_stat(fd, "", &found);
	if (err) {
		errno = -err;
		return LOG_READ_FAILED;
	}
	if (!found.is_regular || !log_identity_is(&file->identity, &found.identity))
		return LOG_READ_GONE;
	file->fd = fd;
	fd = -1;
	file->size = found.size;
	if (!log_stamp_is(file->stamp, found.stamp))
		log_file_set_stamp(file, found.stamp);
	return verify(file);
}

/* --- reading ------------------------------------------------------------------ */

static void hand_out(struct log_file *file, const struct log_entry *entry,
		     const struct log_sink *sink)
{
	sink->entry(sink->context, file, entry);
	file->offset += entry->len;
	file->is_dirty = true;
}

static void take_line(struct log_file *file, const struct log_line *line,
		      const struct log_sink *sink)
{
	CLEANUP(buf_free) struct buf scratch = BUF_INIT(2 * file->lines.line_max);
	struct log_entry entry = {
	    .text = log_text_valid(line->text, file->lines.line_max, &scratch),
	    .len = line->len,
	    .is_cut = line->is_cut,
	};
	struct log_entry whole;
	bool is_first;

	if (line->is_discarded) {
		file->offset += line->len;
		file->is_dirty = true;
		return;
	}
	if (!file->rule->first_line) {
		hand_out(file, &entry, sink);
		return;
	}
	file->line_ms = sink->now_ms;
	is_first = log_rule_begins(file->rule, entry.text);
	if (log_multiline_add(&file->multiline, is_first, &entry, &whole))
		hand_out(file, &whole, sink);
}

static void take(struct log_file *file, struct slice chunk, const struct log_sink *sink)
{
	struct log_line line;

	while (log_lines_next(&file->lines, &chunk, &line))
		take_line(file, &line, sink);
}

/* How far nothing but a hole goes on from there; 0: it is none. */
static uint64_t hole_len(const struct log_file *file)
{
	off_t data = lseek(file->fd, (off_t)file->read_end, SEEK_DATA);

	if (data < 0 && errno == ENXIO) /* up to the end */
		data = lseek(file->fd, 0, SEEK_END);
	return data > (off_t)file->read_end ? (uint64_t)data - file->read_end : 0;
}

/* Terabytes of nothing take no time. */
static bool skip_hole(struct log_file *file)
{
	uint64_t len = hole_len(file);

	if (len < LOG_FILE_CHUNK)
		return false;
	log_lines_skip(&file->lines, len);
	file->read_end += len;
	file->tail = log_print_before(file->fd, file->read_end);
	return true;
}

/* Of the last of these bytes. */
static struct log_print print_of_end(const char *bytes, size_t len)
{
	const size_t tail_len = len < LOG_TAIL_BYTES ? len : LOG_TAIL_BYTES;

	return log_print_of(bytes + len - tail_len, tail_len);
}

/* It is needed before there is a position to be noted: the file may be copied and
 * emptied within that second. `buf` has the first bytes of the file. */
static void learn_first_head(struct log_file *file, const char *buf, size_t len)
{
	file->identity.head =
	    log_print_of(buf, len < LOG_HEAD_BYTES ? len : LOG_HEAD_BYTES);
}

/* At the beginning there is no tail, but it may be known how it began. */
static bool is_known(const struct log_file *file, const char *buf, size_t len)
{
	const struct log_print known =
	    file->read_end ? file->tail : file->identity.head;

	return len >= known.len && log_print_of(buf, known.len).hash == known.hash;
}

/* The file itself cannot be asked later: another content may stand there by then, and
 * nobody would find the copy of this one. */
static void learn_mark(struct log_file *file)
{
	const uint64_t back = file->read_end - file->offset;
	const size_t len = file->chunk.len;

	if (!back)
		file->mark = file->tail;
	else if (file->mark_offset != file->offset)
		file->mark = back < len
				 ? print_of_end(file->chunk.text, len - (size_t)back)
				 : (struct log_print){0};
	file->mark_offset = file->offset;
}

enum log_read log_file_read(struct log_file *file, char *buf,
			    const struct log_sink *sink, size_t *ret_len)
{
	const bool was_open = file->fd >= 0;
	enum log_read opened = log_file_open(file);
	const uint32_t known = file->tail.len;
	ssize_t got;
	size_t len;

	*ret_len = 0;
	if (opened != LOG_READ_END)
		return opened;
	/* Lines of one length may all end alike. */
	if (was_open && !log_head_is(file->fd, file->identity.head))
		return LOG_READ_CHANGED;
	got = pread(file->fd, buf, known + LOG_FILE_CHUNK,
		    (off_t)(file->read_end - known));
	if (got < 0)
		return errno == EINTR ? LOG_READ_MORE : LOG_READ_FAILED;
	if (!is_known(file, buf, (size_t)got))
		return LOG_READ_CHANGED;
	len = (size_t)got - known;
	if (!len)
		return LOG_READ_END;
	*ret_len = len;
	file->growth_ms = sink->now_ms;
	if (!buf[known] && skip_hole(file))
		return LOG_READ_MORE;
	file->read_end += len;
	if (file->size < file->read_end)
		file->size = file->read_end;
	if (file->read_end == (size_t)got)
		learn_first_head(file, buf, (size_t)got);
	file->tail = print_of_end(buf, (size_t)got);
	file->chunk = (struct slice){buf, (size_t)got};
	take(file, (struct slice){buf + known, len}, sink);
	learn_mark(file);
	file->chunk = (struct slice){0};
	return len == LOG_FILE_CHUNK ? LOG_READ_MORE : LOG_READ_END;
}

void log_file_end_entry(struct log_file *file, const struct log_sink *sink)
{
	struct log_entry entry;

	if (log_multiline_end(&file->multiline, &entry))
		hand_out(file, &entry, sink);
}

void log_file_end(struct log_file *file, const struct log_sink *sink)
{
	struct log_line line;

	if (log_lines_end(&file->lines, &line))
		take_line(file, &line, sink);
	log_file_end_entry(file, sink);
}

/* --- positions ---------------------------------------------------------------- */

/* Twice as long as it was, at least: a dozen reads in a file's life. */
static void learn_head(struct log_file *file)
{
	struct log_print *head = &file->identity.head;

	if (file->fd < 0 || head->len >= LOG_HEAD_BYTES ||
	    file->offset < 2 * (uint64_t)head->len || !file->offset)
		return;
	log_print_grow(file->fd, head, file->offset);
}

struct log_position log_file_position(struct log_file *file)
{
	struct log_position position = {
	    .offset = file->offset,
	    .name = file->name,
	    .path = file->path ? file->path : "",
	    .service = file->service ? file->service : "",
	    .target = file->target ? file->target : "",
	    .is_anew = file->is_anew || !file->identity.head.len,
	    .is_inside = file->lines.is_discarded,
	};

	learn_head(file);
	learn_mark(file);
	position.identity = file->identity;
	position.tail = file->mark;
	return position;
}
