/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

/* What was parsed, written by libc: "family address%scope port". */
static void describe(const char *text, char ret_text[256])
{
	struct sockaddr_storage address;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
	char host[INET6_ADDRSTRLEN];
	socklen_t len = 0;

	assert_int_equal(address_parse(text, &address, &len), 0);
	if (address.ss_family == AF_INET) {
		assert_int_equal(len, sizeof(*ipv4));
		inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof(host));
		snprintf(ret_text, 256, "4 %s %u", host, ntohs(ipv4->sin_port));
		return;
	}
	assert_int_equal(address.ss_family, AF_INET6);
	assert_int_equal(len, sizeof(*ipv6));
	inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof(host));
	snprintf(ret_text, 256, "6 %s%%%u %u", host, ipv6->sin6_scope_id,
		 ntohs(ipv6->sin6_port));
}

static void addresses_with_a_port_are_parsed(void **state)
{
	static const struct {
		const char *text, *parsed;
	} cases[] = {
	    {":9965", "6 ::%0 9965"},
	    {":0", "6 ::%0 0"},
	    {"127.0.0.1:80", "4 127.0.0.1 80"},
	    {"0.0.0.0:65535", "4 0.0.0.0 65535"},
	    {"[::1]:9965", "6 ::1%0 9965"},
	    {"[::]:1", "6 ::%0 1"},
	    {"[2001:db8::ffff:10.1.2.3]:443", "6 2001:db8::ffff:a01:203%0 443"},
	    {"127.0.0.1:00080", "4 127.0.0.1 80"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		describe(cases[i].text, text);
		assert_string_equal(text, cases[i].parsed);
	}
}

static void a_zone_is_the_index_of_its_interface(void **state)
{
	char text[256], expected[256];

	(void)state;
	describe("[fe80::1%lo]:80", text);
	snprintf(expected, sizeof(expected), "6 fe80::1%%%u 80", if_nametoindex("lo"));
	assert_string_equal(text, expected);
}

static void what_is_no_address_is_refused_and_writes_nothing(void **state)
{
	static const char *const cases[] = {
	    "",
	    ":",
	    "9965",
	    "127.0.0.1",
	    "127.0.0.1:",
	    ":65536",
	    ":99999",
	    ":000080",
	    ":-1",
	    ":+80",
	    ": 80",
	    ":80 ",
	    ":0x50",
	    ":http",
	    "::1:80",
	    "[::1]",
	    "[::1:80",
	    "::1]:80",
	    "[]:80",
	    "[:80",
	    "[::1]x:80",
	    "[127.0.0.1]:80",
	    "127.1:80",
	    "127.0.0.256:80",
	    " 127.0.0.1:80",
	    "localhost:80",
	    "[fe80::1%no-such]:80",
	    "[::1%]:80",
	    "[:::]:80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_storage address = {.ss_family = 77};
		socklen_t len = 88;

		assert_int_equal(address_parse(cases[i], &address, &len), -EINVAL);
		assert_int_equal(address.ss_family, 77);
		assert_int_equal(len, 88);
	}
}

static void a_text_of_any_length_is_refused_within_bounds(void **state)
{
	struct sockaddr_storage address;
	char text[2000];
	socklen_t len;

	(void)state;
	for (size_t i = 1; i < sizeof(text) - 4; i++) {
		memset(text, '1', i);
		memcpy(text + i, ":80", 4);
		assert_int_equal(address_parse(text, &address, &len), -EINVAL);
	}
}

static void assert_text(unsigned int family, const void *bytes, unsigned int len,
			const char *expected)
{
	struct tally_address address = {
	    .family = (__u16)family,
	    .len = (__u16)len,
	};
	char text[ADDRESS_TEXT_LEN];

	memset(text, 'X', sizeof(text));
	if (len <= sizeof(address.bytes))
		memcpy(address.bytes, bytes, len);
	address_text(&address, text);
	assert_string_equal(text, expected);
}

static void addresses_of_each_family_have_a_text(void **state)
{
	static const struct {
		unsigned int family, len;
		const char *bytes, *text;
	} cases[] = {
	    {AF_INET, 4, "\x7f\0\0\x01", "127.0.0.1"},
	    {AF_INET, 4, "\xff\xff\xff\xff", "255.255.255.255"},
	    {AF_INET6, 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", "::1"},
	    {AF_INET6, 16, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", "2001:db8::2"},
	    {AF_INET6, 16, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03", "10.1.2.3"},
	    {AF_UNIX, 11, "/run/x.sock", "/run/x.sock"},
	    {AF_UNIX, 12, "/run/x.sock\0", "/run/x.sock"},
	    {AF_UNIX, 16, "/run/x.sock\0junk", "/run/x.sock"},
	    {AF_UNIX, 9, "\0abstract", "@abstract"},
	    {AF_UNIX, 4, "\0a\0b", "@a?b"},
	    {AF_UNIX, 8, "/\xc3\xa9\n\x7f\"\\ ", "/\xc3\xa9??\"\\ "},
	    {AF_UNIX, 9, "/\xe6\x97\xa5.sock", "/\xe6\x97\xa5.sock"},
	    {AF_UNIX, 5, "\0\xf0\x9f\x98\x80", "@\xf0\x9f\x98\x80"},
	    {AF_UNIX, 4, "/\xc3(\xff", "/?(?"},
	    {AF_UNIX, 3, "/\xe6\x97\xa5", "/??"}, /* cut within a character */
	    {AF_UNIX, 4, "/\xc2\x9b.", "/??."},   /* C1: terminals obey it */
	    {AF_UNIX, 0, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_text(cases[i].family, cases[i].bytes, cases[i].len,
			    cases[i].text);
}

static void an_address_that_is_none_has_an_empty_text(void **state)
{
	(void)state;
	assert_text(0, "", 0, "");
	assert_text(AF_INET, "\x7f\0\0", 3, "");
	assert_text(AF_INET6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15, "");
	assert_text(AF_NETLINK, "\x7f\0\0\x01", 4, "");
}

static void the_longest_unix_name_fits(void **state)
{
	char bytes[TALLY_ADDRESS_LEN], expected[ADDRESS_TEXT_LEN] = "";

	(void)state;
	memset(bytes, 'p', sizeof(bytes));
	memset(expected, 'p', sizeof(bytes));
	assert_text(AF_UNIX, bytes, sizeof(bytes), expected);
	bytes[0] = '\0';
	expected[0] = '@';
	assert_text(AF_UNIX, bytes, sizeof(bytes), expected);
}

static void a_length_beyond_the_array_reads_only_the_array(void **state)
{
	struct tally_address address = {.family = AF_UNIX, .len = 65535};
	char text[ADDRESS_TEXT_LEN], expected[ADDRESS_TEXT_LEN] = "";

	(void)state;
	memset(address.bytes, 'p', sizeof(address.bytes));
	memset(expected, 'p', sizeof(address.bytes));
	address_text(&address, text);
	assert_string_equal(text, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_with_a_port_are_parsed),
	    cmocka_unit_test(a_zone_is_the_index_of_its_interface),
	    cmocka_unit_test(what_is_no_address_is_refused_and_writes_nothing),
	    cmocka_unit_test(a_text_of_any_length_is_refused_within_bounds),
	    cmocka_unit_test(addresses_of_each_family_have_a_text),
	    cmocka_unit_test(an_address_that_is_none_has_an_empty_text),
	    cmocka_unit_test(the_longest_unix_name_fits),
	    cmocka_unit_test(a_length_beyond_the_array_reads_only_the_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
