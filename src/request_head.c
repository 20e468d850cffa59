/* SPDX-License-Identifier: Apache-2.0 */
#include "request_head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

#define USER_AGENT "User-Agent: bpftally/" BPFTALLY_VERSION
/* A custom header's value of this length or more is worth hiding where a
 * receiver quotes it; credentials are hidden whatever their length. */
#define HIDDEN_LEN_MIN 8
#define AUTHORIZATION_BASIC "Authorization: Basic "

/* --- making ------------------------------------------------------------------- */

static int reserve(struct request_head *head, size_t count)
{
	char **lines = calloc(count, sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	head->lines = lines;
	head->count = 0;
	return 0;
}

/* Takes the line over; NULL is one that there was no memory for. */
static int add_line(struct request_head *head, char *line)
{
	if (!line)
		return -ENOMEM;
	head->lines[head->count++] = line;
	return 0;
}

static int add_copy(struct request_head *head, const char *line)
{
	return add_line(head, strdup(line));
}

static int add_pair(struct request_head *head, const char *name, const char *value)
{
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	return add_line(head, line);
}

/* The secret from its file, or a copy of the configured one. */
static int load_secret(struct request_head *head, const char *text, const char *path,
		       const char *key, char error[REQUEST_ERROR_LEN])
{
	int err = 0;

	if (path)
		err = secret_read(path, &head->secret);
	else
		head->secret = strdup(text ? text : "");
	if (!err && !head->secret)
		err = -ENOMEM;
	if (err)
		snprintf(error, REQUEST_ERROR_LEN, "cannot read %s \"%s\": %s", key,
			 path ? path : "",
			 err == -EINVAL ? "empty, or with a control character"
					: strerror(-err));
	return err;
}

static int add_basic(struct request_head *head, const struct config_basic_auth *basic,
		     char error[REQUEST_ERROR_LEN])
{
	AUTO_WIPE char *credentials = NULL;
	char *line;
	int err = load_secret(head, basic->password, basic->password_file,
			      "password_file", error);

	if (!err)
		err = secret_basic(basic->username, head->secret, &credentials);
	if (err)
		return err;
	if (asprintf(&line, AUTHORIZATION_BASIC "%s", credentials) < 0)
		return -ENOMEM;
	return add_line(head, line);
}

static int add_authorization(struct request_head *head,
			     const struct config_http *config,
			     char error[REQUEST_ERROR_LEN])
{
	const struct config_authorization *authorization = &config->authorization;
	AUTO_WIPE char *value = NULL;
	int err;

	if (config->basic_auth.username)
		return add_basic(head, &config->basic_auth, error);
	if (!authorization->credentials && !authorization->credentials_file)
		return 0;
	err = load_secret(head, authorization->credentials,
			  authorization->credentials_file, "credentials_file", error);
	if (err)
		return err;
	if (asprintf(&value, "%s %s",
		     authorization->type ? authorization->type : "Bearer",
		     head->secret) < 0) {
		value = NULL;
		return -ENOMEM;
	}
	return add_pair(head, "Authorization", value);
}

int request_head_make(struct request_head *head, const struct config_http *config,
		      const char *host, const char *const *headers, size_t count,
		      char error[REQUEST_ERROR_LEN])
{
	const struct config_labels *custom = &config->headers;
	/* And ours, Expect, Host and Authorization. */
	int err = reserve(head, count + custom->count + 4);

	if (!err)
		err = add_copy(head, USER_AGENT);
	/* Nothing after the colon: curl leaves its own out. A body does not wait for
	 * a "100 Continue" that many receivers never send. */
	if (!err)
		err = add_copy(head, "Expect:");
	for (size_t i = 0; !err && i < count; i++)
		err = add_copy(head, headers[i]);
	if (!err && host)
		err = add_pair(head, "Host", host);
	for (size_t i = 0; !err && i < custom->count; i++)
		err = add_pair(head, custom->items[i].name, custom->items[i].value);
	return err ? err : add_authorization(head, config, error);
}

void request_head_wipe(struct request_head *head)
{
	for (size_t i = 0; i < head->count; i++)
		secret_wipe(&head->lines[i]);
	free(head->lines);
	head->lines = NULL;
	head->count = 0;
	secret_wipe(&head->secret);
}

/* --- hiding ------------------------------------------------------------------- */

/* What a header holds, and what follows its scheme ("Bearer TOKEN"). */
static void hide_value(char *text, const char *value)
{
	const char *blank = strchr(value, ' ');

	if (strlen(value) >= HIDDEN_LEN_MIN)
		secret_hide(text, value);
	if (blank && strlen(blank + 1) >= HIDDEN_LEN_MIN)
		secret_hide(text, blank + 1);
}

/* A user with a password, and a query, which may be a key. */
static void hide_in_url(char *text, const char *url)
{
	const char *authority = strstr(url, "://"), *query = strchr(url, '?');
	AUTO_WIPE char *user = NULL;

	if (query && strlen(query + 1) >= HIDDEN_LEN_MIN)
		secret_hide(text, query + 1);
	if (!authority)
		return;
	authority += strlen("://");
	if (!memchr(authority, '@', strcspn(authority, "/?#")))
		return;
	user = strndup(authority, strcspn(authority, "@"));
	if (!user)
		return;
	secret_hide(text, user);
	if (strchr(user, ':'))
		secret_hide(text, strchr(user, ':') + 1);
}

void request_head_hide(const struct request_head *head,
		       const struct config_http *config, const char *url, char *text)
{
	const struct config_labels *custom = &config->headers;
	size_t start = strlen(AUTHORIZATION_BASIC);

	for (size_t i = 0; i < custom->count; i++)
		hide_value(text, custom->items[i].value);
	if (url)
		hide_in_url(text, url);
	if (config->proxy_url)
		hide_in_url(text, config->proxy_url);
	if (!head->secret)
		return;
	secret_hide(text, head->secret);
	for (size_t i = 0; i < head->count; i++) {
		if (!strncmp(head->lines[i], AUTHORIZATION_BASIC, start))
			secret_hide(text, head->lines[i] + start);
	}
}
