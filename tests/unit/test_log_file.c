/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_file.h"

/* One file, without a set around it. */
struct one {
	struct config_log config;
	struct config_labels external;
	struct log_rule rule;
	struct log_file *file;
	char path[64];
	char buf[LOG_FILE_BUF];
	char read[4096];
};

static int set_up(void **state)
{
	struct one *one = calloc(1, sizeof(*one));
	struct log_stat found;
	int fd;

	strcpy(one->path, "/tmp/test_file.XXXXXX");
	fd = mkstemp(one->path);
	if (fd < 0)
		return -1;
	close(fd);
	one->config = (struct config_log){
	    .job = (char *)"j", .max_line_bytes = 100, .max_lines = 10};
	if (log_rule_init(&one->rule, &one->config, &one->external, 1) ||
	    log_stat(-1, one->path, &found))
		return -1;
	one->file =
	    log_file_create(&found.identity, &one->rule, one->path, "name", "", 0);
	*state = one;
	return one->file ? 0 : -1;
}

static int tear_down(void **state)
{
	struct one *one = *state;

	log_file_free(&one->file);
	log_rule_clear(&one->rule);
	unlink(one->path);
	free(one);
	return 0;
}

static void put(const struct one *one, int flags, const char *text)
{
	int fd = open(one->path, O_WRONLY | flags);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void on_entry(void *context, struct log_file *file,
		     const struct log_entry *entry)
{
	struct one *one = context;

	(void)file;
	sprintf(one->read + strlen(one->read), "[%.*s]", (int)entry->text.len,
		entry->text.text);
}

static void expect(struct one *one, enum log_read result, const char *entries)
{
	const struct log_sink sink = {on_entry, one, 7};
	size_t len;

	*one->read = 0;
	assert_int_equal(log_file_read(one->file, one->buf, &sink, &len), result);
	assert_string_equal(one->read, entries);
}

static void read_whatever(struct one *one)
{
	const struct log_sink sink = {on_entry, one, 7};
	size_t len;

	*one->read = 0;
	assert_int_equal(log_file_read(one->file, one->buf, &sink, &len), LOG_READ_END);
}

static void it_is_opened_when_it_is_read(void **state)
{
	struct one *one = *state;

	assert_int_equal(one->file->fd, -1);
	put(one, 0, "one\ntwo\nthr");
	expect(one, LOG_READ_END, "[one][two]");
	assert_true(one->file->fd >= 0);
	assert_int_equal(one->file->offset, 8);
	assert_int_equal(one->file->read_end, 11);
	assert_int_equal(one->file->size, 11);
	assert_int_equal(one->file->growth_ms, 7);
	assert_true(one->file->is_dirty);
	log_file_close(one->file);
	put(one, O_APPEND, "ee\n");
	expect(one, LOG_READ_END, "[three]");
	expect(one, LOG_READ_END, "");
}

static void what_does_not_go_on_is_changed(void **state)
{
	static const char *const texts[] = {"", "short\n",
					    "another, longer than before\n"};
	struct one *one = *state;

	for (int is_closed = 0; is_closed < 2; is_closed++) {
		for (size_t i = 0; i < 3; i++) {
			put(one, O_TRUNC, "one\nfirst lines\n");
			expect(one, LOG_READ_END, "[one][first lines]");
			log_file_position(one->file);
			if (is_closed)
				log_file_close(one->file);
			put(one, O_TRUNC, texts[i]);
			expect(one, LOG_READ_CHANGED, "");
			log_file_restart(one->file, 0, (struct log_print){0});
		}
	}
}

static void another_file_at_its_path_is_not_read(void **state)
{
	struct one *one = *state;
	char other[80];
	int fd;

	snprintf(other, sizeof(other), "%s.new", one->path);
	fd = open(other, O_CREAT | O_WRONLY, 0644);
	close(fd);
	assert_int_equal(rename(other, one->path), 0);
	put(one, 0, "of another\n");
	expect(one, LOG_READ_GONE, "");
	unlink(one->path);
	expect(one, LOG_READ_GONE, "");
	assert_int_equal(mkdir(one->path, 0755), 0);
	expect(one, LOG_READ_GONE, "");
	assert_int_equal(rmdir(one->path), 0);
}

static void bytes_that_are_no_text_are_made_text(void **state)
{
	struct one *one = *state;
	int fd = open(one->path, O_WRONLY);

	assert_int_equal(write(fd, "a\0b\xff\r\n", 6), 6);
	close(fd);
	expect(one, LOG_READ_END,
	       "[a\xef\xbf\xbd"
	       "b\xef\xbf\xbd]");
	assert_int_equal(one->file->offset, 6);
}

static void count_entry(void *context, struct log_file *file,
			const struct log_entry *entry)
{
	unsigned int *count = context;

	(void)file;
	(void)entry;
	(*count)++;
}

static void a_long_file_is_read_in_pieces(void **state)
{
	static char text[200001];
	struct one *one = *state;
	unsigned int pieces = 0, entries = 0;
	const struct log_sink sink = {count_entry, &entries, 7};
	enum log_read result;
	size_t len;

	memset(text, '\n', sizeof(text) - 1);
	put(one, 0, text);
	do {
		result = log_file_read(one->file, one->buf, &sink, &len);
		pieces++;
		assert_true(len <= LOG_FILE_CHUNK);
	} while (result == LOG_READ_MORE);
	assert_int_equal(pieces, 4);
	assert_int_equal(entries, 200000);
}

static void lines_that_wait_are_in_no_position(void **state)
{
	struct one *one = *state;
	const struct log_sink sink = {on_entry, one, 7};
	struct log_position position;

	put(one, 0, "one\npart");
	expect(one, LOG_READ_END, "[one]");
	position = log_file_position(one->file);
	assert_int_equal(position.offset, 4);
	assert_int_equal(position.tail.len, 4);
	assert_int_equal(position.tail.hash, log_print_of("one\n", 4).hash);
	assert_int_equal(position.identity.head.len, 8);
	assert_string_equal(position.name, "name");
	assert_string_equal(position.path, one->path);
	assert_true(log_file_is_pending(one->file));
	*one->read = 0;
	log_file_end(one->file, &sink);
	assert_string_equal(one->read, "[part]");
	assert_int_equal(one->file->offset, 8);
	assert_false(log_file_is_pending(one->file));
}

/* Its batch is handed over up to a second later, or between two lines. */
static void a_position_is_of_what_was_read_whatever_stands_there_now(void **state)
{
	static const char text[] = "one\npart";
	struct one *one = *state;
	struct log_position position;

	put(one, 0, text);
	expect(one, LOG_READ_END, "[one]");
	put(one, O_TRUNC, "another, longer than before\n");
	position = log_file_position(one->file);
	assert_int_equal(position.offset, 4);
	assert_int_equal(position.tail.len, 4);
	assert_int_equal(position.tail.hash, log_print_of(text, 4).hash);
	assert_int_equal(position.identity.head.len, 8);
	assert_int_equal(position.identity.head.hash, log_print_of(text, 8).hash);
}

static void on_entry_of_others(void *context, struct log_file *file,
			       const struct log_entry *entry)
{
	const char *text = context;
	const struct log_position position = log_file_position(file);
	const size_t len =
	    position.offset < LOG_TAIL_BYTES ? (size_t)position.offset : LOG_TAIL_BYTES;

	(void)entry;
	assert_int_equal(position.tail.len, len);
	assert_int_equal(position.tail.hash,
			 log_print_of(text + position.offset - len, len).hash);
}

static void so_it_is_between_two_lines(void **state)
{
	struct one *one = *state;
	char text[1024] = "";
	const struct log_sink sink = {on_entry_of_others, text, 7};
	size_t len;

	for (int i = 0; i < 20; i++) {
		for (int j = 0; j < i; j++)
			sprintf(text + strlen(text), "%d", i % 10);
		strcat(text, i % 3 ? "\n" : "");
		put(one, 0, text);
		assert_int_equal(log_file_read(one->file, one->buf, &sink, &len),
				 LOG_READ_END);
		put(one, O_TRUNC, text + 1);
		log_file_position(one->file);
	}
}

/* Of another life, in which nothing of it was handed out. */
static void at_its_beginning_it_is_known_by_its_head(void **state)
{
	struct one *one = *state;

	put(one, 0, "one\n");
	one->file->identity.head = log_print_of("one\n", 4);
	assert_int_equal(log_file_open(one->file), LOG_READ_END);
	put(one, O_TRUNC, "another\n");
	expect(one, LOG_READ_CHANGED, "");
	put(one, O_TRUNC, "one\ntwo\n");
	expect(one, LOG_READ_END, "[one][two]");
}

/* Lines of one length: the position in the new content is that in the old one. */
static void the_position_in_another_content_has_its_own_print(void **state)
{
	struct one *one = *state;
	struct log_position position;

	put(one, 0, "one\n");
	expect(one, LOG_READ_END, "[one]");
	put(one, O_TRUNC, "two\npart");
	expect(one, LOG_READ_CHANGED, "");
	log_file_restart(one->file, 0, (struct log_print){0});
	expect(one, LOG_READ_END, "[two]");
	position = log_file_position(one->file);
	assert_int_equal(position.offset, 4);
	assert_int_equal(position.tail.len, 4);
	assert_int_equal(position.tail.hash, log_print_of("two\n", 4).hash);
}

static void the_print_of_its_head_grows_to_its_bound(void **state)
{
	struct one *one = *state;
	uint32_t last = 0;

	for (int i = 0; i < 400; i++) {
		struct log_position position;

		put(one, O_APPEND, "line\n");
		expect(one, LOG_READ_END, "[line]");
		position = log_file_position(one->file);
		assert_true(position.identity.head.len >= last);
		assert_true(log_head_is(one->file->fd, position.identity.head));
		last = position.identity.head.len;
	}
	assert_int_equal(last, LOG_HEAD_BYTES);
}

/* A head of few bytes is like those of others. */
static void the_print_of_its_head_is_not_of_its_first_bytes_only(void **state)
{
	struct one *one = *state;

	put(one, 0, "o");
	expect(one, LOG_READ_END, "");
	put(one, O_APPEND, "ne\ntwo\n");
	expect(one, LOG_READ_END, "[one][two]");
	assert_int_equal(one->file->identity.head.len, 8);
}

static void the_print_of_its_head_does_not_grow_into_another_content(void **state)
{
	struct one *one = *state;
	char text[300];

	memset(text, 'x', sizeof(text));
	text[99] = text[298] = '\n';
	text[100] = text[299] = 0;
	put(one, 0, text);
	read_whatever(one);
	text[100] = 'x';
	put(one, O_APPEND, text + 100);
	read_whatever(one);
	text[0] = 'y';
	put(one, O_TRUNC, text);
	assert_int_equal(log_file_position(one->file).identity.head.len, 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(it_is_opened_when_it_is_read),
	    TEST(what_does_not_go_on_is_changed),
	    TEST(another_file_at_its_path_is_not_read),
	    TEST(bytes_that_are_no_text_are_made_text),
	    TEST(a_long_file_is_read_in_pieces),
	    TEST(lines_that_wait_are_in_no_position),
	    TEST(a_position_is_of_what_was_read_whatever_stands_there_now),
	    TEST(so_it_is_between_two_lines),
	    TEST(at_its_beginning_it_is_known_by_its_head),
	    TEST(the_position_in_another_content_has_its_own_print),
	    TEST(the_print_of_its_head_grows_to_its_bound),
	    TEST(the_print_of_its_head_is_not_of_its_first_bytes_only),
	    TEST(the_print_of_its_head_does_not_grow_into_another_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
