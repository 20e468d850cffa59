/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the programs and maps of a loaded BPF object. It knows no
 * skeleton and loads nothing. */
#pragma once

#include <stdint.h>

struct bpf_object;

struct objects_program {
	const char *name;
	uint64_t runs; /* 0 unless kernel.bpf_stats_enabled */
	uint64_t run_ns;
	uint64_t skipped; /* because it was running on that processor already */
	uint32_t verified_instructions;
};

typedef void (*objects_visit_program)(void *context,
				      const struct objects_program *program);
/* Those that are loaded. */
void objects_each_program(const struct bpf_object *object, objects_visit_program visit,
			  void *context);
/* Kernel memory of all maps now, in bytes ("memlock" of a descriptor's fdinfo: what it
 * takes in use since 6.4, of its capacity before). */
uint64_t objects_map_bytes(const struct bpf_object *object);
