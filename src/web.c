/* SPDX-License-Identifier: Apache-2.0 */
#include "web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "log.h"

/* What was missing may have come, in a file that only the broken version names. */
#define RETRY_MS 1000
#define FILES 4

/* By which a file is known to be the one that was read. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct version {
	struct config_web config;
	struct web_tls *tls;
};

struct web {
	char *path;
	struct version version;
	struct stamp stamps[FILES];
	uint64_t retry_ms;           /* 0: the last version was good */
	char told[CONFIG_ERROR_LEN]; /* what was wrong with it */
};

static void version_free(struct version *version)
{
	web_tls_put(&version->tls);
	config_web_free(&version->config);
}

/* Zero where there is no file, which is a state like any other. */
static struct stamp stamp_of(const char *path)
{
	struct stat status;

	if (!path || stat(path, &status))
		return (struct stamp){0};
	return (struct stamp){
	    .device = status.st_dev,
	    .inode = status.st_ino,
	    .size = status.st_size,
	    .modified = status.st_mtim,
	    .changed = status.st_ctim,
	};
}

/* Of the file at path and those that it names. */
static void take_stamps(const char *path, const struct config_web_tls *tls,
			struct stamp ret_stamps[FILES])
{
	ret_stamps[0] = stamp_of(path);
	ret_stamps[1] = stamp_of(tls->cert_file);
	ret_stamps[2] = stamp_of(tls->key_file);
	ret_stamps[3] = stamp_of(tls->client_ca_file);
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       is_same_time(a->modified, b->modified) &&
	       is_same_time(a->changed, b->changed);
}

static int read_version(const char *path, struct version *ret_version, char *error)
{
	CLEANUP(version_free) struct version version = {0};
	char problem[CONFIG_ERROR_LEN];
	int err = config_web_read(path, &version.config, error);

	if (!err && config_web_has_tls(&version.config)) {
		err = web_tls_create(&version.config.tls, &version.tls, problem);
		if (err)
			snprintf(error, CONFIG_ERROR_LEN, "%.*s: %.*s",
				 CONFIG_ERROR_LEN / 3, path, CONFIG_ERROR_LEN / 2,
				 problem);
	}
	if (err)
		return err;
	*ret_version = version;
	version = (struct version){0};
	return 0;
}

/* The stamps are of before the version was read, so that no change is missed; what
 * files it names has to be known first. */
static int read_stamped(const char *path, struct version *ret_version,
			struct stamp ret_stamps[FILES], char *error)
{
	CLEANUP(version_free) struct version first = {0};
	int err = read_version(path, &first, error);

	if (err)
		return err;
	take_stamps(path, &first.config.tls, ret_stamps);
	return read_version(path, ret_version, error);
}

int web_open(const char *path, struct web **ret_web, char ret_error[CONFIG_ERROR_LEN])
{
	CLEANUP(web_free) struct web *web = calloc(1, sizeof(*web));
	int err;

	if (web)
		web->path = strdup(path);
	if (!web || !web->path) {
		snprintf(ret_error, CONFIG_ERROR_LEN, "out of memory");
		return -ENOMEM;
	}
	err = read_stamped(path, &web->version, web->stamps, ret_error);
	if (err)
		return err;
	*ret_web = TAKE(web);
	return 0;
}

void web_free(struct web **web)
{
	if (!*web)
		return;
	version_free(&(*web)->version);
	free((*web)->path);
	free(*web);
	*web = NULL;
}

static int read_replacement(const struct web *web, struct version *ret_version,
			    struct stamp ret_stamps[FILES], char *error)
{
	CLEANUP(version_free) struct version version = {0};
	int err = read_stamped(web->path, &version, ret_stamps, error);

	if (err)
		return err;
	if (!version.tls != !web->version.tls) {
		snprintf(error, CONFIG_ERROR_LEN,
			 "%.*s: whether there is TLS cannot change while bpftally runs",
			 CONFIG_ERROR_LEN / 2, web->path);
		return -EINVAL;
	}
	*ret_version = version;
	version = (struct version){0};
	return 0;
}

/* Once for each thing that is wrong: it is tried again with every request. */
static void tell_broken(struct web *web, const char *error)
{
	if (strcmp(web->told, error) != 0)
		log_error("%s; going on with what it said before", error);
	snprintf(web->told, sizeof(web->told), "%s", error);
}

bool web_refresh(struct web *web, uint64_t now_ms)
{
	char error[CONFIG_ERROR_LEN];
	struct stamp stamps[FILES];
	struct version version;
	bool changed = false;

	take_stamps(web->path, &web->version.config.tls, stamps);
	for (size_t i = 0; i < FILES; i++)
		changed |= !is_same(&stamps[i], &web->stamps[i]);
	if (!changed && (!web->retry_ms || now_ms < web->retry_ms))
		return false;
	if (read_replacement(web, &version, web->stamps, error)) {
		memcpy(web->stamps, stamps, sizeof(stamps));
		web->retry_ms = now_ms + RETRY_MS;
		tell_broken(web, error);
		return false;
	}
	version_free(&web->version);
	web->version = version;
	web->retry_ms = 0;
	web->told[0] = '\0';
	log_info("%s was read again", web->path);
	return true;
}

const struct config_web *web_config(const struct web *web)
{
	return &web->version.config;
}

struct web_tls *web_tls_of(const struct web *web)
{
	return web->version.tls;
}
