/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's maps, the targets and /proc are played by this file; what is checked
 * are the lines that a scraper would get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "documented.h"
#include "fake_bpf.h"
#include "fake_stat.h"
#include "processes.h"
#include "text.h"

#define ROWS 64u
#define BOOT_S 1700000000
#define SERVICES 4
#define PROVISIONAL (TALLY_SERVICE_PROVISIONAL | 1u)
#define WEB "service_name=\"web\",service_namespace=\"eu\""
#define DB "service_name=\"db\""
#define SELF "service_name=\"bpftally\""

struct probes {
	int unused;
};

int probes_map_fd(const struct probes *probes, enum probes_map map)
{
	(void)probes;
	return FAKE_FD + (int)map;
}

struct targets {
	struct service services[SERVICES]; /* name NULL: no such service */
	uint32_t alias;                    /* of PROVISIONAL; 0: not named */
};

const struct service *targets_service(const struct targets *targets, uint32_t id)
{
	if (id == PROVISIONAL)
		id = targets->alias;
	for (size_t i = 0; i < SERVICES; i++)
		if (id && targets->services[i].id == id && targets->services[i].name)
			return &targets->services[i];
	return NULL;
}

/* --- a scene ---------------------------------------------------------------------- */

struct scene {
	char root[FAKE_ROOT_LEN];
	struct probes probes;
	struct targets targets;
	struct processes *processes;
	struct buf text;
	struct names names;
	int64_t start_ms; /* of the first metric */
	int err;
};

static void choose(struct scene *scene, enum config_process_metrics by)
{
	processes_free(&scene->processes);
	assert_int_equal(processes_create(by, scene->root, &scene->processes), 0);
}

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_map_make(PROBES_PROCESSES, sizeof(__u32), sizeof(struct tally_process),
		      ROWS);
	fake_map_make(PROBES_TRAFFIC, sizeof(__u32), sizeof(struct tally_traffic),
		      ROWS);
	fake_proc_create(scene->root);
	fake_stat_boot(scene->root, BOOT_S);
	scene->text = (struct buf)BUF_INIT((size_t)1 << 20);
	scene->targets.services[0] =
	    (struct service){.id = 1, .name = "web", .name_space = "eu"};
	scene->targets.services[1] =
	    (struct service){.id = 2, .name = "db", .name_space = ""};
	choose(scene, CONFIG_PROCESS_METRICS_PROCESS);
	*state = scene;
	return 0;
}

static int open_summed(void **state)
{
	open_scene(state);
	choose(*state, CONFIG_PROCESS_METRICS_SERVICE);
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	processes_free(&scene->processes);
	assert_null(scene->processes);
	buf_free(&scene->text);
	fake_proc_remove(scene->root);
	fake_maps_free();
	free(scene);
	return 0;
}

/* It started that many ticks after the boot and used as many of the processor. */
static void run(struct scene *scene, uint32_t pid, uint64_t start_ticks,
		uint64_t cpu_ticks)
{
	const struct fake_stat stat = {
	    .user_ticks = cpu_ticks,
	    .threads = 2,
	    .start_ticks = start_ticks,
	    .virtual_bytes = 3000,
	    .resident_pages = 1,
	    .soft_limit = "100",
	    .open_fds = 4,
	};

	fake_stat_add(scene->root, pid, &stat);
}

static void observe(uint32_t pid, uint32_t service, uint32_t flags)
{
	struct tally_process process = {service, flags};

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + PROBES_PROCESSES, &pid, &process, 0), 0);
}

static void move_bytes(uint32_t pid, uint32_t service, uint64_t received, uint64_t sent)
{
	const struct tally_traffic traffic = {received, sent, service, 0};

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + PROBES_TRAFFIC, &pid, &traffic, 0), 0);
}

static bool has_row(uint32_t pid)
{
	struct tally_traffic traffic;

	return !bpf_map_lookup_elem(FAKE_FD + PROBES_TRAFFIC, &pid, &traffic);
}

/* The kernel forgets it before /proc does. */
static void leave(uint32_t pid)
{
	assert_int_equal(bpf_map_delete_elem(FAKE_FD + PROBES_PROCESSES, &pid), 0);
}

static void end(struct scene *scene, uint32_t pid)
{
	leave(pid);
	fake_proc_end(scene->root, pid);
}

static void collect_with(struct scene *scene, const struct probes *probes)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	snapshot.start_ms = (int64_t)BOOT_S * 1000 + 5000;
	scene->err =
	    processes_collect(scene->processes, probes, &scene->targets, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	names_of_snapshot(&scene->names, &snapshot);
	scene->start_ms = snapshot.count ? snapshot.metrics[0].start_ms : 0;
	buf_clear(&scene->text);
	text_write(&scene->text, &snapshot, TEXT_PROMETHEUS_0_0_4);
	buf_append(&scene->text, "", 1);
	assert_int_equal(scene->text.error, 0);
	snapshot_free(&snapshot);
}

static void collect(struct scene *scene)
{
	collect_with(scene, &scene->probes);
	assert_int_equal(scene->err, 0);
}

static void check_line(const struct scene *scene, const char *line)
{
	char wanted[1024];

	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	if (!strstr(scene->text.data, wanted))
		fail_msg("no line \"%s\" in\n%s", line, scene->text.data);
}

static void check_absent(const struct scene *scene, const char *text)
{
	if (strstr(scene->text.data, text))
		fail_msg("\"%s\" in\n%s", text, scene->text.data);
}

/* --- by process ------------------------------------------------------------------- */

static void a_process_has_every_metric(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	move_bytes(7, 1, 1000, 2000);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{pid=\"7\"," WEB "} 1.5");
	check_line(scene, "process_resident_memory_bytes{pid=\"7\"," WEB "} 4096");
	check_line(scene, "process_virtual_memory_bytes{pid=\"7\"," WEB "} 3000");
	check_line(scene, "process_open_fds{pid=\"7\"," WEB "} 4");
	check_line(scene, "process_max_fds{pid=\"7\"," WEB "} 100");
	check_line(scene, "process_threads{pid=\"7\"," WEB "} 2");
	check_line(scene, "process_start_time_seconds{pid=\"7\"," WEB "} 1700000002.5");
	check_line(scene,
		   "process_network_receive_bytes_total{pid=\"7\"," WEB "} 1000");
	check_line(scene,
		   "process_network_transmit_bytes_total{pid=\"7\"," WEB "} 2000");
	assert_int_equal(scene->start_ms, 1700000002500);
}

static void what_moved_nothing_says_so(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 2, 0);
	collect(scene);
	check_line(scene, "process_network_receive_bytes_total{pid=\"7\"," DB "} 0");
}

static void who_is_not_observed_is_not_shown(void **state)
{
	struct scene *scene = *state;

	for (uint32_t pid = 7; pid <= 10; pid++)
		run(scene, pid, 1, 1);
	observe(7, 1, TALLY_PROCESS_IGNORED);
	observe(8, 0, TALLY_PROCESS_PINNED | TALLY_PROCESS_UNNAMED);
	observe(9, PROVISIONAL, 0); /* 10 is nobody */
	collect(scene);
	check_absent(scene, "pid=");
	scene->targets.alias = 2;
	collect(scene);
	check_line(scene, "process_threads{pid=\"9\"," DB "} 2");
}

static void the_agent_is_a_service_too(void **state)
{
	static const enum config_process_metrics all[] = {
	    CONFIG_PROCESS_METRICS_PROCESS, CONFIG_PROCESS_METRICS_OFF};
	struct scene *scene = *state;
	char line[128];

	run(scene, (uint32_t)getpid(), 1, 300);
	run(scene, 7, 1, 1);
	observe(7, 1, 0);
	observe((uint32_t)getpid(), 1, 0); /* inherited from who started it */
	snprintf(line, sizeof(line), "process_cpu_seconds_total{pid=\"%d\"," SELF "} 3",
		 (int)getpid());
	for (size_t i = 0; i < 2; i++) {
		choose(scene, all[i]);
		assert_int_equal(processes_observes(scene->processes), i == 0);
		collect(scene);
		check_line(scene, line);
		/* it is not observed: its bytes are not counted */
		check_absent(scene, "transmit_bytes_total{pid=\"1");
	}
	check_absent(scene, WEB);
	choose(scene, CONFIG_PROCESS_METRICS_SERVICE);
	collect_with(scene, NULL);
	assert_int_equal(scene->err, 0);
	check_line(scene, "process_cpu_seconds_total{" SELF "} 3");
	check_absent(scene, "web");
}

static void another_process_of_the_same_pid_starts_from_zero(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	move_bytes(7, 1, 1000, 2000);
	collect(scene);
	run(scene, 7, 900, 1);
	move_bytes(7, 1, 1005, 2007); /* the row has both */
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{pid=\"7\"," WEB "} 0.01");
	check_line(scene, "process_network_receive_bytes_total{pid=\"7\"," WEB "} 5");
	check_line(scene, "process_network_transmit_bytes_total{pid=\"7\"," WEB "} 7");
	assert_int_equal(scene->start_ms, 1700000009000);
}

static void the_rows_of_who_ended_are_taken_out(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	run(scene, 8, 250, 150);
	observe(7, 1, 0);
	observe(8, 1, 0);
	move_bytes(7, 1, 1, 1);
	move_bytes(8, 1, 1, 1);
	move_bytes(9, 1, 1, 1); /* came and went */
	collect(scene);
	assert_true(has_row(7) && has_row(8) && !has_row(9));
	end(scene, 7);
	collect(scene);
	assert_false(has_row(7));
	assert_true(has_row(8));
	check_absent(scene, "pid=\"7\"");
}

/* Of another user's process, whose limit only a dear file tells. */
static void a_limit_is_looked_at_now_and_then(void **state)
{
	struct scene *scene = *state;
	int collections = 0;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	collect(scene);
	fake_stat_write_limits(scene->root, 7, "200");
	do {
		check_line(scene, "process_max_fds{pid=\"7\"," WEB "} 100");
		collect(scene);
		collections++;
	} while (!strstr(scene->text.data, "} 200\n"));
	check_line(scene, "process_max_fds{pid=\"7\"," WEB "} 200");
	assert_int_equal(collections, 16);
}

static void a_map_that_cannot_be_read_is_an_error(void **state)
{
	static const enum probes_map maps[] = {PROBES_PROCESSES, PROBES_TRAFFIC};
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	move_bytes(7, 1, 1, 1);
	for (size_t i = 0; i < 2; i++) {
		fake_maps[maps[i]].batch_err = -EPERM;
		collect_with(scene, &scene->probes);
		assert_int_equal(scene->err, -EPERM);
		fake_maps[maps[i]].batch_err = 0;
	}
	collect(scene);
	check_line(scene, "process_threads{pid=\"7\"," WEB "} 2");
}

static void in_a_pid_namespace_only_the_agent_is_known(void **state)
{
	struct scene *scene = *state;
	char path[FAKE_ROOT_LEN + 32];
	int fd;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	snprintf(path, sizeof(path), "%s/self", scene->root);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/ns");
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/pid");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* of some inode */
	close(fd);
	choose(scene, CONFIG_PROCESS_METRICS_PROCESS);
	assert_false(processes_observes(scene->processes));
	collect(scene);
	check_absent(scene, WEB);
}

/* --- by service --------------------------------------------------------------------
 */

static void processes_of_a_service_are_added_up(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	run(scene, 8, 200, 100);
	run(scene, 9, 300, 1);
	for (uint32_t pid = 7; pid <= 9; pid++) {
		observe(pid, pid == 9 ? 2 : 1, 0);
		move_bytes(pid, 1, 10 * pid, pid);
	}
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 2.5");
	check_line(scene, "process_resident_memory_bytes{" WEB "} 8192");
	check_line(scene, "process_virtual_memory_bytes{" WEB "} 6000");
	check_line(scene, "process_open_fds{" WEB "} 8");
	check_line(scene, "process_max_fds{" WEB "} 200");
	check_line(scene, "process_threads{" WEB "} 4");
	check_line(scene, "process_start_time_seconds{" WEB "} 1700000002");
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 150");
	check_line(scene, "process_network_transmit_bytes_total{" WEB "} 15");
	check_line(scene, "process_network_transmit_bytes_total{" DB "} 9");
	check_absent(scene, "pid=");
	assert_int_equal(scene->start_ms, 1700000003000); /* db comes first */
}

/* Its last bytes are known, as the kernel kept them; its last processor time not. */
static void a_sum_keeps_what_ended(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	run(scene, 8, 200, 100);
	observe(7, 1, 0);
	observe(8, 1, 0);
	move_bytes(7, 1, 10, 20);
	move_bytes(8, 1, 1, 2);
	collect(scene);
	move_bytes(8, 1, 5, 6);
	end(scene, 8);
	for (int i = 0; i < 3; i++) {
		collect(scene);
		check_line(scene, "process_cpu_seconds_total{" WEB "} 2.5");
		check_line(scene, "process_network_receive_bytes_total{" WEB "} 15");
		check_line(scene, "process_network_transmit_bytes_total{" WEB "} 26");
		check_line(scene, "process_threads{" WEB "} 2");
		check_line(scene, "process_start_time_seconds{" WEB "} 1700000002.5");
		assert_int_equal(scene->start_ms, 1700000002000);
	}
	move_bytes(8, 1, 100, 100); /* a socket of it that closed late */
	collect(scene);
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 115");
	assert_false(has_row(8));
}

static void without_processes_counters_stay_and_gauges_go(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	collect(scene);
	end(scene, 7);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.5");
	check_absent(scene, "process_threads{" WEB);
	check_absent(scene, "process_start_time_seconds{" WEB);
	scene->targets.services[0].name = NULL; /* after the grace period */
	collect(scene);
	check_absent(scene, WEB);
	scene->targets.services[0].name = "web";
	run(scene, 7, 900, 1);
	observe(7, 1, 0);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 0.01");
}

static void who_came_and_went_left_its_bytes(void **state)
{
	struct scene *scene = *state;

	scene->targets.alias = 1;
	move_bytes(7, 1, 10, 20);
	move_bytes(8, PROVISIONAL, 1, 2);
	move_bytes(9, 3, 100, 100); /* of no service that is known */
	collect(scene);
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 11");
	check_line(scene, "process_network_transmit_bytes_total{" WEB "} 22");
	assert_int_equal(fake_maps[PROBES_TRAFFIC].count, 0);
}

/* exec: the kernel's entry is another, or gone until it speaks again; start and work
 * are those of the process. */
static void work_for_another_service_is_not_counted_twice(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 100);
	observe(7, 1, 0);
	move_bytes(7, 1, 10, 10);
	collect(scene);
	leave(7);
	run(scene, 7, 250, 130);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.3");
	check_absent(scene, "process_threads{" WEB);
	observe(7, 2, 0);
	run(scene, 7, 250, 150);
	move_bytes(7, 2, 15, 15);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.3");
	check_line(scene, "process_cpu_seconds_total{" DB "} 0.2");
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 10");
	check_line(scene, "process_network_receive_bytes_total{" DB "} 5");
	observe(7, 1, 0); /* and back */
	run(scene, 7, 250, 190);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.3");
	check_line(scene, "process_cpu_seconds_total{" DB "} 0.6");
	run(scene, 7, 250, 200);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.4");
	check_line(scene, "process_cpu_seconds_total{" DB "} 0.6");
}

/* It could not be read this time: it is not taken for one that ended. */
static void who_cannot_be_read_keeps_its_share(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	collect(scene);
	fake_proc_end(scene->root, 7); /* the kernel has it still */
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.5");
	run(scene, 7, 250, 160);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.6");
	check_line(scene, "process_threads{" WEB "} 2");
}

static void a_pid_that_is_used_again_adds_to_the_sum(void **state)
{
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	move_bytes(7, 1, 10, 10);
	collect(scene);
	run(scene, 7, 900, 10);
	move_bytes(7, 1, 12, 13);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.6");
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 12");
	check_line(scene, "process_network_transmit_bytes_total{" WEB "} 13");
	end(scene, 7);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" WEB "} 1.6");
	check_line(scene, "process_network_receive_bytes_total{" WEB "} 12");
}

static void another_bpftally_is_in_the_sum_of_this_one(void **state)
{
	struct scene *scene = *state;

	scene->targets.services[2] =
	    (struct service){.id = 3, .name = "bpftally", .name_space = ""};
	run(scene, (uint32_t)getpid(), 10, 100);
	run(scene, 7, 5, 20);
	observe(7, 3, 0);
	move_bytes(7, 3, 1, 2);
	collect(scene);
	check_line(scene, "process_cpu_seconds_total{" SELF "} 1.2");
	check_line(scene, "process_threads{" SELF "} 4");
	check_line(scene, "process_network_receive_bytes_total{" SELF "} 1");
	assert_null(
	    strstr(strstr(scene->text.data, "seconds_total{") + 1, "seconds_total{"));
}

/* A random life: sums never fall, and are what was done for the service. */
static void no_sum_ever_falls(void **state)
{
	struct {
		uint64_t start, cpu, bytes;
		uint32_t service;
		bool alive;
	} lives[6] = {0};
	double last[3] = {0};
	struct scene *scene = *state;
	unsigned int seed = 20261129;

	print_message("seed %u\n", seed);
	for (uint64_t now = 1; now < 400; now++) {
		for (uint32_t i = 0; i < 6; i++) {
			uint32_t pid = 10 + i;

			if (lives[i].alive && rand_r(&seed) % 8 == 0) {
				lives[i].alive = false;
				end(scene, pid);
			} else if (!lives[i].alive && rand_r(&seed) % 3 == 0) {
				lives[i].alive = true;
				lives[i].start = now;
				lives[i].cpu = 0;
				lives[i].bytes = has_row(pid) ? lives[i].bytes : 0;
				lives[i].service = 1 + (uint32_t)rand_r(&seed) % 2;
			} else if (lives[i].alive && rand_r(&seed) % 10 == 0) {
				lives[i].service = 3 - lives[i].service;
			}
			if (!lives[i].alive)
				continue;
			lives[i].cpu += (uint64_t)rand_r(&seed) % 100;
			lives[i].bytes += (uint64_t)rand_r(&seed) % 100;
			run(scene, pid, lives[i].start, lives[i].cpu);
			observe(pid, lives[i].service, 0);
			move_bytes(pid, lives[i].service, lives[i].bytes, 0);
		}
		if (rand_r(&seed) % 3)
			continue;
		collect(scene);
		for (int service = 1; service <= 2; service++) {
			const char *name = service == 1 ? WEB : DB;
			char wanted[128];
			const char *at;

			snprintf(wanted, sizeof(wanted),
				 "process_network_receive_bytes_total{%s} ", name);
			at = strstr(scene->text.data, wanted);
			if (!at)
				continue;
			assert_true(strtod(at + strlen(wanted), NULL) >= last[service]);
			last[service] = strtod(at + strlen(wanted), NULL);
		}
	}
	assert_true(last[1] > 0 && last[2] > 0);
}

/* --- the document -------------------------------------------------------------------
 */

static void the_document_names_exactly_these_metrics(void **state)
{
	static struct names documented;
	struct scene *scene = *state;

	run(scene, 7, 250, 150);
	observe(7, 1, 0);
	collect(scene);
	names_read(&documented, "Processes");
	names_check_same(&documented, &scene->names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
#define SUMMED(name) cmocka_unit_test_setup_teardown(name, open_summed, close_scene)
	const struct CMUnitTest tests[] = {
	    TEST(a_process_has_every_metric),
	    TEST(what_moved_nothing_says_so),
	    TEST(who_is_not_observed_is_not_shown),
	    TEST(the_agent_is_a_service_too),
	    TEST(another_process_of_the_same_pid_starts_from_zero),
	    TEST(the_rows_of_who_ended_are_taken_out),
	    TEST(a_limit_is_looked_at_now_and_then),
	    TEST(a_map_that_cannot_be_read_is_an_error),
	    TEST(in_a_pid_namespace_only_the_agent_is_known),
	    SUMMED(processes_of_a_service_are_added_up),
	    SUMMED(a_sum_keeps_what_ended),
	    SUMMED(without_processes_counters_stay_and_gauges_go),
	    SUMMED(who_came_and_went_left_its_bytes),
	    SUMMED(work_for_another_service_is_not_counted_twice),
	    SUMMED(who_cannot_be_read_keeps_its_share),
	    SUMMED(a_pid_that_is_used_again_adds_to_the_sum),
	    SUMMED(another_bpftally_is_in_the_sum_of_this_one),
	    SUMMED(no_sum_ever_falls),
	    TEST(the_document_names_exactly_these_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
