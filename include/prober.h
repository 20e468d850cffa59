/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prober.h - one file and the rules of a subject: finds their places in it and attaches
 * to them, together where that can be had, else each alone. What a rule cannot have it
 * says in the log, and stops no other. Which files there are it does not know.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "binaries.h"
#include "config.h"
#include "places.h"
#include "subjects.h"
#include "uprobes.h"

struct prober {
	const struct config_function *rules;
	struct uprobes *uprobes; /* to be set before anything is attached */
	struct points points;
	uint32_t points_known; /* to the kernel */
	bool return_probes_are_safe;
};

/* What one rule has in a file. */
struct probed_rule {
	size_t functions;
	struct uprobes_link *link; /* where one for all could not be had */
};

struct probed {
	struct uprobes_link *link; /* of all rules; NULL: it could not be had */
	struct probed_rule *rules; /* of each of the subject */
	size_t count;
};

/* Asks the kernel what it takes; the rules must outlive it. */
void prober_init(struct prober *prober, const struct config_function *rules,
		 uint32_t point_max);
void prober_free(struct prober *prober);
/* The same problem of all rules of a subject, in the log. */
void prober_warn(const struct prober *prober, const struct subject *subject,
		 const char *error);
/* Nothing is attached yet. -ENOMEM. */
int probed_create(size_t rule_count, struct probed *ret_probed);
void probed_free(struct probed *probed);
/* -errno of any rule that failed; what did not stays. */
int prober_attach(struct prober *prober, const struct subject *subject,
		  const struct binary *binary, struct probed *probed);
void prober_detach(struct probed *probed);
/* Whether the rule finds its functions in the file, a line in the log. */
bool prober_check(const struct config_function *rule, const struct binary *binary);
