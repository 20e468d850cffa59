/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "elf.h"
#include "log.h"
#include "site.h"
#include "slice.h"

#define FILES_MAX 4096
#define USDT_PREFIX "usdt:"
#define NAME_WIDTH 56

/* ---- one file ---- */

/* A stranger's names are no orders to the terminal. */
static size_t print_text(FILE *out, const char *text)
{
	struct slice left = slice_of(text);
	size_t width = 0;

	for (; left.len; width++) {
		size_t len = slice_printable_len(left);

		if (len)
			fwrite(left.text, 1, len, out);
		else
			fputc('?', out);
		left.text += len + !len;
		left.len -= len + !len;
	}
	return width;
}

static void print_latency(FILE *out, const struct site *site)
{
	if (site->return_probe)
		fprintf(out, "return probe");
	else
		fprintf(out, "%u return site%s", site->return_count,
			site->return_count == 1 ? "" : "s");
}

/* Without latency there are more instructions to choose from, so a site that is cheap
 * with it need not be looked for again: that takes most of the time. */
static void print_costs(FILE *out, struct elf *elf, const struct elf_function *function)
{
	struct site count, latency;
	const char *why, *why_no_latency;
	bool has_latency =
	    !site_find(elf, function, true, false, &latency, &why_no_latency);

	if (has_latency && latency.is_cheap) {
		count = latency;
	} else if (site_find(elf, function, false, false, &count, &why)) {
		fprintf(out, "cannot be probed: %s\n", why);
		return;
	}
	fprintf(out, "%-14s  ", count.is_cheap ? "cheap" : "single-stepped");
	if (has_latency)
		print_latency(out, &latency);
	else
		fprintf(out, "no latency: %s", why_no_latency);
	fputc('\n', out);
}

static void print_function(FILE *out, struct elf *elf,
			   const struct elf_function *function)
{
	size_t width = print_text(out, function->display);

	fprintf(out, "%*s %7llu  ", width < NAME_WIDTH ? (int)(NAME_WIDTH - width) : 0,
		"", (unsigned long long)function->size);
	print_costs(out, elf, function);
}

static int compare_displays(const void *a, const void *b)
{
	const struct elf_function *left = *(const struct elf_function *const *)a;
	const struct elf_function *right = *(const struct elf_function *const *)b;
	int order = strcmp(left->display, right->display);

	if (order)
		return order;
	return (left->address > right->address) - (left->address < right->address);
}

/* Constructors of C++ have two names for the same code. */
static bool is_repeated(const struct elf_function *last,
			const struct elf_function *function)
{
	return last && !compare_displays(&last, &function);
}

static int print_functions(FILE *out, struct elf *elf, const char *glob,
			   size_t *printed)
{
	size_t count, kept = 0;
	const struct elf_function *functions = elf_functions(elf, &count);
	AUTO_FREE const struct elf_function **sorted =
	    calloc(count + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (!glob || elf_function_is(&functions[i], glob) ||
		    elf_function_matches(&functions[i], glob))
			sorted[kept++] = &functions[i];
	qsort(sorted, kept, sizeof(*sorted), compare_displays);
	for (size_t i = 0; i < kept; i++) {
		if (is_repeated(i ? sorted[i - 1] : NULL, sorted[i]))
			continue;
		print_function(out, elf, sorted[i]);
		++*printed;
	}
	return 0;
}

static int compare_usdts(const void *a, const void *b)
{
	const struct elf_usdt *left = a, *right = b;
	int order = strcmp(left->provider, right->provider);

	return order ? order : strcmp(left->name, right->name);
}

static bool usdt_matches(const struct elf_usdt *usdt, const char *glob)
{
	AUTO_FREE char *name = NULL;

	if (!glob)
		return true;
	if (asprintf(&name, USDT_PREFIX "%s:%s", usdt->provider, usdt->name) < 0)
		return false;
	return !fnmatch(glob, name, 0) || !fnmatch(glob, name + strlen(USDT_PREFIX), 0);
}

static void print_usdt(FILE *out, const struct elf_usdt *usdt)
{
	fputs(USDT_PREFIX, out);
	print_text(out, usdt->provider);
	fputc(':', out);
	print_text(out, usdt->name);
	if (*usdt->arguments)
		fputs("  ", out);
	print_text(out, usdt->arguments);
	fputc('\n', out);
}

static int print_usdts(FILE *out, const struct elf *elf, const char *glob,
		       size_t *printed)
{
	size_t count;
	const struct elf_usdt *usdts = elf_usdts(elf, &count);
	AUTO_FREE struct elf_usdt *sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	if (count)
		memcpy(sorted, usdts, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_usdts);
	for (size_t i = 0; i < count; i++) {
		if (!usdt_matches(&sorted[i], glob))
			continue;
		print_usdt(out, &sorted[i]);
		++*printed;
	}
	return 0;
}

/* Both at once: a heading, if there is one, only where something follows. */
static int print_elf(FILE *out, struct elf *elf, const char *heading, const char *glob,
		     size_t *printed)
{
	AUTO_FREE char *text = NULL;
	AUTO_FCLOSE FILE *memory = NULL;
	size_t len = 0, before = *printed;
	int err;

	memory = open_memstream(&text, &len);
	if (!memory)
		return -ENOMEM;
	err = print_functions(memory, elf, glob, printed);
	if (!err)
		err = print_usdts(memory, elf, glob, printed);
	if (fflush(memory))
		err = -ENOMEM;
	if (!err && heading && *printed > before) {
		print_text(out, heading);
		fputs(":\n", out);
	}
	if (!err && fwrite(text, 1, len, out) != len)
		err = -EIO;
	return err;
}

static int finish(FILE *out, const char *subject, const char *glob, size_t printed,
		  int err)
{
	if (!err && !printed && glob) {
		log_error("nothing in \"%s\" that can be probed matches \"%s\"",
			  subject, glob);
		return -ENOENT;
	}
	if (!err && !printed) {
		log_error("\"%s\" has no functions that can be probed: neither symbols "
			  "nor debug information",
			  subject);
		return -ENOENT;
	}
	if (!err && fflush(out))
		err = -errno;
	if (err)
		log_error("cannot list the functions of \"%s\": %s", subject,
			  strerror(-err));
	return err;
}

static int print_file(FILE *out, const char *path, const char *glob)
{
	CLEANUP(elf_close) struct elf *elf = NULL;
	char error[ELF_ERROR_LEN];
	size_t printed = 0;
	int err = elf_open(path, "", &elf, error);

	if (err) {
		log_error("%s", error);
		return err;
	}
	err = print_elf(out, elf, NULL, glob, &printed);
	return finish(out, path, glob, printed, err);
}

/* ---- a process ---- */

struct process {
	FILE *out;
	const char *pid, *glob;
	char root[32];         /* /proc/PID/root */
	char *seen[FILES_MAX]; /* device and inode as maps has them */
	size_t seen_count;
	size_t printed;
};

static void forget(struct process *process)
{
	for (size_t i = 0; i < process->seen_count; i++)
		free(process->seen[i]);
}

/* Whether a mapping's file is new; one that cannot be remembered is not. */
static bool is_new(struct process *process, const char *device, const char *inode)
{
	char *key = NULL;

	if (process->seen_count == FILES_MAX ||
	    asprintf(&key, "%s %s", device, inode) < 0)
		return false;
	for (size_t i = 0; i < process->seen_count; i++)
		if (!strcmp(process->seen[i], key)) {
			free(key);
			return false;
		}
	process->seen[process->seen_count++] = key;
	return true;
}

/* The mapping itself is right also for what was deleted or replaced, but not everyone
 * may open it. */
static int open_mapping(const struct process *process, const char *range,
			const char *path, struct elf **ret_elf)
{
	char link[PATH_MAX], error[ELF_ERROR_LEN];
	unsigned long start, end;

	if (sscanf(range, "%lx-%lx", &start, &end) != 2)
		return -EINVAL;
	snprintf(link, sizeof(link), "/proc/%s/map_files/%lx-%lx", process->pid, start,
		 end);
	if (!elf_open(link, process->root, ret_elf, error))
		return 0;
	snprintf(link, sizeof(link), "%s%s", process->root, path);
	return elf_open(link, process->root, ret_elf, error);
}

/* "START-END PERMISSIONS OFFSET DEVICE INODE   PATH". What is mapped and no ELF file
 * (a JIT compiler's memory) has no functions to list. */
static int print_mapping(struct process *process, char *line)
{
	CLEANUP(elf_close) struct elf *elf = NULL;
	char range[40], permissions[8], device[16], inode[24];
	int path_at = 0;
	char *path;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%39s %7s %*s %15s %23s %n", range, permissions, device, inode,
		   &path_at) != 4 ||
	    !path_at || !strchr(permissions, 'x'))
		return 0;
	path = line + path_at;
	if (*path != '/' || !is_new(process, device, inode) ||
	    open_mapping(process, range, path, &elf))
		return 0;
	return print_elf(process->out, elf, path, process->glob, &process->printed);
}

static int print_process(FILE *out, const char *pid, const char *glob)
{
	CLEANUP(forget)
	struct process process = {.out = out, .pid = pid, .glob = glob};
	AUTO_FCLOSE FILE *maps = NULL;
	AUTO_FREE char *line = NULL;
	char path[32];
	size_t size = 0;
	int err = 0;

	snprintf(process.root, sizeof(process.root), "/proc/%s/root", pid);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (!maps) {
		err = -errno;
		if (err == -ENOENT)
			log_error("there is no process %s", pid);
		else
			log_error("cannot open \"%s\": %s", path, strerror(-err));
		return err;
	}
	while (!err && getline(&line, &size, maps) > 0)
		err = print_mapping(&process, line);
	return finish(out, pid, glob, process.printed, err);
}

static bool is_pid(const char *subject)
{
	size_t len = strspn(subject, "0123456789");

	return len && len < 11 && !subject[len];
}

int listing_print(FILE *out, const char *subject, const char *glob)
{
	return is_pid(subject) ? print_process(out, subject, glob)
			       : print_file(out, subject, glob);
}
