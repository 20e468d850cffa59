/* SPDX-License-Identifier: Apache-2.0 */
#include "log_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log.h"
#include "loki.h"

struct lane {
	struct spool_lane *lane;
	const char *name;
	uint64_t bytes;      /* that waited when it was last looked at */
	int64_t progress_ms; /* when it last became less, or was little */
	bool is_stalled;
};

struct log_room {
	struct lane *lanes;
	size_t lane_count;
	uint64_t share_bytes; /* of a lane */
	bool is_blocked;
	bool is_behind; /* receivers are, and that was told; its end is to be, too */
};

void log_room_put(struct log_room *room, struct wire_batch *batch)
{
	for (size_t i = 0; i < room->lane_count; i++)
		spool_put(room->lanes[i].lane, wire_batch_get(batch));
	wire_batch_put(&batch);
}

void log_room_committed(struct log_room *room)
{
	for (size_t i = 0; i < room->lane_count; i++) {
		struct spool_waiting waiting;

		spool_waiting(room->lanes[i].lane, &waiting);
		room->lanes[i].bytes = waiting.bytes;
	}
}

static void look_at_lane(struct log_room *room, struct lane *lane, int64_t now_ms,
			 bool is_another_free)
{
	struct spool_waiting waiting;
	bool was_stalled = lane->is_stalled;

	spool_waiting(lane->lane, &waiting);
	if (waiting.bytes < lane->bytes || waiting.bytes <= room->share_bytes)
		lane->progress_ms = now_ms;
	lane->bytes = waiting.bytes;
	if (waiting.bytes <= room->share_bytes / 2)
		lane->is_stalled = false;
	else if (now_ms - lane->progress_ms >= LOG_ROOM_STALLED_MS && is_another_free)
		lane->is_stalled = true;
	if (lane->is_stalled == was_stalled)
		return;
	spool_set_limit(lane->lane, lane->is_stalled ? room->share_bytes : 0);
	if (lane->is_stalled)
		log_warning("loki_write \"%s\" takes nothing: it loses the oldest of "
			    "what waits for it, for others to go on",
			    lane->name);
	else
		log_info("loki_write \"%s\" loses nothing any more", lane->name);
}

static bool is_full(const struct log_room *room, const struct lane *lane)
{
	return lane->bytes > room->share_bytes;
}

static bool has_room(struct log_room *room, int64_t now_ms)
{
	bool is_any_free = false, is_any_waited_for = false;

	for (size_t i = 0; i < room->lane_count; i++)
		is_any_free |= !is_full(room, &room->lanes[i]);
	for (size_t i = 0; i < room->lane_count; i++)
		look_at_lane(room, &room->lanes[i], now_ms, is_any_free);
	is_any_free = false;
	for (size_t i = 0; i < room->lane_count; i++) {
		const struct lane *lane = &room->lanes[i];

		is_any_free |= !is_full(room, lane);
		is_any_waited_for |= is_full(room, lane) && !lane->is_stalled;
	}
	return is_any_free && !is_any_waited_for;
}

/* Half of what may wait has gone, wherever it is waited for. */
static bool is_relieved(const struct log_room *room)
{
	for (size_t i = 0; i < room->lane_count; i++) {
		const struct lane *lane = &room->lanes[i];

		if (!lane->is_stalled && lane->bytes > room->share_bytes / 2)
			return false;
	}
	return true;
}

/* A receiver that takes a batch as often as there is another blocks with each: that is
 * told once. */
static void set_blocked(struct log_room *room, bool is_blocked)
{
	room->is_blocked = is_blocked;
	if (is_blocked && !room->is_behind) {
		log_warning("receivers of logs are behind: files are read again when "
			    "less than %" PRIu64 " bytes wait",
			    room->share_bytes);
		room->is_behind = true;
	} else if (!is_blocked && room->is_behind && is_relieved(room)) {
		log_info("receivers of logs are no longer behind");
		room->is_behind = false;
	}
}

bool log_room_is_there(struct log_room *room, int64_t now_ms)
{
	set_blocked(room, !has_room(room, now_ms));
	return !room->is_blocked;
}

bool log_room_is_blocked(const struct log_room *room)
{
	return room->is_blocked;
}

bool log_room_is_behind(const struct log_room *room)
{
	return room->is_behind;
}

/* --- making ------------------------------------------------------------------- */

static int make_lane(struct log_room *room, struct spool *spool, const char *name,
		     int64_t now_ms)
{
	struct lane *lane = &room->lanes[room->lane_count];
	AUTO_FREE char *full = NULL;
	int err;

	if (asprintf(&full, CONFIG_LOKI_PREFIX "%s", name) < 0) {
		full = NULL;
		return -ENOMEM;
	}
	err = spool_lane(spool, full, &lane->lane);
	if (err)
		return err;
	lane->name = name;
	lane->progress_ms = now_ms;
	spool_set_age(lane->lane, LOKI_AGE_MAX_MS);
	room->lane_count++;
	return 0;
}

static uint64_t share_of(const struct config *config)
{
	uint64_t bytes = config->spool.bytes_max / 4;

	if (bytes > LOG_ROOM_BYTES)
		bytes = LOG_ROOM_BYTES;
	return bytes / config->loki_write_count;
}

int log_room_create(struct spool *spool, const struct config *config, int64_t now_ms,
		    struct log_room **ret_room)
{
	CLEANUP(log_room_free) struct log_room *room = calloc(1, sizeof(*room));
	int err = 0;

	if (!room)
		return -ENOMEM;
	room->lanes = calloc(config->loki_write_count, sizeof(*room->lanes));
	if (!room->lanes)
		return -ENOMEM;
	for (size_t i = 0; !err && i < config->loki_write_count; i++)
		err = make_lane(room, spool, config->loki_writes[i].name, now_ms);
	if (err)
		return err;
	room->share_bytes = share_of(config);
	log_room_committed(room);
	*ret_room = TAKE(room);
	return 0;
}

void log_room_free(struct log_room **room)
{
	if (!*room)
		return;
	free((*room)->lanes);
	free(*room);
	*room = NULL;
}
