/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relabelling as Prometheus does it (model/relabel/relabel.go of version 3): a list
 * of rules rewrites the labels of one series, or drops it. It knows no metric, no
 * sample and no endpoint; labels that begin with "__" are labels like others.
 *
 * A series that the rules cannot be carried out on is dropped rather than sent
 * with labels that nobody asked for, counted, and the first time logged: a value
 * that a regex gives up on (pattern.h), a value or joined values above
 * RELABEL_VALUE_MAX bytes, more than RELABEL_LABELS_MAX labels.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "snapshot.h"

#define RELABEL_LABELS_MAX 256
#define RELABEL_VALUE_MAX 65536

struct relabel;

/* The rules stay the caller's and outlive it. -ENOMEM; -EINVAL: a regex that was
 * not judged (config_relabel.c). */
int relabel_create(const struct config_relabel *rules, size_t count,
		   struct relabel **ret_relabel);
void relabel_free(struct relabel **relabel);
/* Labels by name in byte order, unique, none empty, go in and come out; what comes
 * out holds until the next call, or the caller's change of what went in. False: the
 * series is dropped, by a rule or as it has no label left; nothing is written. */
bool relabel_apply(struct relabel *relabel, const struct label *labels, size_t count,
		   const struct label **ret_labels, size_t *ret_count);
/* Series dropped because the rules could not be carried out. */
uint64_t relabel_failures(const struct relabel *relabel);
