/* SPDX-License-Identifier: Apache-2.0 */
/* When to try again: pure arithmetic over time passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum retry_verdict { RETRY_DELIVERED, RETRY_LATER, RETRY_NEVER };

/* http_status 0 means no response (network error, timeout). */
enum retry_verdict retry_judge(long http_status, bool retry_on_429);
/* Retry-After in seconds or HTTP-date (RFC 9110 10.2.3) relative to now_s:
 * milliseconds to wait, or -1 when absent, past or unreadable. */
int64_t retry_after_ms(const char *value, int64_t now_s);
/* Next backoff: twice the last, within [min, max]. */
uint64_t retry_backoff_ms(uint64_t last_ms, uint64_t min_ms, uint64_t max_ms);
