/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, cut in two anywhere: the parser must say the same as of the whole,
 * and never read outside its window. First byte: direction and method; second
 * and third: where to cut. */
#include "../unit/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream whole, cut;

static void begin(struct stream *s, uint8_t how)
{
	static struct window *window;

	if (!window)
		window = stream_window();
	stream_init(s, window, how & 1);
	s->request_method = (how >> 1) % TALLY_METHOD_COUNT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at;

	if (size < 3)
		return 0;
	at = ((size_t)data[1] << 8 | data[2]) % (size - 2);
	begin(&whole, data[0]);
	stream_feed(&whole, data + 3, size - 3);
	begin(&cut, data[0]);
	stream_feed(&cut, data + 3, at);
	stream_feed(&cut, data + 3 + at, size - 3 - at);
	if (whole.log_len != cut.log_len || memcmp(whole.log, cut.log, cut.log_len))
		abort();
	return 0;
}
