/* SPDX-License-Identifier: Apache-2.0 */
/* The probes are played by this file, their maps by fake_bpf.h; /proc is real: the
 * process that is named is this one, or a child of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_series.h"
#include "log.h"
#include "observer.h"
#include "probes.h"
#include "targets.h"

#define PROVISIONAL (TALLY_SERVICE_PROVISIONAL | 1)
#define MANY 4096 /* processes named, after which a collection follows */

struct probes {
	struct tally_counters counters;
	struct tally_config config;
	struct tally_process_event event; /* waits while its pid is not 0 */
	unsigned int repeats;
	unsigned int connection_looks;
	int events[2];
	bool is_open;
	void (*before_add)(uint32_t pid); /* NULL: nothing happens then */
	void (*before_update)(uint32_t pid);
	int add_err;
	unsigned int adds;
};

static struct probes played;

int probes_open(const struct tally_config *config, enum capture wanted,
		struct probes **ret_probes, char ret_error[PROBES_ERROR_LEN])
{
	(void)wanted;
	(void)ret_error;
	played.config = *config;
	played.is_open = true;
	*ret_probes = &played;
	return 0;
}

void probes_close(struct probes **probes)
{
	if (*probes)
		(*probes)->is_open = false;
	*probes = NULL;
}

int probes_map_fd(const struct probes *probes, enum probes_map map)
{
	(void)probes;
	return FAKE_FD + (int)map;
}

struct series_map probes_series(const struct probes *probes)
{
	return fake_series(probes_map_fd(probes, PROBES_SERIES));
}

const struct tally_counters *probes_counters(const struct probes *probes)
{
	return &probes->counters;
}

/* Once. */
static void happen(void (**event)(uint32_t pid), uint32_t pid)
{
	void (*happens)(uint32_t pid) = *event;

	*event = NULL;
	if (happens)
		happens(pid);
}

int probes_set_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process)
{
	(void)probes;
	bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, process, 0);
	return 0;
}

int probes_update_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process)
{
	happen(&probes->before_update, pid);
	return probes_set_process(probes, pid, process);
}

int probes_add_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process)
{
	probes->adds++;
	happen(&probes->before_add, pid);
	return probes->add_err ? probes->add_err
			       : bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES,
						     &pid, process, BPF_NOEXIST);
}

int probes_remove_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process)
{
	struct tally_process now;
	int fd = probes_map_fd(probes, PROBES_PROCESSES);

	if (bpf_map_lookup_elem(fd, &pid, &now) || memcmp(&now, process, sizeof(now)))
		return -ENOENT;
	return bpf_map_delete_elem(fd, &pid);
}

int probes_events_fd(const struct probes *probes)
{
	return probes->events[0];
}

int probes_poll(struct probes *probes,
		void (*seen)(void *context, const struct tally_process_event *event),
		void *context)
{
	struct tally_process_event event = probes->event;

	probes->event.pid = 0;
	for (unsigned int i = 0; event.pid && i < probes->repeats; i++)
		seen(context, &event);
	return 0;
}

int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context)
{
	(void)visit;
	(void)context;
	((struct probes *)probes)->connection_looks++;
	return 0;
}

void probes_each_program(const struct probes *probes, objects_visit_program visit,
			 void *context)
{
	(void)probes;
	(void)visit;
	(void)context;
}

uint64_t probes_map_bytes(const struct probes *probes)
{
	(void)probes;
	return 0;
}

/* --- a scene ------------------------------------------------------------------- */

struct scene {
	struct config config;
	struct loop *loop;
	struct processes *processes;
	struct observer *observer;
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	log_set_level(LOG_LEVEL_ERROR);
	played = (struct probes){.repeats = 1};
	assert_int_equal(pipe(played.events), 0);
	fake_series_make(PROBES_SERIES, 16);
	fake_map_make(PROBES_ROUTES, sizeof(struct tally_route_key),
		      sizeof(struct tally_route), 16);
	fake_map_make(PROBES_ADDRESSES, sizeof(uint64_t), sizeof(struct tally_address),
		      16);
	fake_map_make(PROBES_PROCESSES, sizeof(uint32_t), sizeof(struct tally_process),
		      16);
	fake_map_make(PROBES_ROUTE_COUNTS, sizeof(uint32_t), sizeof(uint32_t), 16);
	scene->config =
	    (struct config){.max_series = 16, .max_routes = 16, .grace_ms = 1000};
	assert_int_equal(loop_create(&scene->loop), 0);
	assert_int_equal(
	    processes_create(CONFIG_PROCESS_METRICS_OFF, "/proc", &scene->processes),
	    0);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	observer_free(&scene->observer);
	assert_null(scene->observer);
	assert_false(played.is_open);
	processes_free(&scene->processes);
	loop_free(&scene->loop);
	close(played.events[0]);
	close(played.events[1]);
	fake_maps_free();
	free(scene);
	return 0;
}

static int create(struct scene *scene)
{
	return observer_create(scene->loop, &scene->config, scene->processes,
			       &scene->observer);
}

/* This process speaks for the first time. */
static void speak(unsigned int repeats)
{
	const uint32_t pid = (uint32_t)getpid();
	const struct tally_process process = {.service = PROVISIONAL};

	bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, &process, 0);
	played.event = (struct tally_process_event){.pid = pid, .service = PROVISIONAL};
	played.repeats = repeats;
	assert_int_equal(write(played.events[1], "x", 1), 1);
}

static void stop(void *context)
{
	loop_stop(context);
}

static void run_once(struct scene *scene)
{
	struct loop_timer *timer = NULL;

	assert_int_equal(loop_timer_create(scene->loop, stop, scene->loop, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, 20, 0), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_free(&timer);
}

struct found {
	uint32_t pid;
	char name[TARGETS_NAME_LEN];
	unsigned int count;
};

static void note(void *context, uint32_t pid, const struct service *service)
{
	struct found *found = context;

	found->pid = pid;
	found->count++;
	snprintf(found->name, sizeof(found->name), "%s", service->name);
}

/* --- facts ---------------------------------------------------------------------- */

static void a_process_that_speaks_is_named_at_once(void **state)
{
	struct scene *scene = *state;
	const uint32_t pid = (uint32_t)getpid();
	struct tally_process process;
	struct found found = {0};

	scene->config.service = (char *)"shop";
	scene->config.pids[0] = pid;
	scene->config.pid_count = 1;
	assert_int_equal(create(scene), 0);
	speak(1);
	run_once(scene);
	assert_int_equal(
	    bpf_map_lookup_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, &process), 0);
	assert_false(process.service & TALLY_SERVICE_PROVISIONAL);
	observer_each_process(scene->observer, note, &found);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.pid, pid);
	assert_string_equal(found.name, "shop");
}

static void who_asks_is_told_of_each_process_that_gets_its_name(void **state)
{
	struct scene *scene = *state;
	struct found found = {0};

	scene->config.service = (char *)"shop";
	assert_int_equal(create(scene), 0);
	observer_tell(scene->observer, note, &found);
	speak(1);
	run_once(scene);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.pid, getpid());
	assert_string_equal(found.name, "shop");
}

static void the_kernel_is_told_what_is_configured(void **state)
{
	struct scene *scene = *state;

	scene->config.ports[0] = 80;
	scene->config.port_count = 1;
	assert_int_equal(create(scene), 0);
	assert_int_equal(played.config.self_pid, getpid());
	assert_int_equal(played.config.ports[0], 80);
	assert_int_equal(played.config.port_count, 1);
	assert_int_equal(played.config.series_max, 16);
	assert_int_equal(played.config.routes_per_service, 16);
}

static void many_named_processes_bring_a_collection(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(create(scene), 0);
	speak(MANY - 1);
	run_once(scene);
	assert_int_equal(played.connection_looks, 0);
	speak(1);
	run_once(scene);
	assert_true(played.connection_looks > 0);
}

static void a_pid_that_is_not_there_ends_it(void **state)
{
	struct scene *scene = *state;

	scene->config.pids[0] = 4194304;
	scene->config.pid_count = 1;
	assert_int_equal(create(scene), -ESRCH);
	assert_null(scene->observer);
	assert_false(played.is_open);
}

static void a_request_is_seen_when_one_was_counted(void **state)
{
	struct scene *scene = *state;
	const struct tally_series_key key = {.service = 1};
	struct tally_series value = {0};

	assert_int_equal(create(scene), 0);
	fake_series_put(FAKE_FD + (int)PROBES_SERIES, &key, &value);
	assert_false(observer_saw_request(scene->observer));
	value.duration[3] = 1;
	fake_series_put(FAKE_FD + (int)PROBES_SERIES, &key, &value);
	assert_true(observer_saw_request(scene->observer));
}

static void the_subject_is_what_was_selected(void **state)
{
	struct scene *scene = *state;
	char *exes[] = {(char *)"/a", (char *)"/b"};

	assert_int_equal(create(scene), 0);
	assert_string_equal(observer_subject(scene->observer), "every process");
	observer_free(&scene->observer);
	scene->config.pids[0] = (uint32_t)getpid();
	scene->config.pid_count = 1;
	scene->config.exes.items = exes;
	scene->config.exes.count = 2;
	scene->config.ports[0] = 80;
	scene->config.port_count = 1;
	scene->config.service = (char *)"shop";
	assert_int_equal(create(scene), 0);
	{
		char expected[128];

		snprintf(expected, sizeof(expected),
			 "processes with pid %d, exe \"/a\" or \"/b\", port 80, as "
			 "service \"shop\"",
			 getpid());
		assert_string_equal(observer_subject(scene->observer), expected);
	}
}

/* --- what --exe selects and is silent --------------------------------------------- */

/* A child that runs this program; told to, it executes another. */
struct child {
	pid_t pid;
	int gate;
};

static struct child child;

static void live_as_child(int gate)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(gate, &byte, 1) == 1)
		execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	_exit(0);
}

static void start_child(void)
{
	int gate[2];

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (!child.pid) {
		close(gate[1]);
		live_as_child(gate[0]);
	}
	close(gate[0]);
	child.gate = gate[1];
}

static void end_child(void)
{
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	close(child.gate);
}

static size_t read_exe_of(pid_t pid, char ret_exe[PATH_MAX])
{
	char path[32];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	len = readlink(path, ret_exe, PATH_MAX - 1);
	ret_exe[len > 0 ? len : 0] = 0;
	return strlen(ret_exe);
}

/* Of this program, and what it shows of processes is wanted. */
static void observe_this_program(struct scene *scene, enum config_process_metrics by)
{
	static char exe[PATH_MAX];
	static char *exes[] = {exe};

	assert_true(read_exe_of(getpid(), exe) > 0);
	scene->config.exes.items = exes;
	scene->config.exes.count = 1;
	scene->config.service = (char *)"shop";
	fake_map_make(PROBES_TRAFFIC, sizeof(uint32_t), sizeof(struct tally_traffic),
		      16);
	processes_free(&scene->processes);
	assert_int_equal(processes_create(by, "/proc", &scene->processes), 0);
	assert_int_equal(create(scene), 0);
	fake_maps[PROBES_PROCESSES].count = 0; /* this process was there */
}

static void collect(struct scene *scene)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	assert_int_equal(observer_collect(scene->observer, &snapshot), 0);
	snapshot_free(&snapshot);
}

static bool has_entry(pid_t pid, struct tally_process *ret_process)
{
	uint32_t key = (uint32_t)pid;

	return !bpf_map_lookup_elem(FAKE_FD + (int)PROBES_PROCESSES, &key, ret_process);
}

static void what_exe_selects_is_entered_by_the_next_collection(void **state)
{
	struct scene *scene = *state;
	struct tally_process process;
	struct found found = {0};

	observe_this_program(scene, CONFIG_PROCESS_METRICS_SERVICE);
	observer_tell(scene->observer, note, &found);
	start_child();
	collect(scene);
	collect(scene);
	assert_true(has_entry(child.pid, &process));
	assert_int_equal(found.count, 1);
	assert_int_equal(found.pid, child.pid);
	assert_string_equal(found.name, "shop");
	assert_int_equal(played.adds, 1);
	assert_false(has_entry(getpid(), &process)); /* though it is of this program */
	end_child();
}

static void where_no_process_metrics_are_wanted_nobody_looks(void **state)
{
	struct scene *scene = *state;

	observe_this_program(scene, CONFIG_PROCESS_METRICS_OFF);
	start_child();
	collect(scene);
	assert_int_equal(played.adds, 0);
	end_child();
}

static void execute_another(uint32_t pid)
{
	char exe[PATH_MAX];

	assert_int_equal(write(child.gate, "x", 1), 1);
	do
		read_exe_of((pid_t)pid, exe);
	while (!strstr(exe, "sleep") && !strstr(exe, "coreutils") &&
	       !strstr(exe, "busybox"));
}

static void end(uint32_t pid)
{
	siginfo_t info;

	kill((pid_t)pid, SIGKILL);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

/* The kernel told of neither, as there was no entry then. */
static void entry_of_what_ends_or_changes_before_it_is_made_does_not_stay(void **state)
{
	static void (*const changes[])(uint32_t pid) = {execute_another, end};
	struct scene *scene = *state;
	struct tally_process process;
	struct found found = {0};

	observe_this_program(scene, CONFIG_PROCESS_METRICS_PROCESS);
	observer_tell(scene->observer, note, &found);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		played.before_add = changes[i];
		start_child();
		collect(scene);
		assert_int_equal(played.adds, i + 1);
		assert_false(has_entry(child.pid, &process));
		assert_int_equal(found.count, 0);
		collect(scene);
		assert_int_equal(played.adds, i + 1);
		end_child();
	}
}

static const struct tally_process unnamed = {.flags = TALLY_PROCESS_PINNED |
						      TALLY_PROCESS_UNNAMED};

/* As the kernel has what it executed. */
static void start_followed_child(struct scene *scene)
{
	uint32_t pid;

	scene->config.pids[0] = (uint32_t)getpid();
	scene->config.pid_count = 1;
	observe_this_program(scene, CONFIG_PROCESS_METRICS_PROCESS);
	start_child();
	pid = (uint32_t)child.pid;
	bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, &unnamed, BPF_ANY);
}

static void
what_a_followed_process_executed_is_named_by_the_next_collection(void **state)
{
	struct scene *scene = *state;
	struct tally_process process;
	struct found found = {0};

	start_followed_child(scene);
	observer_tell(scene->observer, note, &found);
	collect(scene);
	collect(scene);
	assert_true(has_entry(child.pid, &process));
	assert_int_equal(process.flags, TALLY_PROCESS_PINNED);
	assert_true(process.service > 0);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.pid, child.pid);
	end_child();
}

static void what_it_executes_before_the_name_is_written_has_none(void **state)
{
	struct scene *scene = *state;
	struct tally_process process;
	struct found found = {0};

	start_followed_child(scene);
	observer_tell(scene->observer, note, &found);
	played.before_update = execute_another;
	collect(scene);
	assert_true(has_entry(child.pid, &process));
	assert_memory_equal(&process, &unnamed, sizeof(unnamed));
	collect(scene); /* another program is not selected */
	assert_true(has_entry(child.pid, &process));
	assert_memory_equal(&process, &unnamed, sizeof(unnamed));
	assert_int_equal(found.count, 0);
	end_child();
}

/* The kernel gave it all that its parent had. */
static void a_child_forked_before_its_parent_was_named_is_named_as_a_whole(void **state)
{
	static const struct tally_process inherited = {
	    .service = PROVISIONAL,
	    .flags = TALLY_PROCESS_PINNED | TALLY_PROCESS_UNNAMED,
	};
	struct scene *scene = *state;
	struct tally_process process;
	uint32_t pid;

	start_followed_child(scene);
	speak(1);
	run_once(scene);
	pid = (uint32_t)child.pid;
	bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, &inherited, BPF_ANY);
	collect(scene);
	assert_true(has_entry(child.pid, &process));
	assert_false(process.service & TALLY_SERVICE_PROVISIONAL);
	assert_int_equal(process.flags, TALLY_PROCESS_PINNED);
	end_child();
}

static void name_provisionally(uint32_t pid)
{
	const struct tally_process process = {.service = PROVISIONAL};

	bpf_map_update_elem(FAKE_FD + (int)PROBES_PROCESSES, &pid, &process, BPF_ANY);
}

static void entry_that_the_kernel_makes_meanwhile_stays(void **state)
{
	struct scene *scene = *state;
	struct tally_process process;
	struct found found = {0};

	observe_this_program(scene, CONFIG_PROCESS_METRICS_PROCESS);
	observer_tell(scene->observer, note, &found);
	played.before_add = name_provisionally;
	start_child();
	collect(scene);
	assert_true(has_entry(child.pid, &process));
	assert_int_equal(process.service, PROVISIONAL);
	assert_int_equal(found.count, 0);
	end_child();
}

static void full_table_is_said_once_and_found_once_a_collection(void **state)
{
	struct scene *scene = *state;
	int fd = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
	struct child first;
	char text[1024] = "";

	observe_this_program(scene, CONFIG_PROCESS_METRICS_PROCESS);
	log_set_level(LOG_LEVEL_WARNING);
	played.add_err = -E2BIG;
	start_child();
	first = child;
	start_child();
	assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	collect(scene);
	collect(scene);
	dup2(saved, STDERR_FILENO);
	assert_int_equal(played.adds, 2);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "16384"));
	assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
	close(fd);
	close(saved);
	end_child();
	child = first;
	end_child();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_process_that_speaks_is_named_at_once),
	    TEST(who_asks_is_told_of_each_process_that_gets_its_name),
	    TEST(the_kernel_is_told_what_is_configured),
	    TEST(many_named_processes_bring_a_collection),
	    TEST(a_pid_that_is_not_there_ends_it),
	    TEST(a_request_is_seen_when_one_was_counted),
	    TEST(the_subject_is_what_was_selected),
	    TEST(what_exe_selects_is_entered_by_the_next_collection),
	    TEST(where_no_process_metrics_are_wanted_nobody_looks),
	    TEST(entry_of_what_ends_or_changes_before_it_is_made_does_not_stay),
	    TEST(what_a_followed_process_executed_is_named_by_the_next_collection),
	    TEST(what_it_executes_before_the_name_is_written_has_none),
	    TEST(a_child_forked_before_its_parent_was_named_is_named_as_a_whole),
	    TEST(entry_that_the_kernel_makes_meanwhile_stays),
	    TEST(full_table_is_said_once_and_found_once_a_collection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
