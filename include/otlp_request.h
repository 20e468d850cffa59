/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_request.h - what was drafted as the request that is sent:
 * ExportMetricsServiceRequest, in gzip where that is asked for.
 */
#pragma once

#include <stdbool.h>

struct otlp_draft;
struct wire_batch;

/* Of one that is not empty; with its points and time. The draft is only to be cleared
 * then. -ENOMEM. */
int otlp_request_pack(struct otlp_draft *draft, bool gzip,
		      struct wire_batch **ret_batch);
