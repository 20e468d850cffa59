/* SPDX-License-Identifier: Apache-2.0 */
#include "log_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hash.h"

#define VERSION 1
#define VERSION_LINKED 2 /* one more string: what the versions before cannot read */
/* Prints are compared after a restart: the seed is always the same. Who writes a
 * file chooses its bytes, and with them harms nobody's lines but its own. */
#define SEED 0x6c6f6773u

static int64_t time_ns(const struct statx_timestamp *time)
{
	return time->tv_sec * 1000000000 + time->tv_nsec;
}

int log_stat(int fd, const char *path, struct log_stat *ret_stat)
{
	struct statx found;
	const unsigned int flags = *path ? 0 : AT_EMPTY_PATH;

	if (statx(fd, path, (int)flags | AT_STATX_SYNC_AS_STAT,
		  STATX_BASIC_STATS | STATX_BTIME, &found))
		return -errno;
	*ret_stat = (struct log_stat){
	    .stamp = {time_ns(&found.stx_mtime), time_ns(&found.stx_ctime)},
	    .identity =
		{
		    .device = makedev(found.stx_dev_major, found.stx_dev_minor),
		    .inode = found.stx_ino,
		},
	    .size = found.stx_size,
	    .is_regular = S_ISREG(found.stx_mode),
	    .is_deleted = !found.stx_nlink,
	};
	if (found.stx_mask & STATX_BTIME)
		ret_stat->identity.birth_ns = time_ns(&found.stx_btime);
	return 0;
}

bool log_identity_is(const struct log_identity *identity,
		     const struct log_identity *other)
{
	return identity->device == other->device && identity->inode == other->inode &&
	       (!identity->birth_ns || !other->birth_ns ||
		identity->birth_ns == other->birth_ns);
}

bool log_stamp_is(struct log_stamp stamp, struct log_stamp other)
{
	return stamp.modified_ns == other.modified_ns &&
	       stamp.changed_ns == other.changed_ns;
}

/* --- prints ------------------------------------------------------------------- */

struct log_print log_print_of(const void *bytes, size_t len)
{
	struct keyed_hash hash = {0};

	for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
		size_t rest = len - at;
		uint64_t word = 0;

		memcpy(&word, (const char *)bytes + at,
		       rest < sizeof(word) ? rest : sizeof(word));
		hash_add(&hash, SEED, (uint32_t)(at / sizeof(word)), word);
	}
	return (struct log_print){(uint32_t)len, len ? hash_value(&hash) : 0};
}

static struct log_print read_print(int fd, uint64_t from, size_t len)
{
	char bytes[LOG_HEAD_BYTES];
	ssize_t got = pread(fd, bytes, len, (off_t)from);

	return log_print_of(bytes, got == (ssize_t)len ? len : 0);
}

struct log_print log_print_before(int fd, uint64_t position)
{
	size_t len = position < LOG_TAIL_BYTES ? position : LOG_TAIL_BYTES;

	return read_print(fd, position - len, len);
}

struct log_print log_print_head(int fd, uint64_t position)
{
	return read_print(fd, 0, position < LOG_HEAD_BYTES ? position : LOG_HEAD_BYTES);
}

/* In one read: another content may stand there before the next. */
void log_print_grow(int fd, struct log_print *head, uint64_t position)
{
	const size_t len = position < LOG_HEAD_BYTES ? position : LOG_HEAD_BYTES;
	char bytes[LOG_HEAD_BYTES];

	if (pread(fd, bytes, len, 0) == (ssize_t)len &&
	    log_print_of(bytes, head->len).hash == head->hash)
		*head = log_print_of(bytes, len);
}

static bool is_print(int fd, uint64_t from, struct log_print print)
{
	struct log_print found = read_print(fd, from, print.len);

	return found.len == print.len && found.hash == print.hash;
}

bool log_head_is(int fd, struct log_print head)
{
	return is_print(fd, 0, head);
}

bool log_before_is(int fd, uint64_t position, struct log_print tail)
{
	return tail.len <= position && is_print(fd, position - tail.len, tail);
}

/* --- positions ---------------------------------------------------------------- */

/* As it is on disk: the machine that reads it has written it. */
struct record {
	uint32_t version;
	uint32_t head_len;
	uint64_t device, inode;
	int64_t birth_ns;
	uint64_t head_hash;
	uint64_t offset;
	uint64_t tail_hash;
	uint32_t tail_len;
	uint32_t flags;
};

/* Versions before knew the first one alone, and take any for it. */
#define FLAG_ANEW 1u
#define FLAG_INSIDE 2u

static bool add_string(char *bytes, size_t *len, const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > LOG_POSITION_BYTES_MAX - *len)
		return false;
	memcpy(bytes + *len, text, size);
	*len += size;
	return true;
}

int log_position_encode(const struct log_position *position, void *ret_bytes,
			size_t *ret_len)
{
	const struct log_identity *identity = &position->identity;
	const bool is_linked = position->target && *position->target;
	const struct record record = {
	    .version = is_linked ? VERSION_LINKED : VERSION,
	    .head_len = identity->head.len,
	    .device = identity->device,
	    .inode = identity->inode,
	    .birth_ns = identity->birth_ns,
	    .head_hash = identity->head.hash,
	    .offset = position->offset,
	    .tail_hash = position->tail.hash,
	    .tail_len = position->tail.len,
	    .flags = (position->is_anew ? FLAG_ANEW : 0) |
		     (position->is_inside ? FLAG_INSIDE : 0),
	};
	size_t len = sizeof(record);

	memcpy(ret_bytes, &record, sizeof(record));
	if (!add_string(ret_bytes, &len, position->name) ||
	    !add_string(ret_bytes, &len, position->path) ||
	    !add_string(ret_bytes, &len, position->service) ||
	    (is_linked && !add_string(ret_bytes, &len, position->target)))
		return -E2BIG;
	*ret_len = len;
	return 0;
}

/* NULL: there is none. */
static const char *take_string(const char **at, const char *end)
{
	const char *text = *at;
	const char *nul = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;

	if (!nul)
		return NULL;
	*at = nul + 1;
	return text;
}

int log_position_decode(const void *bytes, size_t len,
			struct log_position *ret_position)
{
	const char *at = bytes, *end = at + len;
	struct log_position position = {0};
	struct record record;

	if (len < sizeof(record))
		return -EBADMSG;
	memcpy(&record, bytes, sizeof(record));
	at += sizeof(record);
	position.name = take_string(&at, end);
	position.path = position.name ? take_string(&at, end) : NULL;
	position.service = position.path ? take_string(&at, end) : NULL;
	position.target = "";
	if (position.service && record.version == VERSION_LINKED)
		position.target = take_string(&at, end);
	if ((record.version != VERSION && record.version != VERSION_LINKED) ||
	    !position.service || !position.target || at != end ||
	    record.head_len > LOG_HEAD_BYTES || record.tail_len > LOG_TAIL_BYTES ||
	    record.tail_len > record.offset || record.offset > INT64_MAX)
		return -EBADMSG;
	position.identity = (struct log_identity){
	    .device = record.device,
	    .inode = record.inode,
	    .birth_ns = record.birth_ns,
	    .head = {record.head_len, record.head_hash},
	};
	position.offset = record.offset;
	position.tail = (struct log_print){record.tail_len, record.tail_hash};
	position.is_anew = record.flags & FLAG_ANEW;
	position.is_inside = record.flags & FLAG_INSIDE;
	*ret_position = position;
	return 0;
}
