/* SPDX-License-Identifier: Apache-2.0 */
#include "demangle.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "buf.h"

#define NAME_MAX_BYTES 4096
#define DISPLAY_MAX_BYTES 8192

struct output {
	struct buf text;
	size_t chunks;
	jmp_buf too_long;
};

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] & 0x80)
			return false;
	return true;
}

/* A name of 200 bytes can stand for gigabytes of text, and the demanglers know no
 * way to stop but this one. Neither holds memory of the heap when it calls back,
 * but for one: a decoded Punycode identifier of Rust, which is never all ASCII. */
static void collect(const char *text, size_t len, void *opaque)
{
	struct output *output = opaque;

	buf_append(&output->text, text, len);
	output->chunks++;
	if ((output->text.error || output->chunks > DISPLAY_MAX_BYTES) &&
	    is_ascii(text, len))
		longjmp(output->too_long, 1);
}

static bool is_demangled(const char *name, struct output *output)
{
	if (setjmp(output->too_long))
		return false;
	/* Rust's old names are valid C++ ones, but for a hash at their end. */
	if (rust_demangle_callback(name, DMGL_NO_OPTS, collect, output))
		return true;
	buf_clear(&output->text);
	return cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_ANSI | DMGL_RET_DROP,
					  collect, output);
}

char *demangle(const char *name)
{
	struct output output = {.text = BUF_INIT(DISPLAY_MAX_BYTES)};
	char *display = NULL;

	if ((strncmp(name, "_Z", 2) && strncmp(name, "_R", 2)) ||
	    strnlen(name, NAME_MAX_BYTES) == NAME_MAX_BYTES)
		return NULL;
	if (is_demangled(name, &output) && output.text.len && !output.text.error)
		display = strndup(output.text.data, output.text.len);
	buf_free(&output.text);
	return display;
}

/* What may stand behind the parameters: " const", " &", " [clone .part.0]". */
static bool is_qualifier(const char *text)
{
	return !*text || !strncmp(text, " const", 6) ||
	       !strncmp(text, " volatile", 9) || !strncmp(text, " &", 2) ||
	       !strncmp(text, " [clone", 7);
}

size_t demangle_base_len(const char *display)
{
	const char *end = strrchr(display, ')'), *clone = strstr(display, " [clone");
	size_t depth = 0;

	if (clone)
		end = memrchr(display, ')', (size_t)(clone - display));
	if (!end || !is_qualifier(end + 1))
		return strlen(display);
	for (const char *at = end; at > display; at--) {
		depth += *at == ')';
		if (*at == '(' && !--depth)
			return (size_t)(at - display);
	}
	return strlen(display);
}
