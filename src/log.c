/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "slice.h"

/* A line is one write(2) of at most PIPE_BUF (4096) bytes, which a pipe takes
 * whole or not at all: lines of several writers never mix. */
#define LINE_MAX_BYTES 4096
#define TEXT_MAX_BYTES 3072
#define ESCAPE_LEN 4 /* \x1b */

static enum log_level maximum_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* Copies text to line from offset len on, escaped; what does not fit is cut
 * off with "...". Returns the new length. */
static size_t append_escaped(char line[LINE_MAX_BYTES], size_t len, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const size_t end = LINE_MAX_BYTES - sizeof("...\n");
	struct slice rest = slice_of(text);

	while (rest.len) {
		unsigned char byte = (unsigned char)*rest.text;
		size_t run = slice_printable_len(rest);

		if (len + (run ? run : ESCAPE_LEN) > end) {
			memcpy(line + len, "...", 3);
			return len + 3;
		}
		if (run) {
			memcpy(line + len, rest.text, run);
			len += run;
		} else {
			line[len++] = '\\';
			line[len++] = 'x';
			line[len++] = hex[byte >> 4];
			line[len++] = hex[byte & 0xf];
		}
		rest.text += run ? run : 1;
		rest.len -= run ? run : 1;
	}
	return len;
}

static void write_line(const char *line, size_t len)
{
	ssize_t written;

	/* Nobody can be told that stderr is full or gone: the line is lost. */
	do {
		written = write(STDERR_FILENO, line, len);
	} while (written < 0 && errno == EINTR);
}

__attribute__((format(printf, 2, 0))) static void
log_message(enum log_level level, const char *format, va_list arguments)
{
	char text[TEXT_MAX_BYTES], line[LINE_MAX_BYTES];
	int saved_errno = errno;
	size_t len;
	int needed;

	if (level > maximum_level)
		return;
	needed = vsnprintf(text, sizeof(text), format, arguments);
	if (needed < 0)
		snprintf(text, sizeof(text), "(message that cannot be formatted)");
	else if ((size_t)needed >= sizeof(text))
		memcpy(text + sizeof(text) - sizeof("..."), "...", sizeof("..."));
	len =
	    (size_t)snprintf(line, sizeof(line), "bpftally: %s: ", level_names[level]);
	len = append_escaped(line, len, text);
	line[len++] = '\n';
	write_line(line, len);
	errno = saved_errno;
}

void log_set_level(enum log_level level)
{
	maximum_level = level;
}

#define DEFINE_LOG(function, level)                                                    \
	void function(const char *format, ...)                                         \
	{                                                                              \
		va_list arguments;                                                     \
                                                                                       \
		va_start(arguments, format);                                           \
		log_message(level, format, arguments);                                 \
		va_end(arguments);                                                     \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)
