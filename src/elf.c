/* SPDX-License-Identifier: Apache-2.0 */
#include "elf.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "demangle.h"
#include "elf_internal.h"
#include "instruction.h"

/* A function that long is none: the largest of generated parsers have one. */
#define CODE_MAX_BYTES (4u << 20)
/* What demangled names may take together; the others keep their raw name. */
#define DISPLAYS_MAX_BYTES (256u << 20)

struct elf {
	struct elf_file *file;
	struct elf_file *debug; /* whose symbols are ours; NULL: none */
	struct elf_table table;
	struct elf_table colds; /* sorted by the name of what they are a part of */
	struct elf_usdt *usdts;
	size_t usdt_count;
	uint8_t *code, *cold;
	struct decoder *decoder; /* NULL: not asked for yet */
	bool is_go, unwinds;
};

static void free_table(struct elf_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->functions[i].display != table->functions[i].name)
			free((char *)table->functions[i].display);
	free(table->functions);
}

void elf_close(struct elf **elf)
{
	if (!*elf)
		return;
	decoder_free(&(*elf)->decoder);
	free_table(&(*elf)->table);
	free_table(&(*elf)->colds);
	elf_file_close(&(*elf)->file);
	elf_file_close(&(*elf)->debug);
	free((*elf)->usdts);
	free((*elf)->code);
	free((*elf)->cold);
	free(*elf);
	*elf = NULL;
}

/* ---- the table of functions ---- */

bool elf_code_offset(const struct elf_file *file, uint64_t address,
		     uint64_t *ret_offset)
{
	const struct elf_segment *segment = elf_file_segment(file, address);

	if (!segment || !segment->executable)
		return false;
	*ret_offset = segment->offset + (address - segment->address);
	return true;
}

static int grow(struct elf_table *table)
{
	size_t capacity = table->capacity ? table->capacity * 2 : 256;
	struct elf_function *functions;

	if (table->count < table->capacity)
		return 0;
	if (capacity > ELF_FUNCTIONS_MAX)
		return -E2BIG;
	functions = reallocarray(table->functions, capacity, sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	table->functions = functions;
	table->capacity = capacity;
	return 0;
}

int elf_table_add(struct elf_table *table, const struct elf_file *file,
		  const char *name, uint64_t address, uint64_t size)
{
	uint64_t offset;
	int err;

	if (!*name || !elf_code_offset(file, address, &offset))
		return 0;
	err = grow(table);
	if (err)
		return err;
	table->functions[table->count++] = (struct elf_function){
	    .name = name,
	    .display = name,
	    .address = address,
	    .offset = offset,
	    .size = size,
	};
	return 0;
}

static int compare_functions(const void *a, const void *b)
{
	const struct elf_function *left = a, *right = b;

	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	return strcmp(left->name, right->name);
}

/* .symtab and .dynsym have the same function twice. */
static void sort_table(struct elf_table *table)
{
	size_t kept = 0;

	if (table->count)
		qsort(table->functions, table->count, sizeof(*table->functions),
		      compare_functions);
	for (size_t i = 0; i < table->count; i++) {
		if (kept && !compare_functions(&table->functions[kept - 1],
					       &table->functions[i]))
			continue;
		table->functions[kept++] = table->functions[i];
	}
	table->count = kept;
}

/* True: it has names of C++ or Rust. */
static bool demangle_table(struct elf_table *table)
{
	size_t bytes = 0;
	bool is_any = false;

	for (size_t i = 0; i < table->count && bytes < DISPLAYS_MAX_BYTES; i++) {
		char *display = demangle(table->functions[i].name);

		if (!display)
			continue;
		table->functions[i].display = display;
		bytes += strlen(display);
		is_any = true;
	}
	return is_any;
}

/* ---- symbols ---- */

/* gcc moves what seldom runs elsewhere and calls it NAME.cold (.cold.0 before gcc 9):
 * nobody calls it. The length of NAME; 0: it is no such part. */
static size_t cold_base_len(const char *name)
{
	const char *cold = strstr(name, ".cold");

	return cold && (!cold[5] || cold[5] == '.') ? (size_t)(cold - name) : 0;
}

/* Code of a separate file is not there, but where it is in ours. */
static int add_symbols(struct elf *elf, const struct elf_file *file,
		       const struct elf_section *section)
{
	struct elf_symbol symbol;
	int err = 0;

	for (size_t i = 0; !err && elf_file_symbol(file, section, i, &symbol); i++) {
		/* In Go it is a function by the name of cold. */
		bool is_part = !elf->is_go && cold_base_len(symbol.name);
		struct elf_table *table = is_part ? &elf->colds : &elf->table;

		elf->unwinds |= elf_unwind_is_name(section, symbol.name);
		if (symbol.is_function)
			err = elf_table_add(table, elf->file, symbol.name,
					    symbol.address, symbol.size);
	}
	return err;
}

static int add_all_symbols(struct elf *elf, const struct elf_file *file)
{
	size_t count;
	const struct elf_section *sections = elf_file_sections(file, &count);
	int err = 0;

	for (size_t i = 0; !err && i < count; i++)
		if (sections[i].is_symbols)
			err = add_symbols(elf, file, &sections[i]);
	return err;
}

/* ---- opening ---- */

__attribute__((format(printf, 3, 4))) static int fail(char ret_error[ELF_ERROR_LEN],
						      int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ret_error, ELF_ERROR_LEN, format, arguments);
	va_end(arguments);
	return err;
}

static int open_file(const char *path, struct elf_file **ret_file,
		     char ret_error[ELF_ERROR_LEN])
{
	/* Not to wait for who opens the other end, should it be a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why;
	int err;

	if (fd < 0) {
		err = -errno;
		return fail(ret_error, err, "cannot open \"%.400s\": %s", path,
			    strerror(-err));
	}
	err = elf_file_open(fd, ret_file, &why);
	return err ? fail(ret_error, err, "\"%.400s\" %s", path, why) : 0;
}

static int compare_base(const char *name, size_t len, const struct elf_function *cold)
{
	size_t cold_len = cold_base_len(cold->name);
	int order = memcmp(name, cold->name, len < cold_len ? len : cold_len);

	return order ? order : (len > cold_len) - (len < cold_len);
}

static int compare_colds(const void *a, const void *b)
{
	const struct elf_function *left = a;

	return compare_base(left->name, cold_base_len(left->name), b);
}

static int compare_with_cold(const void *name, const void *cold)
{
	return compare_base(name, strlen(name), cold);
}

static void sort_colds(struct elf_table *colds)
{
	if (colds->count)
		qsort(colds->functions, colds->count, sizeof(*colds->functions),
		      compare_colds);
}

/* Symbols of a stripped file, wherever they are. */
static int read_elsewhere(struct elf *elf, const char *path, const char *debug_root)
{
	elf->debug = elf_debug_open(elf->file, path, debug_root);
	if (elf->debug)
		return add_all_symbols(elf, elf->debug);
	return elf->is_go ? elf_go_functions(elf->file, &elf->table) : 0;
}

static int read_functions(struct elf *elf, const char *path, const char *debug_root)
{
	int err = add_all_symbols(elf, elf->file);

	if (!err && !elf_file_section(elf->file, ".symtab"))
		err = read_elsewhere(elf, path, debug_root);
	if (err)
		return err;
	sort_table(&elf->table);
	sort_colds(&elf->colds);
	elf->unwinds |= demangle_table(&elf->table);
	elf->unwinds |= elf_unwind_has_runtime(elf->file);
	return 0;
}

int elf_open(const char *path, const char *debug_root, struct elf **ret_elf,
	     char ret_error[ELF_ERROR_LEN])
{
	CLEANUP(elf_close) struct elf *elf = calloc(1, sizeof(*elf));
	int err;

	if (!elf)
		return fail(ret_error, -ENOMEM, "out of memory");
	err = open_file(path, &elf->file, ret_error);
	if (err)
		return err;
	elf->is_go = elf_go_is(elf->file);
	err = read_functions(elf, path, debug_root);
	if (!err)
		err = elf_usdt_read(elf->file, &elf->usdts, &elf->usdt_count);
	if (err)
		return fail(ret_error, err, "cannot read the symbols of \"%.400s\": %s",
			    path, strerror(-err));
	*ret_elf = TAKE(elf);
	return 0;
}

/* ---- what it found ---- */

bool elf_is_go(const struct elf *elf)
{
	return elf->is_go;
}

bool elf_unwinds(const struct elf *elf)
{
	return elf->unwinds;
}

bool elf_is_library(const struct elf *elf)
{
	return elf_file_is_library(elf->file);
}

const struct elf_function *elf_functions(const struct elf *elf, size_t *ret_count)
{
	*ret_count = elf->table.count;
	return elf->table.functions;
}

const struct elf_usdt *elf_usdts(const struct elf *elf, size_t *ret_count)
{
	*ret_count = elf->usdt_count;
	return elf->usdts;
}

static const uint8_t *read_code(const struct elf *elf,
				const struct elf_function *function, uint8_t **buffer,
				size_t *ret_len)
{
	uint8_t *code;

	*ret_len = 0;
	if (!function->size || function->size > CODE_MAX_BYTES)
		return NULL;
	code = realloc(*buffer, function->size);
	if (!code)
		return NULL;
	*buffer = code;
	if (!elf_file_read(elf->file, function->offset, code, function->size))
		return NULL;
	*ret_len = function->size;
	return code;
}

const uint8_t *elf_code(struct elf *elf, const struct elf_function *function,
			size_t *ret_len)
{
	return read_code(elf, function, &elf->code, ret_len);
}

const uint8_t *elf_cold(struct elf *elf, const struct elf_function *function,
			uint64_t *ret_address, size_t *ret_len)
{
	const struct elf_function *cold = NULL;

	*ret_len = 0;
	if (elf->colds.count)
		cold = bsearch(function->name, elf->colds.functions, elf->colds.count,
			       sizeof(*cold), compare_with_cold);
	if (!cold)
		return NULL;
	*ret_address = cold->address;
	return read_code(elf, cold, &elf->cold, ret_len);
}

struct decoder *elf_decoder(struct elf *elf)
{
	if (!elf->decoder)
		decoder_create(&elf->decoder);
	return elf->decoder;
}

bool elf_function_is(const struct elf_function *function, const char *name)
{
	size_t len = demangle_base_len(function->display);

	return !strcmp(function->name, name) || !strcmp(function->display, name) ||
	       (function->display != function->name && strlen(name) == len &&
		!strncmp(function->display, name, len));
}

bool elf_function_matches(const struct elf_function *function, const char *glob)
{
	AUTO_FREE char *base = NULL;

	if (!fnmatch(glob, function->name, 0) || !fnmatch(glob, function->display, 0))
		return true;
	if (function->display == function->name)
		return false;
	base = strndup(function->display, demangle_base_len(function->display));
	return base && !fnmatch(glob, base, 0);
}
