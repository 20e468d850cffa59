/* SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A collection asks for some forty maps: hence no stdio. */
static uint64_t map_bytes(int fd)
{
	static const char field[] = "\nmemlock:";
	char path[64], text[1024];
	const char *found = NULL;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	AUTO_CLOSE int info = open(path, O_RDONLY | O_CLOEXEC);

	len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (len > 0) {
		text[len] = 0;
		found = strstr(text, field);
	}
	return found ? strtoull(found + sizeof(field) - 1, NULL, 10) : 0;
}

uint64_t objects_map_bytes(const struct bpf_object *object)
{
	struct bpf_map *map;
	uint64_t total = 0;

	bpf_object__for_each_map (map, object)
		if (bpf_map__fd(map) >= 0)
			total += map_bytes(bpf_map__fd(map));
	return total;
}
