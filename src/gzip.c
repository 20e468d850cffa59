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

struct gunzip {
	z_stream stream;
	bool has_stream;
	bool is_ended; /* the last member that began */
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

int gunzip_create(struct gunzip **ret_gunzip)
{
	CLEANUP(gunzip_free) struct gunzip *gunzip = calloc(1, sizeof(*gunzip));

	if (!gunzip)
		return -ENOMEM;
	if (inflateInit2(&gunzip->stream, MAX_WBITS + WRAPPER) != Z_OK)
		return -ENOMEM;
	gunzip->has_stream = true;
	*ret_gunzip = TAKE(gunzip);
	return 0;
}

void gunzip_free(struct gunzip **gunzip)
{
	if (!*gunzip)
		return;
	if ((*gunzip)->has_stream)
		inflateEnd(&(*gunzip)->stream);
	free(*gunzip);
	*gunzip = NULL;
}

/* RFC 1952 2.2: a file is members, one behind the other. */
static int inflate_members(struct gunzip *gunzip)
{
	z_stream *stream = &gunzip->stream;
	int status = Z_OK;

	while (status == Z_OK && stream->avail_in && stream->avail_out) {
		if (gunzip->is_ended)
			status = inflateReset(stream);
		gunzip->is_ended = false;
		if (status == Z_OK)
			status = inflate(stream, Z_NO_FLUSH);
		gunzip->is_ended = status == Z_STREAM_END;
		if (gunzip->is_ended)
			status = Z_OK;
	}
	return status;
}

/* What zlib still holds when there was no room comes without input, too. */
static int inflate_rest(struct gunzip *gunzip)
{
	int status = gunzip->is_ended ? Z_OK : inflate(&gunzip->stream, Z_NO_FLUSH);

	gunzip->is_ended = gunzip->is_ended || status == Z_STREAM_END;
	return gunzip->is_ended || status == Z_BUF_ERROR ? Z_OK : status;
}

int gunzip_step(struct gunzip *gunzip, struct gzip_flow *flow)
{
	z_stream *stream = &gunzip->stream;
	unsigned int in_len = step_len(flow->in_len), room = step_len(flow->out_room);
	int status;

	stream->next_in = flow->in;
	stream->avail_in = in_len;
	stream->next_out = flow->out;
	stream->avail_out = room;
	status = in_len ? inflate_members(gunzip) : inflate_rest(gunzip);
	flow->in = stream->next_in;
	flow->in_len -= in_len - stream->avail_in;
	flow->out = stream->next_out;
	flow->out_room -= room - stream->avail_out;
	flow->is_done = gunzip->is_ended && !flow->in_len;
	if (status == Z_OK)
		return 0;
	return status == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
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
