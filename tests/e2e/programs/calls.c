// SPDX-License-Identifier: Apache-2.0
/* calls: does what its standard input says, a line each, and answers each with a line
 * "= ..." once it is done. Its functions are called as often as the line says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROBED __attribute__((noipa, used))
#define THREADS_MAX 64

/* A build that differs has the functions elsewhere. */
#ifdef SHIFTED
PROBED long shifted(long number)
{
	return number * number % 7 + number / 3;
}
#endif

static const char *const names[] = {"gold", "silver", "tin", ""};

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

/* --- the functions ---------------------------------------------------------------- */

/* Of five results one is negative, one is zero. */
PROBED long work(long number, const char *name, int kind)
{
	if (number % 5 == 0)
		return -number;
	if (number % 5 == 1)
		return 0;
	return number + kind + (*name == '?');
}

static atomic_long slept_ns;

PROBED int doze(long ms)
{
	const long began_ns = now_ns();
	const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
	atomic_fetch_add(&slept_ns, now_ns() - began_ns);
	return 0;
}

/* Leaves through work(): a jump, no return. */
PROBED long hop(long number)
{
	return work(number + 1, "hop", 0);
}

/* Sleeps once, in the middle. */
PROBED long dive(long depth, long ms)
{
	long below = 0;

	if (ms && depth == 8)
		doze(ms);
	if (depth > 1)
		below = dive(depth - 1, ms);
	asm volatile("" : "+r"(below)); /* no loop is to be made of it */
	return below + depth;
}

static __thread jmp_buf way_back;

PROBED long jump(long number)
{
	if (number % 2)
		longjmp(way_back, 1);
	return number;
}

/* Between longjmp and its setjmp. */
PROBED long pass(long number)
{
	return jump(number) + 1;
}

static int gate[2];

PROBED long hold(long number)
{
	char byte;

	return read(gate[0], &byte, 1) + number;
}

PROBED long leave(long how)
{
	if (how == 1)
		pthread_exit(NULL);
	if (how == 2)
		pause();
	return how;
}

PROBED long split(void)
{
	return fork();
}

PROBED int become(const char *program)
{
	char *const arguments[] = {(char *)program, "became", NULL};

	return execv(program, arguments);
}

/* --- threads that call them ------------------------------------------------------- */

struct thread {
	pthread_t id;
	long number, calls, ms, result;
};

static struct thread threads[THREADS_MAX];
static atomic_long spun, wrong;
static atomic_bool spinning;

static long in_threads(long count, long calls, long ms, void *(*run)(void *))
{
	long result = 0;

	for (long i = 0; i < count; i++) {
		threads[i] = (struct thread){.number = i, .calls = calls, .ms = ms};
		pthread_create(&threads[i].id, NULL, run, &threads[i]);
	}
	for (long i = 0; i < count; i++) {
		pthread_join(threads[i].id, NULL);
		result += threads[i].result;
	}
	return result;
}

static void *run_work(void *of)
{
	struct thread *thread = of;

	for (long i = 1; i <= thread->calls; i++)
		thread->result +=
		    work(i, names[thread->number % 4], (int)(thread->number % 4) - 1);
	return NULL;
}

static void *run_doze(void *of)
{
	struct thread *thread = of;

	for (long i = 0; i < thread->calls; i++) {
		const long began_ns = now_ns();

		doze(thread->ms);
		thread->result += now_ns() - began_ns;
	}
	return NULL;
}

static void *run_hop(void *of)
{
	struct thread *thread = of;

	for (long i = 0; i < thread->calls; i++)
		thread->result += hop(i);
	return NULL;
}

static void *run_dive(void *of)
{
	struct thread *thread = of;

	for (long i = 0; i < thread->calls; i++)
		thread->result += dive(16, thread->ms);
	return NULL;
}

static void *run_jump(void *of)
{
	struct thread *thread = of;

	for (volatile long i = 0; i < thread->calls; i++) {
		if (setjmp(way_back))
			thread->result++;
		else
			pass(i);
	}
	return NULL;
}

static atomic_long cleaned;

static void clean(void *unused)
{
	(void)unused;
	cleaned++;
}

static void *run_leave(void *of)
{
	struct thread *thread = of;

	pthread_cleanup_push(clean, NULL);
	leave(0);
	leave(thread->ms);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *run_hold(void *of)
{
	return (void *)hold(((struct thread *)of)->number);
}

/* What work(number, "spin", 1) + hop(number) is. */
static long expected_of(long number)
{
	const long next = number + 1;

	return (number % 5 == 0   ? -number
		: number % 5 == 1 ? 0
				  : number + 1) +
	       (next % 5 == 0   ? -next
		: next % 5 == 1 ? 0
				: next);
}

/* 2.5 million of each at least, and until it is told. */
static void *run_spin(void *unused)
{
	long count = 0;

	(void)unused;
	while (spinning || count < 2500000) {
		wrong += work(count, "spin", 1) + hop(count) != expected_of(count);
		count++;
		spun++;
	}
	return NULL;
}

/* --- what a line may say ---------------------------------------------------------- */

static long do_work(long count, long calls, long unused)
{
	(void)unused;
	return in_threads(count, calls, 0, run_work);
}

static long do_doze(long count, long calls, long ms)
{
	return in_threads(count, calls, ms, run_doze);
}

static long do_slept(long a, long b, long c)
{
	(void)a, (void)b, (void)c;
	return slept_ns;
}

static long do_hop(long count, long calls, long unused)
{
	(void)unused;
	return in_threads(count, calls, 0, run_hop);
}

static long do_dive(long count, long calls, long ms)
{
	return in_threads(count, calls, ms, run_dive);
}

static long do_plunge(long calls, long depth, long unused)
{
	long sum = 0;

	(void)unused;
	while (calls--)
		sum += dive(depth, 0);
	return sum;
}

static long do_jump(long count, long calls, long unused)
{
	(void)unused;
	return in_threads(count, calls, 0, run_jump);
}

static long do_leave(long count, long how, long unused)
{
	(void)unused;
	for (long i = 0; i < count; i++) {
		threads[i] = (struct thread){.ms = how};
		pthread_create(&threads[i].id, NULL, run_leave, &threads[i]);
		if (how == 2)
			pthread_cancel(threads[i].id);
		pthread_join(threads[i].id, NULL);
	}
	return cleaned;
}

static long do_hold(long count, long a, long b)
{
	(void)a, (void)b;
	for (long i = 0; i < count; i++) {
		threads[i] = (struct thread){.number = i};
		pthread_create(&threads[i].id, NULL, run_hold, &threads[i]);
	}
	return count;
}

static long do_release(long count, long first, long unused)
{
	(void)unused;
	for (long i = 0; i < count; i++)
		if (write(gate[1], "x", 1) != 1)
			return -1;
	for (long i = first; i < first + count; i++)
		pthread_join(threads[i].id, NULL);
	return count;
}

static long do_fork(long count, long a, long b)
{
	(void)a, (void)b;
	for (long i = 0; i < count; i++) {
		const pid_t pid = (pid_t)split();
		int status;

		if (!pid)
			_exit((int)work(7, "child", 0));
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
			return -1;
	}
	return count;
}

static void *run_become(void *unused)
{
	(void)unused;
	become("/proc/self/exe");
	return NULL;
}

static long do_exec(long in_a_thread, long a, long b)
{
	(void)a, (void)b;
	if (in_a_thread)
		return in_threads(1, 0, 0, run_become);
	return become("/proc/self/exe");
}

static long do_spin(long count, long a, long b)
{
	(void)a, (void)b;
	spinning = true;
	for (long i = 0; i < count; i++)
		pthread_create(&threads[i].id, NULL, run_spin, &threads[i]);
	return count;
}

static long do_spun(long a, long b, long c)
{
	(void)a, (void)b, (void)c;
	return spun;
}

static long do_halt(long count, long a, long b)
{
	(void)a, (void)b;
	spinning = false;
	for (long i = 0; i < count; i++)
		pthread_join(threads[i].id, NULL);
	return wrong ? -wrong : spun;
}

static long do_code(long a, long b, long c)
{
	uint64_t bytes[4];

	(void)a, (void)b, (void)c;
	memcpy(bytes, (void *)(uintptr_t)work, sizeof(bytes));
	return (long)(bytes[0] ^ bytes[1] * 3 ^ bytes[2] * 5 ^ bytes[3] * 7);
}

/* read, write, exit: all else kills. */
static long do_confine(long strict, long a, long b)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	(void)a, (void)b;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (strict)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* In this thread, without a system call. */
static long do_plain(long calls, long a, long b)
{
	long sum = 0;

	(void)a, (void)b;
	for (long i = 1; i <= calls; i++)
		sum += work(i, "plain", 0) + hop(i);
	return sum;
}

static long do_load(const char *path, long calls)
{
	void *library = dlopen(path, RTLD_NOW);
	long (*lend)(long) = library ? (long (*)(long))dlsym(library, "lend") : NULL;
	long sum = 0;

	for (long i = 1; lend && i <= calls; i++)
		sum += lend(i);
	return sum;
}

static const struct {
	const char *name;
	long (*run)(long, long, long);
} scenarios[] = {
    {"work", do_work},   {"doze", do_doze},       {"slept", do_slept},
    {"hop", do_hop},     {"dive", do_dive},       {"jump", do_jump},
    {"leave", do_leave}, {"hold", do_hold},       {"release", do_release},
    {"fork", do_fork},   {"exec", do_exec},       {"spin", do_spin},
    {"spun", do_spun},   {"halt", do_halt},       {"code", do_code},
    {"plain", do_plain}, {"confine", do_confine}, {"plunge", do_plunge},
};

static void answer(long result)
{
	char line[32];
	const int len = snprintf(line, sizeof(line), "= %ld\n", result);

	if (write(1, line, (size_t)len) != len)
		_exit(1);
}

int main(int argc, char **argv)
{
	char line[512], name[16], path[400];
	long a, b, c;

	setvbuf(stdin, NULL, _IONBF, 0);
	if (pipe(gate))
		return 1;
	if (argc > 1) /* calls at once, without being asked */
		answer(!strcmp(argv[1], "became") ? 0 : do_plain(atol(argv[1]), 0, 0));
	while (fgets(line, sizeof(line), stdin)) {
		a = b = c = 0;
		if (sscanf(line, "load %399s %ld", path, &a) == 2) {
			answer(do_load(path, a));
			continue;
		}
		sscanf(line, "%15s %ld %ld %ld", name, &a, &b, &c);
		for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
			if (!strcmp(name, scenarios[i].name))
				answer(scenarios[i].run(a, b, c));
	}
	_exit(0);
}
