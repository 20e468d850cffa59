/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring by its system calls alone: one operation at a time. */
#pragma once

#include "require.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RING_ENTRIES 8

struct ring {
	int fd;
	char *map; /* submission and completion rings share it (5.4) */
	size_t map_len;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};

static inline struct ring ring_open(uint32_t flags)
{
	struct ring ring = {.params = {.flags = flags}};
	size_t sq_len, cq_len;

	ring.fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &ring.params);
	REQUIRE(ring.fd >= 0);
	REQUIRE(ring.params.features & IORING_FEAT_SINGLE_MMAP);
	sq_len = ring.params.sq_off.array + ring.params.sq_entries * sizeof(uint32_t);
	cq_len = ring.params.cq_off.cqes +
		 ring.params.cq_entries * sizeof(struct io_uring_cqe);
	ring.map_len = sq_len > cq_len ? sq_len : cq_len;
	ring.map = mmap(NULL, ring.map_len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.entries = mmap(NULL, RING_ENTRIES * sizeof(struct io_uring_sqe),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
			    IORING_OFF_SQES);
	REQUIRE(ring.map != MAP_FAILED && (void *)ring.entries != MAP_FAILED);
	return ring;
}

static inline void ring_close(struct ring *ring)
{
	munmap(ring->map, ring->map_len);
	munmap(ring->entries, RING_ENTRIES * sizeof(struct io_uring_sqe));
	close(ring->fd);
}

static inline uint32_t *ring_word(const struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(void *)(ring->map + offset);
}

/* Queues and submits; `wait` completions are awaited in the same call. */
static inline void ring_submit(struct ring *ring, const struct io_uring_sqe *entry,
			       uint32_t wait)
{
	uint32_t tail = *ring_word(ring, ring->params.sq_off.tail);
	uint32_t mask = *ring_word(ring, ring->params.sq_off.ring_mask), flags = 0;

	ring->entries[tail & mask] = *entry;
	ring_word(ring, ring->params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(ring_word(ring, ring->params.sq_off.tail), tail + 1,
			 __ATOMIC_RELEASE);
	if (ring->params.flags & IORING_SETUP_SQPOLL) /* its thread may sleep */
		flags = IORING_ENTER_SQ_WAKEUP;
	else if (wait)
		flags = IORING_ENTER_GETEVENTS;
	REQUIRE(syscall(SYS_io_uring_enter, ring->fd, 1,
			flags & IORING_ENTER_GETEVENTS ? wait : 0, flags, NULL,
			0) == 1);
}

/* The result of the next completion, which must come in time. */
static inline int ring_result(struct ring *ring)
{
	uint32_t head = *ring_word(ring, ring->params.cq_off.head);
	uint32_t mask = *ring_word(ring, ring->params.cq_off.ring_mask);
	struct io_uring_cqe *completions =
	    (struct io_uring_cqe *)(void *)(ring->map + ring->params.cq_off.cqes);
	uint64_t start_ns = now_ns();

	while (head == __atomic_load_n(ring_word(ring, ring->params.cq_off.tail),
				       __ATOMIC_ACQUIRE))
		REQUIRE(keep_waiting(start_ns));
	__atomic_store_n(ring_word(ring, ring->params.cq_off.head), head + 1,
			 __ATOMIC_RELEASE);
	return completions[head & mask].res;
}

static inline struct io_uring_sqe
ring_operation(uint8_t code, int fd, const void *bytes, size_t len, uint8_t flags)
{
	return (struct io_uring_sqe){.opcode = code,
				     .flags = flags,
				     .fd = fd,
				     .addr = (uintptr_t)bytes,
				     .len = (uint32_t)len};
}

static inline int ring_do(struct ring *ring, uint8_t code, int fd, const void *bytes,
			  size_t len, uint8_t flags)
{
	const struct io_uring_sqe entry = ring_operation(code, fd, bytes, len, flags);

	ring_submit(ring, &entry, 1);
	return ring_result(ring);
}
