/* SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>

#include "cleanup.h"

void objects_each_program(const struct bpf_object *object, objects_visit_program visit,
			  void *context)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, object) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		struct objects_program result = {.name = bpf_program__name(program)};

		if (bpf_program__fd(program) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len))
			continue;
		result.runs = info.run_cnt;
		result.run_ns = info.run_time_ns;
		result.skipped = info.recursion_misses;
		result.verified_instructions = info.verified_insns;
		visit(context, &result);
	}
}

static uint64_t map_bytes(int fd)
{
	char path[64], line[128];
	unsigned long long bytes = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	AUTO_FCLOSE FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	return bytes;
}

uint64_t objects_map_bytes(const struct bpf_object *object)
{
	struct bpf_map *map;
	uint64_t total = 0;

	bpf_object__for_each_map (map, object)
		total += map_bytes(bpf_map__fd(map));
	return total;
}
