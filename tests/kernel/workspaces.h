/* SPDX-License-Identifier: Apache-2.0 */
/* workspaces.h - takes every workspace of the programs (bpf/workspace.bpf.h), as if so
 * many ran at this moment, and gives them back. Of the one scene that is attached. */
#pragma once

#include "require.h"

#include <bpf/bpf.h>
#include <dirent.h>

/* struct workspace begins with its index and whether somebody has it. */
enum { WORKSPACE_INDEX, WORKSPACE_BUSY };

static inline bool is_map_of_workspaces(int fd, struct bpf_map_info *ret_info)
{
	uint32_t len = sizeof(*ret_info);

	memset(ret_info, 0, sizeof(*ret_info));
	return !bpf_obj_get_info_by_fd(fd, ret_info, &len) &&
	       !strcmp(ret_info->name, "workspaces");
}

static inline int workspaces_map(struct bpf_map_info *ret_info)
{
	DIR *open = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd = -1;

	REQUIRE(open);
	while (fd < 0 && (entry = readdir(open)))
		if (is_map_of_workspaces(atoi(entry->d_name), ret_info))
			fd = atoi(entry->d_name);
	REQUIRE(!closedir(open) && fd >= 0);
	return fd;
}

static inline void workspaces_mark(uint32_t busy)
{
	struct bpf_map_info info;
	const int map = workspaces_map(&info);
	uint32_t *workspace = calloc(1, info.value_size);

	REQUIRE(workspace);
	for (uint32_t i = 0; i < info.max_entries; i++) {
		workspace[WORKSPACE_INDEX] = i;
		workspace[WORKSPACE_BUSY] = busy;
		REQUIRE(!bpf_map_update_elem(map, &i, workspace, BPF_EXIST));
	}
	free(workspace);
}

static inline void workspaces_take(void)
{
	workspaces_mark(1);
}

static inline void workspaces_give(void)
{
	workspaces_mark(0);
}
