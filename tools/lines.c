/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines - of which line of the source each piece of the machine code is that the kernel
 * made of the loaded BPF programs: "ADDRESS FILE:LINE", the address as 16 digits, where
 * the piece begins. bpftool prints this only with a disassembler, which Debian's has
 * not.
 *   lines            root; of all programs that brought line numbers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "cleanup.h"

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int print_lines(const struct btf *btf, const struct bpf_line_info *lines,
		       const uint64_t *addresses, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *file = btf__str_by_offset(btf, lines[i].file_name_off);

		if (!file)
			return -EINVAL;
		printf("%016" PRIx64 " %s:%u\n", addresses[i], base_name(file),
		       BPF_LINE_INFO_LINE_NUM(lines[i].line_col));
	}
	return 0;
}

static int program_print(int program)
{
	struct bpf_prog_info sizes = {0};
	__u32 len = sizeof(sizes);
	int err = bpf_obj_get_info_by_fd(program, &sizes, &len);
	const __u32 count = sizes.nr_jited_line_info;

	if (err || !count)
		return err;

	CLEANUP(free_btf) struct btf *btf = btf__load_from_kernel_by_id(sizes.btf_id);
	AUTO_FREE struct bpf_line_info *lines = calloc(count, sizeof(*lines));
	AUTO_FREE uint64_t *addresses = calloc(count, sizeof(*addresses));
	struct bpf_prog_info info = {
	    .line_info = (uintptr_t)lines,
	    .nr_line_info = count,
	    .line_info_rec_size = sizeof(*lines),
	    .jited_line_info = (uintptr_t)addresses,
	    .nr_jited_line_info = count,
	    .jited_line_info_rec_size = sizeof(*addresses),
	};

	if (!btf || !lines || !addresses)
		return -errno;
	len = sizeof(info);
	err = bpf_obj_get_info_by_fd(program, &info, &len);
	if (!err && !info.jited_line_info) /* kernel.kptr_restrict forbids it */
		err = -EPERM;
	return err ? err : print_lines(btf, lines, addresses, count);
}

/* One that ended meanwhile has no lines. */
static int id_print(__u32 id)
{
	AUTO_CLOSE int program = bpf_prog_get_fd_by_id(id);

	if (program == -ENOENT)
		return 0;
	return program < 0 ? program : program_print(program);
}

int main(void)
{
	__u32 id = 0;
	int err;

	while (!(err = bpf_prog_get_next_id(id, &id))) {
		err = id_print(id);
		if (err) {
			fprintf(stderr, "lines: program %u: %s\n", id, strerror(-err));
			return 1;
		}
	}
	if (err != -ENOENT) /* that there are no more */
		fprintf(stderr, "lines: cannot list programs: %s\n", strerror(-err));
	return err != -ENOENT;
}
