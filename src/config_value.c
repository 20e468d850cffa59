/* SPDX-License-Identifier: Apache-2.0 */
#include "config_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "length.h"
#include "slice.h"

#define WORD_LEN_MAX 64
#define HOST_NAME_LEN_MAX 253 /* RFC 1035: 255 on the wire */

static const struct {
	const char *name;
	uint64_t ms;
} duration_units[] = {
    {"y", 365 * 86400000ull},
    {"w", 7 * 86400000ull},
    {"d", 86400000},
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};
#define SECONDS 5
#define DURATION_UNITS (LENGTH(duration_units))

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* Takes the digits at *text; false when there is none or they overflow. */
static bool take_digits(const char **text, uint64_t *ret_number)
{
	const char *at = *text;
	uint64_t number = 0;

	if (!is_digit(*at))
		return false;
	for (; is_digit(*at); at++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			return false;
	}
	*text = at;
	*ret_number = number;
	return true;
}

bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	uint64_t number;

	if (!take_digits(&text, &number) || *text || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

bool value_integer(const char *text, int64_t *ret_number)
{
	bool below = *text == '-';
	uint64_t most = below ? (uint64_t)INT64_MAX + 1 : INT64_MAX, number;

	if (!value_number(text + below, 0, most, &number))
		return false;
	*ret_number = (int64_t)(below ? 0 - number : number);
	return true;
}

bool value_bytes(const char *text, uint64_t *ret_bytes)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	static const char *const binary[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	uint64_t number;

	if (!take_digits(&text, &number))
		return false;
	for (size_t i = 0; i < LENGTH(units); i++) {
		if (strcmp(text, units[i]) && strcmp(text, binary[i]))
			continue;
		if (number > UINT64_MAX >> (10 * i))
			return false;
		*ret_bytes = number << (10 * i);
		return true;
	}
	return false;
}

/* No locale is ever set, so the point is one. strtod knows hex and words, too. */
bool value_double(const char *text, double *ret_number)
{
	double number;
	char *end;

	if (!*text || text[strspn(text, "0123456789+-.eE")])
		return false;
	number = strtod(text, &end);
	if (end == text || *end || !isfinite(number))
		return false;
	*ret_number = number;
	return true;
}

/* The unit at *text, looked for from index `from` on: units only shrink. */
static size_t take_unit(const char **text, size_t from)
{
	size_t len = 0;

	while (is_letter((*text)[len]))
		len++;
	for (size_t i = from; i < DURATION_UNITS; i++) {
		if (strlen(duration_units[i].name) == len &&
		    !strncmp(*text, duration_units[i].name, len)) {
			*text += len;
			return i;
		}
	}
	return DURATION_UNITS;
}

bool value_duration_ms(const char *text, uint64_t *ret_ms)
{
	uint64_t total = 0, number, part;
	size_t next = 0;

	if (!*text)
		return false;
	if (!strcmp(text, "0"))
		text++;
	while (*text) {
		size_t unit;

		if (!take_digits(&text, &number))
			return false;
		unit = take_unit(&text, next);
		if (unit == DURATION_UNITS ||
		    __builtin_mul_overflow(number, duration_units[unit].ms, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return false;
		next = unit + 1;
	}
	*ret_ms = total;
	return true;
}

void value_duration_text(uint64_t ms, char ret_text[VALUE_DURATION_LEN])
{
	size_t unit = 0;

	while (ms % duration_units[unit].ms)
		unit++;
	if (!ms)
		unit = SECONDS;
	snprintf(ret_text, VALUE_DURATION_LEN, "%llu%s",
		 (unsigned long long)(ms / duration_units[unit].ms),
		 duration_units[unit].name);
}

/* go-yaml takes "yes" and "YES" for a flag, not "yEs". */
static bool is_word(const char *text, const char *word)
{
	const char *rest = text + 1;

	if (strcasecmp(text, word))
		return false;
	if (!strcmp(rest, word + 1))
		return true;
	while (isupper((unsigned char)*text))
		text++;
	return !*text;
}

bool value_flag(const char *text, bool *ret_flag)
{
	static const char *const yes[] = {"true", "yes", "on"};
	static const char *const no[] = {"false", "no", "off"};

	for (size_t i = 0; i < LENGTH(yes); i++) {
		if (is_word(text, yes[i]) || is_word(text, no[i])) {
			*ret_flag = is_word(text, yes[i]);
			return true;
		}
	}
	return false;
}

bool value_is_utf8(const char *text)
{
	struct slice rest = slice_of(text);
	size_t len = 1;

	while (len && rest.len) {
		len = slice_utf8_len(rest);
		rest.text += len;
		rest.len -= len;
	}
	return !rest.len;
}

bool value_is_metric_name(const char *text)
{
	if (!*text || is_digit(*text))
		return false;
	for (; *text; text++) {
		if (!is_letter(*text) && !is_digit(*text) && *text != '_')
			return false;
	}
	return true;
}

bool value_is_label_name(const char *text)
{
	return value_is_metric_name(text) && strncmp(text, "__", 2) != 0;
}

bool value_is_header_name(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++) {
		if (!is_letter(*text) && !is_digit(*text) &&
		    !strchr("!#$%&'*+-.^_`|~", *text))
			return false;
	}
	return true;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

bool value_is_header_value(const char *text)
{
	size_t len = strlen(text);

	if (!len || is_blank(text[0]) || is_blank(text[len - 1]))
		return false;
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
			return false;
	}
	return true;
}

/* What follows the scheme, NULL when that is another. */
static const char *after_scheme(const char *url)
{
	if (!strncasecmp(url, "http://", 7))
		return url + 7;
	if (!strncasecmp(url, "https://", 8))
		return url + 8;
	return NULL;
}

static bool is_ipv6(const char *text, size_t len)
{
	char address[INET6_ADDRSTRLEN] = "";
	struct in6_addr binary;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	return inet_pton(AF_INET6, address, &binary) == 1;
}

/* Length of the host at the start of an authority: a name or address, or an
 * IPv6 address in brackets; 0 when there is none. Not more than curl takes. */
static size_t host_len(const char *authority)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len;

	if (*authority != '[') {
		len = strspn(authority, name);
		return len <= HOST_NAME_LEN_MAX ? len : 0;
	}
	len = strcspn(authority, "]");
	return authority[len] && is_ipv6(authority + 1, len - 1) ? len + 1 : 0;
}

bool value_is_host(const char *text)
{
	return *text && host_len(text) == strlen(text);
}

/* What is wrong with the host[:port] of `len` bytes. */
static const char *authority_problem(const char *authority, size_t len)
{
	size_t host = host_len(authority);
	char port[sizeof("65535")] = "";
	uint64_t number;

	if (memchr(authority, '@', len))
		return "must not hold user or password; use basic_auth";
	if (!host || (host < len && authority[host] != ':'))
		return "has no valid host";
	if (host == len)
		return NULL;
	len -= host + 1;
	if (!len || len >= sizeof(port))
		return "has a port that is not 1 to 65535";
	memcpy(port, authority + host + 1, len);
	if (!value_number(port, 1, 65535, &number))
		return "has a port that is not 1 to 65535";
	return NULL;
}

const char *value_url_problem(const char *url)
{
	const char *host = after_scheme(url);

	if (!host)
		return "must begin with http:// or https://";
	for (const char *at = url; *at; at++) {
		if (*at <= ' ' || *at > '~')
			return "holds a blank, a control character or non-ASCII; "
			       "percent-encode it";
	}
	if (strchr(host, '#'))
		return "has a fragment ('#'), which is never sent";
	return authority_problem(host, strcspn(host, "/?#"));
}

bool value_is_proxy_url(const char *text)
{
	static const char *const schemes[] = {"http://", "https://", "socks5://",
					      "socks5h://"};

	for (const char *at = text; *at; at++) {
		if (*at <= ' ' || *at > '~')
			return false;
	}
	for (size_t i = 0; i < LENGTH(schemes); i++) {
		size_t len = strlen(schemes[i]);

		if (!strncasecmp(text, schemes[i], len))
			return text[len];
	}
	return false;
}

char *value_url_name(const char *url)
{
	return strndup(url, strcspn(url, "?#"));
}

/* The name in "${env:NAME}" at text; its length, 0 when there is none. */
static size_t env_name(const char *text, char ret_name[VALUE_ENV_NAME_LEN])
{
	const char *name = text + strlen("${env:");
	size_t len = 0;

	while (is_letter(name[len]) || name[len] == '_' || (len && is_digit(name[len])))
		len++;
	if (name[len] != '}' || len >= VALUE_ENV_NAME_LEN)
		return 0;
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
	return len;
}

enum value_expansion value_expand(const char *text, struct buf *out,
				  char ret_name[VALUE_ENV_NAME_LEN])
{
	const char *next;

	while ((next = strstr(text, "${env:"))) {
		size_t len = env_name(next, ret_name);
		const char *value;

		if (!len)
			return VALUE_ENV_MALFORMED;
		value = getenv(ret_name);
		if (!value)
			return VALUE_ENV_UNSET;
		if (!value_is_utf8(value))
			return VALUE_ENV_NOT_UTF8;
		buf_append(out, text, (size_t)(next - text));
		buf_string(out, value);
		text = next + strlen("${env:") + len + strlen("}");
	}
	buf_string(out, text);
	return VALUE_EXPANDED;
}

void value_quote(const char *text, char ret_text[VALUE_QUOTE_LEN])
{
	const size_t room = VALUE_QUOTE_LEN - sizeof("...");
	struct slice rest = slice_of(text);
	size_t used = 0;

	while (rest.len) {
		size_t printable = slice_printable_len(rest);
		size_t step = printable ? printable : 1;

		if (used + step > room) {
			memcpy(ret_text + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(ret_text + used, printable ? rest.text : "?", step);
		used += step;
		rest.text += step;
		rest.len -= step;
	}
	ret_text[used] = '\0';
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein, one row kept. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[WORD_LEN_MAX + 1];
	size_t len = strlen(b);

	for (unsigned int i = 0; i <= len; i++)
		row[i] = i;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			unsigned int above = row[j];
			unsigned int change = a[i - 1] == b[j - 1] ? 0 : 1;

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + change);
			diagonal = above;
		}
	}
	return row[len];
}

bool value_is_nearer(const char *word, const char *known, unsigned int *distance)
{
	size_t len = strlen(word);
	unsigned int found;

	if (len > WORD_LEN_MAX || strlen(known) > WORD_LEN_MAX)
		return false;
	if (len >= 3 && !strncmp(word, known, len))
		found = 1;
	else
		found = edit_distance(word, known);
	if (found > len / 3 + 1 || found >= len || found >= *distance)
		return false;
	*distance = found;
	return true;
}
