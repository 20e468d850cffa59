/* SPDX-License-Identifier: Apache-2.0 */
/* What a scraper asked for (RFC 9110 section 12.5): pure functions over the
 * header values; NULL means the header is absent. */
#pragma once

#include <stdbool.h>

#include "exposition.h"

/* The format with the best quality, which is that of the most specific clause for
 * it; the first of equals; text 0.0.4 when none is wanted. Protobuf is for those
 * who name it and how it is laid out: no wildcard means it. */
enum exposition_format negotiate_format(const char *accept);
/* Whether to compress: gzip (or *) with q > 0 and not below identity's q. */
bool negotiate_gzip(const char *accept_encoding);
