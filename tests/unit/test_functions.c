/* SPDX-License-Identifier: Apache-2.0 */
/* Files, symbols and sites are real; the programs in the kernel are played by this
 * file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "buf.h"
#include "documented.h"
#include "fake_bpf.h"
#include "fake_proc.h"
#include "functions.h"
#include "return_probes.h"
#include "text.h"
#include "uprobes.h"
#include "workshop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATH_LEN 256
#define RULES 3

/* --- the programs ------------------------------------------------------------- */

struct uprobes_link {
	char path[PATH_LEN];
	struct uprobes_place places[8];
	size_t place_count;
	bool attached;
};

static struct uprobes {
	int open_err, attach_err, point_err;
	size_t place_max; /* of one link; 0: any */
	bool is_open;
	struct tally_function_rule rules[RULES];
	uint32_t rule_count, point_max;
	struct tally_function_point points[16];
	uint32_t point_count;
	struct uprobes_link links[8];
	size_t link_count;  /* ever */
	const char *ending; /* in this /proc, process 10 ends while it is attached to */
	struct tally_function_enumerated named[8];
	size_t named_count;
	struct tally_function_selected selected[8];
	size_t selected_count;
	struct tally_function_counters counters;
	int events_fd, event_fd; /* an epoll of one */
	struct tally_function_exec execs[4];
	size_t exec_count;
	bool untold;
	uint64_t members[16]; /* by pid: bits of the rules */
} fake;

int uprobes_open(const struct tally_function_rule *rules, uint32_t rule_count,
		 uint32_t point_max, uint64_t seed, struct uprobes **ret_uprobes,
		 char ret_error[UPROBES_ERROR_LEN])
{
	(void)seed;
	assert_in_range(rule_count, 1, RULES);
	memcpy(fake.rules, rules, rule_count * sizeof(rules[0]));
	fake.rule_count = rule_count;
	fake.point_max = point_max;
	if (fake.open_err) {
		strcpy(ret_error, "the kernel says no");
		return fake.open_err;
	}
	fake.is_open = true;
	*ret_uprobes = &fake;
	return 0;
}

void uprobes_close(struct uprobes **uprobes)
{
	if (!*uprobes)
		return;
	for (size_t i = 0; i < fake.link_count; i++)
		assert_false(fake.links[i].attached);
	fake.is_open = false;
	*uprobes = NULL;
}

int uprobes_set_point(struct uprobes *uprobes, uint32_t number,
		      const struct tally_function_point *point)
{
	assert_int_equal(number, uprobes->point_count);
	if (fake.point_err)
		return fake.point_err;
	assert_true(number < COUNT(fake.points) && number < fake.point_max);
	uprobes->points[uprobes->point_count++] = *point;
	return 0;
}

int uprobes_attach(struct uprobes *uprobes, const char *path,
		   const struct uprobes_place *places, size_t count,
		   struct uprobes_link **ret_link)
{
	struct uprobes_link *link = &uprobes->links[uprobes->link_count];

	assert_in_range(count, 1, COUNT(link->places));
	for (size_t i = 0; i < count; i++)
		assert_true(places[i].point < uprobes->point_count &&
			    places[i].return_point < uprobes->point_count);
	if (fake.attach_err)
		return fake.attach_err;
	if (fake.ending) {
		if (!access(path, F_OK))
			fake_proc_end(fake.ending, 10);
		return -ENOENT;
	}
	if (fake.place_max && count > fake.place_max)
		return -E2BIG;
	uprobes->link_count++;
	assert_true(uprobes->link_count <= COUNT(fake.links));
	*link = (struct uprobes_link){.place_count = count, .attached = true};
	strcpy(link->path, path);
	memcpy(link->places, places, count * sizeof(places[0]));
	*ret_link = link;
	return 0;
}

void uprobes_detach(struct uprobes_link **link)
{
	if (!*link)
		return;
	assert_true((*link)->attached && fake.is_open);
	(*link)->attached = false;
	*link = NULL;
}

void uprobes_each_program(const struct uprobes *uprobes, objects_visit_program visit,
			  void *context)
{
	const struct objects_program program = {.name = "function_probe"};

	assert_ptr_equal(uprobes, &fake);
	visit(context, &program);
}

uint64_t uprobes_map_bytes(const struct uprobes *uprobes)
{
	assert_ptr_equal(uprobes, &fake);
	return 4096;
}

int uprobes_name(struct uprobes *uprobes,
		 const struct tally_function_enumerated *number)
{
	assert_true(uprobes->named_count < COUNT(fake.named));
	uprobes->named[uprobes->named_count++] = *number;
	return 0;
}

int uprobes_select(struct uprobes *uprobes, const struct tally_function_selected *who)
{
	assert_true(uprobes->selected_count < COUNT(fake.selected));
	uprobes->selected[uprobes->selected_count++] = *who;
	return 0;
}

int uprobes_map_fd(const struct uprobes *uprobes, enum uprobes_map map)
{
	(void)uprobes;
	return FAKE_FD + (int)map;
}

const struct tally_function_counters *uprobes_counters(const struct uprobes *uprobes)
{
	return &uprobes->counters;
}

int uprobes_events_fd(const struct uprobes *uprobes)
{
	return uprobes->events_fd;
}

bool uprobes_take_execs(struct uprobes *uprobes, uprobes_visit_exec visit,
			void *context)
{
	eventfd_t value;
	const bool complete = !uprobes->untold;

	eventfd_read(uprobes->event_fd, &value);
	for (size_t i = 0; i < uprobes->exec_count; i++)
		visit(context, &uprobes->execs[i]);
	uprobes->exec_count = 0;
	uprobes->untold = false;
	return complete;
}

/* The process is known by what it was opened as. */
int uprobes_set_member(struct uprobes *uprobes, int pidfd,
		       const struct tally_function_member *member)
{
	struct stat status;

	assert_int_equal(fstat(pidfd, &status), 0);
	assert_true(status.st_size < (off_t)COUNT(uprobes->members));
	uprobes->members[status.st_size] = member ? member->rules[0] : 0;
	return 0;
}

/* Wins over the C library's: processes are of the fake /proc. */
int pidfd_open(pid_t pid, unsigned int flags)
{
	int fd = memfd_create("pid", MFD_CLOEXEC);

	assert_int_equal(flags, 0);
	assert_int_equal(ftruncate(fd, pid), 0);
	return fd;
}

int uprobes_each_call(const struct uprobes *uprobes, uprobes_visit_call visit,
		      void *context)
{
	(void)uprobes;
	(void)visit;
	(void)context;
	return 0;
}

/* --- the kernel's return probes ----------------------------------------------- */

static const char *danger;

const char *return_probes_danger_here(void)
{
	return danger;
}

/* --- a scene ------------------------------------------------------------------ */

struct scene {
	char workshop[WORKSHOP_LEN];
	char proc[FAKE_ROOT_LEN];
	struct config config;
	struct config_function rules[RULES];
	char *exes[RULES], *libs[RULES];
	char names[2 * RULES][PATH_LEN];
	size_t name_count;
	struct functions *functions;
	char log[8192]; /* of the last call */
};

/* Of one function each, at a place that the next line tells apart. */
static const char source[] =
    "#define FUNCTION(name) .globl name; .type name, @function; \\\n"
    "	name: push %rbx; pop %rbx; ret; .size name, 3\n"
    "FUNCTION(FIRST)\n"
    "FUNCTION(_start)\n"
    ".section .note.GNU-stack,\"\",@progbits\n";

static char master[WORKSHOP_LEN];

static int build(void **state)
{
	(void)state;
	workshop_open(master);
	workshop_source(master, "shop.S", source);
	workshop_run(master, "cc -nostdlib -static -DFIRST=checkout -o shop shop.S");
	workshop_run(master, "cc -nostdlib -static -DFIRST=pay -o other shop.S");
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	workshop_close(master);
	return 0;
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct epoll_event event = {.events = EPOLLIN};
	char command[PATH_LEN];

	assert_non_null(scene);
	danger = NULL;
	workshop_open(scene->workshop);
	snprintf(command, sizeof(command), "cp %s/shop %s/other .", master, master);
	workshop_run(scene->workshop, command);
	fake_proc_create(scene->proc);
	fake = (struct uprobes){
	    .events_fd = epoll_create1(EPOLL_CLOEXEC),
	    .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	assert_int_equal(
	    epoll_ctl(fake.events_fd, EPOLL_CTL_ADD, fake.event_fd, &event), 0);
	fake_map_make(UPROBES_SINGLES, sizeof(uint32_t),
		      sizeof(struct tally_function_row), 8);
	fake_map_make(UPROBES_SUMMARIES, sizeof(struct tally_function_key),
		      sizeof(struct tally_function_summary), 8);
	fake_map_make(UPROBES_ROWS, sizeof(struct tally_function_key),
		      sizeof(struct tally_function_row), 8);
	fake_map_make(UPROBES_LABELS, sizeof(struct tally_function_labels_key),
		      sizeof(struct tally_function_labels), 8);
	fake_map_make(UPROBES_GOROUTINES, sizeof(struct tally_goroutine_key),
		      sizeof(struct tally_function_frame), 8);
	scene->config.functions = scene->rules;
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	functions_free(&scene->functions);
	assert_null(scene->functions);
	assert_false(fake.is_open);
	fake_maps_free();
	close(fake.events_fd);
	close(fake.event_fd);
	fake_proc_remove(scene->proc);
	workshop_close(scene->workshop);
	free(scene);
	return 0;
}

/* "@/x" is x of the workshop. */
static char *full_path(struct scene *scene, const char *name)
{
	char *path = scene->names[scene->name_count++];

	snprintf(path, PATH_LEN, "%s%s", *name == '@' ? scene->workshop : "",
		 name + (*name == '@'));
	return path;
}

/* Counts the calls of a function. */
static struct config_function *add_rule(struct scene *scene, const char *metric,
					const char *exe, const char *function)
{
	size_t i = scene->config.function_count++;
	struct config_function *rule = &scene->rules[i];

	assert_true(i < RULES);
	scene->exes[i] = full_path(scene, exe);
	*rule = (struct config_function){
	    .where = (char *)"f:1",
	    .metric = (char *)metric,
	    .type = CONFIG_COUNTER,
	    .value = CONFIG_VALUE_COUNT,
	    .function = (char *)function,
	    .exes = {&scene->exes[i], 1},
	};
	return rule;
}

static int log_begin(int *ret_saved)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	*ret_saved = dup(STDERR_FILENO);
	assert_true(fd >= 0 && *ret_saved >= 0);
	dup2(fd, STDERR_FILENO);
	return fd;
}

static void log_end(struct scene *scene, int fd, int saved)
{
	ssize_t len = pread(fd, scene->log, sizeof(scene->log) - 1, 0);

	scene->log[len > 0 ? len : 0] = 0;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
}

static void create(struct scene *scene)
{
	char error[FUNCTIONS_ERROR_LEN] = "";
	int saved, fd = log_begin(&saved);
	int err =
	    functions_create(&scene->config, scene->proc, &scene->functions, error);

	log_end(scene, fd, saved);
	if (err)
		fail_msg("%d, %s\n%s", err, error, scene->log);
	assert_non_null(scene->functions);
}

static void look(struct scene *scene)
{
	int saved, fd = log_begin(&saved);

	functions_look(scene->functions);
	log_end(scene, fd, saved);
}

/* "@" is the workshop. */
static void expect_logged(struct scene *scene, const char *text)
{
	char wanted[1024];
	const char *at = strchr(text, '@');

	if (at)
		snprintf(wanted, sizeof(wanted), "%.*s%s%s", (int)(at - text), text,
			 scene->workshop, at + 1);
	else
		snprintf(wanted, sizeof(wanted), "%s", text);
	if (!strstr(scene->log, wanted))
		fail_msg("no \"%s\" in\n%s", wanted, scene->log);
}

static size_t attached(void)
{
	size_t count = 0;

	for (size_t i = 0; i < fake.link_count; i++)
		count += fake.links[i].attached;
	return count;
}

static void expect_link(const struct scene *scene, size_t i, const char *name)
{
	char path[PATH_LEN];

	assert_true(i < fake.link_count);
	snprintf(path, sizeof(path), "%s%s", *name == '@' ? scene->workshop : "",
		 name + (*name == '@'));
	assert_string_equal(fake.links[i].path, path);
}

static void start(struct scene *scene, uint32_t pid, const char *exe)
{
	char target[PATH_LEN];
	const struct fake_process process = {.exe = target};

	snprintf(target, sizeof(target), "%s/%s", scene->workshop, exe);
	fake_proc_add(scene->proc, pid, &process);
}

/* Who writes to a file with probes waits until its lease is given back. */
static void write_while_looked_after(struct scene *scene, const char *command)
{
	int pid = fork(), status;
	bool program;

	assert_true(pid >= 0);
	if (!pid) {
		workshop_run(scene->workshop, command);
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG))
		functions_news(scene->functions, &program);
	assert_int_equal(status, 0);
}

static bool is_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	return poll(&wait, 1, 0) == 1;
}

/* --- attaching ---------------------------------------------------------------- */

static void a_rule_is_attached_where_its_function_is(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop_seconds", "@/shop", "checkout")->value =
	    CONFIG_VALUE_LATENCY;
	create(scene);
	assert_int_equal(fake.rule_count, 1);
	assert_int_equal(fake.rules[0].measure, TALLY_MEASURE_LATENCY);
	assert_int_equal(fake.rules[0].selects, 0);
	assert_int_equal(fake.link_count, 1);
	expect_link(scene, 0, "@/shop");
	assert_int_equal(fake.links[0].place_count, 1);
	assert_true(fake.links[0].places[0].has_return);
	assert_int_equal(fake.links[0].places[0].point, 0);
	assert_int_equal(fake.links[0].places[0].return_point, 1);
	assert_int_equal(fake.point_count, 2);
	assert_int_equal(fake.points[0].role, TALLY_POINT_ENTRY);
	assert_int_equal(fake.points[1].role, TALLY_POINT_TRAMPOLINE);
	expect_logged(scene, "metric \"shop_seconds\": 1 function of @/shop, 0 of them "
			     "single-stepped");
	functions_free(&scene->functions);
	assert_int_equal(attached(), 0);
}

static void where_return_probes_do_harm_there_is_none(void **state)
{
	struct scene *scene = *state;

	danger = "return probes do harm";
	add_rule(scene, "shop_seconds", "@/shop", "checkout")->value =
	    CONFIG_VALUE_LATENCY;
	create(scene);
	expect_logged(scene, "return probes do harm: none are used");
	assert_int_equal(fake.links[0].place_count, 2);
	assert_false(fake.links[0].places[0].has_return);
	assert_false(fake.links[0].places[1].has_return);
	assert_int_equal(fake.points[1].role, TALLY_POINT_LEAVING);
}

static void a_rule_that_fails_stops_no_other(void **state)
{
	static const struct {
		const char *exe, *function, *log;
	} cases[] = {
	    {"@/shop", "chekout",
	     "f:1: metric \"bad\": @/shop: has no function \"chekout\"; the nearest is "
	     "\"checkout\""},
	    {"@/text", "checkout",
	     "f:1: metric \"bad\": \"@/text\" is not an ELF file"},
	    {"@/nothing", "checkout",
	     "f:1: metric \"bad\": no such file yet, waiting for one"},
	    {"nothing", "checkout",
	     "f:1: metric \"bad\": no such file yet, waiting for one"},
	};
	struct scene *scene = *state;

	workshop_source(scene->workshop, "text", "no program");
	for (size_t i = 0; i < COUNT(cases); i++) {
		scene->config.function_count = scene->name_count = 0;
		add_rule(scene, "bad", cases[i].exe, cases[i].function);
		add_rule(scene, "good", "@/shop", "checkout");
		fake.link_count = fake.point_count = 0;
		create(scene);
		expect_logged(scene, cases[i].log);
		assert_int_equal(attached(), 1);
		assert_int_equal(fake.links[0].places[0].point, 0);
		assert_int_equal(fake.points[0].rule, 1);
		functions_free(&scene->functions);
	}
}

static void rules_of_the_same_files_share_a_link(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "pay", "@/other", "pay");
	add_rule(scene, "begin", "@/shop", "_start");
	create(scene);
	assert_int_equal(fake.link_count, 2);
	expect_link(scene, 0, "@/shop");
	assert_int_equal(fake.links[0].place_count, 2);
	assert_int_equal(fake.points[fake.links[0].places[0].point].rule, 0);
	assert_int_equal(fake.points[fake.links[0].places[1].point].rule, 2);
	expect_link(scene, 1, "@/other");
	assert_int_equal(fake.links[1].place_count, 1);
	workshop_run(scene->workshop, "touch -d @1 shop");
	look(scene);
	assert_int_equal(fake.link_count, 3);
	assert_false(fake.links[0].attached);
	assert_int_equal(fake.links[2].place_count, 2);
}

static void a_link_that_cannot_be_shared_is_one_for_each(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "all", "@/shop", "*");
	add_rule(scene, "begin", "@/shop", "_start");
	fake.place_max = 1;
	create(scene);
	expect_logged(scene, "f:1: metric \"all\": cannot attach to @/shop: Argument "
			     "list too long");
	assert_int_equal(fake.link_count, 2);
	assert_int_equal(attached(), 2);
	assert_int_equal(fake.points[fake.links[0].places[0].point].rule, 0);
	assert_int_equal(fake.points[fake.links[1].places[0].point].rule, 2);
	functions_free(&scene->functions);
	assert_int_equal(attached(), 0);
}

static void what_the_kernel_refuses_is_said_and_not_tried_again(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	fake.attach_err = -EBUSY;
	create(scene);
	expect_logged(scene, "f:1: metric \"shop\": cannot attach to @/shop: Device or "
			     "resource busy");
	fake.attach_err = 0;
	look(scene);
	assert_string_equal(scene->log, "");
	assert_int_equal(fake.link_count, 0);
}

static void a_point_that_was_not_told_is_told_again(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	fake.point_err = -ENOMEM;
	create(scene);
	expect_logged(scene, "cannot attach to @/shop: Cannot allocate memory");
	fake.point_err = 0;
	workshop_run(scene->workshop, "touch -d @1 shop");
	look(scene);
	assert_int_equal(fake.point_count, 1);
	assert_int_equal(attached(), 1);
}

static void a_file_is_tried_once_until_it_changes(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "bad", "@/shop", "pay");
	create(scene);
	assert_int_equal(fake.link_count, 1);
	look(scene);
	assert_string_equal(scene->log, "");
	assert_int_equal(fake.link_count, 1);
	/* in place: of the old probes none stays, and what failed may be there now */
	write_while_looked_after(scene, "cat other > shop && touch -d @1 shop");
	look(scene);
	assert_int_equal(fake.link_count, 2);
	assert_false(fake.links[0].attached);
	assert_true(fake.links[1].attached);
	expect_logged(scene, "metric \"bad\": 1 function of @/shop");
	expect_logged(scene, "f:1: metric \"shop\": @/shop: has no function");
	look(scene);
	assert_string_equal(scene->log, "");
	/* its time alone */
	workshop_run(scene->workshop, "touch -d @2 shop");
	look(scene);
	assert_int_equal(fake.link_count, 3);
	assert_int_equal(attached(), 1);
}

static void a_file_that_comes_is_attached_to(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/new*", "checkout");
	create(scene);
	assert_int_equal(fake.link_count, 0);
	workshop_run(scene->workshop, "cp shop new.1");
	look(scene);
	assert_int_equal(fake.link_count, 1);
	workshop_run(scene->workshop, "cp shop new.2; ln new.2 new.3");
	look(scene);
	assert_int_equal(fake.link_count, 2);
	expect_link(scene, 0, "@/new.1");
	assert_int_equal(attached(), 2);
	assert_int_equal(fake.point_count, 1);
}

static void a_file_of_several_processes_is_attached_to_once(void **state)
{
	struct scene *scene = *state;
	char path[PATH_LEN];

	add_rule(scene, "shop", "shop", "checkout");
	create(scene);
	start(scene, 10, "shop");
	look(scene);
	start(scene, 11, "shop");
	start(scene, 12, "other");
	look(scene);
	assert_int_equal(fake.link_count, 1);
	snprintf(path, sizeof(path), "%s/10/exe", scene->proc);
	expect_link(scene, 0, path);
}

/* A link holds its file, and its blocks on the disk, whatever becomes of the name. */
static void a_file_that_is_no_more_is_let_go(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "shop", "shop", "_start");
	start(scene, 10, "shop");
	create(scene);
	assert_int_equal(attached(), 2);
	workshop_run(scene->workshop, "cp shop new; mv new shop");
	look(scene);
	assert_int_equal(fake.link_count, 4);
	assert_int_equal(attached(), 2);
	assert_false(fake.links[0].attached || fake.links[1].attached);
	workshop_run(scene->workshop, "rm shop");
	look(scene);
	assert_int_equal(attached(), 0);
}

/* So that a program that is started again is probed before its first call. */
static void a_file_that_nobody_runs_is_kept(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "shop", "checkout");
	start(scene, 10, "shop");
	create(scene);
	fake_proc_end(scene->proc, 10);
	look(scene);
	look(scene);
	assert_int_equal(attached(), 1);
	start(scene, 11, "shop");
	look(scene);
	assert_int_equal(fake.link_count, 1);
	workshop_run(scene->workshop, "rm shop");
	fake_proc_end(scene->proc, 11);
	look(scene);
	assert_int_equal(attached(), 0);
}

static void a_file_whose_process_ended_too_soon_is_tried_again(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "shop", "checkout");
	start(scene, 10, "shop");
	fake.ending = scene->proc;
	create(scene);
	assert_int_equal(attached(), 0);
	fake.ending = NULL;
	look(scene);
	start(scene, 11, "shop");
	look(scene);
	assert_int_equal(attached(), 1);
}

/* --- what the programs are told ----------------------------------------------- */

static void pids_and_enumerations_are_told(void **state)
{
	struct scene *scene = *state;
	struct config_label_value values[] = {{4, (char *)"a"}, {5, (char *)"b"}};
	struct config_function_label label = {
	    .name = (char *)"n",
	    .operand = {.argument = 1},
	    .values = values,
	    .value_count = 2,
	};
	struct config_function *rule;

	add_rule(scene, "shop", "@/shop", "checkout");
	rule = add_rule(scene, "more", "@/shop", "checkout");
	rule->labels = &label;
	rule->label_count = 1;
	rule->pids[0] = 10;
	rule->pids[1] = 11;
	rule->pid_count = 2;
	start(scene, 11, "shop");
	create(scene);
	assert_int_equal(fake.rules[0].selects, 0);
	assert_int_equal(fake.rules[1].selects, TALLY_SELECTS_PID);
	assert_int_equal(fake.selected_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fake.selected[i].rule, 1);
		assert_int_equal(fake.selected[i].pid, 10 + i);
		assert_int_equal(fake.selected[i].inode, 0);
		assert_int_equal(fake.named[i].rule, 1);
		assert_int_equal(fake.named[i].label, 0);
		assert_int_equal(fake.named[i].number, 4 + i);
	}
	assert_int_equal(fake.named_count, 2);
	assert_int_equal(attached(), 2);
}

static void of_a_library_the_programs_are_selected(void **state)
{
	struct scene *scene = *state;
	struct config_function *rule = add_rule(scene, "shop", "@/shop", "pay");
	struct stat status;
	char path[PATH_LEN];

	scene->libs[0] = full_path(scene, "@/other");
	rule->libs = (struct config_strings){&scene->libs[0], 1};
	create(scene);
	assert_int_equal(fake.rules[0].selects, TALLY_SELECTS_EXE);
	assert_int_equal(fake.link_count, 1);
	expect_link(scene, 0, "@/other");
	snprintf(path, sizeof(path), "%s/shop", scene->workshop);
	assert_int_equal(stat(path, &status), 0);
	assert_in_range(fake.selected_count, 1, 2);
	assert_int_equal(fake.selected[fake.selected_count - 1].inode, status.st_ino);
	assert_int_equal(fake.selected[0].pid, 0);
}

static void programs_that_cannot_be_loaded_are_an_error(void **state)
{
	struct scene *scene = *state;
	char error[FUNCTIONS_ERROR_LEN];

	add_rule(scene, "shop", "@/shop", "checkout");
	fake.open_err = -EPERM;
	assert_int_equal(
	    functions_create(&scene->config, scene->proc, &scene->functions, error),
	    -EPERM);
	assert_null(scene->functions);
	assert_string_equal(error, "the kernel says no");
	assert_int_equal(fake.link_count, 0);
}

/* --- judging without attaching ------------------------------------------------ */

static bool check(struct scene *scene)
{
	int saved, fd = log_begin(&saved);
	bool good = functions_check(&scene->config, scene->proc);

	log_end(scene, fd, saved);
	assert_false(fake.is_open);
	assert_int_equal(fake.link_count, 0);
	return good;
}

static void a_check_says_what_each_rule_finds(void **state)
{
	static const struct {
		const char *exe, *function, *log;
		bool good;
	} cases[] = {
	    {"@/shop", "checkout",
	     "bpftally: info: f:1: metric \"shop\": 1 function of @/shop, 0 of them "
	     "single-stepped\n",
	     true},
	    {"@/shop", "*",
	     "bpftally: info: f:1: metric \"shop\": 2 functions of @/shop, 0 of them "
	     "single-stepped\n",
	     true},
	    {"@/shop", "chekout",
	     "bpftally: error: f:1: metric \"shop\": @/shop: has no function "
	     "\"chekout\"; the nearest is \"checkout\"\n",
	     false},
	    {"@/nothing", "checkout",
	     "bpftally: error: f:1: metric \"shop\": there is no such file\n", false},
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		scene->config.function_count = scene->name_count = 0;
		add_rule(scene, "shop", cases[i].exe, cases[i].function);
		assert_int_equal(check(scene), cases[i].good);
		expect_logged(scene, cases[i].log);
	}
}

static void a_check_goes_on_behind_what_is_bad(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "bad", "@/nothing", "checkout");
	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "bad", "@/[so][ht]*", "checkout"); /* in one of the two */
	assert_false(check(scene));
	expect_logged(scene, "metric \"bad\": there is no such file");
	expect_logged(scene, "metric \"shop\": 1 function of @/shop");
	expect_logged(scene, "metric \"bad\": 1 function of @/shop");
	expect_logged(scene, "metric \"bad\": @/other: has no function");
}

/* --- news --------------------------------------------------------------------- */

static bool has_news(struct scene *scene, bool program)
{
	bool started = !program;
	bool news = functions_news(scene->functions, &started);

	assert_int_equal(started, program);
	assert_false(is_readable(functions_fd(scene->functions)));
	return news;
}

static void files_that_a_rule_names_are_news(void **state)
{
	static const struct {
		const char *command;
		bool is_news;
	} cases[] = {
	    {"cp other new.1", true},
	    {"ln -s other new.2", true},
	    {"mv new.1 new.3", true},
	    {"echo x >> new.3", true},
	    {"echo x > else", false},
	    {"mv new.3 old", false},
	    {"mkdir new.dir", true},
	    {"echo x >> old", false},
	    {"mkdir -p new.dir && echo x > new.dir/new.4", false},
	};
	struct scene *scene = *state;

	add_rule(scene, "shop", "@/new.*", "checkout");
	add_rule(scene, "bare", "else", "checkout");
	create(scene);
	assert_false(has_news(scene, false));
	for (size_t i = 0; i < COUNT(cases); i++) {
		workshop_run(scene->workshop, cases[i].command);
		if (has_news(scene, false) != cases[i].is_news)
			fail_msg("%s", cases[i].command);
	}
}

/* Whether the one inotify of this process watches the directory. */
static bool is_watched(const char *directory)
{
	char path[PATH_LEN], wanted[64], command[512];
	struct stat status;

	assert_int_equal(stat(directory, &status), 0);
	snprintf(wanted, sizeof(wanted), "ino:%lx ", (unsigned long)status.st_ino);
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/*", getpid());
	snprintf(command, sizeof(command), "grep -qs 'inotify .*%s' %s", wanted, path);
	return system(command) == 0;
}

static void libraries_are_news_by_their_soname(void **state)
{
	static const struct {
		const char *command;
		bool is_news;
	} cases[] = {
	    {"cp other libnews.so.5.16", true},
	    {"ln -s libnews.so.5.16 libnews.so.5", true},
	    {"cp other libnews.so.50", false},
	};
	struct scene *scene = *state;
	struct config_function *rule = add_rule(scene, "news", "@/absent", "checkout");

	scene->libs[0] = (char *)"libnews.so.5";
	rule->libs = (struct config_strings){&scene->libs[0], 1};
	create(scene);
	assert_true(is_watched("/usr/lib"));
	has_news(scene, false);
	for (size_t i = 0; i < COUNT(cases); i++) {
		workshop_run(scene->workshop, cases[i].command);
		if (has_news(scene, false) != cases[i].is_news)
			fail_msg("%s", cases[i].command);
	}
}

static void put_exec(uint32_t pid, bool is_new)
{
	fake.execs[fake.exec_count++] =
	    (struct tally_function_exec){.pid = pid, .is_new = is_new};
	assert_int_equal(eventfd_write(fake.event_fd, 1), 0);
}

static void programs_that_are_started_are_news(void **state)
{
	struct scene *scene = *state;

	add_rule(scene, "shop", "shop", "checkout");
	create(scene);
	assert_false(is_readable(functions_fd(scene->functions)));
	put_exec(10, true);
	assert_true(is_readable(functions_fd(scene->functions)));
	assert_true(has_news(scene, true));
	assert_false(has_news(scene, false));
	put_exec(10, false);
	assert_false(has_news(scene, false));
	fake.untold = true;
	assert_true(has_news(scene, true));
}

/* --- services ----------------------------------------------------------------- */

static void start_named(struct scene *scene, uint32_t pid, const char *exe,
			const char *name)
{
	char target[PATH_LEN], environment[PATH_LEN];
	const struct fake_process process = {.exe = target, .environ = environment};

	snprintf(target, sizeof(target), "%s/%s", scene->workshop, exe);
	snprintf(environment, sizeof(environment), "OTEL_SERVICE_NAME=%s", name);
	fake_proc_add(scene->proc, pid, &process);
}

static void add_service(struct scene *scene, const char *function, const char *exe,
			char **name)
{
	struct config_function *rule = add_rule(scene, "shop", exe, function);

	if (!strcmp(exe, "any"))
		rule->exes.count = 0;
	rule->services = (struct config_strings){name, 1};
}

static void of_a_service_what_its_processes_run_is_probed(void **state)
{
	char *name = (char *)"shop-*", *other = (char *)"pay";
	struct scene *scene = *state;
	char path[PATH_LEN];

	add_service(scene, "checkout", "any", &name);
	add_service(scene, "_start", "any", &other);
	add_rule(scene, "all", "@/other", "_start");
	start_named(scene, 10, "shop", "shop-eu");
	start_named(scene, 11, "other", "else");
	start_named(scene, 12, "shop", "shop-us");
	create(scene);
	assert_int_equal(fake.rules[0].selects, TALLY_SELECTS_SERVICE);
	assert_int_equal(fake.rules[2].selects, 0);
	assert_int_equal(fake.link_count, 2);
	snprintf(path, sizeof(path), "%s/10/exe", scene->proc);
	assert_true(!strcmp(fake.links[0].path, path) ||
		    strstr(fake.links[0].path, "/12/exe"));
	expect_link(scene, 1, "@/other");
	assert_int_equal(fake.members[10], 1);
	assert_int_equal(fake.members[11], 0);
	assert_int_equal(fake.members[12], 1);
	expect_logged(scene, "no such service yet, waiting for one");
}

static void a_process_of_a_service_is_probed_as_it_starts(void **state)
{
	char *name = (char *)"shop-*";
	struct scene *scene = *state;

	add_service(scene, "checkout", "any", &name);
	create(scene);
	assert_int_equal(fake.link_count, 0);
	start_named(scene, 10, "other", "else");
	put_exec(10, false);
	assert_false(has_news(scene, false));
	assert_int_equal(fake.link_count, 0);
	start_named(scene, 11, "shop", "shop-eu");
	put_exec(11, false);
	assert_false(has_news(scene, true)); /* it may load libraries yet */
	assert_int_equal(fake.link_count, 1);
	assert_int_equal(fake.members[11], 1);
	/* another program */
	start_named(scene, 11, "other", "else");
	put_exec(11, false);
	assert_false(has_news(scene, false));
	assert_int_equal(fake.members[11], 0);
	assert_int_equal(attached(), 1);
}

static void a_service_and_an_exe_must_both_hold(void **state)
{
	char *name = (char *)"till";
	struct scene *scene = *state;

	add_service(scene, "checkout", "@/shop", &name);
	start_named(scene, 10, "other", "till");
	start_named(scene, 11, "shop", "else");
	create(scene);
	assert_int_equal(fake.link_count, 0);
	start_named(scene, 12, "shop", "till");
	look(scene);
	assert_int_equal(fake.link_count, 1);
}

static void a_check_knows_services(void **state)
{
	char *name = (char *)"till";
	struct scene *scene = *state;

	add_service(scene, "checkout", "any", &name);
	start_named(scene, 10, "shop", "else");
	assert_false(check(scene));
	expect_logged(scene, "f:1: metric \"shop\": no process is of such a service\n");
	start_named(scene, 11, "shop", "till");
	assert_true(check(scene));
	expect_logged(scene, "1 function of @/shop");
	assert_int_equal(fake.members[11], 0);
}

/* --- collecting --------------------------------------------------------------- */

static void collect(struct scene *scene, struct buf *text, int expected)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	assert_int_equal(functions_collect(scene->functions, 1000, &snapshot),
			 expected);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	buf_clear(text);
	text_write(text, &snapshot, TEXT_OPENMETRICS_1_0);
	buf_append(text, "", 1);
	assert_int_equal(text->error, 0);
	snapshot_free(&snapshot);
}

static void put_count(uint32_t rule, uint64_t count)
{
	const struct tally_function_row row = {.count = count};

	assert_int_equal(bpf_map_update_elem(FAKE_FD + UPROBES_SINGLES, &rule, &row, 0),
			 0);
}

static void put_call_of_a_goroutine(uint32_t pid)
{
	const struct tally_goroutine_key key = {.pid = pid};
	const struct tally_function_frame frame = {};

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + UPROBES_GOROUTINES, &key, &frame, 0), 0);
}

static void rules_are_families_behind_what_was_missed(void **state)
{
	struct scene *scene = *state;
	struct buf text = BUF_INIT(1 << 20);
	struct config_function *rule;

	add_rule(scene, "shop", "@/shop", "checkout");
	add_rule(scene, "shop", "@/other", "*");
	rule = add_rule(scene, "pay_bytes", "@/other", "absent");
	rule->help = (char *)"What was paid.";
	create(scene);
	put_count(0, 3);
	put_count(1, 4);
	put_count(2, 0);
	for (size_t i = 0; i < TALLY_FUNCTION_MISSED_COUNT; i++)
		fake.counters.missed[i] = i + 1;
	put_call_of_a_goroutine(4242); /* a process that is no more */
	collect(scene, &text, 0);
	assert_int_equal(fake_maps[UPROBES_GOROUTINES].count, 0);
	assert_string_equal(
	    text.data,
	    "# TYPE bpftally_function_missed counter\n"
	    "# HELP bpftally_function_missed Calls that are not counted as their rule "
	    "says, by reason.\n"
	    "bpftally_function_missed_total{reason=\"abandoned\"} 2\n"
	    "bpftally_function_missed_total{reason=\"argument_fault\"} 5\n"
	    "bpftally_function_missed_total{reason=\"labels_full\"} 6\n"
	    "bpftally_function_missed_total{reason=\"negative\"} 7\n"
	    "bpftally_function_missed_total{reason=\"no_memory\"} 4\n"
	    "bpftally_function_missed_total{reason=\"too_deep\"} 3\n"
	    "bpftally_function_missed_total{reason=\"unentered\"} 2\n"
	    "# TYPE bpftally_function_probed gauge\n"
	    "# HELP bpftally_function_probed Functions that the rules of a metric have "
	    "probes in.\n"
	    "bpftally_function_probed{metric=\"pay_bytes\"} 0\n"
	    "bpftally_function_probed{metric=\"shop\"} 3\n"
	    "# TYPE shop counter\n"
	    "# HELP shop Calls of checkout.\n"
	    "shop_total 7\n"
	    "# TYPE pay_bytes counter\n"
	    "# UNIT pay_bytes bytes\n"
	    "# HELP pay_bytes What was paid.\n"
	    "pay_bytes_total 0\n"
	    "# EOF\n");
	fake_maps[UPROBES_SINGLES].batch_err = -EPERM;
	collect(scene, &text, -EPERM);
	buf_free(&text);
}

static void see_program(void *context, const struct objects_program *program)
{
	assert_string_equal(program->name, "function_probe");
	++*(size_t *)context;
}

static void programs_and_maps_are_there_with_the_first_rule(void **state)
{
	struct scene *scene = *state;
	size_t count = 0;

	functions_each_program(NULL, see_program, &count);
	assert_int_equal(count, 0);
	assert_int_equal(functions_map_bytes(NULL), 0);
	add_rule(scene, "x_seconds", "@/shop", "checkout");
	create(scene);
	functions_each_program(scene->functions, see_program, &count);
	assert_int_equal(count, 1);
	assert_int_equal(functions_map_bytes(scene->functions), 4096);
}

static void the_document_names_exactly_what_there_is(void **state)
{
	static struct names families, reasons, exposed, documented;
	struct scene *scene = *state;
	struct snapshot snapshot;

	add_rule(scene, "x_seconds", "@/shop", "checkout");
	create(scene);
	snapshot_init(&snapshot, 0);
	assert_int_equal(functions_collect(scene->functions, 0, &snapshot), 0);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	names_of_snapshot(&exposed, &snapshot);
	for (size_t i = 0; i < exposed.count; i++)
		if (strcmp(exposed.items[i], "x_seconds"))
			names_add(&families, exposed.items[i]);
	for (size_t i = 0; i < snapshot.count; i++)
		if (!strcmp(snapshot.metrics[i].family->name,
			    "bpftally_function_missed"))
			names_add(&reasons, snapshot.metrics[i].labels.labels[0].value);
	names_read(&documented, "Functions");
	names_check_same(&documented, &families);
	names_read(&documented, "Missed calls");
	names_check_same(&documented, &reasons);
	snapshot_free(&snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_rule_is_attached_where_its_function_is),
	    TEST(where_return_probes_do_harm_there_is_none),
	    TEST(a_rule_that_fails_stops_no_other),
	    TEST(rules_of_the_same_files_share_a_link),
	    TEST(a_link_that_cannot_be_shared_is_one_for_each),
	    TEST(what_the_kernel_refuses_is_said_and_not_tried_again),
	    TEST(a_point_that_was_not_told_is_told_again),
	    TEST(a_file_is_tried_once_until_it_changes),
	    TEST(a_file_that_comes_is_attached_to),
	    TEST(a_file_of_several_processes_is_attached_to_once),
	    TEST(a_file_that_is_no_more_is_let_go),
	    TEST(a_file_that_nobody_runs_is_kept),
	    TEST(a_file_whose_process_ended_too_soon_is_tried_again),
	    TEST(pids_and_enumerations_are_told),
	    TEST(of_a_library_the_programs_are_selected),
	    TEST(programs_that_cannot_be_loaded_are_an_error),
	    TEST(a_check_says_what_each_rule_finds),
	    TEST(a_check_goes_on_behind_what_is_bad),
	    TEST(files_that_a_rule_names_are_news),
	    TEST(libraries_are_news_by_their_soname),
	    TEST(programs_that_are_started_are_news),
	    TEST(of_a_service_what_its_processes_run_is_probed),
	    TEST(a_process_of_a_service_is_probed_as_it_starts),
	    TEST(a_service_and_an_exe_must_both_hold),
	    TEST(a_check_knows_services),
	    TEST(rules_are_families_behind_what_was_missed),
	    TEST(programs_and_maps_are_there_with_the_first_rule),
	    TEST(the_document_names_exactly_what_there_is),
	};

	return cmocka_run_group_tests(tests, build, clean_up);
}
