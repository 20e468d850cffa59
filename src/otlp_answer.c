/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_answer.h"

#include "otlp.pb-c.h"
#include "slice.h"

static void read_partial_success(const void *body, size_t len,
				 struct otlp_answer *answer)
{
	Otlp__ExportMetricsServiceResponse *response =
	    otlp__export_metrics_service_response__unpack(NULL, len, body);
	const Otlp__ExportMetricsPartialSuccess *partial;

	if (!response)
		return;
	partial = response->partial_success;
	if (partial && partial->rejected_data_points > 0)
		answer->rejected = (uint64_t)partial->rejected_data_points;
	if (partial)
		slice_to_label(slice_of(partial->error_message), answer->message,
			       sizeof(answer->message));
	otlp__export_metrics_service_response__free_unpacked(response, NULL);
}

static void read_status(const void *body, size_t len, struct otlp_answer *answer)
{
	Otlp__Status *status = otlp__status__unpack(NULL, len, body);

	if (!status)
		return;
	slice_to_label(slice_of(status->message), answer->message,
		       sizeof(answer->message));
	otlp__status__free_unpacked(status, NULL);
}

struct otlp_answer otlp_read_answer(long status, const void *body, size_t len)
{
	struct otlp_answer answer = {0};

	if (status / 100 == 2)
		read_partial_success(body, len, &answer);
	else
		read_status(body, len, &answer);
	return answer;
}
