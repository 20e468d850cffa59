/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "log_index.h"

static void files_are_found_by_their_hash_and_no_other(void **state)
{
	static struct log_file files[1000];
	struct log_index index = {0};

	(void)state;
	assert_null(log_index_first(&index, 1));
	log_index_remove(&index, &files[0].by_inode); /* in none */
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(
		    log_index_add(&index, &files[i].by_inode, &files[i], i / 2), 0);
	assert_int_equal(index.count, 1000);
	for (uint64_t i = 0; i < 500; i++) {
		struct log_node *first = log_index_first(&index, i);
		struct log_node *second = log_index_next(first);

		assert_non_null(second);
		assert_int_equal(first->file - files + (second->file - files),
				 4 * i + 1);
		assert_null(log_index_next(second));
	}
	for (size_t i = 0; i < 1000; i += 2)
		log_index_remove(&index, &files[i].by_inode);
	for (uint64_t i = 0; i < 500; i++) {
		assert_ptr_equal(log_index_first(&index, i)->file, &files[2 * i + 1]);
		assert_null(log_index_next(log_index_first(&index, i)));
	}
	assert_int_equal(index.count, 500);
	log_index_free(&index);
}

static void hashes_differ(void **state)
{
	(void)state;
	assert_true(log_index_inode(1, 2) != log_index_inode(2, 1));
	assert_true(log_index_text("/a") != log_index_text("/b"));
	assert_true(log_index_text("/a") != log_index_text("/a/"));
	assert_int_equal(log_index_text("/a"), log_index_text("/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_are_found_by_their_hash_and_no_other),
	    cmocka_unit_test(hashes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
