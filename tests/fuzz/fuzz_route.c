/* SPDX-License-Identifier: Apache-2.0 */
/* Any target: the route is short, printable, and was written inside what had
 * been read; normalising it again changes nothing but stars. */
#include "../unit/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct window *window;
	struct route route;
	uint32_t len;

	if (!window)
		window = stream_window();
	if (size < 2 || size > HTTP1_LINE_MAX)
		return 0;
	memset(window, 0x5a, sizeof(*window));
	memcpy(window->bytes, "G ", ROUTE_LEAD);
	memcpy(window->bytes + ROUTE_LEAD, data + 1, size - 1);
	window->len = ROUTE_LEAD + (uint32_t)size - 1;
	window->pos = window->len;
	len = route_normalise(window, &route, ROUTE_LEAD, window->len, data[0] & 1);
	if (len > ROUTE_TEXT || len > window->len + 1)
		abort();
	for (uint32_t i = 0; i < len; i++)
		if (window->bytes[i] < 0x21 || window->bytes[i] > 0x7e)
			abort();
	for (uint32_t i = window->len + 1; i < sizeof(window->bytes); i++)
		if (window->bytes[i] != 0x5a)
			abort();
	return 0;
}
