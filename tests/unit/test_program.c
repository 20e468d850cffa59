/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "program.h"

struct example {
	const char *args; /* words separated by '|', each ended by a NUL for the test */
	const char *name;
};

static void expect_name(const char *exe, const char *args, const char *comm,
			const char *expected)
{
	size_t len = strlen(args);
	char name[128], *owned = malloc(len + 1);

	assert_non_null(owned);
	for (size_t i = 0; i < len; i++)
		owned[i] = args[i] == '|' ? '\0' : args[i];
	owned[len] = '\0';
	program_name(exe, (struct slice){owned, len ? len + 1 : 0}, comm, name,
		     sizeof(name));
	free(owned);
	if (strcmp(name, expected))
		fail_msg("%s: \"%s\": \"%s\", not \"%s\"", exe, args, name, expected);
}

static void expect_names(const char *exe, const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++)
		expect_name(exe, examples[i].args, "comm", examples[i].name);
}

#define EXPECT_NAMES(exe, examples)                                                    \
	expect_names(exe, examples, sizeof(examples) / sizeof((examples)[0]))

static void python_is_named_by_script_or_module(void **state)
{
	static const struct example examples[] = {
	    {"python3|/srv/shop.py|--port|80", "shop"},
	    {"python3|/usr/bin/gunicorn|app:app", "gunicorn"},
	    {"python3|-m|http.server|8000", "http.server"},
	    {"python3|-mhttp.server", "http.server"},
	    {"python3|-um|uvicorn|app:app", "uvicorn"},
	    {"python3|-W|ignore|-X|dev|-u|shop.py", "shop"},
	    {"python3|-Wignore|-Xdev|shop.py", "shop"},
	    {"python3|-uW|ignore|shop.py", "shop"},
	    {"python3|--check-hash-based-pycs|never|shop.py", "shop"},
	    {"python3|--|shop.py", "shop"},
	    {"python3|/srv/app.v2", "app.v2"},
	    {"python3|/srv/shop/", "shop"},
	    {"python3|.", "python3.11"},
	    {"python3|-c|import x|shop.py", "python3.11"},
	    {"python3|-uc|import x", "python3.11"},
	    {"python3|-", "python3.11"},
	    {"python3", "python3.11"},
	    {"python3|-m", "python3.11"},
	    {"python3|-W", "python3.11"},
	    {"python3|", "python3.11"},
	    {"python3|/dev/fd/63", "python3.11"},
	    {"python3|.py", ".py"},
	};

	(void)state;
	EXPECT_NAMES("/usr/bin/python3.11", examples);
	expect_name("/usr/bin/pypy3", "pypy3|shop.py", "", "shop");
	expect_name("/usr/bin/python3.13t", "python|shop.py", "", "shop");
	expect_name("/usr/bin/python3-config", "x|shop.py", "", "python3-config");
}

static void node_is_named_by_script(void **state)
{
	static const struct example examples[] = {
	    {"node|/srv/server.js", "server"},
	    {"node|server.mjs|--port|80", "server"},
	    {"node|--require|./tracing.js|server.js", "server"},
	    {"node|--require=./tracing.js|server.js", "server"},
	    {"node|-r|./tracing.js|server.js", "server"},
	    {"node|--import|tsx|--env-file|.env|server.ts", "server"},
	    {"node|--max-old-space-size=512|--enable-source-maps|dist/main.js", "main"},
	    {"node|--inspect|server.js", "server"},
	    {"node|/usr/lib/node_modules/.bin/next|start", "next"},
	    {"node|-e|code", "node"},
	    {"node|-pe|code", "node"},
	    {"node|--eval|code|server.js", "node"},
	    {"node|--eval=code|server.js", "node"},
	    {"node", "node"},
	};

	(void)state;
	EXPECT_NAMES("/usr/bin/node", examples);
	expect_name("/usr/bin/nodejs", "nodejs|a.js", "", "a");
}

static void ruby_perl_php_are_named_by_script(void **state)
{
	static const struct example ruby[] = {
	    {"ruby|bin/rails|server", "rails"},      {"ruby|-S|rackup", "rackup"},
	    {"ruby|-Ilib|-r|json|app.rb", "app"},    {"ruby|-I|lib|app.rb", "app"},
	    {"ruby|-C|/srv|-W0|app.rb", "app"},      {"ruby|-ne|code", "ruby3.1"},
	    {"ruby|--encoding|utf-8|app.rb", "app"}, {"ruby|-W2|-T|app.rb", "app"},
	};
	static const struct example perl[] = {
	    {"perl|-w|/usr/bin/starman|app.psgi", "starman"},
	    {"perl|-Mstrict|-Ilib|app.pl", "app"},
	    {"perl|-I|lib|app.pl", "app"},
	    {"perl|-wle|code", "perl"},
	    {"perl|-0777ne|code", "perl"},
	    {"perl|-d:NYTProf|app.pl", "app"},
	};
	static const struct example php[] = {
	    {"php|artisan|serve", "artisan"},
	    {"php|-d|memory_limit=1G|-f|worker.php", "worker"},
	    {"php|-dmemory_limit=1G|worker.php", "worker"},
	    {"php|-S|0.0.0.0:80|-t|public", "php8.2"},
	    {"php|-S|0.0.0.0:80|router.php", "router"},
	    {"php|--file|worker.php", "worker"},
	    {"php|--file=worker.php", "worker"},
	    {"php|-r|code", "php8.2"},
	};

	(void)state;
	EXPECT_NAMES("/usr/bin/ruby3.1", ruby);
	EXPECT_NAMES("/usr/bin/perl", perl);
	EXPECT_NAMES("/usr/bin/php8.2", php);
	expect_name("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "", "php-fpm8.2");
}

static void shell_is_named_by_script(void **state)
{
	static const struct example examples[] = {
	    {"/bin/sh|/srv/run.sh", "run"},
	    {"bash|-euo|pipefail|./run.sh", "run"},
	    {"bash|+o|posix|-O|extglob|run.bash", "run"},
	    {"bash|--rcfile|x|--norc|run", "run"},
	    {"bash|-c|curl x|run.sh", "bash"},
	    {"bash|-ec|curl x", "bash"},
	    {"bash|-s|argument", "bash"},
	    {"-bash", "bash"},
	};

	(void)state;
	EXPECT_NAMES("/usr/bin/bash", examples);
	expect_name("/usr/bin/dash", "sh|run.sh", "", "run");
	expect_name("/bin/busybox", "sh|run.sh", "", "run");
	expect_name("/bin/busybox", "busybox|httpd|-f", "", "httpd");
	expect_name("/bin/busybox", "/bin/busybox|sh|run.sh", "", "run");
	expect_name("/bin/busybox", "busybox", "", "busybox");
}

static void java_is_named_by_jar_or_main_class(void **state)
{
	static const struct example examples[] = {
	    {"java|-jar|/srv/shop-1.2.jar|--x", "shop-1.2"},
	    {"java|-Xmx1g|-jar|-Dx=y|shop.jar", "shop"},
	    {"java|-jar|jenkins.war", "jenkins"},
	    {"java|-cp|a.jar:b.jar|com.example.Main|x", "com.example.Main"},
	    {"java|-classpath|a.jar|com.example.Main", "com.example.Main"},
	    {"java|--class-path|a.jar|com.example.Main", "com.example.Main"},
	    {"java|--module-path|m|-m|com.app/com.app.Main", "com.app.Main"},
	    {"java|-p|m|--module|com.app", "com.app"},
	    {"java|--module-path=m|--module=com.app/com.app.Main", "com.app.Main"},
	    {"java|--add-opens|java.base/java.lang=ALL-UNNAMED|Main", "Main"},
	    {"java|@options|-XX:+UseZGC|-javaagent:otel.jar|Main", "Main"},
	    {"java|--source|21|/srv/Shop.java", "Shop"},
	    {"java|@options", "java"},
	    {"java|-jar", "java"},
	    {"java|-m", "java"},
	    {"java", "java"},
	};

	(void)state;
	EXPECT_NAMES("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", examples);
}

static void other_programs_are_named_by_their_file(void **state)
{
	(void)state;
	expect_name("/usr/sbin/nginx", "nginx: worker process", "nginx", "nginx");
	expect_name("/srv/shop", "whatever|-c|x.py", "comm", "shop");
	expect_name("/memfd:shop", "x", "", "memfd:shop");
	expect_name("/usr/bin/pythonista", "x|y.py", "", "pythonista");
	expect_name("", "/usr/sbin/nginx|-g|x", "nginx", "nginx");
	expect_name("", "nginx: worker process", "nginx", "nginx");
	expect_name("", "nginx: worker process", "", "nginx: worker process");
	expect_name("", "python3|/srv/shop.py", "python3", "shop");
	expect_name("", "", "kworker/0:1", "kworker/0:1");
	expect_name("", "", "", "unknown");
	expect_name("", " ", "", "unknown");
	expect_name("/srv/\x01\xff", "", "", "__");
}

static void title_of_an_interpreter_names_it(void **state)
{
	(void)state;
	expect_name("/usr/bin/python3.11", "gunicorn: master [app:app]",
		    "gunicorn: maste", "gunicorn");
	expect_name("/usr/bin/python3.11", "gunicorn: worker|||", "", "gunicorn");
	expect_name("/usr/bin/python3.11", "[celeryd: a@b:MainProcess]", "", "celeryd");
	expect_name("/usr/bin/ruby3.1", "puma 6.4.2 (tcp://0.0.0.0:80) [x]", "",
		    "puma");
	expect_name("/usr/bin/node", "next-server (v14.2.3)", "", "next-server");
	expect_name("/usr/bin/node", "shop", "", "shop");
	expect_name("/usr/bin/node", " :", "", "node");
	/* exec -a: argv[0] is somebody's choice, the rest is as usual */
	expect_name("/usr/bin/python3.11", "shop|/srv/main.py", "", "main");
}

/* Random words never make an empty name, nor a read outside of them. */
static void any_words_make_a_name(void **state)
{
	static const char *const words[] = {
	    "-",  "--", "-c", "-m", "-jar",      "@x",     "",   "/",       ".",   " ",
	    "-W", "+o", "=",  "a",  "--module=", "--eval", "-I", "--file=", "\xff"};
	static const char *const files[] = {
	    "/bin/python3", "/bin/node",    "/bin/java", "",
	    "/bin/php",     "/bin/busybox", "/bin/sh"};
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char args[64], name[128] = "", *owned;
		const char *exe;
		size_t len = 0;

		random = random * 1664525 + 1013904223;
		exe = files[(random >> 8) % (sizeof(files) / sizeof(files[0]))];
		for (uint32_t count = random >> 28; count; count--) {
			const char *word;

			random = random * 1664525 + 1013904223;
			word =
			    words[(random >> 8) % (sizeof(words) / sizeof(words[0]))];
			if (len + strlen(word) + 1 > sizeof(args))
				break;
			memcpy(args + len, word, strlen(word) + 1);
			len += strlen(word) + 1;
		}
		owned = malloc(len ? len : 1);
		assert_non_null(owned);
		memcpy(owned, args, len);
		program_name(exe, (struct slice){owned, len}, "", name, sizeof(name));
		free(owned);
		assert_true(*name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(python_is_named_by_script_or_module),
	    cmocka_unit_test(node_is_named_by_script),
	    cmocka_unit_test(ruby_perl_php_are_named_by_script),
	    cmocka_unit_test(shell_is_named_by_script),
	    cmocka_unit_test(java_is_named_by_jar_or_main_class),
	    cmocka_unit_test(other_programs_are_named_by_their_file),
	    cmocka_unit_test(title_of_an_interpreter_names_it),
	    cmocka_unit_test(any_words_make_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
