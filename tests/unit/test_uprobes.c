/* SPDX-License-Identifier: Apache-2.0 */
/* libbpf and the system call are played by this file: what they are handed is checked,
 * and that all of it is given back. That it counts is the kernel layer's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uprobes.h"

#include "functions.skel.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATH "/opt/shop"
#define SEED 0x1234567890abcdefull
#define PROGRAM_FD 40
#define MAP_FD 50
#define EVENTS_FD 60
#define ITERATOR_LINK_FD 61
#define ATTACH_TYPES_ID 79
#define EVENTS 7 /* of these places */

/* --- what libbpf was asked for ------------------------------------------------ */

struct update {
	char map[32];
	unsigned char key[32], value[1024];
	size_t key_len, value_len;
	uint64_t flags;
};

struct multi {
	uint32_t program_fd, target_fd, attach_type, flags, count, multi_flags, pid;
	char path[64];
	uint64_t offsets[8], semaphores[8], cookies[8];
	int fd; /* what was handed out */
};

struct perf {
	char path[64];
	uint64_t offset, semaphore, cookie;
	int pid;
	bool trampoline;
	bool destroyed;
};

static struct {
	bool has_multi, has_sessions, knows_preemption;
	/* these fail; or the call of that number; 0: none */
	int open_err, load_err, attach_err, events_err, update_err, size_err;
	unsigned int multi_fails_at, perf_fails_at;
	struct update updates[16];
	size_t update_count;
	struct multi multis[4];
	size_t multi_count;
	struct perf perfs[8];
	size_t perf_count;
	int objects, rings, btfs; /* alive */
	bool loaded, attached;
	uint32_t rule_max, single_max, point_max, summary_max;
	uint64_t seed;
	bool can_hold, is_session; /* as the program was told */
	int attach_type;           /* of the program; 0: as it came */
	bool auto_attaches;
	unsigned int consumed;
	bool follows; /* the program of forks is loaded */
	const struct tally_function_exec *execs;
	size_t exec_count;
	ring_buffer_sample_fn sample;
	void *sample_context;
	void *bss;
	int deleted_fd, delete_err;
	int iterator_err;
	int iterator_fd;
	const char *names[16];
} fake;

/* --- the skeleton ------------------------------------------------------------- */

int bpf_object__open_skeleton(struct bpf_object_skeleton *s,
			      const struct bpf_object_open_opts *opts)
{
	assert_null(opts);
	if (fake.open_err)
		return fake.open_err;
	fake.objects++;
	for (int i = 0; i < s->map_cnt; i++) {
		fake.names[i] = s->maps[i].name;
		*s->maps[i].map = (struct bpf_map *)&fake.names[i];
		if (!s->maps[i].mmaped)
			continue;
		*s->maps[i].mmaped = calloc(1, 1 << 16);
		if (strstr(s->maps[i].name, "bss"))
			fake.bss = *s->maps[i].mmaped;
	}
	for (int i = 0; i < s->prog_cnt; i++)
		*s->progs[i].prog = (struct bpf_program *)s->progs[i].name;
	return 0;
}

int bpf_object__load_skeleton(struct bpf_object_skeleton *s)
{
	for (int i = 0; i < s->map_cnt; i++)
		if (strstr(s->maps[i].name, "rodata")) {
			const struct functions__rodata *rodata = *s->maps[i].mmaped;

			fake.seed = rodata->function_seed;
			fake.can_hold = rodata->function_can_hold;
			fake.is_session = rodata->function_has_sessions;
		}
	fake.loaded = !fake.load_err;
	return fake.load_err;
}

int bpf_object__attach_skeleton(struct bpf_object_skeleton *s)
{
	assert_true(fake.loaded);
	for (int i = 0; i < s->prog_cnt; i++)
		*s->progs[i].link = (struct bpf_link *)s->progs[i].name;
	fake.attached = !fake.attach_err;
	return fake.attach_err;
}

void bpf_object__destroy_skeleton(struct bpf_object_skeleton *s)
{
	if (!s)
		return;
	for (int i = 0; s->maps && i < s->map_cnt; i++)
		if (s->maps[i].mmaped)
			free(*s->maps[i].mmaped);
	fake.objects -= !fake.open_err;
	free(s->maps);
	free(s->progs);
	free(s);
}

static const char *map_name(const struct bpf_map *map)
{
	return *(const char *const *)map;
}

int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries)
{
	assert_false(fake.loaded);
	if (!strcmp(map_name(map), "function_rules"))
		fake.rule_max = max_entries;
	if (!strcmp(map_name(map), "function_singles"))
		fake.single_max = max_entries;
	if (!strcmp(map_name(map), "function_points"))
		fake.point_max = max_entries;
	if (!strcmp(map_name(map), "function_summaries"))
		fake.summary_max = max_entries;
	return fake.size_err;
}

int bpf_map__fd(const struct bpf_map *map)
{
	return MAP_FD + (int)((const char *const *)map - fake.names);
}

int bpf_map__update_elem(const struct bpf_map *map, const void *key, size_t key_sz,
			 const void *value, size_t value_sz, __u64 flags)
{
	struct update *update = &fake.updates[fake.update_count++];

	assert_true(fake.loaded);
	assert_true(fake.update_count <= COUNT(fake.updates));
	assert_true(key_sz <= sizeof(update->key));
	*update =
	    (struct update){.key_len = key_sz, .value_len = value_sz, .flags = flags};
	strcpy(update->map, map_name(map));
	memcpy(update->key, key, key_sz);
	memcpy(update->value, value,
	       value_sz < sizeof(update->value) ? value_sz : sizeof(update->value));
	return fake.update_err;
}

int bpf_program__set_expected_attach_type(struct bpf_program *prog,
					  enum bpf_attach_type type)
{
	assert_string_equal((const char *)prog, "function_probe");
	fake.attach_type = (int)type;
	return 0;
}

void bpf_program__set_autoattach(struct bpf_program *prog, bool autoattach)
{
	assert_string_equal((const char *)prog, "function_probe");
	fake.auto_attaches = autoattach;
}

int bpf_program__set_autoload(struct bpf_program *prog, bool autoload)
{
	assert_string_equal((const char *)prog, "function_fork");
	assert_false(fake.loaded);
	fake.follows = autoload;
	return 0;
}

int bpf_map__delete_elem(const struct bpf_map *map, const void *key, size_t key_sz,
			 __u64 flags)
{
	assert_string_equal(map_name(map), "function_members");
	assert_int_equal(key_sz, sizeof(int));
	assert_int_equal(flags, 0);
	fake.deleted_fd = *(const int *)key;
	return fake.delete_err;
}

int bpf_program__fd(const struct bpf_program *prog)
{
	assert_string_equal((const char *)prog, "function_probe");
	return PROGRAM_FD;
}

/* --- the rest of libbpf ------------------------------------------------------- */

struct btf *btf__load_vmlinux_btf(void)
{
	fake.btfs++;
	return (struct btf *)&fake;
}

__s32 btf__find_by_name_kind(const struct btf *btf, const char *type_name, __u32 kind)
{
	(void)btf;
	if (kind == BTF_KIND_FUNC) {
		assert_string_equal(type_name, "bpf_preempt_disable");
		return fake.knows_preemption ? 78 : -ENOENT;
	}
	if (kind == BTF_KIND_ENUM) {
		assert_string_equal(type_name, "bpf_attach_type");
		return ATTACH_TYPES_ID;
	}
	assert_string_equal(type_name, "bpf_uprobe_multi_link");
	assert_int_equal(kind, BTF_KIND_STRUCT);
	return fake.has_multi ? 77 : -ENOENT;
}

static const char *const attach_types[] = {
    "BPF_CGROUP_INET_INGRESS", "BPF_TRACE_UPROBE_MULTI", "BPF_TRACE_UPROBE_SESSION"};

const struct btf_type *btf__type_by_id(const struct btf *btf, __u32 type_id)
{
	static struct {
		struct btf_type type;
		struct btf_enum values[COUNT(attach_types)];
	} types;

	(void)btf;
	assert_int_equal(type_id, ATTACH_TYPES_ID);
	types.type.info =
	    BTF_KIND_ENUM << 24 | (COUNT(attach_types) - !fake.has_sessions);
	for (__u32 i = 0; i < COUNT(attach_types); i++)
		types.values[i].name_off = i;
	return &types.type;
}

const char *btf__name_by_offset(const struct btf *btf, __u32 offset)
{
	(void)btf;
	return attach_types[offset];
}

void btf__free(struct btf *btf)
{
	fake.btfs -= btf != NULL;
}

struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn sample_cb,
				     void *ctx, const struct ring_buffer_opts *opts)
{
	(void)opts;
	assert_non_null(sample_cb);
	assert_string_equal(fake.names[map_fd - MAP_FD], "function_events");
	assert_int_equal(sample_cb(ctx, NULL, 0), 0);
	fake.sample = sample_cb;
	fake.sample_context = ctx;
	errno = -fake.events_err;
	fake.rings += !fake.events_err;
	return fake.events_err ? NULL : (struct ring_buffer *)&fake;
}

void ring_buffer__free(struct ring_buffer *rb)
{
	fake.rings -= rb != NULL;
}

int ring_buffer__epoll_fd(const struct ring_buffer *rb)
{
	assert_non_null(rb);
	return EVENTS_FD;
}

int ring_buffer__consume(struct ring_buffer *rb)
{
	assert_non_null(rb);
	fake.consumed++;
	for (size_t i = 0; i < fake.exec_count; i++)
		fake.sample(fake.sample_context, (void *)(uintptr_t)&fake.execs[i],
			    sizeof(fake.execs[i]));
	return 0;
}

struct bpf_link *bpf_program__attach_uprobe_opts(const struct bpf_program *prog,
						 pid_t pid, const char *binary_path,
						 size_t func_offset,
						 const struct bpf_uprobe_opts *opts)
{
	struct perf *perf = &fake.perfs[fake.perf_count];

	assert_string_equal((const char *)prog, "function_probe");
	assert_true(opts->sz >= offsetof(struct bpf_uprobe_opts, func_name));
	assert_null(opts->func_name);
	if (fake.perf_count + 1 == fake.perf_fails_at) {
		errno = ENOENT;
		return NULL;
	}
	fake.perf_count++;
	*perf = (struct perf){
	    .offset = func_offset,
	    .semaphore = opts->ref_ctr_offset,
	    .cookie = opts->bpf_cookie,
	    .pid = pid,
	    .trampoline = opts->retprobe,
	};
	strcpy(perf->path, binary_path);
	return (struct bpf_link *)perf;
}

int bpf_link__destroy(struct bpf_link *link)
{
	struct perf *perf = (struct perf *)link;

	assert_false(perf->destroyed);
	perf->destroyed = true;
	return 0;
}

int bpf_link__fd(const struct bpf_link *link)
{
	assert_string_equal((const char *)link, "each_thread");
	return ITERATOR_LINK_FD;
}

int bpf_iter_create(int link_fd)
{
	assert_int_equal(link_fd, ITERATOR_LINK_FD);
	return fake.iterator_err ? fake.iterator_err : fake.iterator_fd;
}

/* --- the system call ---------------------------------------------------------- */

static uint64_t attribute(const unsigned char *attributes, size_t offset, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, attributes + offset, len);
	return value;
}

/* Offsets as in union bpf_attr: link_create, link_create.uprobe_multi. */
static void read_multi(const unsigned char *attributes, struct multi *multi)
{
	*multi = (struct multi){
	    .program_fd = (uint32_t)attribute(attributes, 0, 4),
	    .target_fd = (uint32_t)attribute(attributes, 4, 4),
	    .attach_type = (uint32_t)attribute(attributes, 8, 4),
	    .flags = (uint32_t)attribute(attributes, 12, 4),
	    .count = (uint32_t)attribute(attributes, 48, 4),
	    .multi_flags = (uint32_t)attribute(attributes, 52, 4),
	    .pid = (uint32_t)attribute(attributes, 56, 4),
	    .fd = -1,
	};
	assert_true(multi->count <= COUNT(multi->offsets));
	strcpy(multi->path, (const char *)(uintptr_t)attribute(attributes, 16, 8));
	for (size_t i = 0; i < 3; i++)
		memcpy((uint64_t *[]){multi->offsets, multi->semaphores,
				      multi->cookies}[i],
		       (const void *)(uintptr_t)attribute(attributes, 24 + 8 * i, 8),
		       multi->count * sizeof(uint64_t));
}

long syscall(long number, ...)
{
	struct multi *multi = &fake.multis[fake.multi_count++];
	const unsigned char *attributes;
	va_list arguments;

	assert_int_equal(number, SYS_bpf);
	assert_true(fake.multi_count <= COUNT(fake.multis));
	va_start(arguments, number);
	assert_int_equal(va_arg(arguments, int), BPF_LINK_CREATE);
	attributes = va_arg(arguments, const unsigned char *);
	assert_int_equal(va_arg(arguments, size_t), 64);
	va_end(arguments);
	read_multi(attributes, multi);
	if (fake.multi_count == fake.multi_fails_at) {
		errno = EPERM;
		return -1;
	}
	multi->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return multi->fd;
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	struct uprobes *uprobes;
	struct uprobes_link *link;
};

static int set_up(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.has_multi = true;
	fake.auto_attaches = true;
	*state = calloc(1, sizeof(struct scene));
	assert_non_null(*state);
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	uprobes_detach(&scene->link);
	assert_null(scene->link);
	uprobes_close(&scene->uprobes);
	assert_null(scene->uprobes);
	assert_int_equal(fake.objects, 0);
	assert_int_equal(fake.rings, 0);
	assert_int_equal(fake.btfs, 0);
	free(scene);
	return 0;
}

static const struct tally_function_rule rules[] = {
    {.measure = TALLY_MEASURE_LATENCY, .place = TALLY_PLACE_SUMMARY},
    {.has_labels = 1, .labels_max = 9, .place = TALLY_PLACE_ROW},
    {.has_result = 1, .place = TALLY_PLACE_SUMMARY},
    {.has_labels = 1, .has_result = 1, .place = TALLY_PLACE_ROW},
    {.place = TALLY_PLACE_SINGLE}, /* has one from the start */
};

static void open_it(struct scene *scene)
{
	char error[UPROBES_ERROR_LEN] = "";

	if (uprobes_open(rules, COUNT(rules), 7, SEED, &scene->uprobes, error))
		fail_msg("%s", error);
	assert_non_null(scene->uprobes);
}

/* Of every kind, mixed. */
static const struct uprobes_place places[] = {
    {.offset = 0x1000, .point = 0},
    {.offset = 0x1000, .point = 1, .has_return = true, .return_point = 0},
    {.offset = 0x2000, .semaphore = 0x30, .point = 2},
    {.offset = 0x3000,
     .point = 8190,
     .function = 7,
     .has_return = true,
     .return_point = 8191},
    {.offset = 0x1010, .point = 3, .function = 7},
};

/* In its upper half the function, below the return's point and 1, then its own. */
static const uint64_t cookies[] = {
    0, 0x10001, 2, 7ull << 32 | 8192 << 16 | 8190, 7ull << 32 | 3,
};

static int attach(struct scene *scene, size_t count)
{
	return uprobes_attach(scene->uprobes, PATH, places, count, &scene->link);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Anew, on a kernel that has these. */
static void open_as(struct scene *scene, bool has_multi, bool has_sessions)
{
	uprobes_close(&scene->uprobes);
	fake.has_multi = has_multi;
	fake.has_sessions = has_sessions;
	fake.loaded = false;
	fake.attach_type = 0;
	fake.update_count = 0;
	open_it(scene);
}

/* --- loading ------------------------------------------------------------------ */

static void maps_are_as_large_as_needed_and_rules_are_in_them(void **state)
{
	open_it(*state);
	assert_int_equal(fake.rule_max, COUNT(rules));
	assert_int_equal(fake.single_max, COUNT(rules));
	assert_int_equal(fake.point_max, 7);
	assert_int_equal(fake.summary_max, 0); /* as it came */
	assert_true(fake.seed == SEED);
	assert_true(fake.attached);
	assert_false(fake.auto_attaches); /* to no place yet */
	assert_int_equal(fake.multi_count + fake.perf_count, 0);
	for (uint32_t i = 0; i < COUNT(rules); i++) {
		assert_string_equal(fake.updates[i].map, "function_rules");
		assert_int_equal(fake.updates[i].key_len, sizeof(i));
		assert_memory_equal(fake.updates[i].key, &i, sizeof(i));
		assert_int_equal(fake.updates[i].value_len, sizeof(rules[i]));
		assert_memory_equal(fake.updates[i].value, &rules[i], sizeof(rules[i]));
	}
}

static void every_rule_has_a_first_row(void **state)
{
	open_it(*state);
	assert_int_equal(fake.update_count, 2 * COUNT(rules) - 1);
	for (uint32_t i = 0; i < COUNT(rules) - 1; i++) {
		const bool is_summary = rules[i].place == TALLY_PLACE_SUMMARY;
		const struct update *row = &fake.updates[COUNT(rules) + i];
		const bool has_labels = rules[i].has_labels || rules[i].has_result;
		const struct tally_function_key key = {
		    .rule = i,
		    .other_result = has_labels,
		    .arguments =
			has_labels ? TALLY_ARGUMENTS_OTHER : TALLY_ARGUMENTS_NONE,
		};
		static const unsigned char zeros[sizeof(row->value)];

		assert_string_equal(row->map, is_summary ? "function_summaries"
							 : "function_rows");
		assert_int_equal(row->key_len, sizeof(key));
		assert_memory_equal(row->key, &key, sizeof(key));
		assert_int_equal(row->value_len,
				 is_summary ? sizeof(struct tally_function_summary)
					    : sizeof(struct tally_function_row));
		assert_memory_equal(row->value, zeros, sizeof(zeros));
		assert_int_equal(row->flags, BPF_NOEXIST);
	}
}

static void the_program_is_of_the_kind_that_the_kernel_has(void **state)
{
	struct scene *scene = *state;

	open_it(scene);
	assert_int_equal(fake.attach_type, 48); /* BPF_TRACE_UPROBE_MULTI */
	assert_false(fake.is_session);
	open_as(scene, true, true);
	assert_int_equal(fake.attach_type, 57); /* BPF_TRACE_UPROBE_SESSION */
	assert_true(fake.is_session);
	/* the header of the system call has it, this kernel has no such links */
	open_as(scene, false, true);
	assert_int_equal(fake.attach_type, 0);
	assert_false(fake.is_session);
	assert_false(fake.auto_attaches);
}

/* Its call is one that other kernels do not know. */
static void preemption_is_held_off_where_the_kernel_lets_us(void **state)
{
	struct scene *scene = *state;

	open_it(scene);
	assert_false(fake.can_hold);
	uprobes_close(&scene->uprobes);
	fake.knows_preemption = true;
	fake.loaded = false;
	fake.update_count = 0;
	open_it(scene);
	assert_true(fake.can_hold);
}

static void what_cannot_be_loaded_is_given_back(void **state)
{
	int *const failures[] = {&fake.open_err,   &fake.size_err,   &fake.load_err,
				 &fake.update_err, &fake.events_err, &fake.attach_err};

	for (size_t i = 0; i < COUNT(failures); i++) {
		struct uprobes *uprobes = NULL;
		char error[UPROBES_ERROR_LEN] = "";

		tear_down(state);
		set_up(state);
		*failures[i] = -EPERM;
		assert_int_equal(
		    uprobes_open(rules, COUNT(rules), 7, SEED, &uprobes, error),
		    -EPERM);
		assert_null(uprobes);
		assert_string_equal(error,
				    "cannot load the function programs: Operation not "
				    "permitted; --verbose shows the kernel's reason");
		assert_int_equal(fake.objects, 0);
		assert_int_equal(fake.rings, 0);
	}
}

/* --- attaching ---------------------------------------------------------------- */

static void check_multi(const struct multi *multi, uint32_t attach_type,
			uint32_t multi_flags)
{
	assert_int_equal(multi->program_fd, PROGRAM_FD);
	assert_int_equal(multi->target_fd, 0);
	assert_int_equal(multi->attach_type, attach_type);
	assert_int_equal(multi->flags, 0);
	assert_int_equal(multi->pid, 0); /* every process */
	assert_int_equal(multi->multi_flags, multi_flags);
	assert_string_equal(multi->path, PATH);
}

static void check_entries(const struct multi *entries)
{
	assert_int_equal(entries->count, COUNT(places));
	for (size_t i = 0; i < COUNT(places); i++) {
		assert_int_equal(entries->offsets[i], places[i].offset);
		assert_int_equal(entries->semaphores[i], places[i].semaphore);
		assert_true(entries->cookies[i] == cookies[i]);
	}
}

/* Returns first: a call that was not seen is better than one without an end. */
static void a_file_is_a_link_of_returns_and_one_of_entries(void **state)
{
	struct scene *scene = *state;
	const struct multi *returns = &fake.multis[0], *entries = &fake.multis[1];

	open_it(scene);
	assert_int_equal(attach(scene, COUNT(places)), 0);
	assert_non_null(scene->link);
	assert_int_equal(fake.multi_count, 2);
	assert_int_equal(fake.perf_count, 0);
	check_multi(returns, 48, 1);
	assert_int_equal(returns->count, 2);
	assert_memory_equal(returns->offsets, ((uint64_t[]){0x1000, 0x3000}), 16);
	assert_memory_equal(returns->semaphores, ((uint64_t[]){0, 0}), 16);
	assert_memory_equal(returns->cookies, ((uint64_t[]){0, 7ull << 32 | 8191}), 16);
	check_multi(entries, 48, 0);
	check_entries(entries);
	assert_true(is_open(returns->fd) && is_open(entries->fd));
	uprobes_detach(&scene->link);
	assert_false(is_open(returns->fd) || is_open(entries->fd));
}

/* To wait for the kernel once, when it goes. */
static void a_file_is_one_link_where_there_are_sessions(void **state)
{
	struct scene *scene = *state;

	open_as(scene, true, true);
	assert_int_equal(attach(scene, COUNT(places)), 0);
	assert_int_equal(fake.multi_count, 1);
	assert_int_equal(fake.perf_count, 0);
	check_multi(&fake.multis[0], 57, 0);
	check_entries(&fake.multis[0]);
	assert_true(is_open(fake.multis[0].fd));
	uprobes_detach(&scene->link);
	assert_false(is_open(fake.multis[0].fd));
	fake.multi_fails_at = 2;
	assert_int_equal(attach(scene, COUNT(places)), -EPERM);
	assert_null(scene->link);
	assert_int_equal(fake.multi_count, 2);
}

static void a_link_of_nothing_is_not_made(void **state)
{
	struct scene *scene = *state;

	open_it(scene);
	assert_int_equal(attach(scene, 1), 0);
	assert_int_equal(fake.multi_count, 1);
	check_multi(&fake.multis[0], 48, 0);
	uprobes_detach(&scene->link);
	assert_false(is_open(fake.multis[0].fd));
	assert_int_equal(uprobes_attach(scene->uprobes, PATH, places, 0, &scene->link),
			 0);
	assert_int_equal(fake.multi_count, 1);
}

static void a_link_that_fails_leaves_none(void **state)
{
	struct scene *scene = *state;

	open_it(scene);
	fake.multi_fails_at = 1;
	assert_int_equal(attach(scene, COUNT(places)), -EPERM);
	assert_null(scene->link);
	assert_int_equal(fake.multi_count, 1);
	fake.multi_count = 0;
	fake.multi_fails_at = 2;
	assert_int_equal(attach(scene, COUNT(places)), -EPERM);
	assert_null(scene->link);
	assert_int_equal(fake.multi_count, 2);
	assert_false(is_open(fake.multis[0].fd));
}

static void older_kernels_have_an_event_a_place(void **state)
{
	struct scene *scene = *state;
	static const size_t returns_first[] = {1, 3, 0, 1, 2, 3, 4};

	fake.has_multi = false;
	open_it(scene);
	assert_int_equal(attach(scene, COUNT(places)), 0);
	assert_int_equal(fake.multi_count, 0);
	assert_int_equal(fake.perf_count, EVENTS);
	for (size_t i = 0; i < EVENTS; i++) {
		const size_t number = returns_first[i];
		const struct uprobes_place *place = &places[number];
		const struct perf *perf = &fake.perfs[i];
		const bool trampoline = i < 2;
		const uint64_t return_cookie =
		    (uint64_t)place->function << 32 | place->return_point;

		assert_string_equal(perf->path, PATH);
		assert_int_equal(perf->pid, -1);
		assert_int_equal(perf->offset, place->offset);
		assert_int_equal(perf->semaphore, place->semaphore);
		assert_true(perf->cookie ==
			    (trampoline ? return_cookie : cookies[number]));
		assert_int_equal(perf->trampoline, trampoline);
		assert_false(perf->destroyed);
	}
	uprobes_detach(&scene->link);
	for (size_t i = 0; i < EVENTS; i++)
		assert_true(fake.perfs[i].destroyed);
}

static void an_event_that_fails_leaves_none(void **state)
{
	struct scene *scene = *state;

	fake.has_multi = false;
	open_it(scene);
	for (unsigned int fails_at = 1; fails_at <= EVENTS; fails_at++) {
		fake.perf_count = 0;
		fake.perf_fails_at = fails_at;
		assert_int_equal(attach(scene, COUNT(places)), -ENOENT);
		assert_null(scene->link);
		assert_int_equal(fake.perf_count, fails_at - 1);
		for (size_t i = 0; i < fake.perf_count; i++)
			assert_true(fake.perfs[i].destroyed);
	}
}

static void detaching_nothing_is_fine(void **state)
{
	struct scene *scene = *state;

	uprobes_detach(&scene->link);
	uprobes_close(&scene->uprobes);
	open_it(scene);
	assert_int_equal(uprobes_attach(scene->uprobes, PATH, NULL, 0, &scene->link),
			 0);
	assert_int_equal(fake.multi_count, 0);
}

/* --- maps --------------------------------------------------------------------- */

static void expect_update(const char *map, const void *key, size_t key_len,
			  const void *value, size_t value_len)
{
	const struct update *update = &fake.updates[fake.update_count - 1];

	assert_string_equal(update->map, map);
	assert_int_equal(update->key_len, key_len);
	assert_memory_equal(update->key, key, key_len);
	assert_int_equal(update->value_len, value_len);
	assert_memory_equal(update->value, value, value_len);
	assert_int_equal(update->flags, BPF_ANY);
}

static void what_the_programs_are_told_is_in_their_maps(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_point point = {.rule = 2, .role = 1};
	const struct tally_function_enumerated number = {1, 2, -3};
	const struct tally_function_selected who = {.rule = 1, .inode = 5, .device = 6};
	const uint32_t six = 6, one = 1;
	const uint64_t none = 0; /* as the program finds it */

	open_it(scene);
	assert_int_equal(uprobes_set_point(scene->uprobes, 6, &point), 0);
	expect_update("function_points", &six, sizeof(six), &point, sizeof(point));
	assert_int_equal(uprobes_name(scene->uprobes, &number), 0);
	expect_update("function_enumerated", &number, sizeof(number), &one,
		      sizeof(one));
	assert_int_equal(uprobes_select(scene->uprobes, &who), 0);
	expect_update("function_selected", &who, sizeof(who), &none, sizeof(none));
	fake.update_err = -E2BIG;
	assert_int_equal(uprobes_set_point(scene->uprobes, 7, &point), -E2BIG);
	assert_int_equal(uprobes_name(scene->uprobes, &number), -E2BIG);
	assert_int_equal(uprobes_select(scene->uprobes, &who), -E2BIG);
}

static void maps_and_events_are_handed_out(void **state)
{
	struct scene *scene = *state;
	static const char *const names[] = {
	    [UPROBES_SINGLES] = "function_singles",
	    [UPROBES_ROWS] = "function_rows",
	    [UPROBES_SUMMARIES] = "function_summaries",
	    [UPROBES_LABELS] = "function_labels",
	    [UPROBES_GOROUTINES] = "goroutine_frames",
	};

	open_it(scene);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_string_equal(
		    fake.names[uprobes_map_fd(scene->uprobes, (enum uprobes_map)i) -
			       MAP_FD],
		    names[i]);
	assert_int_equal(uprobes_events_fd(scene->uprobes), EVENTS_FD);
	assert_int_equal(uprobes_counters(scene->uprobes)->missed[0], 0);
}

/* --- who became another program ------------------------------------------------ */

static void sum_pids(void *context, const struct tally_function_exec *exec)
{
	*(uint32_t *)context += exec->pid;
}

static void every_program_that_was_started_is_visited_once(void **state)
{
	static const struct tally_function_exec execs[] = {{.pid = 1}, {.pid = 20}};
	struct scene *scene = *state;
	uint32_t sum = 0;

	open_it(scene);
	fake.execs = execs;
	fake.exec_count = COUNT(execs);
	assert_true(uprobes_take_execs(scene->uprobes, sum_pids, &sum));
	assert_int_equal(sum, 21);
	assert_int_equal(fake.consumed, 1);
	/* not while nobody asks, and nothing shorter */
	fake.sample(fake.sample_context, (void *)(uintptr_t)execs, sizeof(execs[0]));
	assert_int_equal(sum, 21);
}

/* Wherever it is among what the programs count. */
static void set_untold(uint64_t count)
{
	struct functions__bss *bss = fake.bss;

	bss->function_execs_untold = count;
}

static void what_could_not_be_told_is_said_once(void **state)
{
	struct scene *scene = *state;
	uint32_t sum = 0;

	open_it(scene);
	set_untold(2);
	assert_false(uprobes_take_execs(scene->uprobes, sum_pids, &sum));
	assert_true(uprobes_take_execs(scene->uprobes, sum_pids, &sum));
	set_untold(3);
	assert_false(uprobes_take_execs(scene->uprobes, sum_pids, &sum));
}

static void forks_are_followed_where_a_service_is_named(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_rule selecting[] = {
	    {}, {.selects = TALLY_SELECTS_SERVICE | TALLY_SELECTS_PID}};
	char error[UPROBES_ERROR_LEN];

	open_it(scene);
	assert_false(fake.follows);
	uprobes_close(&scene->uprobes);
	fake.loaded = false;
	assert_int_equal(uprobes_open(selecting, 2, 7, SEED, &scene->uprobes, error),
			 0);
	assert_true(fake.follows);
	assert_int_equal(fake.summary_max, 1); /* there are none */
}

static void members_are_told_by_their_descriptor(void **state)
{
	const struct tally_function_member member = {.rules = {1, 2, 3}};
	struct scene *scene = *state;
	const int pidfd = 77;

	open_it(scene);
	assert_int_equal(uprobes_set_member(scene->uprobes, pidfd, &member), 0);
	expect_update("function_members", &pidfd, sizeof(pidfd), &member,
		      sizeof(member));
	assert_int_equal(uprobes_set_member(scene->uprobes, pidfd, NULL), 0);
	assert_int_equal(fake.deleted_fd, pidfd);
	fake.delete_err = -ENOENT; /* it was none */
	assert_int_equal(uprobes_set_member(scene->uprobes, pidfd, NULL), 0);
	fake.delete_err = fake.update_err = -ESRCH;
	assert_int_equal(uprobes_set_member(scene->uprobes, pidfd, NULL), -ESRCH);
	assert_int_equal(uprobes_set_member(scene->uprobes, pidfd, &member), -ESRCH);
}

/* --- calls under way ---------------------------------------------------------- */

static void count_call(void *context, const struct tally_function_key *key)
{
	uint32_t *next = context;

	assert_int_equal(key->rule, *next);
	(*next)++;
}

static void every_call_of_the_iterator_is_visited(void **state)
{
	struct scene *scene = *state;
	static const uint32_t counts[] = {0, 1, 256, 1000};

	open_it(scene);
	for (size_t i = 0; i < COUNT(counts); i++) {
		int ends[2];
		uint32_t visited = 0;

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		for (uint32_t j = 0; j < counts[i]; j++) {
			const struct tally_function_key key = {.rule = j};

			assert_int_equal(write(ends[1], &key, sizeof(key)),
					 sizeof(key));
		}
		close(ends[1]);
		fake.iterator_fd = ends[0];
		assert_int_equal(
		    uprobes_each_call(scene->uprobes, count_call, &visited), 0);
		assert_int_equal(visited, counts[i]);
		assert_false(is_open(ends[0]));
	}
}

static void an_iterator_that_fails_is_said_so(void **state)
{
	struct scene *scene = *state;
	uint32_t visited = 0;

	open_it(scene);
	fake.iterator_err = -EPERM;
	assert_int_equal(uprobes_each_call(scene->uprobes, count_call, &visited),
			 -EPERM);
	fake.iterator_err = 0;
	fake.iterator_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(uprobes_each_call(scene->uprobes, count_call, &visited),
			 -EISDIR);
	assert_int_equal(visited, 0);
}

static void descriptors_are_as_many_as_may_be(void **state)
{
	struct scene *scene = *state;
	struct rlimit original, limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &original), 0);
	for (int has_multi = 0; has_multi < 2; has_multi++) {
		fake.has_multi = has_multi;
		fake.loaded = false;
		fake.update_count = 0;
		limit = (struct rlimit){64, original.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		open_it(scene);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(limit.rlim_cur, original.rlim_max);
		uprobes_close(&scene->uprobes);
	}
	setrlimit(RLIMIT_NOFILE, &original);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(maps_are_as_large_as_needed_and_rules_are_in_them),
	    TEST(every_rule_has_a_first_row),
	    TEST(the_program_is_of_the_kind_that_the_kernel_has),
	    TEST(preemption_is_held_off_where_the_kernel_lets_us),
	    TEST(descriptors_are_as_many_as_may_be),
	    TEST(what_cannot_be_loaded_is_given_back),
	    TEST(a_file_is_a_link_of_returns_and_one_of_entries),
	    TEST(a_file_is_one_link_where_there_are_sessions),
	    TEST(a_link_of_nothing_is_not_made),
	    TEST(a_link_that_fails_leaves_none),
	    TEST(older_kernels_have_an_event_a_place),
	    TEST(an_event_that_fails_leaves_none),
	    TEST(detaching_nothing_is_fine),
	    TEST(what_the_programs_are_told_is_in_their_maps),
	    TEST(members_are_told_by_their_descriptor),
	    TEST(forks_are_followed_where_a_service_is_named),
	    TEST(what_could_not_be_told_is_said_once),
	    TEST(every_program_that_was_started_is_visited_once),
	    TEST(maps_and_events_are_handed_out),
	    TEST(every_call_of_the_iterator_is_visited),
	    TEST(an_iterator_that_fails_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
