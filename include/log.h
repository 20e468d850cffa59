/* SPDX-License-Identifier: Apache-2.0 */
/* One line a message on stderr: "bpftally: LEVEL: text". Control characters in
 * the text are escaped, so a hostile path or header cannot forge a line. It
 * does not rotate, buffer or timestamp: the service manager does. */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);

#define LOG_PRINTF __attribute__((format(printf, 1, 2)))
void log_error(const char *format, ...) LOG_PRINTF;
void log_warning(const char *format, ...) LOG_PRINTF;
void log_info(const char *format, ...) LOG_PRINTF;
void log_debug(const char *format, ...) LOG_PRINTF;
