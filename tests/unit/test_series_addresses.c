/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "series_addresses.h"
#include "series_case.h"

static void an_address_is_looked_up_once(void **state)
{
	const struct tally_address address = {AF_INET, 4, {10, 0, 0, 1}};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	put_address(5, &address);
	key.address = 5;
	for (key.status = 200; key.status < 220; key.status++)
		count(&key, 1);
	collect_well(scene, NOW);
	assert_int_equal(fake_maps[PROBES_ADDRESSES].lookups, 1);
}

static void an_address_that_is_not_there_is_no_label(void **state)
{
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	key.address = 1234;
	count(&key, 1);
	collect_well(scene, NOW);
	check_plain(scene, WEB, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_address_is_looked_up_once),
	    TEST(an_address_that_is_not_there_is_no_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
