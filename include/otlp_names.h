/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_names.h - what families and labels are called in OTLP: HTTP as OpenTelemetry's
 * conventions have it, all else as in Prometheus, without "_total". Whoever
 * translates that back by the rules of Prometheus (UnderscoreEscapingWithSuffixes)
 * gets the names that /metrics has. Pure: tables.
 */
#pragma once

#include <stdbool.h>

#include "snapshot.h"

struct otlp_name {
	const char *name;   /* to which `suffix` is added */
	const char *suffix; /* "_info" or "" */
	const char *unit;   /* UCUM: "s", "By", "{request}", "" */
	bool is_up_down;    /* a sum that may fall (UpDownCounter), not a gauge */
	bool is_convention; /* and so are the attributes */
};

struct otlp_name otlp_metric_name(const struct family *family);
/* Of a label of a metric whose name is a convention; the label's own where there is
 * none. is_number: its value is an integer. */
const char *otlp_attribute_name(const char *label, bool *ret_is_number);
/* The same of a label that says what a service is and where it runs (target_info). */
const char *otlp_resource_name(const char *label);
