/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cgroup.h"

#define HEX "0123456789abcdef"
#define ID "4f8a01e2b3c7" HEX HEX HEX "0123"
#define ID12 "4f8a01e2b3c7"
#define OUTER "00000000000000000000000000000000" HEX HEX

struct example {
	const char *cgroup;
	const char *name; /* NULL: neither unit nor container */
};

static void expect_names(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(examples[i].cgroup);
		char name[128] = "unchanged", *owned = malloc(len + 1);
		bool found;

		assert_non_null(owned);
		memcpy(owned, examples[i].cgroup, len);
		owned[len] = '!'; /* a slice has no NUL */
		found = cgroup_name((struct slice){owned, len}, name, sizeof(name));
		free(owned);
		if (found != !!examples[i].name ||
		    strcmp(name, found ? examples[i].name : "unchanged"))
			fail_msg("\"%s\": \"%s\"", examples[i].cgroup, name);
	}
}

#define EXPECT_NAMES(examples)                                                         \
	expect_names(examples, sizeof(examples) / sizeof((examples)[0]))

static void unit_is_the_last_service_of_the_path(void **state)
{
	static const struct example examples[] = {
	    {"0::/system.slice/nginx.service\n", "nginx"},
	    {"0::/system.slice/nginx.service", "nginx"},
	    {"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1"},
	    {"0::/system.slice/my\\x2dapp.service\n", "my-app"},
	    {"0::/system.slice/a\\x2.service\n", "a\\x2"},
	    {"0::/system.slice/a\\xzz.service\n", "a\\xzz"},
	    {"0::/system.slice/x\\x01y.service\n", "x_y"},
	    {"0::/system.slice/_cpu.service\n", "cpu"},
	    {"0::/system.slice/web.service/worker\n", "web"},
	    {"0::/a.service/b.service\n", "b"},
	    {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service\n",
	     "app"},
	    {"0::/../../system.slice/cron.service\n", "cron"},
	    {"1:name=systemd:/system.slice/nginx.service\n", "nginx"},
	    {"2:cpu,cpuacct:/x\n1:name=systemd:/system.slice/a.service\n0::/\n", "a"},
	    {"1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n",
	     "b"},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void session_scope_and_user_manager_are_no_service(void **state)
{
	static const struct example examples[] = {
	    {"0::/\n", NULL},
	    {"0::/init.scope\n", NULL},
	    {"0::/user.slice/user-0.slice/session-3.scope\n", NULL},
	    {"0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", NULL},
	    {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
	     "app-gnome-firefox-1234.scope\n",
	     NULL},
	    {"0::/system.slice/.service\n", NULL},
	    {"0::/system.slice\n", NULL},
	    {"4:memory:/process_api/c4e3e43073ad050a1eab4eb827e8041a\n0::/\n", NULL},
	    {"4:memory:/system.slice/nginx.service\n0::/\n", NULL},
	    {"", NULL},
	    {"\n", NULL},
	    {"nonsense\n0\n0:\n0::\n::::\n", NULL},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void container_is_twelve_digits_of_its_id(void **state)
{
	static const struct example examples[] = {
	    {"0::/system.slice/docker-" ID ".scope\n", ID12},
	    {"0::/docker/" ID "\n", ID12},
	    {"0::/docker/" ID "/child\n", ID12},
	    {"0::/../docker-" ID ".scope\n", ID12},
	    {"0::/custom-parent/" ID "\n", ID12},
	    {"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID
	     ".scope\n",
	     ID12},
	    {"0::/kubepods.slice/kubepods-burstable.slice/"
	     "kubepods-burstable-pod1.slice/"
	     "cri-containerd-" ID ".scope\n",
	     ID12},
	    {"0::/kubepods/besteffort/pod1/" ID "\n", ID12},
	    {"0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope\n", ID12},
	    {"0::/kubepods/besteffort/pod1/crio-" ID "\n", ID12},
	    {"0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope/container\n",
	     ID12},
	    {"0::/machine.slice/libpod-" ID ".scope/container\n", ID12},
	    {"11:memory:/kubepods/pod1/" ID "\n1:name=systemd:/\n0::/\n", ID12},
	    {"0::/docker/" OUTER "/docker/" ID "\n", ID12},
	    {"0::/docker/" OUTER
	     "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" ID ".scope\n",
	     ID12},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void monitor_of_a_container_is_no_container(void **state)
{
	static const struct example examples[] = {
	    {"0::/machine.slice/libpod-conmon-" ID ".scope\n", NULL},
	    {"0::/system.slice/crio-conmon-" ID ".scope\n", NULL},
	    {"0::/lxc.monitor.web\n", NULL},
	    {"0::/lxc.monitor/web\n", NULL},
	    {"0::/docker/" ID "0\n", NULL},          /* 65 digits, nothing before */
	    {"0::/docker/x" ID "\n", NULL},          /* no separator */
	    {"0::/docker/0123456789abcdef\n", NULL}, /* too short */
	    {"0::/docker/4F8A01E2B3C7" HEX HEX HEX "0123\n", NULL},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void lxc_container_has_its_own_name(void **state)
{
	static const struct example examples[] = {
	    {"0::/lxc.payload.web/init.scope\n", "web"},
	    {"0::/lxc.payload/web\n", "web"},
	    {"0::/lxc/101/ns/init.scope\n", "101"},
	    {"4:memory:/lxc/101\n0::/\n", "101"},
	    {"0::/lxc.payload.web/user.slice/user-0.slice/session-1.scope\n", "web"},
	    {"0::/lxc/\n", NULL},
	    {"0::/lxc.payload.\n", NULL},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void deepest_of_unit_and_container_wins(void **state)
{
	static const struct example examples[] = {
	    {"0::/lxc.payload.web/system.slice/nginx.service\n", "nginx"},
	    {"0::/docker/" ID "/system.slice/nginx.service\n", "nginx"},
	    {"0::/system.slice/containerd.service/"
	     "kubepods-pod1.slice:cri-containerd:" ID "\n",
	     ID12},
	    {"0::/system.slice/docker.service/docker/" ID "\n", ID12},
	    /* Podman's Quadlet: the user wrote web.service. */
	    {"0::/system.slice/web.service/libpod-payload-" ID "\n", "web"},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void runtime_unit_counts_only_when_nothing_else_does(void **state)
{
	static const struct example examples[] = {
	    {"0::/system.slice/containerd.service\n", "containerd"},
	    {"4:memory:/docker/" ID "\n1:name=systemd:/docker/" ID
	     "\n0::/system.slice/containerd.service\n",
	     ID12},
	    {"4:memory:/docker/" ID "\n0::/system.slice/docker.service\n", ID12},
	    {"4:memory:/docker/" ID "\n0::/system.slice/nginx.service\n", "nginx"},
	};

	(void)state;
	EXPECT_NAMES(examples);
}

static void long_unit_is_cut_to_the_size_given(void **state)
{
	static const char cgroup[] = "0::/system.slice/abcdefgh.service\n";
	char name[5];

	(void)state;
	assert_true(cgroup_name(slice_of(cgroup), name, sizeof(name)));
	assert_string_equal(name, "abcd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unit_is_the_last_service_of_the_path),
	    cmocka_unit_test(session_scope_and_user_manager_are_no_service),
	    cmocka_unit_test(container_is_twelve_digits_of_its_id),
	    cmocka_unit_test(monitor_of_a_container_is_no_container),
	    cmocka_unit_test(lxc_container_has_its_own_name),
	    cmocka_unit_test(deepest_of_unit_and_container_wins),
	    cmocka_unit_test(runtime_unit_counts_only_when_nothing_else_does),
	    cmocka_unit_test(long_unit_is_cut_to_the_size_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
