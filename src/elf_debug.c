/* SPDX-License-Identifier: Apache-2.0 */
/* Where gdb looks for symbols of stripped files, and .gnu_debugdata. A container's
 * links lead to files of the container: paths are resolved within its root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lzma.h>

#include "cleanup.h"
#include "elf_internal.h"
#include "length.h"

#define PATH_BYTES 4096
#define BUILD_ID_MAX 64
#define NOTE_BUILD_ID 3
/* What Fedora packs is below 10 MB. */
#define UNPACKED_MAX_BYTES (128u << 20)
#define LZMA_MEMORY_BYTES (128u << 20)
/* Beyond, reading it all for its checksum takes too long. */
#define CHECKSUMMED_MAX_BYTES (1ull << 30)
#define CHUNK_BYTES 65536

static void close_file(struct elf_file **file)
{
	elf_file_close(file);
}

#define AUTO_FILE CLEANUP(close_file)

static bool has_symbols(const struct elf_file *file)
{
	return elf_file_section(file, ".symtab");
}

/* ---- build id ---- */

struct build_id {
	size_t len; /* 0: none */
	uint8_t bytes[BUILD_ID_MAX];
};

static void read_build_id(const struct elf_file *file, struct build_id *ret_id)
{
	size_t len, position = 0;
	const uint8_t *notes =
	    elf_file_bytes(file, elf_file_section(file, ".note.gnu.build-id"), &len);
	struct elf_note note;

	ret_id->len = 0;
	while (notes && elf_note_next(notes, len, &position, &note)) {
		if (note.type != NOTE_BUILD_ID || strcmp(note.name, "GNU") != 0 ||
		    note.len < 2 || note.len > sizeof(ret_id->bytes))
			continue;
		memcpy(ret_id->bytes, note.description, note.len);
		ret_id->len = note.len;
		return;
	}
}

static bool is_same_id(const struct build_id *a, const struct build_id *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

/* ---- separate files ---- */

struct search {
	int root_fd;
	struct build_id id;
	uint32_t checksum; /* of the file that .gnu_debuglink names */
};

static bool has_checksum(const struct elf_file *file, uint32_t expected)
{
	uint8_t chunk[CHUNK_BYTES];
	uint32_t checksum = 0;
	uint64_t at = 0;
	ssize_t len;

	while ((len = pread(elf_file_fd(file), chunk, sizeof(chunk), (off_t)at)) > 0 &&
	       at < CHECKSUMMED_MAX_BYTES) {
		checksum = lzma_crc32(chunk, (size_t)len, checksum);
		at += (uint64_t)len;
	}
	return !len && checksum == expected;
}

static struct elf_file *open_in_root(const struct search *search, const char *path)
{
	/* Not to wait for who opens the other end, should it be a pipe. */
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_IN_ROOT};
	long fd = syscall(SYS_openat2, search->root_fd, path, &how, sizeof(how));
	struct elf_file *file = NULL;
	const char *why;

	if (fd >= 0 && elf_file_open((int)fd, &file, &why))
		return NULL;
	return file;
}

/* A file of another build has other addresses: probes would go anywhere. */
static struct elf_file *try_path(const struct search *search, const char *path)
{
	AUTO_FILE struct elf_file *file = open_in_root(search, path);
	struct build_id id;

	if (!file || !has_symbols(file))
		return NULL;
	read_build_id(file, &id);
	if (search->id.len ? !is_same_id(&id, &search->id)
			   : !has_checksum(file, search->checksum))
		return NULL;
	return TAKE(file);
}

static struct elf_file *find_by_build_id(const struct search *search)
{
	char path[64 + 2 * BUILD_ID_MAX];
	size_t len;

	if (!search->id.len)
		return NULL;
	len = (size_t)snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%02x/",
			       search->id.bytes[0]);
	for (size_t i = 1; i < search->id.len; i++)
		len += (size_t)snprintf(path + len, sizeof(path) - len, "%02x",
					search->id.bytes[i]);
	snprintf(path + len, sizeof(path) - len, ".debug");
	return try_path(search, path);
}

/* The directory of the file as its root sees it, with a slash at its end. A path
 * like /proc/PID/exe is a link that says it. */
static void directory_of(const char *path, const char *debug_root,
			 char ret_directory[PATH_BYTES])
{
	size_t root_len = strlen(debug_root);
	ssize_t len = readlink(path, ret_directory, PATH_BYTES - 1);
	AUTO_FREE char *real = root_len ? NULL : realpath(path, NULL);
	char *slash;

	if (real)
		snprintf(ret_directory, PATH_BYTES, "%s", real);
	else if (len > 0 && ret_directory[0] == '/')
		ret_directory[len] = '\0';
	else
		snprintf(ret_directory, PATH_BYTES, "%s",
			 root_len && !strncmp(path, debug_root, root_len)
			     ? path + root_len
			     : path);
	slash = strrchr(ret_directory, '/');
	if (slash)
		slash[1] = '\0';
	else
		ret_directory[0] = '\0';
}

static struct elf_file *find_by_link(const struct elf_file *file, const char *path,
				     const char *debug_root, struct search *search)
{
	static const char *const places[] = {"%s%s", "%s.debug/%s",
					     "/usr/lib/debug/%s%s"};
	size_t len, position = 0;
	const uint8_t *bytes =
	    elf_file_bytes(file, elf_file_section(file, ".gnu_debuglink"), &len);
	const char *name = bytes ? elf_string_next(bytes, len, &position) : NULL;
	char directory[PATH_BYTES], candidate[2 * PATH_BYTES];
	struct elf_file *found = NULL;

	position = (position + 3) & ~(size_t)3;
	if (!name || !*name || strchr(name, '/') ||
	    position + sizeof(search->checksum) > len)
		return NULL;
	memcpy(&search->checksum, bytes + position, sizeof(search->checksum));
	directory_of(path, debug_root, directory);
	for (size_t i = 0; !found && i < LENGTH(places); i++) {
		snprintf(candidate, sizeof(candidate), places[i], directory, name);
		found = try_path(search, candidate);
	}
	return found;
}

/* ---- .gnu_debugdata: an ELF file of symbols, packed by xz ---- */

static bool unpack_to(lzma_stream *stream, int fd)
{
	uint8_t chunk[CHUNK_BYTES];
	lzma_ret result = LZMA_OK;

	while (result == LZMA_OK && stream->total_out < UNPACKED_MAX_BYTES) {
		size_t len;

		stream->next_out = chunk;
		stream->avail_out = sizeof(chunk);
		result = lzma_code(stream, LZMA_FINISH);
		len = sizeof(chunk) - stream->avail_out;
		if (write(fd, chunk, len) != (ssize_t)len)
			return false;
	}
	return result == LZMA_STREAM_END;
}

static struct elf_file *open_packed(const struct elf_file *file)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	struct elf_file *unpacked = NULL;
	AUTO_CLOSE int fd = -1;
	bool is_unpacked;
	const char *why;

	stream.next_in = elf_file_bytes(file, elf_file_section(file, ".gnu_debugdata"),
					&stream.avail_in);
	if (!stream.next_in ||
	    lzma_stream_decoder(&stream, LZMA_MEMORY_BYTES, 0) != LZMA_OK)
		return NULL;
	fd = memfd_create("bpftally-symbols", MFD_CLOEXEC);
	is_unpacked = fd >= 0 && unpack_to(&stream, fd);
	lzma_end(&stream);
	if (!is_unpacked)
		return NULL;
	if (elf_file_open(dup(fd), &unpacked, &why) || !has_symbols(unpacked))
		elf_file_close(&unpacked);
	return unpacked;
}

struct elf_file *elf_debug_open(const struct elf_file *file, const char *path,
				const char *debug_root)
{
	AUTO_CLOSE int root_fd =
	    open(*debug_root ? debug_root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct search search = {.root_fd = root_fd};
	struct elf_file *found = NULL;

	read_build_id(file, &search.id);
	if (root_fd >= 0)
		found = find_by_build_id(&search);
	if (root_fd >= 0 && !found)
		found = find_by_link(file, path, debug_root, &search);
	return found ? found : open_packed(file);
}
