/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of batches in the order of (lane, id), the key that they are walked by
 * and the only index. WAL: one fsync makes a collection durable, and who only
 * acknowledges needs none; a lost log ends at a commit. The lock is taken at the
 * beginning and kept (locking_mode=EXCLUSIVE), so there is no shared memory file.
 *
 * The file does not shrink by itself (auto_vacuum would write a map of all pages
 * beside each batch): pages that were freed are used again.
 */
#include "store.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cleanup.h"

#define ERROR_LEN 256
#define PAGE_BYTES 4096
/* Of a page of overflow, and of one that holds rows (fileformat2.html 1.5, 1.6). */
#define OVERFLOW_BYTES (PAGE_BYTES - 4)
#define ROW_BYTES (PAGE_BYTES - 35)
#define COLUMNS_BYTES 80          /* of a row, its content apart, at most */
#define APPLICATION_ID 0x62707370 /* "bpsp" */
#define VERSION 2
#define ID_LAST (((int64_t)1 << STORE_ID_BITS) - 1)

/* In the order of their names, as schema_is_ours reads them. */
#define TABLE_BATCH                                                                    \
	"CREATE TABLE batch(key INTEGER PRIMARY KEY, collection INTEGER, "             \
	"collected_ms INTEGER, time_ms INTEGER, samples INTEGER, histograms INTEGER, " \
	"message INTEGER, metadata INTEGER, checksum INTEGER, bytes BLOB)"
#define TABLE_LANE "CREATE TABLE lane(lane INTEGER PRIMARY KEY, name TEXT)"
#define TABLE_NOTE                                                                     \
	"CREATE TABLE note(id INTEGER PRIMARY KEY, checksum INTEGER, bytes BLOB)"
#define TABLE_NUMBER                                                                   \
	"CREATE TABLE number(key TEXT PRIMARY KEY, number INTEGER, checksum INTEGER) " \
	"WITHOUT ROWID"

#define STRING_OF(number) #number
#define STRING(number) STRING_OF(number)

/* secure_delete: Debian's default is to overwrite, which writes each page of a batch
 * again when it is acknowledged. temp_store: no files elsewhere. */
static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE;"
			       "PRAGMA temp_store=MEMORY;"
			       "PRAGMA cache_size=-256;"
			       "PRAGMA mmap_size=0;"
			       "PRAGMA cell_size_check=ON;"
			       "PRAGMA secure_delete=OFF;"
			       "PRAGMA synchronous=NORMAL;"
			       "PRAGMA wal_autocheckpoint=1000;"
			       "PRAGMA journal_size_limit=4194304;";

static const char creation[] = "PRAGMA page_size=" STRING(
    PAGE_BYTES) ";"
		"PRAGMA auto_vacuum=NONE;"
		"PRAGMA journal_mode=WAL;"
		"BEGIN IMMEDIATE;" TABLE_BATCH ";" TABLE_LANE ";" TABLE_NOTE
		";" TABLE_NUMBER ";"
		"PRAGMA application_id=" STRING(
		    APPLICATION_ID) ";"
				    "PRAGMA user_version=" STRING(VERSION) ";"
									   "COMMIT;";

/* Version 1 had no notes. */
static const char addition[] = "BEGIN IMMEDIATE;" TABLE_NOTE ";"
			       "PRAGMA user_version=" STRING(VERSION) ";"
								      "COMMIT;";

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	PUT_LANE,
	PUT,
	DELETE,
	SET,
	NEXT,
	READ,
	LANES,
	NUMBERS,
	PUT_NOTE,
	DELETE_NOTE,
	NOTES,
	PAGES,
	FREE_PAGES,
	STATEMENTS
};

static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_LANE] = "INSERT INTO lane VALUES(?, ?)",
    [PUT] = "INSERT INTO batch VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [DELETE] = "DELETE FROM batch WHERE key = ?",
    [SET] = "INSERT OR REPLACE INTO number VALUES(?, ?, ?)",
    [NEXT] =
	"SELECT key, collection, collected_ms, samples + histograms, length(bytes) "
	"FROM batch WHERE key > ? AND key <= ? ORDER BY key LIMIT 1",
    [READ] = "SELECT * FROM batch WHERE key = ?",
    [LANES] = "SELECT lane, name FROM lane",
    [NUMBERS] = "SELECT key, number, checksum FROM number",
    [PUT_NOTE] = "INSERT OR REPLACE INTO note VALUES(?, ?, ?)",
    [DELETE_NOTE] = "DELETE FROM note WHERE id = ?",
    [NOTES] = "SELECT id, checksum, bytes FROM note",
    [PAGES] = "PRAGMA page_count",
    [FREE_PAGES] = "PRAGMA freelist_count",
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool is_durable;
	char error[ERROR_LEN];
};

/* Columns of a batch, in the order of the table, its content apart. */
enum column {
	KEY,
	COLLECTION,
	COLLECTED_MS,
	TIME_MS,
	SAMPLES,
	HISTOGRAMS,
	MESSAGE,
	METADATA,
	CHECKED, /* those before */
	CHECKSUM = CHECKED,
	BYTES
};

/* --- errors ------------------------------------------------------------------- */

/* Of the system call that failed. sqlite3_system_errno does not know those of a
 * commit; others may have left what is no reason at all. */
static int errno_of_io(int code)
{
	const int number = errno;

	if (code == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	if (code == SQLITE_IOERR_CORRUPTFS)
		return -EUCLEAN;
	switch (number) {
	case EACCES:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
	case EROFS:
		return -number;
	default:
		return -EIO;
	}
}

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return errno_of_io(code);
	default:
		/* CORRUPT and NOTADB; and whatever else our own statements cannot
		 * meet in a file that we wrote (CONSTRAINT, MISMATCH, ERROR). */
		return -EUCLEAN;
	}
}

/* Of what SQLite said just now; errno was 0 before. */
static int judge(struct store *store, int code)
{
	int err = errno_of(code);

	if (err)
		snprintf(store->error, sizeof(store->error), "%s (%s)",
			 sqlite3_errmsg(store->db), strerrorname_np(-err));
	return err;
}

static int damaged(struct store *store, const char *why)
{
	snprintf(store->error, sizeof(store->error), "%s", why);
	return -EUCLEAN;
}

const char *store_error(const struct store *store)
{
	return store->error;
}

/* --- statements --------------------------------------------------------------- */

static int execute(struct store *store, const char *text)
{
	errno = 0;
	return judge(store, sqlite3_exec(store->db, text, NULL, NULL, NULL));
}

static int step(struct store *store, enum statement statement)
{
	errno = 0;
	return sqlite3_step(store->statements[statement]);
}

/* For results of a statement that are done with: it holds no lock from then on. */
static void end(struct store *store, enum statement statement)
{
	sqlite3_reset(store->statements[statement]);
	sqlite3_clear_bindings(store->statements[statement]);
}

/* Runs one that has no results. bound: the worst code of its bindings. */
static int run(struct store *store, enum statement statement, int bound)
{
	int err = judge(store, bound);

	if (!err)
		err = judge(store, step(store, statement));
	end(store, statement);
	return err;
}

static int64_t read_number(struct store *store, enum statement statement)
{
	int64_t number = 0;

	if (step(store, statement) == SQLITE_ROW)
		number = sqlite3_column_int64(store->statements[statement], 0);
	end(store, statement);
	return number;
}

static int prepare(struct store *store)
{
	int err = 0;

	errno = 0;
	for (size_t i = 0; !err && i < STATEMENTS; i++)
		err = judge(store, sqlite3_prepare_v3(store->db, statement_texts[i], -1,
						      SQLITE_PREPARE_PERSISTENT,
						      &store->statements[i], NULL));
	return err;
}

/* --- opening ------------------------------------------------------------------ */

static int on_text(void *context, int count, char **values, char **names)
{
	char **text = context;

	(void)count;
	(void)names;
	*text = strdup(values[0] ? values[0] : "");
	return *text ? 0 : 1;
}

/* The one value that a statement gives, as text. */
static int ask(struct store *store, const char *statement, char **ret_text)
{
	AUTO_FREE char *text = NULL;
	int code, err;

	errno = 0;
	code = sqlite3_exec(store->db, statement, on_text, &text, NULL);
	err = code == SQLITE_ABORT ? -ENOMEM : judge(store, code);

	if (!err && !text)
		return damaged(store, "an answer is missing");
	if (!err)
		*ret_text = TAKE(text);
	return err;
}

static int expect(struct store *store, const char *question, const char *answer,
		  const char *complaint)
{
	AUTO_FREE char *text = NULL;
	int err = ask(store, question, &text);

	if (!err && strcmp(text, answer) != 0)
		return damaged(store, complaint);
	return err;
}

static int number_of(struct store *store, const char *question, long *ret_number)
{
	AUTO_FREE char *text = NULL;
	int err = ask(store, question, &text);

	if (!err)
		*ret_number = strtol(text, NULL, 10);
	return err;
}

static int expect_tables(struct store *store, const char *tables)
{
	return expect(store,
		      "SELECT group_concat(sql, '') FROM "
		      "(SELECT sql FROM sqlite_schema ORDER BY name)",
		      tables, "not a spool's tables");
}

/* Empty, or made by this file in this version or the first, and nothing added. */
static int check_identity(struct store *store)
{
	long pages, id, version;
	int err = number_of(store, "PRAGMA page_count", &pages);

	if (!err)
		err = number_of(store, "PRAGMA application_id", &id);
	if (!err)
		err = number_of(store, "PRAGMA user_version", &version);
	if (err)
		return err;
	/* One page without anything: the end came between two steps of `creation`. */
	if (pages <= 1 && !id && !version) {
		err = expect(store, "SELECT count(*) FROM sqlite_schema", "0",
			     "not a spool");
		return err ? err : execute(store, creation);
	}
	if (id != APPLICATION_ID)
		return damaged(store, "not a spool");
	if (version == 1) {
		err = expect_tables(store, TABLE_BATCH TABLE_LANE TABLE_NUMBER);
		return err ? err : execute(store, addition);
	}
	if (version != VERSION)
		return damaged(store, "a spool of another version");
	return expect_tables(store, TABLE_BATCH TABLE_LANE TABLE_NOTE TABLE_NUMBER);
}

static void restrict_file(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH,
		      (int)STORE_BATCH_BYTES_MAX + COLUMNS_BYTES);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
}

static int open_file(struct store *store, const char *path)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
			  SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW;
	int err, code;

	errno = 0;
	code = sqlite3_open_v2(path, &store->db, flags, NULL);
	if (!store->db)
		return judge(store, code);
	restrict_file(store->db);
	err = judge(store, code);
	if (!err)
		err = execute(store, settings);
	if (!err)
		err = check_identity(store);
	if (!err)
		err = expect(store, "PRAGMA journal_mode=WAL", "wal",
			     "cannot be used with a log");
	return err ? err : prepare(store);
}

int store_open(const char *path, struct store **ret_store, char *ret_error,
	       size_t error_len)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store) {
		snprintf(ret_error, error_len, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	err = open_file(store, path);
	if (err) {
		snprintf(ret_error, error_len, "%s", store->error);
		store_close(&store, err == -EUCLEAN);
		return err;
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store **store, bool is_damaged)
{
	if (!*store)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize((*store)->statements[i]);
	if (is_damaged)
		sqlite3_db_config((*store)->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
				  NULL);
	sqlite3_close((*store)->db);
	free(*store);
	*store = NULL;
}

/* --- transactions ------------------------------------------------------------- */

/* Outside of transactions only, and in effect at once. */
static int set_durable(struct store *store, bool is_durable)
{
	int err;

	if (store->is_durable == is_durable)
		return 0;
	err = execute(store, is_durable ? "PRAGMA synchronous=FULL"
					: "PRAGMA synchronous=NORMAL");
	if (!err)
		store->is_durable = is_durable;
	return err;
}

int store_begin(struct store *store, bool is_durable)
{
	int err = set_durable(store, is_durable);

	return err ? err : run(store, BEGIN, SQLITE_OK);
}

int store_commit(struct store *store)
{
	int err = run(store, COMMIT, SQLITE_OK);

	return err ? err : set_durable(store, false);
}

/* SQLite has rolled back already after some errors; nobody is to hear of this one. */
void store_rollback(struct store *store)
{
	char error[ERROR_LEN];

	memcpy(error, store->error, sizeof(error));
	if (!sqlite3_get_autocommit(store->db))
		run(store, ROLLBACK, SQLITE_OK);
	set_durable(store, false);
	memcpy(store->error, error, sizeof(error));
}

/* --- rows --------------------------------------------------------------------- */

static int64_t key_of(uint32_t lane, int64_t id)
{
	return (int64_t)lane << STORE_ID_BITS | id;
}

static int bind_number(sqlite3_stmt *statement, int position, int64_t number)
{
	return sqlite3_bind_int64(statement, position, number);
}

static int64_t checksum_of_batch(const int64_t columns[CHECKED], const char *lane_name,
				 const void *bytes, size_t len)
{
	uLong sum = crc32_z(0, (const Bytef *)columns, CHECKED * sizeof(*columns));

	sum = crc32_z(sum, (const Bytef *)lane_name, strlen(lane_name) + 1);
	/* crc32_z begins anew with NULL, which SQLite gives where there are none. */
	return (int64_t)(len ? crc32_z(sum, bytes, len) : sum);
}

static int64_t checksum_of_number(const char *key, int64_t number)
{
	uLong sum = crc32_z(0, (const Bytef *)key, strlen(key) + 1);

	return (int64_t)crc32_z(sum, (const Bytef *)&number, sizeof(number));
}

int store_put_lane(struct store *store, uint32_t lane, const char *name)
{
	sqlite3_stmt *statement = store->statements[PUT_LANE];
	int code = bind_number(statement, 1, lane);

	if (!code)
		code = sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
	return run(store, PUT_LANE, code);
}

int store_put(struct store *store, const struct store_row *row, const char *lane_name,
	      const struct wire_batch *batch)
{
	const int64_t columns[CHECKED] = {
	    [KEY] = key_of(row->lane, row->id), [COLLECTION] = row->collection,
	    [COLLECTED_MS] = row->collected_ms, [TIME_MS] = batch->time_ms,
	    [SAMPLES] = batch->samples,         [HISTOGRAMS] = batch->histograms,
	    [MESSAGE] = batch->message,         [METADATA] = batch->is_metadata,
	};
	sqlite3_stmt *statement = store->statements[PUT];
	int code = SQLITE_OK;

	for (int i = 0; !code && i < CHECKED; i++)
		code = bind_number(statement, i + 1, columns[i]);
	if (!code)
		code = bind_number(
		    statement, CHECKSUM + 1,
		    checksum_of_batch(columns, lane_name, batch->bytes, batch->len));
	if (!code)
		code = sqlite3_bind_blob64(statement, BYTES + 1, batch->bytes,
					   batch->len, SQLITE_STATIC);
	return run(store, PUT, code);
}

int store_delete(struct store *store, uint32_t lane, int64_t id)
{
	int err = run(store, DELETE,
		      bind_number(store->statements[DELETE], 1, key_of(lane, id)));

	if (!err && sqlite3_changes(store->db) != 1)
		return damaged(store, "a row that was there is not found");
	return err;
}

int store_set(struct store *store, const char *key, int64_t number)
{
	sqlite3_stmt *statement = store->statements[SET];
	int code = sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);

	if (!code)
		code = bind_number(statement, 2, number);
	if (!code)
		code = bind_number(statement, 3, checksum_of_number(key, number));
	return run(store, SET, code);
}

static int64_t checksum_of_note(int64_t id, const void *bytes, size_t len)
{
	uLong sum = crc32_z(0, (const Bytef *)&id, sizeof(id));

	return (int64_t)(len ? crc32_z(sum, bytes, len) : sum);
}

int store_put_note(struct store *store, uint32_t id, const void *bytes, size_t len)
{
	sqlite3_stmt *statement = store->statements[PUT_NOTE];
	int code = bind_number(statement, 1, id);

	if (!code)
		code = bind_number(statement, 2, checksum_of_note(id, bytes, len));
	if (!code)
		code = sqlite3_bind_blob64(statement, 3, bytes, len, SQLITE_STATIC);
	return run(store, PUT_NOTE, code);
}

int store_delete_note(struct store *store, uint32_t id)
{
	return run(store, DELETE_NOTE,
		   bind_number(store->statements[DELETE_NOTE], 1, id));
}

/* Of a column that may hold anything: 0 where it cannot be. */
static uint32_t small_column(sqlite3_stmt *statement, int column)
{
	int64_t number = sqlite3_column_int64(statement, column);

	return number < 0 || number > UINT32_MAX ? 0 : (uint32_t)number;
}

static void read_row(sqlite3_stmt *statement, struct store_row *ret_row)
{
	int64_t key = sqlite3_column_int64(statement, 0);

	*ret_row = (struct store_row){
	    .lane = (uint32_t)(key >> STORE_ID_BITS),
	    .id = key & ID_LAST,
	    .collection = sqlite3_column_int64(statement, 1),
	    .collected_ms = sqlite3_column_int64(statement, 2),
	    .samples = small_column(statement, 3),
	    .len = small_column(statement, 4),
	};
}

/* SQLite trusts a page to be in order. In one that is not, a walk may come back to
 * where it was, and never end. */
int store_next(struct store *store, uint32_t lane, int64_t after, uint32_t lane_last,
	       struct store_row *ret_row)
{
	const int64_t above = key_of(lane, after), last = key_of(lane_last, ID_LAST);
	sqlite3_stmt *statement = store->statements[NEXT];
	int code = bind_number(statement, 1, above), err;

	if (!code)
		code = bind_number(statement, 2, last);
	if (!code)
		code = step(store, NEXT);
	err = judge(store, code);
	if (code == SQLITE_ROW) {
		int64_t key = sqlite3_column_int64(statement, 0);

		if (key > above && key <= last)
			read_row(statement, ret_row);
		else
			err = damaged(store, "rows out of order");
	}
	end(store, NEXT);
	return code == SQLITE_DONE ? -ENOENT : err;
}

/* The row that the statement is at, if it is whole. */
static int copy_batch(sqlite3_stmt *statement, const char *lane_name,
		      struct wire_batch **ret_batch)
{
	const void *bytes = sqlite3_column_blob(statement, BYTES);
	size_t len = (size_t)sqlite3_column_bytes(statement, BYTES);
	int64_t columns[CHECKED];
	struct wire_batch *batch;

	for (int i = 0; i < CHECKED; i++)
		columns[i] = sqlite3_column_int64(statement, i);
	if (sqlite3_column_int64(statement, CHECKSUM) !=
	    checksum_of_batch(columns, lane_name, bytes, len))
		return -EBADMSG;
	batch = malloc(sizeof(*batch) + len);
	if (!batch)
		return -ENOMEM;
	*batch = (struct wire_batch){
	    .references = 1,
	    .samples = (uint32_t)columns[SAMPLES],
	    .histograms = (uint32_t)columns[HISTOGRAMS],
	    .message = (enum wire_message)columns[MESSAGE],
	    .is_metadata = columns[METADATA] != 0,
	    .time_ms = columns[TIME_MS],
	    .len = len,
	};
	if (len)
		memcpy(batch->bytes, bytes, len);
	*ret_batch = batch;
	return 0;
}

int store_read(struct store *store, const struct store_row *row, const char *lane_name,
	       struct wire_batch **ret_batch)
{
	sqlite3_stmt *statement = store->statements[READ];
	int code = bind_number(statement, 1, key_of(row->lane, row->id)), err;

	if (!code)
		code = step(store, READ);
	err = judge(store, code);
	if (code == SQLITE_ROW)
		err = copy_batch(statement, lane_name, ret_batch);
	else if (err == -E2BIG)
		err = -EBADMSG;
	else if (code == SQLITE_DONE)
		err = damaged(store, "a row that was there is not found");
	end(store, READ);
	return err;
}

int store_lanes(struct store *store,
		int (*lane)(void *context, uint32_t lane, const char *name),
		void *context)
{
	sqlite3_stmt *statement = store->statements[LANES];
	int code, err;

	do {
		const char *name;

		code = step(store, LANES);
		err = judge(store, code);
		if (code != SQLITE_ROW)
			break;
		name = (const char *)sqlite3_column_text(statement, 1);
		err = lane(context, small_column(statement, 0), name ? name : "");
	} while (!err);
	end(store, LANES);
	return err;
}

int store_numbers(struct store *store,
		  int (*number)(void *context, const char *key, int64_t number),
		  void *context)
{
	sqlite3_stmt *statement = store->statements[NUMBERS];
	int code, err;

	do {
		const char *key;
		int64_t value;

		code = step(store, NUMBERS);
		err = judge(store, code);
		if (code != SQLITE_ROW)
			break;
		key = (const char *)sqlite3_column_text(statement, 0);
		value = sqlite3_column_int64(statement, 1);
		if (key && sqlite3_column_int64(statement, 2) ==
			       checksum_of_number(key, value))
			err = number(context, key, value);
	} while (!err);
	end(store, NUMBERS);
	return err;
}

int store_notes(struct store *store, store_note note, void *context)
{
	sqlite3_stmt *statement = store->statements[NOTES];
	int code, err;

	do {
		const void *bytes;
		size_t len;
		uint32_t id;

		code = step(store, NOTES);
		err = judge(store, code);
		if (code != SQLITE_ROW)
			break;
		id = small_column(statement, 0);
		bytes = sqlite3_column_blob(statement, 2);
		len = (size_t)sqlite3_column_bytes(statement, 2);
		if (sqlite3_column_int64(statement, 1) ==
		    checksum_of_note(id, bytes, len))
			err = note(context, id, bytes, len);
	} while (!err);
	end(store, NOTES);
	return err;
}

/* --- the file ----------------------------------------------------------------- */

uint64_t store_file_bytes(struct store *store)
{
	return (uint64_t)read_number(store, PAGES) * PAGE_BYTES;
}

uint64_t store_used_bytes(struct store *store)
{
	int64_t pages = read_number(store, PAGES);

	return (uint64_t)(pages - read_number(store, FREE_PAGES)) * PAGE_BYTES;
}

/* A row that does not fit on a page leaves the rest of one empty at most; two of
 * half a page may not share one. */
uint64_t store_cost(size_t len)
{
	size_t row = len + COLUMNS_BYTES;

	if (row > ROW_BYTES)
		return (row / OVERFLOW_BYTES + 1) * PAGE_BYTES;
	return row < PAGE_BYTES / 2 ? row * 2 : PAGE_BYTES;
}

int store_shrink(struct store *store)
{
	int err = execute(store, "VACUUM");

	return err ? err : execute(store, "PRAGMA wal_checkpoint(TRUNCATE)");
}
