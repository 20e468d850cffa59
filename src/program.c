/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.c - an interpreter is named by the script it runs, so its command line
 * is read as it reads it: options in clusters, options with values, the script.
 * In doubt (code on the command line, standard input) it keeps its own name.
 *
 * The lists are the options of CPython 3.13, Node 22, Ruby 3.3, Perl 5.40,
 * PHP 8.3, bash 5.2 and the java launcher of JDK 21 that take a value in a word
 * of its own. One that is missing makes its value look like the script.
 */
#include "program.h"

#include <string.h>

#include "length.h"

/* Short options come in clusters; a letter in none of the lists is a flag. */
struct interpreter {
	const char *stem;     /* followed by a version, if any */
	const char *code;     /* letters: the program is their value, or stdin */
	const char *value;    /* letters: value in the rest of the word or the next */
	const char *attached; /* letters: value, if any, in the rest of the word */
	const char *program;  /* letters: their value names the program */
	const char *const *code_words; /* the same for --words */
	const char *const *value_words;
	const char *const *program_words;
	bool module; /* the value of `program` is a module, not a path */
	bool plus;   /* +o is an option too */
};

static const char *const python_values[] = {"--check-hash-based-pycs", NULL};
static const char *const node_codes[] = {"--eval", "--print", "--run", NULL};
/* clang-format off */
static const char *const node_values[] = {
	"--allow-fs-read", "--allow-fs-write", "--build-snapshot-config",
	"--conditions", "--cpu-prof-dir", "--cpu-prof-interval", "--cpu-prof-name",
	"--debug-port", "--diagnostic-dir", "--disable-proto", "--disable-warning",
	"--dns-result-order", "--env-file", "--env-file-if-exists",
	"--experimental-default-type", "--experimental-loader",
	"--experimental-policy", "--heap-prof-dir", "--heap-prof-interval",
	"--heap-prof-name", "--heapsnapshot-near-heap-limit",
	"--heapsnapshot-signal", "--icu-data-dir", "--import", "--input-type",
	"--inspect-port", "--inspect-publish-uid", "--loader",
	"--max-http-header-size", "--network-family-autoselection-attempt-timeout",
	"--openssl-config", "--policy-integrity", "--redirect-warnings",
	"--report-dir", "--report-directory", "--report-filename",
	"--report-signal", "--require", "--secure-heap", "--secure-heap-min",
	"--snapshot-blob", "--title", "--tls-cipher-list", "--tls-keylog",
	"--trace-event-categories", "--trace-event-file-pattern",
	"--trace-require-module", "--unhandled-rejections", "--use-largepages",
	"--v8-pool-size", "--watch-path", NULL,
};
static const char *const ruby_values[] = {
	"--backtrace-limit", "--disable", "--dump", "--enable", "--encoding",
	"--external-encoding", "--internal-encoding", NULL,
};
static const char *const php_codes[] = {
	"--process-begin", "--process-code", "--process-end", "--run", NULL,
};
static const char *const php_values[] = {
	"--define", "--docroot", "--php-ini", "--process-file", "--server",
	"--zend-extension", NULL,
};
static const char *const php_programs[] = {"--file", NULL};
static const char *const shell_values[] = {"--init-file", "--rcfile", NULL};
static const char *const java_values[] = {
	"--add-exports", "--add-modules", "--add-opens", "--add-reads",
	"--class-path", "--enable-native-access", "--limit-modules",
	"--module-path", "--patch-module", "--source", "--upgrade-module-path",
	"-classpath", "-cp", "-p", NULL,
};

#define PYTHON .code = "c", .value = "WX", .program = "m", .module = true, \
	       .value_words = python_values
#define NODE .code = "ep", .value = "Cr", .code_words = node_codes, \
	     .value_words = node_values
#define SHELL .code = "cs", .value = "Oo", .plus = true, .value_words = shell_values

static const struct interpreter interpreters[] = {
	{.stem = "python", PYTHON},
	{.stem = "pypy", PYTHON},
	{.stem = "node", NODE},
	{.stem = "nodejs", NODE},
	{.stem = "ruby", .code = "e", .value = "CEIXr", .attached = "FKTWix",
	 .value_words = ruby_values},
	{.stem = "perl", .code = "Ee", .value = "I", .attached = "CDFMVdimx"},
	{.stem = "php", .code = "BERr", .value = "FSctdz", .program = "f",
	 .code_words = php_codes, .value_words = php_values,
	 .program_words = php_programs},
	{.stem = "sh", SHELL},
	{.stem = "bash", SHELL},
	{.stem = "dash", SHELL},
	{.stem = "ash", SHELL},
	{.stem = "ksh", SHELL},
	{.stem = "zsh", SHELL},
};
/* clang-format on */

static bool next_word(struct slice *args, struct slice *ret_word)
{
	if (!args->len)
		return false;
	*ret_word = slice_split(args, '\0');
	return true;
}

static bool letter_in(char letter, const char *letters)
{
	return letters && letter && strchr(letters, letter);
}

/* python3, python3.11, python3.13t, php8.2, perl5.36.0, but not php-fpm8.2. */
static bool is_version(struct slice suffix)
{
	size_t i = 0;

	while (i < suffix.len && letter_in(suffix.text[i], "0123456789."))
		i++;
	return i == suffix.len ||
	       (i && i + 1 == suffix.len && letter_in(suffix.text[i], "dmtu"));
}

static const struct interpreter *find_interpreter(struct slice program)
{
	for (size_t i = 0; i < LENGTH(interpreters); i++) {
		size_t len = strlen(interpreters[i].stem);

		if (slice_starts_with(program, interpreters[i].stem) &&
		    is_version((struct slice){program.text + len, program.len - len}))
			return &interpreters[i];
	}
	return NULL;
}

/* What came of one word of the command line. */
enum step {
	STEP_OPTION, /* read on */
	STEP_NONE,   /* no script: code on the command line, or standard input */
	STEP_VALUE,  /* the value of an option names the program */
	STEP_SCRIPT, /* the word is the script */
};

/* The rest of the option's word if it has one, else the next word. */
static enum step program_value(struct slice rest, struct slice *args,
			       struct slice *ret_program)
{
	*ret_program = rest;
	if (!rest.len && !next_word(args, ret_program))
		return STEP_NONE;
	return STEP_VALUE;
}

static enum step long_option(const struct interpreter *interpreter, struct slice word,
			     struct slice *args, struct slice *ret_program)
{
	struct slice value = word, name = slice_split(&value, '='), ignored;
	bool has_value = name.len < word.len;

	if (slice_in(name, interpreter->code_words))
		return STEP_NONE;
	if (slice_in(name, interpreter->program_words))
		return program_value(value, args, ret_program);
	if (slice_in(name, interpreter->value_words) && !has_value)
		next_word(args, &ignored);
	return STEP_OPTION;
}

static enum step short_options(const struct interpreter *interpreter,
			       struct slice letters, struct slice *args,
			       struct slice *ret_program)
{
	struct slice ignored;

	while (letters.len) {
		char letter = *letters.text;

		letters.text++;
		letters.len--;
		if (letter_in(letter, interpreter->code))
			return STEP_NONE;
		if (letter_in(letter, interpreter->program))
			return program_value(letters, args, ret_program);
		if (letter_in(letter, interpreter->value)) {
			if (!letters.len)
				next_word(args, &ignored);
			return STEP_OPTION;
		}
		if (letter_in(letter, interpreter->attached))
			return STEP_OPTION;
	}
	return STEP_OPTION;
}

static enum step read_word(const struct interpreter *interpreter, struct slice word,
			   struct slice *args, struct slice *ret_program)
{
	struct slice letters = {word.text + 1, word.len - 1};

	if (!word.len || slice_is(word, "-"))
		return STEP_NONE;
	if (slice_is(word, "--"))
		return next_word(args, ret_program) ? STEP_SCRIPT : STEP_NONE;
	if (slice_starts_with(word, "--"))
		return long_option(interpreter, word, args, ret_program);
	if (*word.text == '-' || (*word.text == '+' && interpreter->plus))
		return short_options(interpreter, letters, args, ret_program);
	*ret_program = word;
	return STEP_SCRIPT;
}

static bool script_to_label(struct slice path, char *ret_name, size_t size)
{
	static const char *const extensions[] = {
	    ".py", ".pyc", ".pyz", ".pyw",  ".js",  ".mjs",  ".cjs", ".ts",
	    ".rb", ".ru",  ".pl",  ".psgi", ".php", ".phar", ".sh",  ".bash"};
	static const char *const nameless[] = {".", "..", "/", NULL};
	struct slice script = slice_base_name(path);

	/* <(...) of a shell, or standard input, by its file. */
	if (slice_in(script, nameless) || slice_starts_with(path, "/dev/"))
		return false;
	for (size_t i = 0; i < LENGTH(extensions); i++) {
		if (slice_strip_suffix(&script, extensions[i]))
			break;
	}
	return slice_to_label(script, ret_name, size);
}

static bool name_from_script(const struct interpreter *interpreter, struct slice args,
			     char *ret_name, size_t size)
{
	struct slice word, program = {"", 0};
	enum step step = STEP_OPTION;

	while (step == STEP_OPTION && next_word(&args, &word))
		step = read_word(interpreter, word, &args, &program);
	if (step == STEP_VALUE && interpreter->module)
		return slice_to_label(program, ret_name, size);
	return (step == STEP_VALUE || step == STEP_SCRIPT) &&
	       script_to_label(program, ret_name, size);
}

/* MODULE/CLASS: the class, else the module. */
static bool module_to_label(struct slice module, char *ret_name, size_t size)
{
	return slice_to_label(slice_base_name(module), ret_name, size);
}

static bool java_to_label(struct slice word, bool jar, char *ret_name, size_t size)
{
	struct slice program = word;

	if (jar || slice_ends_with(word, ".java"))
		program = slice_base_name(word);
	if (jar && !slice_strip_suffix(&program, ".jar"))
		slice_strip_suffix(&program, ".war");
	if (!jar)
		slice_strip_suffix(&program, ".java");
	return slice_to_label(program, ret_name, size);
}

/* -jar only says what the first word that is no option means: options may stand
 * between. What an @argfile holds is not ours to open. */
static bool name_from_java(struct slice args, char *ret_name, size_t size)
{
	static const char *const module_words[] = {"-m", "--module", NULL};
	struct slice word, rest;
	bool jar = false;

	while (next_word(&args, &word)) {
		rest = word;
		if (slice_is(word, "-jar"))
			jar = true;
		else if (slice_in(word, module_words))
			return next_word(&args, &word) &&
			       module_to_label(word, ret_name, size);
		else if (slice_is(slice_split(&rest, '='), "--module"))
			return module_to_label(rest, ret_name, size);
		else if (slice_in(word, java_values))
			next_word(&args, &word);
		else if (word.len && *word.text != '-' && *word.text != '@')
			return java_to_label(word, jar, ret_name, size);
	}
	return false;
}

/* argv[0] that its process wrote over: "nginx: worker process". */
static bool is_title(struct slice first)
{
	return memchr(first.text, ' ', first.len) || memchr(first.text, ':', first.len);
}

/* "gunicorn: master [app]", "puma 6.4.2 (tcp://...)", "[celeryd: ...]": the word. */
static bool title_to_label(struct slice title, char *ret_name, size_t size)
{
	size_t len = 0;

	while (title.len && letter_in(*title.text, " [(")) {
		title.text++;
		title.len--;
	}
	while (len < title.len && !letter_in(title.text[len], " :[]()"))
		len++;
	return slice_to_label((struct slice){title.text, len}, ret_name, size);
}

/* The basename; a login shell's argv[0] begins with '-'. */
static struct slice program_of_argument(struct slice first)
{
	struct slice program = slice_base_name(first);

	if (program.len > 1 && *program.text == '-') {
		program.text++;
		program.len--;
	}
	return program;
}

/* What the kernel executed, else what argv[0] or comm claim. */
static struct slice program_file(struct slice exe, struct slice first,
				 struct slice comm)
{
	if (exe.len)
		return slice_base_name(exe);
	if (first.len && (!comm.len || !is_title(first)))
		return program_of_argument(first);
	return comm;
}

/* One file, many programs: the applet is argv[0], or the word after "busybox". */
static struct slice busybox_applet(struct slice first, struct slice *args)
{
	struct slice word, applet = program_of_argument(first);

	if (slice_is(applet, "busybox") && next_word(args, &word) && word.len)
		applet = slice_base_name(word);
	return applet;
}

/* An interpreter whose whole command line is a title of its script's choosing. */
static bool is_titled(struct slice first, struct slice args)
{
	struct slice word;

	while (next_word(&args, &word)) {
		if (word.len)
			return false;
	}
	return first.len && !find_interpreter(program_of_argument(first));
}

static bool name_from_interpreter(struct slice program, struct slice first,
				  struct slice args, char *ret_name, size_t size)
{
	const struct interpreter *interpreter = find_interpreter(program);

	if (slice_is(program, "java"))
		return name_from_java(args, ret_name, size);
	if (!interpreter)
		return false;
	if (is_titled(first, args))
		return title_to_label(first, ret_name, size);
	return name_from_script(interpreter, args, ret_name, size);
}

void program_name(const char *exe, struct slice args, const char *comm, char *ret_name,
		  size_t size)
{
	struct slice program, first = {"", 0};

	next_word(&args, &first);
	program = program_file(slice_of(exe), first, slice_of(comm));
	if (slice_is(program, "busybox") && first.len)
		program = busybox_applet(first, &args);
	if (!name_from_interpreter(program, first, args, ret_name, size) &&
	    !slice_to_label(program, ret_name, size))
		slice_to_label(slice_of("unknown"), ret_name, size);
}
