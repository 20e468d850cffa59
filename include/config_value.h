/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_value.h - text to value, one rule a function, for the file and the
 * command line alike. It knows neither lines nor options, and no problem text
 * quotes its input: that may be a secret.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

#define VALUE_QUOTE_LEN 48
#define VALUE_DURATION_LEN 32
#define VALUE_ENV_NAME_LEN 128

/* Decimal digits only, within [min, max]. */
bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);
/* The same with a '-' in front where it is below 0. */
bool value_integer(const char *text, int64_t *ret_number);
/* Decimal, like 0.25, -1 or 1e-3; finite. */
bool value_double(const char *text, double *ret_number);
/* Prometheus' spelling: units y w d h m s ms, each at most once and in this
 * order ("1m30s"), or "0". */
bool value_duration_ms(const char *text, uint64_t *ret_ms);
/* The same spelling in the largest unit that divides it: 90000 is "90s". */
void value_duration_text(uint64_t ms, char ret_text[VALUE_DURATION_LEN]);
/* Prometheus' spelling: a whole number of B, KB, MB, GB or TB (powers of 1024; KiB and
 * so on are the same), "512MB". */
bool value_bytes(const char *text, uint64_t *ret_bytes);
/* The words of YAML 1.1: true yes on, false no off; lower, Title or UPPER. */
bool value_flag(const char *text, bool *ret_flag);

bool value_is_utf8(const char *text);
/* [a-zA-Z_][a-zA-Z0-9_]*, and not the reserved "__". */
bool value_is_label_name(const char *text);
/* [a-zA-Z_][a-zA-Z0-9_]*: Prometheus leaves ':' to recording rules. */
bool value_is_metric_name(const char *text);
/* RFC 9110 5.6.2 (token) and 5.5 (field-value: no control character, no blank
 * at either end, not empty). */
bool value_is_header_name(const char *text);
bool value_is_header_value(const char *text);
/* A host name, an IPv4 address, or an IPv6 address in brackets. */
bool value_is_host(const char *text);
/* NULL for an absolute http or https URL that can be used as it is, else what
 * is wrong with it. */
const char *value_url_problem(const char *url);
/* An absolute http, https, socks5 or socks5h URL; user and password may be in it. */
bool value_is_proxy_url(const char *text);
/* The URL without query, as a name; NULL when out of memory. */
char *value_url_name(const char *url);

enum value_expansion {
	VALUE_EXPANDED,
	VALUE_ENV_MALFORMED, /* "${env:" not followed by a name and "}" */
	VALUE_ENV_UNSET,
	VALUE_ENV_NOT_UTF8,
};

/* Appends text with every ${env:NAME} replaced, once: what a variable holds is
 * not looked at again. Any other '$' stands for itself. The name that failed
 * goes to ret_name. */
enum value_expansion value_expand(const char *text, struct buf *out,
				  char ret_name[VALUE_ENV_NAME_LEN]);

/* For messages: at most VALUE_QUOTE_LEN - 1 bytes on one line; what does not
 * print becomes '?'. */
void value_quote(const char *text, char ret_text[VALUE_QUOTE_LEN]);

/* Whether `known` is a likelier meaning of `word` than what *distance says;
 * start with VALUE_UNLIKE. A longer word that begins with `word` is likely. */
#define VALUE_UNLIKE 1000u
bool value_is_nearer(const char *word, const char *known, unsigned int *distance);
