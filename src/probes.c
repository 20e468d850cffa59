/* SPDX-License-Identifier: Apache-2.0 */
#include "probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpftally.skel.h"
#include "cleanup.h"
#include "doctor.h"
#include "drain.h"
#include "length.h"
#include "log.h"
#include "objects.h"

struct probes {
	struct bpftally *skeleton;
	enum capture capture;
	bool turns; /* functions are preempted, and their programs taken in turns */
	struct bpf_link *connections; /* the socket storage iterator */
	struct ring_buffer *events;
	void (*seen)(void *context, const struct tally_process_event *event);
	void *seen_context;
	uint64_t *missed; /* by hook, as it was said last */
};

/* libbpf explains a failure in many lines, the verifier's at their end; they are
 * for --verbose. */
static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	AUTO_FREE char *text = NULL;
	char *line, *rest;

	if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_debug("%s", line);
	return 0;
}

/* The map through which its turns call a program; NULL: it has none. */
static struct bpf_map *whole_of(const struct probes *probes, const char *program)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_whole", program);
	return bpf_object__find_map_by_name(probes->skeleton->obj, name);
}

static void choose_programs(struct probes *probes, const struct capture_facts *facts)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, probes->skeleton->obj) {
		const char *name = bpf_program__name(program);
		bool takes = capture_takes(facts, probes->capture, name);
		bool turns = takes && capture_takes_turns(facts, name);
		struct bpf_map *whole = whole_of(probes, name);

		bpf_program__set_autoload(program, takes);
		bpf_program__set_autoattach(program, !turns);
		if (whole)
			bpf_map__set_autocreate(whole, turns);
		probes->turns |= turns;
	}
}

/* What the turns of a program call. */
static int hand_to_turns(const struct probes *probes)
{
	struct bpf_program *program;
	const __u32 key = 0;

	bpf_object__for_each_program (program, probes->skeleton->obj) {
		struct bpf_map *whole = whole_of(probes, bpf_program__name(program));
		__u32 fd = (__u32)bpf_program__fd(program);
		int err;

		if (!whole || !bpf_map__autocreate(whole))
			continue;
		err =
		    bpf_map__update_elem(whole, &key, sizeof(key), &fd, sizeof(fd), 0);
		if (err)
			return err;
	}
	return 0;
}

static void warn_of_late_starts(const struct probes *probes,
				const struct capture_facts *facts)
{
	if (!capture_sees_send_begin(facts, probes->capture))
		log_warning("this kernel does not tell when a send begins (%s): client "
			    "durations start when the send is over",
			    capture_send_begin_needs(facts));
}

static void make_tables_whole(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object)
		if (bpf_map__type(map) == BPF_MAP_TYPE_HASH)
			bpf_map__set_map_flags(map, bpf_map__map_flags(map) &
							~(__u32)BPF_F_NO_PREALLOC);
}

static int configure(const struct probes *probes, const struct tally_config *config,
		     const struct capture_facts *facts)
{
	struct bpftally *skeleton = probes->skeleton;
	struct tally_config *there = (struct tally_config *)&skeleton->rodata->config;

	*there = *config;
	there->recvmsg_arguments = facts->recvmsg_arguments;
	there->preemptible = capture_is_preemptible(facts, probes->capture);
	there->late_tcp_sends = !capture_sees_send_begin(facts, probes->capture);
	there->late_unix_sends =
	    !capture_takes(facts, probes->capture, "unix_stream_sendmsg_entry");
	if (!there->preemptible && !probes->turns) /* a map has one entry at least */
		bpf_map__set_max_entries(skeleton->maps.marks, 1);
	if (capture_needs_tables_whole(facts, probes->capture))
		make_tables_whole(skeleton->obj);
	/* two rows more: what finds no room is counted under `other` */
	return bpf_map__set_max_entries(skeleton->maps.series, config->series_max + 2);
}

static struct series_map series_of(const struct bpftally *skeleton)
{
	return (struct series_map){
	    .fd = bpf_map__fd(skeleton->maps.series),
	    .seed = skeleton->rodata->config.seed,
	};
}

/* The rows that take what finds no room must be there before the map is full. */
static int make_overflow_rows(const struct bpftally *skeleton)
{
	int err = 0;

	for (int role = TALLY_ROLE_SERVER; !err && role <= TALLY_ROLE_CLIENT; role++) {
		const struct tally_series_key key = {
		    .service = TALLY_SERVICE_OTHER,
		    .route = TALLY_ROUTE_OTHER,
		    .protocol = TALLY_PROTOCOL_HTTP1,
		    .role = (__u8)role,
		};

		err = drain_make_series(series_of(skeleton), &key);
	}
	return err;
}

static int attach_iterator(struct probes *probes)
{
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, options);
	union bpf_iter_link_info info = {};

	info.map.map_fd = (__u32)bpf_map__fd(probes->skeleton->maps.conversations);
	options.link_info = &info;
	options.link_info_len = sizeof(info);
	probes->connections =
	    bpf_program__attach_iter(probes->skeleton->progs.each_connection, &options);
	return probes->connections ? 0 : -errno;
}

static int on_event(void *context, void *data, size_t size)
{
	struct probes *probes = context;

	if (size >= sizeof(struct tally_process_event) && probes->seen)
		probes->seen(probes->seen_context, data);
	return 0;
}

/* One line: what failed, and the likeliest reason by the doctor's questions. */
static int explain(char ret_error[PROBES_ERROR_LEN], const char *what, int err)
{
	char reason[PROBES_ERROR_LEN / 2];

	if (doctor_first_failure(reason, sizeof(reason)))
		snprintf(ret_error, PROBES_ERROR_LEN, "cannot %s: %s", what, reason);
	else if (err == -ENOMEM || err == -E2BIG)
		snprintf(ret_error, PROBES_ERROR_LEN,
			 "cannot %s: the kernel refused memory (%s); raise the memory "
			 "limit of this cgroup or lower --max-series",
			 what, strerrorname_np(-err));
	else
		snprintf(ret_error, PROBES_ERROR_LEN,
			 "cannot %s: %s; run 'bpftally doctor', or --verbose for "
			 "the kernel's reason",
			 what, strerror(-err));
	return err;
}

/* Which hooks; the doctor says why there are none. */
static int choose_capture(struct probes *probes, enum capture wanted,
			  const struct capture_facts *facts,
			  char ret_error[PROBES_ERROR_LEN])
{
	probes->capture = capture_choose(facts, wanted);
	if (probes->capture != CAPTURE_AUTO)
		return 0;
	if (wanted == CAPTURE_AUTO || doctor_first_failure(ret_error, PROBES_ERROR_LEN))
		return explain(ret_error, "load the kernel programs", -ENOTSUP);
	snprintf(ret_error, PROBES_ERROR_LEN,
		 "cannot capture by %s (--capture): this kernel has not what it takes; "
		 "'bpftally doctor' says what is missing",
		 capture_name(wanted));
	return -ENOTSUP;
}

static int load(struct probes *probes, const struct tally_config *config,
		enum capture wanted, char ret_error[PROBES_ERROR_LEN])
{
	struct capture_facts facts;
	int err;

	capture_ask(&facts);
	err = choose_capture(probes, wanted, &facts, ret_error);
	if (err)
		return err;
	probes->skeleton = bpftally__open();
	if (!probes->skeleton)
		return explain(ret_error, "open the kernel programs", -errno);
	choose_programs(probes, &facts);
	err = configure(probes, config, &facts);
	if (!err)
		err = bpftally__load(probes->skeleton);
	if (!err)
		err = hand_to_turns(probes);
	if (!err)
		err = make_overflow_rows(probes->skeleton);
	if (err)
		return explain(ret_error, "load the kernel programs", err);
	warn_of_late_starts(probes, &facts);
	return 0;
}

static int attach(struct probes *probes, char ret_error[PROBES_ERROR_LEN])
{
	int err;

	probes->events = ring_buffer__new(bpf_map__fd(probes->skeleton->maps.events),
					  on_event, probes, NULL);
	if (!probes->events)
		return explain(ret_error, "open the event buffer", -errno);
	/* the iterator attaches to its map by hand */
	bpf_program__set_autoattach(probes->skeleton->progs.each_connection, false);
	err = attach_iterator(probes);
	if (!err)
		err = bpftally__attach(probes->skeleton);
	if (!err) /* all are there: begin */
		__atomic_store_n(&probes->skeleton->bss->generation, 1,
				 __ATOMIC_SEQ_CST);
	return err ? explain(ret_error, "attach the kernel programs", err) : 0;
}

int probes_open(const struct tally_config *config, enum capture wanted,
		struct probes **ret_probes, char ret_error[PROBES_ERROR_LEN])
{
	struct probes *probes = calloc(1, sizeof(*probes));
	int err;

	if (probes)
		probes->missed = calloc(TALLY_HOOK_COUNT, sizeof(*probes->missed));
	if (!probes || !probes->missed) {
		free(probes);
		snprintf(ret_error, PROBES_ERROR_LEN, "out of memory");
		return -ENOMEM;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(print_libbpf);
	err = load(probes, config, wanted, ret_error);
	if (!err)
		err = attach(probes, ret_error);
	if (err) {
		probes_close(&probes);
		return err;
	}
	*ret_probes = probes;
	return 0;
}

void probes_close(struct probes **probes)
{
	if (!*probes)
		return;
	ring_buffer__free((*probes)->events);
	bpf_link__destroy((*probes)->connections);
	bpftally__destroy((*probes)->skeleton);
	free((*probes)->missed);
	free(*probes);
	*probes = NULL;
}

enum capture probes_capture(const struct probes *probes)
{
	return probes->capture;
}

int probes_map_fd(const struct probes *probes, enum probes_map map)
{
	const struct bpftally *skeleton = probes->skeleton;

	switch (map) {
	case PROBES_SERIES:
		return bpf_map__fd(skeleton->maps.series);
	case PROBES_ROUTES:
		return bpf_map__fd(skeleton->maps.routes);
	case PROBES_ADDRESSES:
		return bpf_map__fd(skeleton->maps.addresses);
	case PROBES_PROCESSES:
		return bpf_map__fd(skeleton->maps.processes);
	case PROBES_ROUTE_COUNTS:
		return bpf_map__fd(skeleton->maps.route_counts);
	case PROBES_TRAFFIC:
		return bpf_map__fd(skeleton->maps.traffic);
	}
	return -EINVAL;
}

struct series_map probes_series(const struct probes *probes)
{
	return series_of(probes->skeleton);
}

const struct tally_counters *probes_counters(const struct probes *probes)
{
	return &probes->skeleton->bss->counters;
}

static void raise_generation(struct probes *probes)
{
	__atomic_fetch_add(&probes->skeleton->bss->generation, 1, __ATOMIC_SEQ_CST);
}

static int write_process(struct probes *probes, uint32_t pid,
			 const struct tally_process *process, __u64 flags)
{
	int err = bpf_map__update_elem(probes->skeleton->maps.processes, &pid,
				       sizeof(pid), process, sizeof(*process), flags);

	raise_generation(probes);
	return err;
}

int probes_set_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process)
{
	return write_process(probes, pid, process, BPF_ANY);
}

int probes_update_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process)
{
	return write_process(probes, pid, process, BPF_EXIST);
}

int probes_add_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process)
{
	return write_process(probes, pid, process, BPF_NOEXIST);
}

/* One that the kernel makes between the two calls goes too: a stranger's, that is asked
 * for its name again. */
int probes_remove_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process)
{
	struct bpf_map *map = probes->skeleton->maps.processes;
	struct tally_process now;
	int err = bpf_map__lookup_elem(map, &pid, sizeof(pid), &now, sizeof(now), 0);

	if (!err && memcmp(&now, process, sizeof(now)) != 0)
		err = -ENOENT;
	if (!err)
		err = bpf_map__delete_elem(map, &pid, sizeof(pid), 0);
	if (!err)
		raise_generation(probes);
	return err;
}

int probes_events_fd(const struct probes *probes)
{
	return ring_buffer__epoll_fd(probes->events);
}

int probes_poll(struct probes *probes,
		void (*seen)(void *context, const struct tally_process_event *event),
		void *context)
{
	int count;

	probes->seen = seen;
	probes->seen_context = context;
	count = ring_buffer__consume(probes->events);
	probes->seen = NULL;
	return count < 0 ? count : 0;
}

/* Once around all connections. What is read are those that found no room in the map
 * of sums; so much at once as the kernel gathers (seq_file of iterators: PAGE_SIZE <<
 * 3), because each read walks its bucket from the start again. */
static int read_connections(const struct probes *probes, probes_visit_connections visit,
			    void *context)
{
	struct tally_connections_record
	    records[32768 / sizeof(struct tally_connections_record)];
	AUTO_CLOSE int fd = bpf_iter_create(bpf_link__fd(probes->connections));
	ssize_t got;

	if (fd < 0)
		return fd;
	do {
		got = read(fd, records, sizeof(records));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(records[0]); i++)
			visit(context, &records[i].key, &records[i].sum);
		/* EAGAIN: 1,000,000 connections without a record (MAX_ITER_OBJECTS
		 * of the kernel); it goes on from there */
	} while (got > 0 || (got < 0 && errno == EAGAIN));
	return got < 0 ? -errno : 0;
}

/* Emptied first too: a pass that failed left what it had. */
int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context)
{
	int map_fd = bpf_map__fd(probes->skeleton->maps.connections);
	int err = drain_take_connections(map_fd, NULL, NULL);

	if (!err)
		err = read_connections(probes, visit, context);
	if (!err)
		err = drain_take_connections(map_fd, visit, context);
	return err;
}

/* Programs that others stand in for: of a hook, one is loaded. */
static const struct {
	enum tally_hook hook;
	const char *program;
} first_programs[] = {
    {TALLY_HOOK_RECEIVED, "sock_recv_length"},
    {TALLY_HOOK_SENT, "sock_send_length"},
    {TALLY_HOOK_ARRIVED, "sk_data_ready"},
    {TALLY_HOOK_SEND_BEGINS, "tcp_sendmsg_locked"},
    {TALLY_HOOK_RECEIVED, "tcp_recvmsg_exit_1"},
    {TALLY_HOOK_SENT, "tcp_sendmsg_exit_1"},
    {TALLY_HOOK_ARRIVED, "sock_def_readable_entry_1"},
    {TALLY_HOOK_SEND_BEGINS, "tcp_sendmsg_entry_1"},
    {TALLY_HOOK_UNIX_RECEIVED, "unix_stream_recvmsg_exit_1"},
    {TALLY_HOOK_UNIX_SENT, "unix_stream_sendmsg_exit_1"},
    {TALLY_HOOK_UNIX_SEND_BEGINS, "unix_stream_sendmsg_entry_1"},
    {TALLY_HOOK_PAGE_SENT, "tcp_sendpage_exit_1"},
    {TALLY_HOOK_UNIX_PAGE_SENT, "unix_stream_sendpage_exit_1"},
};

/* Events that the first program was skipped for, and no other saw to. That count was
 * read before this one, which may be ahead: the difference shall not fall. */
static uint64_t nobody_saw(const struct probes *probes, enum tally_hook hook,
			   uint64_t skipped)
{
	uint64_t seen =
	    __atomic_load_n(&probes_counters(probes)->stood_in[hook], __ATOMIC_RELAXED);

	if (skipped > seen && skipped - seen > probes->missed[hook])
		probes->missed[hook] = skipped - seen;
	return probes->missed[hook];
}

static uint64_t count_missed(const struct probes *probes, const char *program,
			     uint64_t skipped)
{
	if (capture_is_again(program))
		return 0;
	for (size_t i = 0; i < LENGTH(first_programs); i++)
		if (!strcmp(program, first_programs[i].program))
			return nobody_saw(probes, first_programs[i].hook, skipped);
	return skipped;
}

struct program_visitor {
	const struct probes *probes;
	objects_visit_program visit;
	void *context;
};

static void visit_program(void *context, const struct objects_program *program)
{
	const struct program_visitor *visitor = context;
	struct objects_program result = *program;

	result.skipped = count_missed(visitor->probes, program->name, program->skipped);
	visitor->visit(visitor->context, &result);
}

void probes_each_program(const struct probes *probes, objects_visit_program visit,
			 void *context)
{
	struct program_visitor visitor = {probes, visit, context};

	objects_each_program(probes->skeleton->obj, visit_program, &visitor);
}

uint64_t probes_map_bytes(const struct probes *probes)
{
	return objects_map_bytes(probes->skeleton->obj);
}
