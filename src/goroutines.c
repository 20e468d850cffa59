/* SPDX-License-Identifier: Apache-2.0 */
#include "goroutines.h"

#include <bpf/bpf.h>
#include <stdbool.h>

#include "drain.h"
#include "function_abi.h"
#include "proc.h"

#define KNOWN 64

struct sweep {
	int map_fd;
	const char *proc_root;
	struct {
		uint32_t pid;
		bool is_alive;
	} known[KNOWN]; /* what was last asked: few processes have many calls */
	uint64_t taken;
};

static bool is_alive(struct sweep *sweep, uint32_t pid)
{
	const uint32_t at = pid % KNOWN;

	if (sweep->known[at].pid != pid) {
		sweep->known[at].pid = pid;
		sweep->known[at].is_alive = proc_alive(sweep->proc_root, pid);
	}
	return sweep->known[at].is_alive;
}

static void see_call(void *context, const void *key, const void *value)
{
	struct sweep *sweep = context;
	const struct tally_goroutine_key *call = key;

	(void)value;
	if (!is_alive(sweep, call->pid) && !bpf_map_delete_elem(sweep->map_fd, key))
		sweep->taken++;
}

int goroutines_sweep(int map_fd, const char *proc_root, uint64_t *ret_taken)
{
	struct sweep sweep = {.map_fd = map_fd, .proc_root = proc_root};
	int err = drain_each(map_fd, sizeof(struct tally_goroutine_key),
			     sizeof(struct tally_function_frame), see_call, &sweep);

	*ret_taken = sweep.taken;
	return err;
}
