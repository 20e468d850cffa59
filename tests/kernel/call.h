/* SPDX-License-Identifier: Apache-2.0 */
/* Every system call that moves bytes of a stream socket, behind one shape. */
#pragma once

#include "talk.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

enum sender {
	BY_WRITE,
	BY_SEND,
	BY_SENDTO,
	BY_SENDMSG,
	BY_WRITEV,
	BY_PWRITEV2,
	BY_SENDMMSG,
	SENDERS,
};

enum receiver {
	BY_READ,
	BY_RECV,
	BY_RECVFROM,
	BY_RECVMSG,
	BY_READV,
	BY_PREADV2,
	BY_RECVMMSG,
	RECEIVERS,
};

#define SLICES_MAX 1024

/* A buffer as an iovec: `empty` entries of no length, then slices of `size`. */
struct slicing {
	unsigned int empty;
	size_t size; /* 0: one slice */
};

static inline int slice(struct iovec ret_slices[SLICES_MAX], const char *bytes,
			size_t len, struct slicing slicing)
{
	int count = 0;

	for (; count < (int)slicing.empty; count++)
		ret_slices[count] = (struct iovec){NULL, 0};
	for (size_t done = 0; done < len; count++) {
		size_t size = slicing.size ? slicing.size : len;

		REQUIRE(count < SLICES_MAX);
		if (size > len - done)
			size = len - done;
		ret_slices[count] =
		    (struct iovec){(void *)(uintptr_t)(bytes + done), size};
		done += size;
	}
	return count;
}

static inline ssize_t sum_of_lengths(const struct mmsghdr *messages, int count)
{
	ssize_t sum = 0;

	for (int i = 0; i < count; i++)
		sum += messages[i].msg_len;
	return count < 0 ? -1 : sum;
}

/* One slice a message. */
static inline unsigned int messages_of(struct mmsghdr *ret_messages,
				       struct iovec *slices, int count)
{
	for (int i = 0; i < count; i++)
		ret_messages[i] = (struct mmsghdr){
		    .msg_hdr = {.msg_iov = &slices[i], .msg_iovlen = 1}};
	return (unsigned int)count;
}

static inline ssize_t send_by(enum sender sender, int fd, const char *bytes, size_t len,
			      struct slicing slicing)
{
	struct iovec slices[SLICES_MAX];
	struct mmsghdr messages[SLICES_MAX];
	int count = slice(slices, bytes, len, slicing);
	struct msghdr message = {.msg_iov = slices, .msg_iovlen = (size_t)count};

	switch (sender) {
	case BY_WRITE:
		return write(fd, bytes, len);
	case BY_SEND:
		return send(fd, bytes, len, MSG_NOSIGNAL);
	case BY_SENDTO:
		return sendto(fd, bytes, len, 0, NULL, 0);
	case BY_SENDMSG:
		return sendmsg(fd, &message, 0);
	case BY_WRITEV:
		return writev(fd, slices, count);
	case BY_PWRITEV2:
		return pwritev2(fd, slices, count, -1, 0);
	default:
		return sum_of_lengths(
		    messages,
		    sendmmsg(fd, messages, messages_of(messages, slices, count), 0));
	}
}

static inline ssize_t receive_by(enum receiver receiver, int fd, char *buf, size_t len,
				 struct slicing slicing)
{
	struct iovec slices[SLICES_MAX];
	struct mmsghdr messages[SLICES_MAX];
	int count = slice(slices, buf, len, slicing);
	struct msghdr message = {.msg_iov = slices, .msg_iovlen = (size_t)count};

	switch (receiver) {
	case BY_READ:
		return read(fd, buf, len);
	case BY_RECV:
		return recv(fd, buf, len, 0);
	case BY_RECVFROM: {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);

		return recvfrom(fd, buf, len, 0, (struct sockaddr *)&from, &from_len);
	}
	case BY_RECVMSG:
		return recvmsg(fd, &message, 0);
	case BY_READV:
		return readv(fd, slices, count);
	case BY_PREADV2:
		return preadv2(fd, slices, count, -1, 0);
	default:
		return sum_of_lengths(messages,
				      recvmmsg(fd, messages,
					       messages_of(messages, slices, count),
					       MSG_WAITFORONE, NULL));
	}
}

/* As put and take (talk.h), by a call of choice; the buffer that receives is
 * larger than what comes. */
static inline void put_by(enum sender sender, int fd, const char *bytes, size_t len,
			  struct slicing slicing)
{
	REQUIRE(send_by(sender, fd, bytes, len, slicing) == (ssize_t)len);
}

static inline void take_by(enum receiver receiver, int fd, const char *bytes,
			   size_t len, struct slicing slicing)
{
	char buf[8192];

	for (size_t done = 0; done < len;) {
		ssize_t got =
		    receive_by(receiver, fd, buf,
			       slicing.size ? len - done : sizeof(buf), slicing);

		REQUIRE(got > 0 && (size_t)got <= len - done);
		REQUIRE(!memcmp(buf, bytes + done, (size_t)got));
		done += (size_t)got;
	}
}
