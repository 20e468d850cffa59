/* SPDX-License-Identifier: Apache-2.0 */
/* Any opening bytes: no read outside the window, and once an opening is decided,
 * a longer view of the same bytes decides the same. */
#include "../unit/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(const uint8_t *data, size_t size)
{
	static struct window *window;
	struct http1 http1 = {};

	if (!window)
		window = stream_window();
	memset(window, 0, sizeof(*window));
	memcpy(window->bytes, data, size);
	window->len = (uint32_t)size;
	return detect(window, &http1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int decided = DETECT_MORE;

	if (size > WINDOW_BYTES)
		size = WINDOW_BYTES;
	for (size_t len = 1; len <= size; len++) {
		int result = look(data, len);

		if (decided != DETECT_MORE && decided != result)
			abort();
		decided = result;
	}
	return 0;
}
