/* SPDX-License-Identifier: Apache-2.0 */
#include "uprobes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "functions.skel.h"

/* Of newer kernels' linux/bpf.h. */
#define UPROBE_MULTI 48       /* enum bpf_attach_type, 6.6 */
#define UPROBE_SESSION 57     /* the same, 6.13 */
#define UPROBE_MULTI_RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */

/* What the system call takes for a link of that kind. */
struct multi_link {
	uint32_t program_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t semaphores;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t reserved;
};

struct uprobes {
	struct functions *skeleton;
	struct ring_buffer *events;
	uint64_t untold; /* that much of it was said */
	uprobes_visit_exec visit;
	void *visit_context;
	uint32_t attach_type; /* of links; 0: the kernel has perf events only */
};

struct uprobes_link {
	int entries_fd, returns_fd; /* multi links, or -1; a session is both */
	struct bpf_link **events;   /* a perf event each */
	size_t event_count;
};

/* --- loading -------------------------------------------------------------------- */

static bool has_kind(const struct btf *kernel, const char *name, uint32_t kind)
{
	return kernel && btf__find_by_name_kind(kernel, name, kind) > 0;
}

static bool has_sessions(const struct btf *kernel)
{
	const struct btf_type *types = btf__type_by_id(
	    kernel,
	    (uint32_t)btf__find_by_name_kind(kernel, "bpf_attach_type", BTF_KIND_ENUM));

	for (uint32_t i = 0; types && i < btf_vlen(types); i++)
		if (!strcmp(btf__name_by_offset(kernel, btf_enum(types)[i].name_off),
			    "BPF_TRACE_UPROBE_SESSION"))
			return true;
	return false;
}

static uint32_t choose_attach_type(const struct btf *kernel)
{
	if (!has_kind(kernel, "bpf_uprobe_multi_link", BTF_KIND_STRUCT))
		return 0;
	return has_sessions(kernel) ? UPROBE_SESSION : UPROBE_MULTI;
}

static void ask_kernel(struct uprobes *uprobes)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct functions__rodata *rodata = uprobes->skeleton->rodata;

	uprobes->attach_type = choose_attach_type(kernel);
	rodata->function_has_sessions = uprobes->attach_type == UPROBE_SESSION;
	rodata->function_can_hold =
	    has_kind(kernel, "bpf_preempt_disable", BTF_KIND_FUNC);
	btf__free(kernel);
}

/* Up to three a rule and file, or one a place: the usual 1,024 are soon used up, and
 * then no scrape is answered, either. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool name_services(const struct tally_function_rule *rules, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (rules[i].selects & TALLY_SELECTS_SERVICE)
			return true;
	return false;
}

/* All processes that start, not new programs only. */
static void follow_services(struct functions *skeleton, bool follow)
{
	skeleton->rodata->function_names_services = follow;
	bpf_program__set_autoload(skeleton->progs.function_fork, follow);
}

static bool has_summaries(const struct tally_function_rule *rules, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (rules[i].place == TALLY_PLACE_SUMMARY)
			return true;
	return false;
}

static int size_maps(struct functions *skeleton,
		     const struct tally_function_rule *rules, uint32_t rule_count)
{
	int err = bpf_map__set_max_entries(skeleton->maps.function_rules, rule_count);

	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.function_singles,
					       rule_count);
	if (!err && !has_summaries(rules, rule_count))
		err = bpf_map__set_max_entries(skeleton->maps.function_summaries, 1);
	return err;
}

static int load(struct uprobes *uprobes, const struct tally_function_rule *rules,
		uint32_t rule_count, uint32_t point_max, uint64_t seed)
{
	struct functions *skeleton = functions__open();
	int err;

	if (!skeleton)
		return -errno;
	uprobes->skeleton = skeleton;
	skeleton->rodata->function_seed = seed;
	ask_kernel(uprobes);
	if (uprobes->attach_type)
		bpf_program__set_expected_attach_type(
		    skeleton->progs.function_probe,
		    (enum bpf_attach_type)uprobes->attach_type);
	follow_services(skeleton, name_services(rules, rule_count));
	raise_descriptor_limit();
	bpf_program__set_autoattach(skeleton->progs.function_probe, false);
	err = size_maps(skeleton, rules, rule_count);
	if (!err)
		err =
		    bpf_map__set_max_entries(skeleton->maps.function_points, point_max);
	return err ? err : functions__load(skeleton);
}

static int put_rules(struct uprobes *uprobes, const struct tally_function_rule *rules,
		     uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int err =
		    bpf_map__update_elem(uprobes->skeleton->maps.function_rules, &i,
					 sizeof(i), &rules[i], sizeof(rules[i]), 0);

		if (err)
			return err;
	}
	return 0;
}

static int put_row(const struct bpf_map *map, size_t row_bytes,
		   const struct tally_function_key *key)
{
	AUTO_FREE void *zeros = calloc(1, row_bytes);

	if (!zeros)
		return -ENOMEM;
	return bpf_map__update_elem(map, key, sizeof(*key), zeros, row_bytes,
				    BPF_NOEXIST);
}

/* One that shows that the rule is there before its first call, where its labels are
 * known; else the one for what finds no room, before the map is full. */
static int put_first_row(const struct uprobes *uprobes,
			 const struct tally_function_rule *rule, uint32_t number)
{
	const struct functions *skeleton = uprobes->skeleton;
	struct tally_function_key key = {.rule = number};

	if (rule->has_labels || rule->has_result) {
		key.other_result = 1;
		key.arguments = TALLY_ARGUMENTS_OTHER;
	}
	switch (rule->place) {
	case TALLY_PLACE_ROW:
		return put_row(skeleton->maps.function_rows,
			       sizeof(struct tally_function_row), &key);
	case TALLY_PLACE_SUMMARY:
		return put_row(skeleton->maps.function_summaries,
			       sizeof(struct tally_function_summary), &key);
	default: /* there from the start */
		return 0;
	}
}

static int put_first_rows(const struct uprobes *uprobes,
			  const struct tally_function_rule *rules, uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = put_first_row(uprobes, &rules[i], i);
	return err;
}

static int see_event(void *context, void *data, size_t size)
{
	const struct uprobes *uprobes = context;

	if (uprobes->visit && size >= sizeof(struct tally_function_exec))
		uprobes->visit(uprobes->visit_context, data);
	return 0;
}

static int attach_events_of_programs(struct uprobes *uprobes)
{
	uprobes->events =
	    ring_buffer__new(bpf_map__fd(uprobes->skeleton->maps.function_events),
			     see_event, uprobes, NULL);
	return uprobes->events ? functions__attach(uprobes->skeleton) : -errno;
}

int uprobes_open(const struct tally_function_rule *rules, uint32_t rule_count,
		 uint32_t point_max, uint64_t seed, struct uprobes **ret_uprobes,
		 char ret_error[UPROBES_ERROR_LEN])
{
	struct uprobes *uprobes = calloc(1, sizeof(*uprobes));
	int err = uprobes ? 0 : -ENOMEM;

	if (!err)
		err = load(uprobes, rules, rule_count, point_max, seed);
	if (!err)
		err = put_rules(uprobes, rules, rule_count);
	if (!err)
		err = put_first_rows(uprobes, rules, rule_count);
	if (!err)
		err = attach_events_of_programs(uprobes);
	if (err) {
		snprintf(ret_error, UPROBES_ERROR_LEN,
			 "cannot load the function programs: %s; --verbose shows the "
			 "kernel's reason",
			 strerror(-err));
		uprobes_close(&uprobes);
		return err;
	}
	*ret_uprobes = uprobes;
	return 0;
}

void uprobes_close(struct uprobes **uprobes)
{
	if (!*uprobes)
		return;
	ring_buffer__free((*uprobes)->events);
	functions__destroy((*uprobes)->skeleton);
	free(*uprobes);
	*uprobes = NULL;
}

int uprobes_set_point(struct uprobes *uprobes, uint32_t number,
		      const struct tally_function_point *point)
{
	return bpf_map__update_elem(uprobes->skeleton->maps.function_points, &number,
				    sizeof(number), point, sizeof(*point), 0);
}

/* --- attaching ------------------------------------------------------------------ */

/* trampoline: of a probe of the return alone. */
static uint64_t cookie_of(const struct uprobes_place *place, bool trampoline)
{
	const uint32_t returns = place->has_return ? place->return_point + 1 : 0;

	return trampoline
		   ? TALLY_FUNCTION_COOKIE(place->function, 0, place->return_point)
		   : TALLY_FUNCTION_COOKIE(place->function, returns, place->point);
}

/* Entries or returns, as the system call wants them. */
struct multi_places {
	uint64_t *offsets, *semaphores, *cookies;
	uint32_t count;
};

static void multi_places_free(struct multi_places *places)
{
	free(places->offsets);
	free(places->semaphores);
	free(places->cookies);
}

static int multi_places_fill(const struct uprobes_place *places, size_t count,
			     bool trampoline, struct multi_places *ret_places)
{
	ret_places->offsets = calloc(count, sizeof(uint64_t));
	ret_places->semaphores = calloc(count, sizeof(uint64_t));
	ret_places->cookies = calloc(count, sizeof(uint64_t));
	if (!ret_places->offsets || !ret_places->semaphores || !ret_places->cookies)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint32_t to = ret_places->count;

		if (trampoline && !places[i].has_return)
			continue;
		ret_places->offsets[to] = places[i].offset;
		ret_places->semaphores[to] = places[i].semaphore;
		ret_places->cookies[to] = cookie_of(&places[i], trampoline);
		ret_places->count++;
	}
	return 0;
}

static int attach_multi(struct uprobes *uprobes, const char *path,
			const struct uprobes_place *places, size_t count,
			bool trampoline, int *ret_fd)
{
	CLEANUP(multi_places_free) struct multi_places chosen = {};
	struct multi_link link = {
	    .program_fd =
		(uint32_t)bpf_program__fd(uprobes->skeleton->progs.function_probe),
	    .attach_type = uprobes->attach_type,
	    .path = (uintptr_t)path,
	    .multi_flags = trampoline ? UPROBE_MULTI_RETURN : 0,
	};
	int err = multi_places_fill(places, count, trampoline, &chosen);
	long fd;

	if (err || !chosen.count)
		return err;
	link.offsets = (uintptr_t)chosen.offsets;
	link.semaphores = (uintptr_t)chosen.semaphores;
	link.cookies = (uintptr_t)chosen.cookies;
	link.count = chosen.count;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link));
	if (fd < 0)
		return -errno;
	*ret_fd = (int)fd;
	return 0;
}

static int attach_perf(struct uprobes *uprobes, const char *path,
		       const struct uprobes_place *place, bool trampoline,
		       struct bpf_link **ret_event)
{
	DECLARE_LIBBPF_OPTS(bpf_uprobe_opts, options);

	options.ref_ctr_offset = place->semaphore;
	options.bpf_cookie = cookie_of(place, trampoline);
	options.retprobe = trampoline;
	*ret_event = bpf_program__attach_uprobe_opts(
	    uprobes->skeleton->progs.function_probe, -1, path, place->offset, &options);
	return *ret_event ? 0 : -errno;
}

static int attach_events(struct uprobes *uprobes, const char *path,
			 const struct uprobes_place *places, size_t count,
			 bool trampoline, struct uprobes_link *link)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		if (trampoline && !places[i].has_return)
			continue;
		err = attach_perf(uprobes, path, &places[i], trampoline,
				  &link->events[link->event_count]);
		link->event_count += !err;
	}
	return err;
}

/* Returns first, where they are not one with their entries: one whose call is not known
 * is left alone, the other way round a call would wait for ever. */
static int attach_links(struct uprobes *uprobes, const char *path,
			const struct uprobes_place *places, size_t count,
			struct uprobes_link *link)
{
	int err = 0;

	if (uprobes->attach_type != UPROBE_SESSION)
		err =
		    attach_multi(uprobes, path, places, count, true, &link->returns_fd);
	return err ? err
		   : attach_multi(uprobes, path, places, count, false,
				  &link->entries_fd);
}

/* One link or two, or an event a place; returns first, as above. */
static int attach_all(struct uprobes *uprobes, const char *path,
		      const struct uprobes_place *places, size_t count,
		      struct uprobes_link *link)
{
	int err;

	if (uprobes->attach_type)
		return attach_links(uprobes, path, places, count, link);
	link->events = calloc(2 * count, sizeof(struct bpf_link *));
	if (!link->events)
		return -ENOMEM;
	err = attach_events(uprobes, path, places, count, true, link);
	return err ? err : attach_events(uprobes, path, places, count, false, link);
}

int uprobes_attach(struct uprobes *uprobes, const char *path,
		   const struct uprobes_place *places, size_t count,
		   struct uprobes_link **ret_link)
{
	struct uprobes_link *link = calloc(1, sizeof(*link));
	int err;

	if (!link)
		return -ENOMEM;
	link->entries_fd = link->returns_fd = -1;
	err = attach_all(uprobes, path, places, count, link);
	if (err)
		uprobes_detach(&link);
	else
		*ret_link = link;
	return err;
}

/* Entries first, as they came last. */
void uprobes_detach(struct uprobes_link **link)
{
	if (!*link)
		return;
	if ((*link)->entries_fd >= 0)
		close((*link)->entries_fd);
	if ((*link)->returns_fd >= 0)
		close((*link)->returns_fd);
	while ((*link)->event_count)
		bpf_link__destroy((*link)->events[--(*link)->event_count]);
	free((*link)->events);
	free(*link);
	*link = NULL;
}

int uprobes_name(struct uprobes *uprobes,
		 const struct tally_function_enumerated *number)
{
	const uint32_t named = 1;

	return bpf_map__update_elem(uprobes->skeleton->maps.function_enumerated, number,
				    sizeof(*number), &named, sizeof(named), 0);
}

int uprobes_select(struct uprobes *uprobes, const struct tally_function_selected *who)
{
	const uint64_t not_seen_yet = 0;

	return bpf_map__update_elem(uprobes->skeleton->maps.function_selected, who,
				    sizeof(*who), &not_seen_yet, sizeof(not_seen_yet),
				    0);
}

int uprobes_set_member(struct uprobes *uprobes, int pidfd,
		       const struct tally_function_member *member)
{
	const struct bpf_map *map = uprobes->skeleton->maps.function_members;
	int err;

	if (member)
		return bpf_map__update_elem(map, &pidfd, sizeof(pidfd), member,
					    sizeof(*member), 0);
	err = bpf_map__delete_elem(map, &pidfd, sizeof(pidfd), 0);
	return err == -ENOENT ? 0 : err;
}

/* --- reading -------------------------------------------------------------------- */

int uprobes_map_fd(const struct uprobes *uprobes, enum uprobes_map map)
{
	const struct functions *skeleton = uprobes->skeleton;

	switch (map) {
	case UPROBES_SINGLES:
		return bpf_map__fd(skeleton->maps.function_singles);
	case UPROBES_SUMMARIES:
		return bpf_map__fd(skeleton->maps.function_summaries);
	case UPROBES_ROWS:
		return bpf_map__fd(skeleton->maps.function_rows);
	case UPROBES_LABELS:
		return bpf_map__fd(skeleton->maps.function_labels);
	case UPROBES_GOROUTINES:
		return bpf_map__fd(skeleton->maps.goroutine_frames);
	}
	return -EINVAL;
}

int uprobes_events_fd(const struct uprobes *uprobes)
{
	return ring_buffer__epoll_fd(uprobes->events);
}

bool uprobes_take_execs(struct uprobes *uprobes, uprobes_visit_exec visit,
			void *context)
{
	/* before: what cannot be told from here on is said the next time */
	const uint64_t untold = __atomic_load_n(
	    &uprobes->skeleton->bss->function_execs_untold, __ATOMIC_RELAXED);
	const bool complete = untold == uprobes->untold;

	uprobes->visit = visit;
	uprobes->visit_context = context;
	ring_buffer__consume(uprobes->events);
	uprobes->visit = NULL;
	uprobes->untold = untold;
	return complete;
}

const struct tally_function_counters *uprobes_counters(const struct uprobes *uprobes)
{
	return &uprobes->skeleton->bss->function_counters;
}

int uprobes_each_call(const struct uprobes *uprobes, uprobes_visit_call visit,
		      void *context)
{
	struct tally_function_key keys[256];
	AUTO_CLOSE int fd =
	    bpf_iter_create(bpf_link__fd(uprobes->skeleton->links.each_thread));
	ssize_t got;

	if (fd < 0)
		return fd;
	do {
		got = read(fd, keys, sizeof(keys));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(keys[0]); i++)
			visit(context, &keys[i]);
	} while (got > 0 || (got < 0 && errno == EAGAIN));
	return got < 0 ? -errno : 0;
}

void uprobes_each_program(const struct uprobes *uprobes, objects_visit_program visit,
			  void *context)
{
	objects_each_program(uprobes->skeleton->obj, visit, context);
}

uint64_t uprobes_map_bytes(const struct uprobes *uprobes)
{
	return objects_map_bytes(uprobes->skeleton->obj);
}
