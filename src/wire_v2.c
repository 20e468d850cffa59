/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_v2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buf.h"
#include "cleanup.h"
#include "remote_write_v2.pb-c.h"
#include "symbols.h"
#include "wire_batch.h"
#include "wire_labels.h"
#include "wire_series.h"

struct wire_v2 {
	struct symbols symbols;
	struct wire_labels labels; /* two references each, texts are symbols */
	bool has_metadata;         /* of the last series, for the next one's: */
	Prometheus__V2__Metadata metadata;
};

int wire_v2_create(struct wire_v2 **ret_v2)
{
	struct wire_v2 *v2 = calloc(1, sizeof(*v2));
	uint64_t seed = (uintptr_t)v2;

	if (!v2)
		return -ENOMEM;
	/* Before the kernel has entropy, an address is the best there is. */
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	symbols_init(&v2->symbols, seed);
	wire_labels_init(&v2->labels, 2 * sizeof(uint32_t));
	*ret_v2 = v2;
	return 0;
}

void wire_v2_free(struct wire_v2 **v2)
{
	if (!*v2)
		return;
	wire_v2_reset(*v2);
	free(*v2);
	*v2 = NULL;
}

/* What was known of the last series was so because it was in them. */
void wire_v2_clear(struct wire_v2 *v2)
{
	v2->has_metadata = false;
	symbols_clear(&v2->symbols);
	wire_labels_forget(&v2->labels);
}

void wire_v2_reset(struct wire_v2 *v2)
{
	wire_v2_clear(v2);
	wire_labels_reset(&v2->labels);
}

/* --- labels ------------------------------------------------------------------- */

static int refer_label(void *context, const struct label *label,
		       struct wire_label *known, void *item)
{
	struct symbols *symbols = context;
	uint32_t *refs = item;
	uint32_t name = symbols_add(symbols, label->name);
	uint32_t value = symbols_add(symbols, label->value);

	if (symbols->error)
		return symbols->error;
	known->name = symbols->strings[name];
	known->value = symbols->strings[value];
	known->text_bytes = strlen(label->name) + strlen(label->value);
	refs[0] = name;
	refs[1] = value;
	return 0;
}

/* Another family may be where the last one was. */
static bool is_set(const struct wire_v2 *v2, const struct family *family)
{
	const Prometheus__V2__Metadata *metadata = &v2->metadata;
	char **strings = v2->symbols.strings;

	return v2->has_metadata && metadata->type == wire_series_type(family) &&
	       !strcmp(strings[metadata->help_ref], family->help) &&
	       !strcmp(strings[metadata->unit_ref], family->unit);
}

static int set_metadata(struct wire_v2 *v2, const struct family *family)
{
	if (is_set(v2, family))
		return 0;
	prometheus__v2__metadata__init(&v2->metadata);
	v2->metadata.type = wire_series_type(family);
	v2->metadata.help_ref = symbols_add(&v2->symbols, family->help);
	v2->metadata.unit_ref = symbols_add(&v2->symbols, family->unit);
	v2->has_metadata = !v2->symbols.error;
	return v2->symbols.error;
}

/* --- series ------------------------------------------------------------------- */

/* An exemplar's message and all that it points to. */
struct example {
	Prometheus__V2__Exemplar message, *only;
	uint32_t *refs;
	size_t text_bytes;
};

static void free_example(struct example *example)
{
	free(example->refs);
}

static int make_example(struct wire_v2 *v2, struct example *example,
			const struct exemplar *exemplar)
{
	struct symbols *symbols = &v2->symbols;
	size_t count = exemplar->label_count;

	example->refs = calloc(2 * count + 1, sizeof(*example->refs));
	if (!example->refs)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		example->refs[2 * i] = symbols_add(symbols, exemplar->labels[i].name);
		example->refs[2 * i + 1] =
		    symbols_add(symbols, exemplar->labels[i].value);
	}
	prometheus__v2__exemplar__init(&example->message);
	example->message.n_labels_refs = 2 * count;
	example->message.labels_refs = example->refs;
	example->message.timestamp = exemplar->time_ms;
	memcpy(&example->message.value, &exemplar->bits, sizeof(exemplar->bits));
	example->only = &example->message;
	example->text_bytes = wire_series_text_bytes(exemplar->labels, count);
	return symbols->error;
}

static size_t pack(struct wire_v2 *v2, const struct wire_series *from,
		   struct example *example, unsigned char *to)
{
	Prometheus__V2__Request request = PROMETHEUS__V2__REQUEST__INIT;
	Prometheus__V2__TimeSeries series = PROMETHEUS__V2__TIME_SERIES__INIT;
	Prometheus__V2__TimeSeries *only = &series;

	series.n_labels_refs = 2 * from->label_count;
	series.labels_refs = v2->labels.items;
	series.n_samples = from->sample_count;
	series.samples = from->samples;
	series.n_histograms = from->histogram_count;
	series.histograms = from->histograms;
	series.n_exemplars = from->exemplar ? 1 : 0;
	series.exemplars = &example->only;
	series.metadata = &v2->metadata;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__v2__request__pack(&request, to);
}

int wire_v2_add(struct wire_v2 *v2, const struct wire_series *series,
		struct buf *packed, size_t *ret_text_bytes)
{
	CLEANUP(free_example) struct example example = {0};
	size_t text_bytes = 0, example_bytes = 0;
	unsigned char *to;
	int err = set_metadata(v2, series->family);

	if (!err)
		err = wire_labels_set(&v2->labels, series->labels, series->label_count,
				      refer_label, &v2->symbols, &text_bytes);
	if (!err && series->exemplar)
		err = make_example(v2, &example, series->exemplar);
	if (err)
		return err;
	if (series->exemplar)
		example_bytes =
		    prometheus__v2__exemplar__get_packed_size(&example.message);
	to = (unsigned char *)buf_reserve(
	    packed, wire_series_bound(series, text_bytes, example_bytes));
	if (!to)
		return packed->error;
	packed->len += pack(v2, series, &example, to);
	*ret_text_bytes = text_bytes + example.text_bytes;
	return 0;
}

/* --- all of them -------------------------------------------------------------- */

/* Symbols go first: a receiver may look them up while it reads the series. */
int wire_v2_compress(const struct wire_v2 *v2, const struct buf *packed,
		     struct wire_batch **ret_batch)
{
	Prometheus__V2__Request request = PROMETHEUS__V2__REQUEST__INIT;
	AUTO_FREE char *bytes = NULL;
	size_t len;

	request.n_symbols = v2->symbols.count;
	request.symbols = v2->symbols.strings;
	len = prometheus__v2__request__get_packed_size(&request);
	bytes = malloc(len + packed->len);
	if (!bytes)
		return -ENOMEM;
	prometheus__v2__request__pack(&request, (unsigned char *)bytes);
	memcpy(bytes + len, packed->data, packed->len);
	return wire_compress(bytes, len + packed->len, ret_batch);
}
