/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails on demand, between SQLite and the real one: the default VFS of
 * the program from fault_install on. */
#pragma once

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

/* What fails, from the operation `after` more on; -1: none. */
struct fault {
	int err;     /* what errno says: ENOSPC, EIO, EROFS */
	int after;   /* operations that still succeed */
	bool reads;  /* reads fail too */
	bool opens;  /* only opening fails */
	bool once;   /* one fails, the rest works */
	int counted; /* operations so far */
	bool failed; /* any */
	bool synced; /* the first that failed was a sync */
};

static struct fault fault = {.after = -1};
static unsigned int fault_syncs;

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static inline bool fault_hits(bool is_read, bool is_open)
{
	if (fault.after < 0 || (is_read && !fault.reads) || (fault.opens && !is_open))
		return false;
	fault.counted++;
	if (fault.after > 0) {
		fault.after--;
		return false;
	}
	fault.failed = true;
	if (fault.once)
		fault.after = -1;
	return true;
}

static inline int fault_code(int code)
{
	errno = fault.err;
	return fault.err == ENOSPC && code == SQLITE_IOERR_WRITE ? SQLITE_FULL : code;
}

static inline sqlite3_file *fault_real(sqlite3_file *file)
{
	return ((struct fault_file *)file)->real;
}

#define FAULT_FORWARD(method, ...) fault_real(file)->pMethods->method(__VA_ARGS__)

static int fault_close(sqlite3_file *file)
{
	return FAULT_FORWARD(xClose, fault_real(file));
}

static int fault_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
	if (fault_hits(true, false))
		return fault_code(SQLITE_IOERR_READ);
	return FAULT_FORWARD(xRead, fault_real(file), data, len, offset);
}

static int fault_write(sqlite3_file *file, const void *data, int len,
		       sqlite3_int64 offset)
{
	if (fault_hits(false, false))
		return fault_code(SQLITE_IOERR_WRITE);
	return FAULT_FORWARD(xWrite, fault_real(file), data, len, offset);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (fault_hits(false, false))
		return fault_code(SQLITE_IOERR_TRUNCATE);
	return FAULT_FORWARD(xTruncate, fault_real(file), size);
}

static int fault_sync(sqlite3_file *file, int flags)
{
	bool is_first = fault.after == 0 && !fault.failed;

	if (fault_hits(false, false)) {
		fault.synced |= is_first;
		return fault_code(SQLITE_IOERR_FSYNC);
	}
	(void)file;
	(void)flags;
	fault_syncs++;
	return SQLITE_OK; /* for speed: nobody pulls the plug here */
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return FAULT_FORWARD(xFileSize, fault_real(file), size);
}

static int fault_lock(sqlite3_file *file, int level)
{
	return FAULT_FORWARD(xLock, fault_real(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
	return FAULT_FORWARD(xUnlock, fault_real(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *result)
{
	return FAULT_FORWARD(xCheckReservedLock, fault_real(file), result);
}

static int fault_control(sqlite3_file *file, int operation, void *argument)
{
	return FAULT_FORWARD(xFileControl, fault_real(file), operation, argument);
}

static int fault_sector(sqlite3_file *file)
{
	return FAULT_FORWARD(xSectorSize, fault_real(file));
}

static int fault_characteristics(sqlite3_file *file)
{
	return FAULT_FORWARD(xDeviceCharacteristics, fault_real(file));
}

/* Version 1: without shared memory, which the spool must not need. */
static const sqlite3_io_methods fault_methods = {
    .iVersion = 1,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_characteristics,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		      int *ret_flags)
{
	struct fault_file *shim = (struct fault_file *)file;
	sqlite3_vfs *real = vfs->pAppData;
	int code;

	file->pMethods = NULL;
	if (fault_hits(false, true))
		return fault_code(SQLITE_CANTOPEN);
	shim->real = (sqlite3_file *)(shim + 1);
	code = real->xOpen(real, name, shim->real, flags, ret_flags);
	if (shim->real->pMethods)
		file->pMethods = &fault_methods;
	return code;
}

static inline int fault_install(void **state)
{
	static sqlite3_vfs vfs;
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	(void)state;
	vfs = *real;
	vfs.pNext = NULL;
	vfs.zName = "fault";
	vfs.szOsFile += (int)sizeof(struct fault_file);
	vfs.pAppData = real;
	vfs.xOpen = fault_open;
	return sqlite3_vfs_register(&vfs, 1);
}

static inline void fault_set(int err, int after)
{
	fault = (struct fault){.err = err, .after = after};
}

static inline void fault_end(void)
{
	fault.after = -1;
}
