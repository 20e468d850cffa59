/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_answer.h - what the receiver of an OTLP request says in the body of its answer.
 * Whether the request is sent again is not for it to say (retry.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define OTLP_MESSAGE_LEN 512

struct otlp_answer {
	uint64_t rejected;              /* data points, of an accepted request */
	char message[OTLP_MESSAGE_LEN]; /* why, or why it was refused; "": no word */
};

/* The body of an answer: ExportMetricsServiceResponse of 2xx, else google.rpc.Status.
 * One that is neither says nothing. */
struct otlp_answer otlp_read_answer(long status, const void *body, size_t len);
