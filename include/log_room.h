/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_room.h - the lanes of those who receive log lines, and whether there is room in
 * them: beyond a share of the spool the files themselves are the buffer. Time
 * (CLOCK_MONOTONIC, ms) is passed in; it has no timer, and reads nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "spool.h"

/* What waits in all lanes of loki_write together, at most, and no more than a quarter
 * of spool.max_bytes. */
#define LOG_ROOM_BYTES (16ull << 20)
/* Who has taken nothing for so long, while another one does, loses its oldest. */
#define LOG_ROOM_STALLED_MS 60000

struct log_room;

/* Makes a lane for each loki_write, of which there is one at least. Both outlive it.
 * -ENOMEM. */
int log_room_create(struct spool *spool, const struct config *config, int64_t now_ms,
		    struct log_room **ret_room);
void log_room_free(struct log_room **room);
/* Puts the batch into every lane, inside of the spool's transaction. It is taken over.
 */
void log_room_put(struct log_room *room, struct wire_batch *batch);
/* What waits now came from us: only what goes from here on is progress of a receiver.
 * After each commit. */
void log_room_committed(struct log_room *room);
/* Whether there is room for more: not while a receiver is full that takes something,
 * nor while all are. A change is logged, once each way. */
bool log_room_is_there(struct log_room *room, int64_t now_ms);
/* The last answer; and whether more than half of a share waits still, or did. */
bool log_room_is_blocked(const struct log_room *room);
bool log_room_is_behind(const struct log_room *room);
