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

#include "log_identity.h"

static int make(const char *text, size_t len)
{
	char path[] = "/tmp/test_identity.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, text, len), len);
	return fd;
}

static void a_file_is_what_it_was_whatever_its_name(void **state)
{
	char path[] = "/tmp/test_identity.XXXXXX", other[64];
	int fd = mkstemp(path);
	struct log_stat by_fd, by_path;
	struct stat stat_of;

	(void)state;
	snprintf(other, sizeof(other), "%s.1", path);
	assert_int_equal(log_stat(fd, "", &by_fd), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(log_stat(-1, other, &by_path), 0);
	assert_true(log_identity_is(&by_fd.identity, &by_path.identity));
	assert_int_equal(fstat(fd, &stat_of), 0);
	assert_int_equal(by_fd.identity.inode, stat_of.st_ino);
	assert_int_equal(by_fd.identity.device, stat_of.st_dev);
	assert_true(by_fd.is_regular);
	assert_false(by_fd.is_deleted);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(log_stat(fd, "", &by_fd), 0);
	assert_true(by_fd.is_deleted);
	assert_int_equal(log_stat(-1, other, &by_path), -ENOENT);
	close(fd);
}

static void birth_tells_apart_where_it_is_known(void **state)
{
	struct log_identity a = {.device = 1, .inode = 2, .birth_ns = 3}, b = a;

	(void)state;
	assert_true(log_identity_is(&a, &b));
	b.birth_ns = 4;
	assert_false(log_identity_is(&a, &b));
	b.birth_ns = 0;
	assert_true(log_identity_is(&a, &b));
	b.inode = 3;
	assert_false(log_identity_is(&a, &b));
	b = a;
	b.device = 2;
	assert_false(log_identity_is(&a, &b));
}

static void prints_are_of_every_byte_and_of_the_length(void **state)
{
	char bytes[LOG_HEAD_BYTES] = {0};

	(void)state;
	for (size_t len = 1; len <= 100; len++) {
		struct log_print print = log_print_of(bytes, len);

		assert_int_equal(print.len, len);
		for (size_t i = 0; i < len; i++) {
			bytes[i] ^= 1;
			assert_true(log_print_of(bytes, len).hash != print.hash);
			bytes[i] ^= 1;
		}
	}
	assert_int_equal(log_print_of(bytes, 0).hash, 0);
}

static void prints_are_compared_with_what_stands_there(void **state)
{
	static char text[3000];
	struct log_print head, tail;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 % 251);
	fd = make(text, sizeof(text));
	head = log_print_head(fd, 2000);
	tail = log_print_before(fd, 2000);
	assert_int_equal(head.len, LOG_HEAD_BYTES);
	assert_int_equal(tail.len, LOG_TAIL_BYTES);
	assert_int_equal(
	    tail.hash, log_print_of(text + 2000 - LOG_TAIL_BYTES, LOG_TAIL_BYTES).hash);
	assert_int_equal(log_print_head(fd, 10).len, 10);
	assert_int_equal(log_print_before(fd, 10).len, 10);
	assert_int_equal(log_print_before(fd, 0).len, 0);
	assert_int_equal(log_print_before(fd, 3001).len, 0); /* beyond the end */
	assert_true(log_head_is(fd, head));
	assert_true(log_before_is(fd, 2000, tail));
	assert_false(log_before_is(fd, 2001, tail));
	assert_false(log_before_is(fd, 10, tail));
	assert_int_equal(pwrite(fd, "!", 1, 1999), 1);
	assert_true(log_head_is(fd, head));
	assert_false(log_before_is(fd, 2000, tail));
	assert_int_equal(ftruncate(fd, 1000), 0);
	assert_false(log_head_is(fd, head));
	close(fd);
}

static void a_position_comes_back(void **state)
{
	const struct log_position position = {
	    .identity = {1, 2, 3, {4, 5}},
	    .offset = 600,
	    .tail = {64, 7},
	    .is_anew = true,
	    .name = "/var/log/a.log",
	    .path = "/var/log/a.log.1",
	    .service = "",
	};
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	struct log_position found;
	size_t len;

	(void)state;
	assert_int_equal(log_position_encode(&position, bytes, &len), 0);
	assert_int_equal(log_position_decode(bytes, len, &found), 0);
	assert_memory_equal(&found.identity, &position.identity,
			    sizeof(found.identity));
	assert_int_equal(found.offset, 600);
	assert_int_equal(found.tail.len, 64);
	assert_int_equal(found.tail.hash, 7);
	assert_true(found.is_anew);
	assert_false(found.is_inside);
	assert_string_equal(found.name, position.name);
	assert_string_equal(found.path, position.path);
	assert_string_equal(found.service, "");
	for (size_t i = 0; i < len; i++) {
		unsigned char *copy = malloc(i + 1);

		memcpy(copy, bytes, i);
		copy = realloc(copy, i ? i : 1);
		assert_int_equal(log_position_decode(copy, i, &found), -EBADMSG);
		free(copy);
	}
	bytes[len] = 0;
	assert_int_equal(log_position_decode(bytes, len + 1, &found), -EBADMSG);
	bytes[0] = 99; /* of another version */
	assert_int_equal(log_position_decode(bytes, len, &found), -EBADMSG);
}

static void so_does_that_it_is_inside_of_a_line(void **state)
{
	const struct log_position position = {
	    .is_inside = true, .name = "/a", .path = "/a", .service = ""};
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	struct log_position found;
	size_t len;

	(void)state;
	assert_int_equal(log_position_encode(&position, bytes, &len), 0);
	assert_int_equal(log_position_decode(bytes, len, &found), 0);
	assert_true(found.is_inside);
	assert_false(found.is_anew);
}

static void so_does_where_a_link_led(void **state)
{
	const struct log_position position = {
	    .name = "/a", .path = "/a", .service = "", .target = "/far/b"};
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	struct log_position found;
	size_t len;

	(void)state;
	assert_int_equal(log_position_encode(&position, bytes, &len), 0);
	assert_int_equal(log_position_decode(bytes, len, &found), 0);
	assert_string_equal(found.target, "/far/b");
	for (size_t i = 0; i < len; i++)
		assert_int_equal(log_position_decode(bytes, i, &found), -EBADMSG);
	/* The version before had none. */
	assert_int_equal(bytes[0], 2);
	bytes[0] = 1;
	assert_int_equal(log_position_decode(bytes, len, &found), -EBADMSG);
	len -= sizeof("/far/b");
	assert_int_equal(log_position_decode(bytes, len, &found), 0);
	assert_string_equal(found.target, "");
}

static void a_position_of_too_long_a_path_is_refused(void **state)
{
	static char path[LOG_POSITION_BYTES_MAX];
	const struct log_position position = {
	    .name = path, .path = path, .service = ""};
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	size_t len;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	assert_int_equal(log_position_encode(&position, bytes, &len), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_file_is_what_it_was_whatever_its_name),
	    cmocka_unit_test(birth_tells_apart_where_it_is_known),
	    cmocka_unit_test(prints_are_of_every_byte_and_of_the_length),
	    cmocka_unit_test(prints_are_compared_with_what_stands_there),
	    cmocka_unit_test(a_position_comes_back),
	    cmocka_unit_test(so_does_that_it_is_inside_of_a_line),
	    cmocka_unit_test(so_does_where_a_link_led),
	    cmocka_unit_test(a_position_of_too_long_a_path_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
