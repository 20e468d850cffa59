/* SPDX-License-Identifier: Apache-2.0 */
#include "retry.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "length.h"

#define YEAR_S (365 * 86400ll)

enum retry_verdict retry_judge(long http_status, bool retry_on_429)
{
	if (http_status == 0)
		return RETRY_LATER;
	if (http_status >= 200 && http_status < 300)
		return RETRY_DELIVERED;
	if (http_status >= 500 && http_status < 600)
		return RETRY_LATER;
	if (http_status == 429 && retry_on_429)
		return RETRY_LATER;
	return RETRY_NEVER;
}

enum retry_verdict retry_judge_otlp(long http_status)
{
	if (http_status == 0 || http_status == 429 ||
	    (http_status >= 502 && http_status <= 504))
		return RETRY_LATER;
	return http_status >= 200 && http_status < 300 ? RETRY_DELIVERED : RETRY_NEVER;
}

/* delay-seconds = 1*DIGIT; what is above the ceiling stays just above it. */
static bool parse_seconds(const char *value, int64_t *ret_seconds)
{
	int64_t seconds = 0;

	if (!*value)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return false;
		if (seconds <= RETRY_AFTER_MAX_MS / 1000)
			seconds = seconds * 10 + (*value - '0');
	}
	*ret_seconds = seconds;
	return true;
}

/* RFC 9110 5.6.7: a two-digit year that seems more than 50 years in the future
 * is the one of the century before. */
static int64_t with_full_year(struct tm *date, int64_t now_s)
{
	time_t now = (time_t)now_s;
	struct tm today;
	int64_t date_s;

	gmtime_r(&now, &today);
	date->tm_year = today.tm_year - today.tm_year % 100 + date->tm_year % 100;
	date_s = timegm(date);
	if (date_s <= now_s + 50 * YEAR_S)
		return date_s;
	date->tm_year -= 100;
	return timegm(date);
}

/* The three spellings that RFC 9110 5.6.7 obliges a recipient to read. The
 * daemon never calls setlocale, so the names are English. */
static bool parse_date(const char *value, int64_t now_s, int64_t *ret_s)
{
	static const char *const formats[] = {
	    "%a, %d %b %Y %H:%M:%S GMT",
	    "%a %b %d %H:%M:%S %Y",
	    "%A, %d-%b-%y %H:%M:%S GMT",
	};
	const size_t two_digits = 2;

	for (size_t i = 0; i < LENGTH(formats); i++) {
		struct tm date = {0};
		const char *end = strptime(value, formats[i], &date);

		if (!end || *end)
			continue;
		*ret_s = i == two_digits ? with_full_year(&date, now_s) : timegm(&date);
		return true;
	}
	return false;
}

int64_t retry_after_ms(const char *value, int64_t now_s)
{
	int64_t seconds;

	if (!value)
		return -1;
	if (!parse_seconds(value, &seconds)) {
		if (!parse_date(value, now_s, &seconds) || seconds <= now_s)
			return -1;
		seconds -= now_s;
	}
	if (seconds > RETRY_AFTER_MAX_MS / 1000)
		return RETRY_AFTER_MAX_MS;
	return seconds * 1000;
}

uint64_t retry_backoff_ms(uint64_t last_ms, uint64_t min_ms, uint64_t max_ms)
{
	if (last_ms > max_ms / 2)
		return max_ms;
	return last_ms * 2 < min_ms ? min_ms : last_ms * 2;
}

uint64_t retry_jitter_ms(uint64_t backoff_ms, uint32_t random)
{
	return backoff_ms + (backoff_ms / 5 * random >> 32);
}
