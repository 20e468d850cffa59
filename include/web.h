/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web.h - the file of --web.config.file as it is now: read again when it, or what
 * it names, has changed. A new version that is broken changes nothing but the log.
 * Whether there is TLS is decided once: a listening socket does not change what it
 * speaks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config_web.h"
#include "web_tls.h"

struct web;

/* 0, or -EINVAL with one line in ret_error. */
int web_open(const char *path, struct web **ret_web, char ret_error[CONFIG_ERROR_LEN]);
void web_free(struct web **web);
/* Looks whether files have changed. True: there is a new version. */
bool web_refresh(struct web *web, uint64_t now_ms);
/* Valid until the next refresh. */
const struct config_web *web_config(const struct web *web);
/* NULL: plain HTTP. The caller gets its own reference where it keeps it. */
struct web_tls *web_tls_of(const struct web *web);
