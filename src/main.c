/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the score: build in order, run the loop, tear down in reverse. What
 * happens at an event is named here and done elsewhere.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "build_info.h"
#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "doctor.h"
#include "functions.h"
#include "httpd.h"
#include "listing.h"
#include "log.h"
#include "logs.h"
#include "loop.h"
#include "observer.h"
#include "privileges.h"
#include "processes.h"
#include "push.h"
#include "scrape.h"
#include "snapshot.h"
#include "status.h"
#include "web.h"

#define EXIT_USAGE 2
#define FLUSH_MS 5000
#define GREETING_MS 2000 /* time for the first request to be seen */

struct agent {
	struct config config;
	struct loop *loop;
	struct web *web; /* NULL: none */
	struct httpd *httpd;
	struct processes *processes;
	struct observer *observer; /* NULL: --no-bpf */
	struct status *status;
	struct push *push;
	struct scrape *scrape;         /* NULL: no jobs */
	struct loop_timer *push_timer; /* NULL: nobody takes metrics */
	struct logs *logs;             /* NULL: none are followed */
	struct loop_timer *greeting_timer;
	int signal_fd;
	int64_t started_ms; /* boot clock, when all of it ran */
	int64_t start_ms;   /* wall clock, before anything was counted */
	bool ready;
	bool stopping;
};

/* --- one collection ----------------------------------------------------------- */

static int gather(struct agent *agent, struct snapshot *snapshot)
{
	int err = 0;

	snapshot_init(snapshot, clock_ms(CLOCK_REALTIME));
	snapshot->boot_ms = clock_ms(CLOCK_BOOTTIME);
	snapshot->start_ms = agent->start_ms;
	build_info_collect(snapshot);
	if (agent->observer)
		err = observer_collect(agent->observer, snapshot);
	else
		err = processes_collect(agent->processes, NULL, NULL, snapshot);
	if (!err && agent->push)
		push_describe(agent->push, snapshot);
	if (!err && agent->scrape)
		scrape_describe(agent->scrape, snapshot);
	if (!err && agent->logs)
		logs_describe(agent->logs, snapshot);
	return err;
}

static int collect(struct agent *agent, struct snapshot *snapshot)
{
	int err = gather(agent, snapshot);

	return err ? err : snapshot_finish(snapshot);
}

/* With what a scraper would have added. */
static int collect_to_push(struct agent *agent, struct snapshot *snapshot)
{
	int64_t start_us = clock_us(CLOCK_MONOTONIC);
	int err = gather(agent, snapshot);

	if (err)
		return err;
	push_describe_collection(snapshot,
				 (double)(clock_us(CLOCK_MONOTONIC) - start_us) / 1e6);
	return snapshot_finish(snapshot);
}

static const char *subject(const struct agent *agent)
{
	return agent->observer ? observer_subject(agent->observer)
			       : "no process (--no-bpf)";
}

static int page_metrics(void *context, struct snapshot *ret_snapshot)
{
	return collect(context, ret_snapshot);
}

static int page_status(void *context, struct buf *ret_html)
{
	struct agent *agent = context;
	struct snapshot snapshot;
	int err = collect(agent, &snapshot);

	if (!err)
		status_write(
		    agent->status, ret_html, &snapshot, agent->scrape, subject(agent),
		    (double)(clock_ms(CLOCK_BOOTTIME) - agent->started_ms) / 1000);
	snapshot_free(&snapshot);
	return err;
}

static bool page_ready(void *context)
{
	const struct agent *agent = context;

	return agent->ready && !agent->stopping;
}

/* --- events ------------------------------------------------------------------- */

static void on_signal(void *context, uint32_t events)
{
	struct agent *agent = context;
	struct signalfd_siginfo info;

	(void)events;
	if (read(agent->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	log_info("ending on SIG%s", sigabbrev_np((int)info.ssi_signo));
	agent->stopping = true;
	loop_stop(agent->loop);
}

/* Collections are at whole multiples of the interval, whatever the clock does: the
 * timer's own period would drift from them where the machine slept. One that fires a
 * little early is not followed by another at once. */
static int arm_push(struct agent *agent)
{
	uint64_t interval = agent->config.scrape_interval_ms;
	uint64_t now = (uint64_t)clock_ms(CLOCK_REALTIME);
	uint64_t delay = interval - now % interval;

	if (delay < interval / 4)
		delay += interval;
	return loop_timer_arm(agent->push_timer, delay, 0);
}

static void collect_and_push(struct agent *agent)
{
	struct snapshot snapshot;
	int err = collect_to_push(agent, &snapshot);

	if (!err)
		err = push_collect(agent->push, &snapshot);
	if (err)
		log_error("cannot collect for receivers: %s", strerror(-err));
	snapshot_free(&snapshot);
}

static void on_push(void *context)
{
	collect_and_push(context);
	arm_push(context);
}

static void on_greeting(void *context)
{
	const struct agent *agent = context;

	if (!observer_saw_request(agent->observer))
		log_info(
		    "no HTTP request seen yet; tools/demo shows what it looks like");
}

/* --- building ----------------------------------------------------------------- */

/* They mean nothing to it, so they must not end it, as they do by default. */
static void ignore_signals(void)
{
	static const int meaningless[] = {SIGPIPE, SIGUSR1,   SIGUSR2, SIGALRM,
					  SIGPROF, SIGVTALRM, SIGIO,   SIGPWR};

	for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++)
		signal(meaningless[i], SIG_IGN);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		signal(number, SIG_IGN);
}

static int watch_signals(struct agent *agent)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP); /* the terminal went: an orderly end too */
	sigprocmask(SIG_BLOCK, &set, NULL);
	ignore_signals();
	agent->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (agent->signal_fd < 0)
		return -errno;
	return loop_watch(agent->loop, agent->signal_fd, EPOLLIN, on_signal, agent);
}

static int open_web(const struct config *config, struct web **ret_web)
{
	char error[CONFIG_ERROR_LEN];
	int err = web_open(config->web_config_file, ret_web, error);

	if (err)
		log_error("%s", error);
	return err;
}

static int start_httpd(struct agent *agent)
{
	const struct answer_pages pages = {
	    .metrics = page_metrics,
	    .status = page_status,
	    .ready = page_ready,
	    .context = agent,
	};
	int err;

	if (agent->config.web_config_file && open_web(&agent->config, &agent->web))
		return -EINVAL;
	err = httpd_start(agent->loop, agent->config.listen, agent->web, &pages,
			  &agent->httpd);
	if (err)
		log_error("cannot listen on \"%s\" (--listen): %s%s",
			  agent->config.listen, strerror(-err),
			  err == -EADDRINUSE
			      ? "; another program has it, choose another port"
			      : "");
	return err;
}

static int start_push(struct agent *agent)
{
	int err;

	if (!agent->config.remote_write_count && !agent->config.otlp_count &&
	    !agent->config.loki_write_count)
		return 0;
	err = push_create(agent->loop, &agent->config, &agent->push);
	if (err)
		return err;
	/* Lines alone need no collections, nor their fsync. */
	if (!agent->config.remote_write_count && !agent->config.otlp_count)
		return 0;
	err = loop_timer_create(agent->loop, on_push, agent, &agent->push_timer);
	if (!err)
		err = arm_push(agent);
	if (err)
		log_error("cannot start sending: %s", strerror(-err));
	return err;
}

static void begin_lines(void *context)
{
	push_commit(context);
}

static void send_lines(void *context)
{
	push_send(context);
}

struct visit {
	logs_visit visit;
	void *context;
};

static void visit_process(void *context, uint32_t pid, const struct service *service)
{
	const struct visit *visit = context;

	visit->visit(visit->context, pid, service->name);
}

static void each_observed(void *observer, logs_visit visit, void *context)
{
	struct visit visiting = {visit, context};

	observer_each_process(observer, visit_process, &visiting);
}

static void on_named(void *context, uint32_t pid, const struct service *service)
{
	logs_see_process(context, pid, service->name);
}

static int start_logs(struct agent *agent)
{
	const struct logs_config config = {
	    .config = &agent->config,
	    .spool = agent->push ? push_spool(agent->push) : NULL,
	    .begin = begin_lines,
	    .committed = send_lines,
	    .context = agent->push,
	    .observed = {agent->observer ? each_observed : NULL, agent->observer},
	};

	int err;

	if (!agent->config.log_count)
		return 0;
	err = logs_create(agent->loop, &config, &agent->logs);
	if (!err && agent->observer)
		observer_tell(agent->observer, on_named, agent->logs);
	return err;
}

/* It runs, but what it shows is not what is meant: nobody asks the doctor then. */
static void warn_of_names(void)
{
	struct doctor_report report;

	doctor_examine_names(&report);
	for (size_t i = 0; i < report.count; i++) {
		if (report.lines[i].mark != DOCTOR_MARK_OK)
			log_warning("%s", report.lines[i].text);
	}
}

/* What it asks for finds nothing: the file is good, its reader may not know. */
static void warn_of_unobserved(const struct config *config)
{
	static const char why[] = "finds nothing: no_bpf (--no-bpf) observes no "
				  "process";

	for (size_t i = 0; config->no_bpf && i < config->scrape_count; i++) {
		if (config->scrapes[i].observed_processes)
			log_warning("%s: 'observed_processes' %s",
				    config->scrapes[i].where, why);
	}
	for (size_t i = 0; config->no_bpf && i < config->log_count; i++) {
		if (config->logs[i].is_auto)
			log_warning("%s: 'auto' %s", config->logs[i].where, why);
	}
}

static int greet(struct agent *agent)
{
	const char *host = "localhost";
	int host_len = (int)(strrchr(agent->config.listen, ':') - agent->config.listen);
	const char *secure = agent->web && web_tls_of(agent->web) ? "s" : "";
	unsigned int port = httpd_port(agent->httpd);

	agent->ready = true;
	agent->started_ms = clock_ms(CLOCK_BOOTTIME);
	if (host_len)
		host = agent->config.listen;
	else
		host_len = (int)strlen(host);
	log_info("observing %s; metrics on http%s://%.*s:%u/metrics, status page on "
		 "http%s://%.*s:%u/",
		 subject(agent), secure, host_len, host, port, secure, host_len, host,
		 port);
	for (size_t i = 0; i < agent->config.remote_write_count; i++)
		log_info("remote_write to %s every %g s",
			 agent->config.remote_writes[i].name,
			 (double)agent->config.scrape_interval_ms / 1000);
	for (size_t i = 0; i < agent->config.otlp_count; i++)
		log_info("otlp to %s every %g s", agent->config.otlps[i].name,
			 (double)agent->config.scrape_interval_ms / 1000);
	for (size_t i = 0; i < agent->config.loki_write_count; i++)
		log_info("loki_write to %s", agent->config.loki_writes[i].name);
	if (agent->config.scrape_count)
		log_info("scraping the targets of %zu job%s",
			 agent->config.scrape_count,
			 agent->config.scrape_count == 1 ? "" : "s");
	if (!agent->observer)
		return 0;
	if (loop_timer_create(agent->loop, on_greeting, agent, &agent->greeting_timer))
		return -ENOMEM;
	return loop_timer_arm(agent->greeting_timer, GREETING_MS, 0);
}

static int build(struct agent *agent)
{
	int err = loop_create(&agent->loop);

	if (!err)
		err = watch_signals(agent);
	if (!err)
		err = processes_create(agent->config.process_metrics, "/proc",
				       &agent->processes);
	if (!err)
		err = status_create(&agent->status);
	if (err) {
		log_error("cannot start: %s", strerror(-err));
		return err;
	}
	err = start_httpd(agent);
	agent->start_ms = clock_ms(CLOCK_REALTIME);
	if (!err && !agent->config.no_bpf)
		err = observer_create(agent->loop, &agent->config, agent->processes,
				      &agent->observer);
	if (!err)
		err = start_push(agent);
	if (!err && agent->config.scrape_count)
		err = scrape_create(agent->loop, &agent->config, agent->push,
				    agent->observer, &agent->scrape);
	if (!err)
		err = start_logs(agent);
	if (err)
		return err;
	if (agent->observer)
		warn_of_names();
	warn_of_unobserved(&agent->config);
	malloc_trim(0); /* loading took the kernel's type information apart */
	err = privileges_drop();
	if (err)
		log_warning("cannot give up privileges: %s; going on with them",
			    strerror(-err));
	return greet(agent);
}

static void tear_down(struct agent *agent)
{
	loop_timer_free(&agent->greeting_timer);
	loop_timer_free(&agent->push_timer);
	/* Before those whose names its responses still show. */
	httpd_stop(&agent->httpd);
	web_free(&agent->web);
	logs_free(&agent->logs);
	push_free(&agent->push);
	scrape_free(&agent->scrape);
	observer_free(&agent->observer);
	status_free(&agent->status);
	processes_free(&agent->processes);
	if (agent->signal_fd >= 0)
		close(agent->signal_fd);
	loop_free(&agent->loop);
}

static int run(struct agent *agent)
{
	int err = build(agent);

	if (!err)
		err = loop_run(agent->loop);
	if (!err && agent->logs)
		logs_stop(agent->logs);
	if (!err && agent->push) {
		if (agent->scrape)
			scrape_stop(agent->scrape);
		if (agent->push_timer)
			collect_and_push(agent);
		loop_timer_free(&agent->push_timer);
		push_flush(agent->push, FLUSH_MS);
	}
	tear_down(agent);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The file was judged when it was read; that of the web server has certificates,
 * too, and --probe looks at the binaries. */
static int check(const struct config *config)
{
	CLEANUP(web_free) struct web *web = NULL;

	if (config->web_config_file && open_web(config, &web))
		return EXIT_USAGE;
	if (config->check_probes && !functions_check(config, "/proc"))
		return EXIT_FAILURE;
	warn_of_unobserved(config);
	puts("the configuration is good");
	return EXIT_SUCCESS;
}

/* What was asked for is the text: where it could not be written, that failed. */
static int finish_output(void)
{
	int err = fflush(stdout) ? errno : 0;

	if (!err && ferror(stdout)) /* an earlier part, whose errno is gone */
		err = EIO;
	if (err)
		log_error("cannot write to standard output: %s", strerror(err));
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct agent agent = {.signal_fd = -1};
	enum config_action action = CONFIG_RUN;
	char error[CONFIG_ERROR_LEN];
	int status = EXIT_SUCCESS;

	if (config_load(argc, argv, &agent.config, &action, error)) {
		log_error("%s", error);
		config_free(&agent.config);
		return EXIT_USAGE;
	}
	log_set_level(agent.config.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	switch (action) {
	case CONFIG_RUN:
		status = run(&agent);
		break;
	case CONFIG_CHECK:
		status = check(&agent.config);
		break;
	case CONFIG_HELP:
		fputs(config_help(), stdout);
		break;
	case CONFIG_VERSION:
		puts("bpftally " BPFTALLY_VERSION);
		break;
	case CONFIG_FUNCTIONS:
		status = listing_print(stdout, agent.config.list_subject,
				       agent.config.list_glob)
			     ? EXIT_FAILURE
			     : EXIT_SUCCESS;
		break;
	case CONFIG_DOCTOR:
		status = doctor_run(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
		break;
	}
	config_free(&agent.config);
	if (finish_output())
		status = EXIT_FAILURE;
	return status;
}
