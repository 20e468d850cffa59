/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_route.h - where a request goes, as a curl handle is told: url, proxy,
 * redirects, and the name that a server is verified by. client_shown_url of client.h is
 * here, too.
 */
#pragma once

#include "config.h"

/* Zeroed at birth; what the handle points to lives as long as it. */
struct route {
	char *url;                     /* as it was given; secret */
	struct curl_slist *connect_to; /* with tls.server_name only */
	char *host;                    /* of the Host header, likewise */
};

/* In the place of where it went before. -EINVAL: it is no url; -ENOMEM. */
int route_set(struct route *route, void *easy, const struct config_http *config,
	      const char *url);
/* After the handle. */
void route_free(struct route *route);
