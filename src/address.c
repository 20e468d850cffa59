/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "slice.h"

_Static_assert(TALLY_ADDRESS_LEN + 2 <= ADDRESS_TEXT_LEN, "@, path, NUL");
_Static_assert(INET6_ADDRSTRLEN <= ADDRESS_TEXT_LEN, "IPv6 fits");

/* Decimal digits only: strtoul would take signs, blanks and "0x". */
static int parse_port(const char *text, in_port_t *ret_port)
{
	unsigned int port = 0;
	size_t len = strlen(text);

	if (len < 1 || len > 5 || strspn(text, "0123456789") != len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		port = port * 10 + (unsigned int)(text[i] - '0');
	if (port > 65535)
		return -EINVAL;
	*ret_port = htons((in_port_t)port);
	return 0;
}

/* "addr" or "addr%zone"; a zone is an interface's name. */
static int parse_ipv6(char *host, struct sockaddr_in6 *ret_address)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};
	char *zone = strchr(host, '%');

	if (zone) {
		*zone++ = '\0';
		address.sin6_scope_id = if_nametoindex(zone);
		if (!address.sin6_scope_id)
			return -EINVAL;
	}
	if (inet_pton(AF_INET6, host, &address.sin6_addr) != 1)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

/* host loses its brackets. Empty: every address of both families, which is what
 * the IPv6 wildcard means to a socket without IPV6_V6ONLY. */
static int parse_host(char *host, struct sockaddr_storage *ret_address,
		      socklen_t *ret_len)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
	size_t len = strlen(host);

	if (host[0] == '[') {
		if (host[len - 1] != ']')
			return -EINVAL;
		host[len - 1] = '\0';
		if (parse_ipv6(host + 1, &ipv6))
			return -EINVAL;
	} else if (len) {
		if (inet_pton(AF_INET, host, &ipv4.sin_addr) != 1)
			return -EINVAL;
		memcpy(ret_address, &ipv4, sizeof(ipv4));
		*ret_len = sizeof(ipv4);
		return 0;
	}
	memcpy(ret_address, &ipv6, sizeof(ipv6));
	*ret_len = sizeof(ipv6);
	return 0;
}

int address_parse(const char *text, struct sockaddr_storage *ret_address,
		  socklen_t *ret_len)
{
	struct sockaddr_storage address = {0};
	const char *colon = strrchr(text, ':');
	char host[ADDRESS_TEXT_LEN];
	socklen_t len;
	in_port_t port;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (parse_port(colon + 1, &port) || parse_host(host, &address, &len))
		return -EINVAL;
	if (address.ss_family == AF_INET)
		((struct sockaddr_in *)&address)->sin_port = port;
	else
		((struct sockaddr_in6 *)&address)->sin6_port = port;
	*ret_address = address;
	*ret_len = len;
	return 0;
}

static void text_of_ip(int family, const void *bytes, char ret_text[ADDRESS_TEXT_LEN])
{
	/* Cannot fail: the family is known and the text fits (asserted above). */
	inet_ntop(family, bytes, ret_text, ADDRESS_TEXT_LEN);
}

static void text_of_ipv6(const __u8 *bytes, char ret_text[ADDRESS_TEXT_LEN])
{
	struct in6_addr ipv6;

	memcpy(&ipv6, bytes, sizeof(ipv6));
	if (IN6_IS_ADDR_V4MAPPED(&ipv6))
		text_of_ip(AF_INET, bytes + 12, ret_text);
	else
		text_of_ip(AF_INET6, bytes, ret_text);
}

/* unix(7): a pathname ends at its NUL or at the length; an abstract name starts
 * with NUL and every byte of the length counts. No byte becomes more than one. */
static void text_of_unix(const __u8 *bytes, size_t len, char ret_text[ADDRESS_TEXT_LEN])
{
	struct slice rest = {.text = (const char *)bytes, .len = len};
	bool abstract = len && !bytes[0];

	if (abstract) {
		*ret_text++ = '@';
		rest.text++;
		rest.len--;
	}
	while (rest.len && (abstract || *rest.text)) {
		size_t printable = slice_printable_len(rest);
		size_t step = printable ? printable : 1;

		memcpy(ret_text, printable ? rest.text : "?", step);
		ret_text += step;
		rest.text += step;
		rest.len -= step;
	}
	*ret_text = '\0';
}

void address_text(const struct tally_address *address, char ret_text[ADDRESS_TEXT_LEN])
{
	size_t len = address->len;

	if (len > sizeof(address->bytes))
		len = sizeof(address->bytes);
	ret_text[0] = '\0';
	if (address->family == AF_INET && len >= 4)
		text_of_ip(AF_INET, address->bytes, ret_text);
	else if (address->family == AF_INET6 && len >= 16)
		text_of_ipv6(address->bytes, ret_text);
	else if (address->family == AF_UNIX)
		text_of_unix(address->bytes, len, ret_text);
}
