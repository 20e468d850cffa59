/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "gzip.h"
#include "text.h"

/* At a time; little enough to be still in the nearest cache when it is read. */
#define PIECE_BYTES ((size_t)16 << 10)
/* One metric goes past it by its own length: labels, once a bucket. */
#define PIECE_BYTES_MAX ((size_t)16 << 20)

struct body {
	struct snapshot snapshot;
	/* of these one, or none: piece is all there is */
	struct text_writer *text;
	struct exposition_writer *protobuf;
	struct buf piece;
	size_t piece_read;
	bool is_last;      /* nothing comes after this piece */
	struct gzip *gzip; /* NULL: it goes as it is */
	bool is_packed;    /* gzip's last byte was read */
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

/* Full to its end, unless there is nothing more: each answer is a chunk for the
 * reader. */
static ssize_t read_plain(struct body *body, char *ret_bytes, size_t size)
{
	size_t done = 0, len;
	int err;

	do {
		err = fill(body);
		if (err)
			return err;
		len = unread(body) < size - done ? unread(body) : size - done;
		if (len)
			memcpy(ret_bytes + done, body->piece.data + body->piece_read,
			       len);
		body->piece_read += len;
		done += len;
	} while (len);
	return (ssize_t)done;
}

/* One step, over what is left of the piece. */
static int pack_piece(struct body *body, struct gzip_flow *flow)
{
	int err;

	flow->in = body->piece.data + body->piece_read;
	flow->in_len = unread(body);
	flow->is_last = body->is_last;
	err = gzip_step(body->gzip, flow);
	body->piece_read = body->piece.len - flow->in_len;
	body->is_packed = flow->is_done;
	return err;
}

static ssize_t read_gzip(struct body *body, char *ret_bytes, size_t size)
{
	struct gzip_flow flow = {.out = ret_bytes, .out_room = size};
	int err = 0;

	while (!err && !body->is_packed && flow.out_room) {
		err = fill(body);
		if (!err)
			err = pack_piece(body, &flow);
	}
	return err ? err : (ssize_t)(size - flow.out_room);
}

ssize_t body_read(struct body *body, char *ret_bytes, size_t size)
{
	return body->gzip ? read_gzip(body, ret_bytes, size)
			  : read_plain(body, ret_bytes, size);
}

static int body_create(bool is_gzip, struct body **ret_body)
{
	CLEANUP(body_free) struct body *body = calloc(1, sizeof(*body));
	int err = 0;

	if (!body)
		return -ENOMEM;
	if (is_gzip)
		err = gzip_create(&body->gzip);
	if (err)
		return err;
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
	gzip_free(&(*body)->gzip);
	text_writer_free(&(*body)->text);
	exposition_writer_free(&(*body)->protobuf);
	buf_free(&(*body)->piece);
	snapshot_free(&(*body)->snapshot);
	free(*body);
	*body = NULL;
}
