/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#include "cleanup.h"

#define WRAPPER 16       /* zlib's: added to the window's bits */
#define WRAPPER_BYTES 18 /* RFC 1952: header and trailer */

struct gzip {
	z_stream stream;
	bool has_stream;
};

int gzip_create(struct gzip **ret_gzip)
{
	CLEANUP(gzip_free) struct gzip *gzip = calloc(1, sizeof(*gzip));

	if (!gzip)
		return -ENOMEM;
	if (deflateInit2(&gzip->stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + WRAPPER,
			 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	gzip->has_stream = true;
	*ret_gzip = TAKE(gzip);
	return 0;
}

void gzip_free(struct gzip **gzip)
{
	if (!*gzip)
		return;
	if ((*gzip)->has_stream)
		deflateEnd(&(*gzip)->stream);
	free(*gzip);
	*gzip = NULL;
}

/* zlib counts in unsigned int. */
static unsigned int step_len(size_t len)
{
	return len < UINT_MAX ? (unsigned int)len : UINT_MAX;
}

int gzip_step(struct gzip *gzip, struct gzip_flow *flow)
{
	z_stream *stream = &gzip->stream;
	unsigned int in_len = step_len(flow->in_len), room = step_len(flow->out_room);
	bool is_last = flow->is_last && in_len == flow->in_len;
	int status;

	stream->next_in = flow->in;
	stream->avail_in = in_len;
	stream->next_out = flow->out;
	stream->avail_out = room;
	status = deflate(stream, is_last ? Z_FINISH : Z_NO_FLUSH);
	flow->in = stream->next_in;
	flow->in_len -= in_len - stream->avail_in;
	flow->out = stream->next_out;
	flow->out_room -= room - stream->avail_out;
	flow->is_done = status == Z_STREAM_END;
	return status == Z_OK || flow->is_done ? 0 : -EIO;
}

size_t gzip_bound(size_t len)
{
	return compressBound(len) + WRAPPER_BYTES;
}

int gzip_whole(const void *in, size_t len, void *out, size_t room, size_t *ret_len)
{
	CLEANUP(gzip_free) struct gzip *gzip = NULL;
	struct gzip_flow flow = {
	    .in = in,
	    .in_len = len,
	    .out = out,
	    .out_room = room,
	    .is_last = true,
	};
	int err = gzip_create(&gzip);

	while (!err && !flow.is_done)
		err = gzip_step(gzip, &flow);
	if (err)
		return err;
	*ret_len = room - flow.out_room;
	return 0;
}
