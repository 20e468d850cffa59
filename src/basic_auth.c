/* SPDX-License-Identifier: Apache-2.0 */
#include "basic_auth.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "secret.h"

#define CREDENTIALS_MAX 4096 /* base64 */
#define LOWEST_PRIORITY 19
#define COST_AT 4 /* in "$2b$10$" */

/* A password to be hashed. The thread has it alone while it runs. */
struct job {
	struct job *next;
	void *asker;
	char *name; /* NULL: nobody's, so that no answer is right */
	char *hash;
	char *password;
	bool is_right;
	int done_fd;
};

/* A password that was right. */
struct known {
	struct known *next;
	char *name;
	char *hash;
	char *password;
};

struct basic_auth {
	struct loop *loop;
	basic_auth_answer answer;
	void *context;
	struct known *known;
	struct job *jobs; /* the first is being hashed */
	unsigned int job_count;
	pthread_t thread;
	int done_fd;
};

static void job_free(struct job **job)
{
	if (!*job)
		return;
	free((*job)->name);
	secret_wipe(&(*job)->hash);
	secret_wipe(&(*job)->password);
	free(*job);
	*job = NULL;
}

static void known_free(struct known **known)
{
	if (!*known)
		return;
	free((*known)->name);
	secret_wipe(&(*known)->hash);
	secret_wipe(&(*known)->password);
	free(*known);
	*known = NULL;
}

/* The time it takes depends on the length of `given` alone. */
static bool is_equal(const char *given, const char *secret)
{
	size_t len = strlen(given), secret_len = strlen(secret);
	unsigned char difference = len != secret_len;

	for (size_t i = 0; i < len; i++)
		difference |=
		    (unsigned char)(given[i] ^ secret[i < secret_len ? i : secret_len]);
	return !difference;
}

/* --- what was sent -----------------------------------------------------------------
 */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* RFC 4648 section 4, with its padding. `out` has room for 3 bytes of every 4. */
static bool decode_base64(const char *text, size_t len, char *out, size_t *ret_len)
{
	size_t padding = 0, out_len = 0;
	uint32_t bits = 0;

	if (!len || len % 4)
		return false;
	while (padding < 2 && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i++) {
		int digit = i < len - padding ? digit_of(text[i]) : 0;

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8)
			out[out_len++] = (char)(bits >> shift & 0xff);
	}
	*ret_len = out_len - padding;
	return true;
}

/* Splits at the first ':', which no name holds. A NUL would end the password
 * early. */
static bool split(char *pair, size_t len, char **ret_name, char **ret_password)
{
	char *colon = memchr(pair, ':', len);

	if (!colon || memchr(pair, '\0', len))
		return false;
	*ret_name = strndup(pair, (size_t)(colon - pair));
	*ret_password = strndup(colon + 1, (size_t)(pair + len - colon - 1));
	return *ret_name && *ret_password;
}

/* False when it is no credentials of Basic, or there is no memory. */
static bool take_apart(const char *authorization, char **ret_name, char **ret_password)
{
	static const char scheme[] = "Basic ";
	char pair[CREDENTIALS_MAX];
	size_t len;
	bool good;

	if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return false;
	authorization += strlen(scheme);
	authorization += strspn(authorization, " ");
	len = strlen(authorization);
	if (len > CREDENTIALS_MAX || !decode_base64(authorization, len, pair, &len))
		return false;
	good = split(pair, len, ret_name, ret_password);
	explicit_bzero(pair, sizeof(pair));
	return good;
}

/* --- hashing ------------------------------------------------------------------------
 */

/* Of this thread alone: Linux has a nice value a thread. */
static void *hash(void *context)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	const uint64_t one = 1;
	struct job *job = context;
	const char *made;

	setpriority(PRIO_PROCESS, 0, LOWEST_PRIORITY);
	made = data ? crypt_r(job->password, job->hash, data) : NULL;
	job->is_right = made && job->name && is_equal(made, job->hash);
	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	if (write(job->done_fd, &one, sizeof(one)) < 0)
		return NULL; /* cannot be: the counter is far from full */
	return NULL;
}

static struct job *take_job(struct basic_auth *auth)
{
	struct job *job = auth->jobs;

	auth->jobs = job->next;
	auth->job_count--;
	return job;
}

static bool is_known(const struct basic_auth *auth, const char *name, const char *hash,
		     const char *password)
{
	for (const struct known *known = auth->known; known; known = known->next) {
		if (!strcmp(known->name, name))
			return !strcmp(known->hash, hash) &&
			       is_equal(password, known->password);
	}
	return false;
}

static bool is_right_already(const struct basic_auth *auth, const struct job *job)
{
	return job->name && is_known(auth, job->name, job->hash, job->password);
}

/* The next one that is not known by now. Without a thread nobody gets in but those
 * who are. */
static void start(struct basic_auth *auth)
{
	while (auth->jobs) {
		struct job *job = auth->jobs;
		bool known = is_right_already(auth, job);

		if (!known && !pthread_create(&auth->thread, NULL, hash, job))
			return;
		take_job(auth);
		auth->answer(auth->context, job->asker, known);
		job_free(&job);
	}
}

/* In place of what was right for this name before. */
static void remember(struct basic_auth *auth, struct job *job)
{
	struct known **at = &auth->known;
	struct known *known;

	while (*at && strcmp((*at)->name, job->name) != 0)
		at = &(*at)->next;
	if (*at) {
		known = *at;
		*at = known->next;
		known_free(&known);
	}
	known = malloc(sizeof(*known));
	if (!known)
		return; /* it will be hashed again */
	*known = (struct known){
	    .next = auth->known,
	    .name = TAKE(job->name),
	    .hash = TAKE(job->hash),
	    .password = TAKE(job->password),
	};
	auth->known = known;
}

static void on_hashed(void *context, uint32_t events)
{
	CLEANUP(job_free) struct job *job = NULL;
	struct basic_auth *auth = context;
	uint64_t count;

	(void)events;
	if (read(auth->done_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_join(auth->thread, NULL);
	job = take_job(auth);
	if (job->is_right)
		remember(auth, job);
	start(auth);
	auth->answer(auth->context, job->asker, job->is_right);
}

/* --- judging -------------------------------------------------------------------------
 */

/* What takes longest, so that who is nobody is not told by the time. */
static const char *costliest_hash(const struct config_labels *users)
{
	const char *costliest = users->items[0].value;

	for (size_t i = 1; i < users->count; i++) {
		if (strncmp(users->items[i].value + COST_AT, costliest + COST_AT, 2) >
		    0)
			costliest = users->items[i].value;
	}
	return costliest;
}

static bool add_job(struct basic_auth *auth, struct job *job)
{
	struct job **end = &auth->jobs;
	bool is_first = !auth->jobs;

	while (*end)
		end = &(*end)->next;
	*end = job;
	auth->job_count++;
	if (is_first && pthread_create(&auth->thread, NULL, hash, job)) {
		take_job(auth);
		return false;
	}
	return true;
}

/* Takes name and password over when it succeeds. */
static enum basic_auth_verdict ask(struct basic_auth *auth, const char *expected,
				   const struct config_labels *users, char **name,
				   char **password, void *asker)
{
	CLEANUP(job_free) struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return BASIC_AUTH_BUSY;
	job->asker = asker;
	job->done_fd = auth->done_fd;
	job->hash = strdup(expected ? expected : costliest_hash(users));
	job->name = expected ? TAKE(*name) : NULL;
	job->password = TAKE(*password);
	if (!job->hash || !add_job(auth, job))
		return BASIC_AUTH_BUSY;
	job = NULL;
	return BASIC_AUTH_WAITS;
}

enum basic_auth_verdict basic_auth_judge(struct basic_auth *auth,
					 const struct config_labels *users,
					 const char *authorization, void *asker)
{
	AUTO_WIPE char *password = NULL;
	AUTO_FREE char *name = NULL;
	const char *expected;

	if (!take_apart(authorization, &name, &password))
		return BASIC_AUTH_DENIED;
	expected = config_label(users, name);
	if (expected && is_known(auth, name, expected, password))
		return BASIC_AUTH_GRANTED;
	if (auth->job_count >= BASIC_AUTH_WAITING)
		return BASIC_AUTH_BUSY;
	return ask(auth, expected, users, &name, &password, asker);
}

/* --- together
 * -------------------------------------------------------------------------- */

void basic_auth_forget(struct basic_auth *auth)
{
	while (auth->known) {
		struct known *known = auth->known;

		auth->known = known->next;
		known_free(&known);
	}
}

int basic_auth_create(struct loop *loop, basic_auth_answer answer, void *context,
		      struct basic_auth **ret_auth)
{
	CLEANUP(basic_auth_free) struct basic_auth *auth = calloc(1, sizeof(*auth));
	int err;

	if (!auth)
		return -ENOMEM;
	*auth = (struct basic_auth){
	    .loop = loop,
	    .answer = answer,
	    .context = context,
	    .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	if (auth->done_fd < 0)
		return -errno;
	err = loop_watch(loop, auth->done_fd, EPOLLIN, on_hashed, auth);
	if (err)
		return err;
	*ret_auth = TAKE(auth);
	return 0;
}

void basic_auth_free(struct basic_auth **auth)
{
	struct basic_auth *mine = *auth;

	if (!mine)
		return;
	if (mine->jobs)
		pthread_join(mine->thread, NULL);
	while (mine->jobs) {
		struct job *job = take_job(mine);

		job_free(&job);
	}
	basic_auth_forget(mine);
	loop_unwatch(mine->loop, mine->done_fd);
	if (mine->done_fd >= 0)
		close(mine->done_fd);
	free(mine);
	*auth = NULL;
}
