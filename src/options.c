/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "config_value.h"
#include "length.h"

enum {
	OPTION_WORD = 1, /* getopt's "-": an argument that is no option */
	OPTION_PID = 256,
	OPTION_EXE,
	OPTION_PORT,
	OPTION_FUNCTION,
	OPTION_SERVICE,
	OPTION_NO_BPF,
	OPTION_LISTEN,
	OPTION_WEB_CONFIG_FILE,
	OPTION_CONFIG,
	OPTION_CHECK_CONFIG,
	OPTION_PROBE,
	OPTION_REMOTE_WRITE,
	OPTION_TENANT,
	OPTION_TOKEN_FILE,
	OPTION_SCRAPE_INTERVAL,
	OPTION_STATE_DIR,
	OPTION_GRACE,
	OPTION_MAX_SERIES,
	OPTION_MAX_ROUTES,
	OPTION_CAPTURE,
	OPTION_SUMMARIES,
	OPTION_PROCESS_METRICS,
	OPTION_VERBOSE,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
    {"pid", required_argument, NULL, OPTION_PID},
    {"exe", required_argument, NULL, OPTION_EXE},
    {"port", required_argument, NULL, OPTION_PORT},
    {"function", required_argument, NULL, OPTION_FUNCTION},
    {"service", required_argument, NULL, OPTION_SERVICE},
    {"no-bpf", no_argument, NULL, OPTION_NO_BPF},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"web.config.file", required_argument, NULL, OPTION_WEB_CONFIG_FILE},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"check-config", optional_argument, NULL, OPTION_CHECK_CONFIG},
    {"probe", no_argument, NULL, OPTION_PROBE},
    {"remote-write", required_argument, NULL, OPTION_REMOTE_WRITE},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"scrape-interval", required_argument, NULL, OPTION_SCRAPE_INTERVAL},
    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
    {"grace", required_argument, NULL, OPTION_GRACE},
    {"max-series", required_argument, NULL, OPTION_MAX_SERIES},
    {"max-routes", required_argument, NULL, OPTION_MAX_ROUTES},
    {"capture", required_argument, NULL, OPTION_CAPTURE},
    {"summaries", no_argument, NULL, OPTION_SUMMARIES},
    {"process-metrics", required_argument, NULL, OPTION_PROCESS_METRICS},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* What is being judged: the option in hand and where its error goes. */
struct parse {
	struct options *options;
	const char *name; /* without "--" */
	const char *value;
	char *error;
};

__attribute__((format(printf, 2, 3))) static int fail(char *error, const char *format,
						      ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CONFIG_ERROR_LEN, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int fail_value(const struct parse *parse, const char *must)
{
	char quoted[VALUE_QUOTE_LEN];

	value_quote(parse->value, quoted);
	return fail(parse->error, "--%s must be %s, not '%s'", parse->name, must,
		    quoted);
}

static int take_number(const struct parse *parse, uint64_t max, uint64_t *ret_number)
{
	char must[64];

	if (value_number(parse->value, 1, max, ret_number))
		return 0;
	snprintf(must, sizeof(must), "a whole number from 1 to %llu",
		 (unsigned long long)max);
	return fail_value(parse, must);
}

static int take_duration(const struct parse *parse, uint64_t min, uint64_t max,
			 uint64_t *ret_ms)
{
	char low[VALUE_DURATION_LEN], high[VALUE_DURATION_LEN], must[128];
	uint64_t ms;

	if (value_duration_ms(parse->value, &ms) && ms >= min && ms <= max) {
		*ret_ms = ms;
		return 0;
	}
	value_duration_text(min, low);
	value_duration_text(max, high);
	snprintf(must, sizeof(must), "a duration from %s to %s (like 1m30s)", low,
		 high);
	return fail_value(parse, must);
}

static int take_text(const struct parse *parse, const char **ret_text)
{
	if (!*parse->value)
		return fail(parse->error, "--%s has no value", parse->name);
	*ret_text = parse->value;
	return 0;
}

static int fail_too_many(const struct parse *parse, size_t max)
{
	return fail(parse->error, "--%s is given more than %zu times", parse->name,
		    max);
}

static int take_pid(const struct parse *parse)
{
	struct options *options = parse->options;
	uint64_t pid = 0;
	int err = take_number(parse, CONFIG_PID_MAX, &pid);

	if (err)
		return err;
	if (options->pid_count == CONFIG_LIST_MAX)
		return fail_too_many(parse, CONFIG_LIST_MAX);
	options->pids[options->pid_count++] = (uint32_t)pid;
	return 0;
}

static int take_port(const struct parse *parse)
{
	struct options *options = parse->options;
	uint64_t port = 0;
	int err = take_number(parse, UINT16_MAX, &port);

	if (err)
		return err;
	if (options->port_count == TALLY_PORTS_MAX)
		return fail_too_many(parse, TALLY_PORTS_MAX);
	options->ports[options->port_count++] = (uint16_t)port;
	return 0;
}

static int take_capture(const struct parse *parse)
{
	struct options *options = parse->options;

	if (!capture_parse(parse->value, &options->capture))
		return fail_value(parse, CAPTURE_NAMES);
	options->capture_given = true;
	return 0;
}

static int take_process_metrics(const struct parse *parse)
{
	struct options *options = parse->options;

	if (!config_parse_process_metrics(parse->value, &options->process_metrics))
		return fail_value(parse, PROCESS_METRICS_NAMES);
	options->process_metrics_given = true;
	return 0;
}

static int take_exe(const struct parse *parse)
{
	struct options *options = parse->options;

	if (options->exe_count == CONFIG_LIST_MAX)
		return fail_too_many(parse, CONFIG_LIST_MAX);
	return take_text(parse, &options->exes[options->exe_count++]);
}

static int take_function(const struct parse *parse)
{
	struct options *options = parse->options;

	if (options->function_count == CONFIG_LIST_MAX)
		return fail_too_many(parse, CONFIG_LIST_MAX);
	return take_text(parse, &options->functions[options->function_count++]);
}

static int take_service(const struct parse *parse)
{
	if (!value_is_utf8(parse->value))
		return fail(parse->error, "--%s is not UTF-8", parse->name);
	if (strlen(parse->value) > CONFIG_SERVICE_LEN_MAX)
		return fail(parse->error, "--%s is longer than %d bytes", parse->name,
			    CONFIG_SERVICE_LEN_MAX);
	return take_text(parse, &parse->options->service);
}

/* Two endpoints need the file; a second one must not replace the first. */
static int take_remote_write(const struct parse *parse)
{
	const char *problem = value_url_problem(parse->value);

	if (parse->options->remote_write_url)
		return fail(parse->error,
			    "--%s is given twice; list several in the file",
			    parse->name);
	if (problem)
		return fail(parse->error, "--%s %s", parse->name, problem);
	return take_text(parse, &parse->options->remote_write_url);
}

static int take_tenant(const struct parse *parse)
{
	if (!value_is_header_value(parse->value) || !value_is_utf8(parse->value))
		return fail(parse->error,
			    "--%s is empty, or holds what a header cannot carry",
			    parse->name);
	return take_text(parse, &parse->options->tenant);
}

static int take_config_file(const struct parse *parse)
{
	if (parse->options->config_file)
		return fail(parse->error, "two configuration files are given");
	return take_text(parse, &parse->options->config_file);
}

/* Words that say what to do instead of observing. */
static const struct {
	const char *name;
	enum config_action action;
} verbs[] = {
    {"doctor", CONFIG_DOCTOR},
    {"functions", CONFIG_FUNCTIONS},
};
#define VERBS (LENGTH(verbs))

/* What `functions` is to list, then which of them. */
static bool take_list_word(const struct parse *parse)
{
	struct options *options = parse->options;

	if (options->action != CONFIG_FUNCTIONS || options->list_glob || !*parse->value)
		return false;
	if (options->list_subject)
		options->list_glob = parse->value;
	else
		options->list_subject = parse->value;
	return true;
}

static int take_word(const struct parse *parse)
{
	struct options *options = parse->options;
	char quoted[VALUE_QUOTE_LEN];

	if (options->action == CONFIG_CHECK)
		return take_config_file(parse);
	if (take_list_word(parse))
		return 0;
	for (size_t i = 0; options->action == CONFIG_RUN && i < VERBS; i++) {
		if (strcmp(parse->value, verbs[i].name) != 0)
			continue;
		options->action = verbs[i].action;
		return 0;
	}
	value_quote(parse->value, quoted);
	return fail(parse->error, "unexpected argument '%s' (see --help)", quoted);
}

static int take_check(const struct parse *parse)
{
	for (size_t i = 0; i < VERBS; i++) {
		if (parse->options->action == verbs[i].action)
			return fail(parse->error,
				    "%s and --check-config exclude each other",
				    verbs[i].name);
	}
	parse->options->action = CONFIG_CHECK;
	return parse->value ? take_config_file(parse) : 0;
}

static int take_option(const struct parse *parse, int option)
{
	struct options *options = parse->options;

	switch (option) {
	case OPTION_WORD:
		return take_word(parse);
	case OPTION_PID:
		return take_pid(parse);
	case OPTION_EXE:
		return take_exe(parse);
	case OPTION_PORT:
		return take_port(parse);
	case OPTION_FUNCTION:
		return take_function(parse);
	case OPTION_SERVICE:
		return take_service(parse);
	case OPTION_NO_BPF:
		options->no_bpf = true;
		return 0;
	case OPTION_LISTEN:
		return take_text(parse, &options->listen);
	case OPTION_WEB_CONFIG_FILE:
		return take_text(parse, &options->web_config_file);
	case OPTION_CONFIG:
		return take_config_file(parse);
	case OPTION_CHECK_CONFIG:
		return take_check(parse);
	case OPTION_PROBE:
		options->probe = true;
		return 0;
	case OPTION_REMOTE_WRITE:
		return take_remote_write(parse);
	case OPTION_TENANT:
		return take_tenant(parse);
	case OPTION_TOKEN_FILE:
		return take_text(parse, &options->token_file);
	case OPTION_STATE_DIR:
		return take_text(parse, &options->state_dir);
	case OPTION_SCRAPE_INTERVAL:
		return take_duration(parse, CONFIG_INTERVAL_MIN_MS,
				     CONFIG_INTERVAL_MAX_MS,
				     &options->scrape_interval_ms);
	case OPTION_GRACE:
		return take_duration(parse, 0, CONFIG_GRACE_MAX_MS, &options->grace_ms);
	case OPTION_MAX_SERIES:
		return take_number(parse, CONFIG_SERIES_MAX, &options->max_series);
	case OPTION_MAX_ROUTES:
		return take_number(parse, TALLY_ROUTE_ROWS, &options->max_routes);
	case OPTION_CAPTURE:
		return take_capture(parse);
	case OPTION_SUMMARIES:
		options->summaries = true;
		return 0;
	case OPTION_PROCESS_METRICS:
		return take_process_metrics(parse);
	default:
		options->verbose = true;
		return 0;
	}
}

/* `word` is the argument that getopt refused: "--name", "--name=value", "-x". */
static int fail_unknown(const char *word, char *error)
{
	unsigned int distance = VALUE_UNLIKE;
	const char *nearest = NULL;
	char name[VALUE_QUOTE_LEN], quoted[VALUE_QUOTE_LEN];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	value_quote(name, quoted);
	for (const struct option *known = long_options; known->name; known++) {
		if (value_is_nearer(name + strspn(name, "-"), known->name, &distance))
			nearest = known->name;
	}
	if (nearest)
		return fail(error, "unknown option '%s' (did you mean '--%s'?)", quoted,
			    nearest);
	return fail(error, "unknown option '%s' (see --help)", quoted);
}

static int fail_getopt(int option, char **argv, int index, char *error)
{
	if (option == ':')
		return fail(error, "%s needs a value", argv[index]);
	/* A known option that was refused has a value that it does not take. */
	for (const struct option *known = long_options; known->name; known++) {
		if (optopt == known->val)
			return fail(error, "--%s takes no value", known->name);
	}
	return fail_unknown(argv[index], error);
}

static int check_together(const struct options *options, char *error)
{
	if (options->tenant && !options->remote_write_url)
		return fail(error, "--tenant belongs to --remote-write, which is "
				   "missing; in the file, use headers");
	if (options->token_file && !options->remote_write_url)
		return fail(error, "--token-file belongs to --remote-write, which is "
				   "missing; in the file, use authorization");
	if (options->action == CONFIG_CHECK && !options->config_file)
		return fail(error, "--check-config needs a file");
	if (options->action == CONFIG_FUNCTIONS && !options->list_subject)
		return fail(error, "functions needs an executable, a library or a "
				   "process: bpftally functions EXE|PID [GLOB]");
	if (options->probe && options->action != CONFIG_CHECK)
		return fail(error, "--probe belongs to --check-config, which is "
				   "missing");
	return 0;
}

/* Takes every argument in order, so that a word after --check-config is its
 * file; --help and --version end it, as everywhere. */
static int parse_arguments(int argc, char **argv, struct options *options, char *error)
{
	int index = -1, option;

	optind = 0; /* glibc: start over, also for the "-" */
	opterr = 0;
	while (true) {
		struct parse parse = {.options = options, .error = error};
		int word = optind ? optind : 1, err;

		option = getopt_long(argc, argv, "-:", long_options, &index);
		if (option == -1)
			break;
		if (option == '?' || option == ':')
			return fail_getopt(option, argv, word, error);
		if (option == OPTION_HELP || option == OPTION_VERSION) {
			options->action =
			    option == OPTION_HELP ? CONFIG_HELP : CONFIG_VERSION;
			return 0;
		}
		parse.name = option == OPTION_WORD ? "" : long_options[index].name;
		parse.value = optarg;
		err = take_option(&parse, option);
		if (err)
			return err;
	}
	for (; optind < argc; optind++) { /* after "--" */
		struct parse parse = {options, "", argv[optind], error};
		int err = take_word(&parse);

		if (err)
			return err;
	}
	return check_together(options, error);
}

int options_parse(int argc, char **argv, struct options *ret_options,
		  char ret_error[CONFIG_ERROR_LEN])
{
	struct options options = {
	    .max_series = OPTIONS_NOT_GIVEN,
	    .max_routes = OPTIONS_NOT_GIVEN,
	    .scrape_interval_ms = OPTIONS_NOT_GIVEN,
	    .grace_ms = OPTIONS_NOT_GIVEN,
	};
	int err = parse_arguments(argc, argv, &options, ret_error);

	if (!err)
		*ret_options = options;
	return err;
}

const char *config_help(void)
{
	return "Usage: bpftally [OPTION]...\n"
	       "       bpftally doctor             what this kernel and these "
	       "privileges allow\n"
	       "       bpftally functions EXE|PID [GLOB]\n"
	       "                                   what --function can name in it\n"
	       "       bpftally --check-config FILE\n"
	       "Counts the HTTP requests of any process; serves /metrics; forwards by\n"
	       "remote_write. Without selection every process is observed.\n"
	       "\n"
	       "Selection (kinds combine; repeat one for alternatives):\n"
	       "  --pid N                  this process and its descendants\n"
	       "  --exe GLOB               processes whose executable's path matches\n"
	       "  --port N                 connections to this server port\n"
	       "  --service NAME           what the selected processes are called\n"
	       "  --no-bpf                 observe none; needs no privileges\n"
	       "\n"
	       "Functions of any program as metrics:\n"
	       "  --function EXE:NAME      how long its calls take, as a histogram; "
	       "with\n"
	       "                           usdt:PROVIDER:NAME, how often it is passed\n"
	       "\n"
	       "Serving:\n"
	       "  --listen ADDR:PORT       of /metrics (default :9965)\n"
	       "  --web.config.file FILE   its TLS, passwords and headers, in the "
	       "spelling of\n"
	       "                           Prometheus' exporters\n"
	       "  --grace DURATION         how long an ended process stays visible "
	       "(5m)\n"
	       "  --summaries              quantiles of durations, of ten minutes\n"
	       "  --process-metrics process|service|off\n"
	       "                           CPU, memory and so on of each process, or "
	       "summed\n"
	       "  --max-series N           rows in the kernel's table (8192)\n"
	       "  --max-routes N           distinct routes of one service (256)\n"
	       "\n"
	       "Forwarding:\n"
	       "  --remote-write URL       push to this receiver\n"
	       "  --tenant ID              its X-Scope-OrgID header\n"
	       "  --token-file FILE        its bearer token, read for every request\n"
	       "  --scrape-interval DURATION\n"
	       "                           how often to collect for it (15s)\n"
	       "  --state-dir DIR|off      where what is not yet delivered waits\n"
	       "                           (/var/lib/bpftally; off: in memory)\n"
	       "\n"
	       "Configuration (the command line wins over the file):\n"
	       "  --config FILE            YAML; every key in docs/configuration.md\n"
	       "  --check-config [FILE]    judge the file (or --config's), do not "
	       "start\n"
	       "  --probe                  with it, look for every function in its "
	       "binary, too\n"
	       "\n"
	       "Other:\n"
	       "  --capture auto|tracepoint|fentry\n"
	       "                           the kernel's hooks to use (auto: what it "
	       "has)\n"
	       "  --verbose                say more on standard error\n"
	       "  --version                print the version\n"
	       "  --help                   print this\n";
}
