/* SPDX-License-Identifier: Apache-2.0 */
/* What a scraper asked for (RFC 9110 section 12.5): pure functions over the
 * header values; NULL means the header is absent. */
#pragma once

#include <stdbool.h>

#include "text.h"

/* Best clause by q (stable) that we can serve; text 0.0.4 when none is. */
enum text_format negotiate_format(const char *accept);
/* Whether to compress: gzip (or *) with q > 0 and not below identity's q. */
bool negotiate_gzip(const char *accept_encoding);
