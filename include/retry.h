/* SPDX-License-Identifier: Apache-2.0 */
/* When to try again: pure arithmetic over time and chance passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A receiver may ask for a pause, not for silence without an end. */
#define RETRY_AFTER_MAX_MS (3600 * 1000)

enum retry_verdict { RETRY_DELIVERED, RETRY_LATER, RETRY_NEVER };

/* http_status 0 means no response (network error, timeout). */
enum retry_verdict retry_judge(long http_status, bool retry_on_429);
/* The same for OTLP/HTTP, which says 429, 502, 503, 504 and nothing else. */
enum retry_verdict retry_judge_otlp(long http_status);
/* Retry-After in seconds or HTTP-date (RFC 9110 10.2.3) relative to now_s:
 * milliseconds to wait, at most RETRY_AFTER_MAX_MS; -1 when absent (NULL), past
 * or unreadable. */
int64_t retry_after_ms(const char *value, int64_t now_s);
/* Next backoff: twice the last, within [min, max]. */
uint64_t retry_backoff_ms(uint64_t last_ms, uint64_t min_ms, uint64_t max_ms);
/* The backoff stretched by up to a fifth. One random number for a whole outage:
 * then waits never shrink, and agents that failed together part. */
uint64_t retry_jitter_ms(uint64_t backoff_ms, uint32_t random);
