/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_downgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "remote_write_v2.pb-c.h"
#include "wire_draft.h"
#include "wire_series.h"

static void free_request(Prometheus__V2__Request **request)
{
	if (*request)
		prometheus__v2__request__free_unpacked(*request, NULL);
}

static int unpack(const struct wire_batch *batch, Prometheus__V2__Request **ret_request)
{
	AUTO_FREE unsigned char *packed = NULL;
	size_t len;
	int err = batch->message == WIRE_V2 ? wire_uncompress(batch, &packed, &len)
					    : -EBADMSG;

	if (err)
		return err;
	*ret_request = prometheus__v2__request__unpack(NULL, len, packed);
	return *ret_request ? 0 : -EBADMSG;
}

/* What refs say; their number is twice the labels'. */
static int look_up(const Prometheus__V2__Request *request, const uint32_t *refs,
		   size_t ref_count, struct label **ret_labels)
{
	size_t count = ref_count / 2;
	AUTO_FREE struct label *labels = calloc(count + 1, sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	if (ref_count % 2)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		uint32_t name = refs[2 * i], value = refs[2 * i + 1];

		if (name >= request->n_symbols || value >= request->n_symbols)
			return -EBADMSG;
		labels[i].name = request->symbols[name];
		labels[i].value = request->symbols[value];
	}
	*ret_labels = TAKE(labels);
	return 0;
}

/* A series of ours has one at most. */
static int look_up_exemplar(const Prometheus__V2__Request *request,
			    const Prometheus__V2__TimeSeries *series,
			    struct label **ret_labels, struct exemplar *ret_exemplar)
{
	const Prometheus__V2__Exemplar *exemplar = series->exemplars[0];
	int err = look_up(request, exemplar->labels_refs, exemplar->n_labels_refs,
			  ret_labels);

	if (err)
		return err;
	ret_exemplar->labels = *ret_labels;
	ret_exemplar->label_count = exemplar->n_labels_refs / 2;
	ret_exemplar->time_ms = exemplar->timestamp;
	memcpy(&ret_exemplar->bits, &exemplar->value, sizeof(exemplar->value));
	return 0;
}

static int downgrade_series(struct wire_draft *draft,
			    const Prometheus__V2__Request *request,
			    const Prometheus__V2__TimeSeries *from, bool native)
{
	AUTO_FREE struct label *labels = NULL, *example_labels = NULL;
	struct exemplar exemplar;
	struct wire_series series = {
	    .label_count = from->n_labels_refs / 2,
	    .exemplar = from->n_exemplars ? &exemplar : NULL,
	    .sample_count = from->n_samples,
	    .samples = from->samples,
	    .histogram_count = native ? from->n_histograms : 0,
	    .histograms = from->histograms,
	};
	int err = 0;

	if (!series.sample_count && !series.histogram_count)
		return 0;
	for (size_t i = 0; i < series.sample_count; i++)
		series.samples[i]->start_timestamp = 0;
	for (size_t i = 0; i < series.histogram_count; i++)
		series.histograms[i]->start_timestamp = 0;
	if (series.exemplar)
		err = look_up_exemplar(request, from, &example_labels, &exemplar);
	if (!err)
		err = look_up(request, from->labels_refs, from->n_labels_refs, &labels);
	series.labels = labels;
	return err ? err : wire_draft_add(draft, &series);
}

int wire_downgrade(const struct wire_batch *v2, bool native, struct wire_batch **ret_v1)
{
	CLEANUP(free_request) Prometheus__V2__Request *request = NULL;
	CLEANUP(wire_draft_free) struct wire_draft draft;
	int err = wire_draft_init(&draft, WIRE_V1);

	if (!err)
		err = unpack(v2, &request);
	for (size_t i = 0; !err && i < request->n_timeseries; i++)
		err = downgrade_series(&draft, request, request->timeseries[i], native);
	if (err)
		return err;
	if (wire_draft_count(&draft))
		return wire_draft_close(&draft, v2->time_ms, ret_v1);
	*ret_v1 = NULL;
	return 0;
}
