/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "config_value.h"

#define SECRET_MAX ((size_t)64 << 10) /* bytes of a file */
/* A shorter beginning of a secret tells little, and is in too many words. */
#define HIDDEN_PART_MIN 4

static int read_all(int fd, char *text, size_t size, size_t *ret_len)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, text + len, size - len);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			break;
		len += got > 0 ? (size_t)got : 0;
	}
	*ret_len = len;
	return 0;
}

static bool is_space(char byte)
{
	return byte && strchr(" \t\r\n", byte);
}

/* Blanks around it go, as Prometheus has it: editors and `echo` add them. */
static int trim_secret(char *text, size_t len)
{
	size_t start = 0;

	while (len && is_space(text[len - 1]))
		len--;
	while (start < len && is_space(text[start]))
		start++;
	len -= start;
	memmove(text, text + start, len);
	text[len] = 0;
	/* A NUL or a line end within it would smuggle in another header. */
	return strlen(text) == len && value_is_header_value(text) ? 0 : -EINVAL;
}

int secret_read(const char *path, char **ret_secret)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err = fd < 0 ? -errno : 0;
	AUTO_FREE char *text = NULL;
	char *secret = NULL;
	size_t len = 0;

	if (err)
		return err;
	text = malloc(SECRET_MAX + 2);
	if (!text)
		return -ENOMEM;
	err = read_all(fd, text, SECRET_MAX + 1, &len);
	if (!err && len > SECRET_MAX)
		err = -EFBIG;
	if (!err)
		err = trim_secret(text, len);
	if (!err)
		secret = strdup(text);
	/* All of it: what was refused, or trimmed, is no string to wipe. */
	explicit_bzero(text, SECRET_MAX + 2);
	if (err || !secret)
		return err ? err : -ENOMEM;
	*ret_secret = secret;
	return 0;
}

static void base64(const unsigned char *in, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;

		if (i + 1 < len)
			bits |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < len)
			bits |= in[i + 2];
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		*out++ = i + 2 < len ? digits[bits & 63] : '=';
	}
	*out = 0;
}

int secret_basic(const char *username, const char *password, char **ret_credentials)
{
	AUTO_WIPE char *pair = NULL;
	char *credentials;
	int len = asprintf(&pair, "%s:%s", username, password);

	if (len < 0) {
		pair = NULL; /* it is undefined then */
		return -ENOMEM;
	}
	credentials = malloc(((size_t)len + 2) / 3 * 4 + 1);
	if (!credentials)
		return -ENOMEM;
	base64((unsigned char *)pair, (size_t)len, credentials);
	*ret_credentials = credentials;
	return 0;
}

void secret_hide(char *text, const char *secret)
{
	size_t len = strlen(secret), rest = strlen(text);

	for (char *at = text; len && (at = strstr(at, secret)); at += len)
		memset(at, '*', len);
	if (rest >= len)
		rest = len ? len - 1 : 0;
	for (text += strlen(text) - rest; rest >= HIDDEN_PART_MIN; text++, rest--) {
		if (!memcmp(text, secret, rest))
			memset(text, '*', rest);
	}
}
