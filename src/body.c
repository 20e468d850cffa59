/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cleanup.h"
#include "text.h"

/* At a time; of text: the formatting of some 500 lines, a tenth of a millisecond. */
#define PIECE_BYTES ((size_t)64 << 10)
/* One metric goes past it by its own length: labels, once a bucket. */
#define PIECE_BYTES_MAX ((size_t)16 << 20)
#define GZIP_WRAPPER 16 /* zlib's: added to the window's bits */

struct body {
	struct snapshot snapshot;
	/* of these one, or none: piece is all there is */
	struct text_writer *text;
	struct exposition_writer *protobuf;
	struct buf piece;
	size_t piece_read;
	bool is_last; /* nothing comes after this piece */
	bool is_gzip;
	bool is_packed; /* gzip's last byte was read */
	z_stream stream;
};

static bool write_piece(struct body *body)
{
	if (body->protobuf)
		return exposition_writer_next(body->protobuf, &body->piece,
					      PIECE_BYTES);
	return text_writer_next(body->text, &body->piece, PIECE_BYTES);
}

static int next_piece(struct body *body)
{
	buf_clear(&body->piece);
	body->piece_read = 0;
	body->is_last = !write_piece(body);
	return body->piece.error;
}

static size_t unread(const struct body *body)
{
	return body->piece.len - body->piece_read;
}

/* Something to read, unless there is nothing more. */
static int fill(struct body *body)
{
	int err = 0;

	while (!err && !unread(body) && !body->is_last)
		err = next_piece(body);
	return err;
}

static ssize_t read_plain(struct body *body, char *ret_bytes, size_t size)
{
	int err = fill(body);
	size_t len = unread(body) < size ? unread(body) : size;

	if (err)
		return err;
	if (len)
		memcpy(ret_bytes, body->piece.data + body->piece_read, len);
	body->piece_read += len;
	return (ssize_t)len;
}

/* One call of deflate, over what is left of the piece. */
static int deflate_piece(struct body *body)
{
	z_stream *stream = &body->stream;
	int status;

	stream->next_in = (unsigned char *)body->piece.data + body->piece_read;
	stream->avail_in = (unsigned int)unread(body);
	status = deflate(stream, body->is_last ? Z_FINISH : Z_NO_FLUSH);
	body->piece_read = body->piece.len - stream->avail_in;
	body->is_packed = status == Z_STREAM_END;
	return status == Z_OK || body->is_packed ? 0 : -EIO;
}

static ssize_t read_gzip(struct body *body, char *ret_bytes, size_t size)
{
	z_stream *stream = &body->stream;
	int err = 0;

	stream->next_out = (unsigned char *)ret_bytes;
	stream->avail_out = (unsigned int)size;
	while (!err && !body->is_packed && stream->avail_out) {
		err = fill(body);
		if (!err)
			err = deflate_piece(body);
	}
	return err ? err : (ssize_t)(size - stream->avail_out);
}

ssize_t body_read(struct body *body, char *ret_bytes, size_t size)
{
	return body->is_gzip ? read_gzip(body, ret_bytes, size)
			     : read_plain(body, ret_bytes, size);
}

/* The fastest level: exposition text shrinks twentyfold by any, and the time is
 * the daemon's only thread's. */
static int body_create(bool is_gzip, struct body **ret_body)
{
	CLEANUP(body_free) struct body *body = calloc(1, sizeof(*body));

	if (!body)
		return -ENOMEM;
	if (is_gzip &&
	    deflateInit2(&body->stream, Z_BEST_SPEED, Z_DEFLATED,
			 MAX_WBITS + GZIP_WRAPPER, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	body->is_gzip = is_gzip;
	*ret_body = TAKE(body);
	return 0;
}

static int create_writer(struct body *body, enum exposition_format format)
{
	if (format == EXPOSITION_PROTOBUF)
		return exposition_writer_create(&body->snapshot, &body->protobuf);
	return text_writer_create(&body->snapshot,
				  format == EXPOSITION_OPENMETRICS
				      ? TEXT_OPENMETRICS_1_0
				      : TEXT_PROMETHEUS_0_0_4,
				  &body->text);
}

int body_of_snapshot(struct snapshot *snapshot, enum exposition_format format,
		     bool is_gzip, struct body **ret_body)
{
	CLEANUP(body_free) struct body *body = NULL;
	int err = body_create(is_gzip, &body);

	if (!err)
		err = create_writer(body, format);
	if (err)
		return err;
	body->piece = (struct buf)BUF_INIT(PIECE_BYTES_MAX);
	body->snapshot = *snapshot;
	*snapshot = (struct snapshot){0};
	*ret_body = TAKE(body);
	return 0;
}

int body_of_text(struct buf *text, bool is_gzip, struct body **ret_body)
{
	struct body *body;
	int err = body_create(is_gzip, &body);

	if (err)
		return err;
	body->is_last = true;
	body->piece = *text;
	*text = (struct buf){0};
	*ret_body = body;
	return 0;
}

void body_free(struct body **body)
{
	if (!*body)
		return;
	if ((*body)->is_gzip)
		deflateEnd(&(*body)->stream);
	text_writer_free(&(*body)->text);
	exposition_writer_free(&(*body)->protobuf);
	buf_free(&(*body)->piece);
	snapshot_free(&(*body)->snapshot);
	free(*body);
	*body = NULL;
}
