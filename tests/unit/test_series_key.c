/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "series_key.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct tally_series_key plain = {
    .service = 7,
    .port = 8080,
    .status = 200,
    .route = 0x1122334455667788,
    .address = 0x99aabbccddeeff00,
    .protocol = TALLY_PROTOCOL_HTTP1,
    .role = TALLY_ROLE_SERVER,
    .method = TALLY_METHOD_GET,
    .error = TALLY_ERROR_NONE,
};

static void the_same_key_has_the_same_hash(void **state)
{
	const struct tally_series_key same = plain;

	(void)state;
	assert_true(series_key_hash(42, &plain) == series_key_hash(42, &same));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	assert_true(series_key_hash(42, &plain) == 0x8ee3996684d521e6);
#endif
}

static void another_seed_makes_another_hash(void **state)
{
	(void)state;
	assert_true(series_key_hash(42, &plain) != series_key_hash(43, &plain));
}

static void a_key_that_differs_in_any_bit_has_another_hash(void **state)
{
	const uint64_t hash = series_key_hash(42, &plain);

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(plain); bit++) {
		struct tally_series_key other = plain;

		((unsigned char *)&other)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_true(series_key_hash(42, &other) != hash);
	}
}

/* Small numbers, and no hash of a route or an address among them. */
static struct tally_series_key small_key(uint32_t n)
{
	static const uint16_t ports[] = {0, 80, 443, 8080};
	static const uint64_t routes[] = {TALLY_ROUTE_NONE, TALLY_ROUTE_OTHER};

	return (struct tally_series_key){
	    .service = 1 + n % 2 * (1 + TALLY_SERVICE_PROVISIONAL),
	    .port = ports[n / 2 % 4],
	    .status = (uint16_t)(100 + n / 8 % 512),
	    .route = routes[n / 4096 % 2],
	    .protocol = TALLY_PROTOCOL_HTTP1,
	    .role = n / 8192 % 2 ? TALLY_ROLE_CLIENT : TALLY_ROLE_SERVER,
	    .method = (uint8_t)(n / 16384 % 8),
	    .error = (uint8_t)(n / 131072 % 2),
	};
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void keys_of_small_numbers_share_no_hash(void **state)
{
	enum { KEYS = 262144 };
	static const uint64_t seeds[] = {0, 1, 42, 0x9e3779b97f4a7c15, UINT64_MAX};
	uint64_t *hashes = calloc(KEYS, sizeof(*hashes));

	(void)state;
	assert_non_null(hashes);
	for (size_t s = 0; s < COUNT(seeds); s++) {
		for (uint32_t n = 0; n < KEYS; n++) {
			const struct tally_series_key key = small_key(n);

			hashes[n] = series_key_hash(seeds[s], &key);
		}
		qsort(hashes, KEYS, sizeof(*hashes), compare);
		for (uint32_t n = 1; n < KEYS; n++)
			assert_true(hashes[n - 1] != hashes[n]);
	}
	free(hashes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_same_key_has_the_same_hash),
	    cmocka_unit_test(another_seed_makes_another_hash),
	    cmocka_unit_test(a_key_that_differs_in_any_bit_has_another_hash),
	    cmocka_unit_test(keys_of_small_numbers_share_no_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
