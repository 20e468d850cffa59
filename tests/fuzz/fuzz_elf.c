/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a program: nothing read beyond what is there, every string ends, every
 * offset is one of the file, and each function has a site or a reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf.h"
#include "site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int fact)
{
	if (!fact)
		abort();
}

static void check_site(struct elf *elf, const struct elf_function *function)
{
	struct site site = {0};
	const char *why = NULL;

	if (site_find(elf, function, true, true, &site, &why)) {
		require(why && *why);
		return;
	}
	require(!function->size || site.entry < function->size);
	require(!site.return_probe && site.return_count);
	for (size_t i = 0; i < site.return_count; i++)
		require(site.returns[i] < function->size);
}

static void check_functions(struct elf *elf)
{
	size_t count;
	const struct elf_function *functions = elf_functions(elf, &count);

	for (size_t i = 0; i < count; i++) {
		require(*functions[i].name && *functions[i].display);
		require(!i || functions[i - 1].address <= functions[i].address);
		require(elf_function_is(&functions[i], functions[i].display));
		if (i < 64)
			check_site(elf, &functions[i]);
	}
}

static void check_usdts(const struct elf *elf)
{
	size_t count;
	const struct elf_usdt *usdts = elf_usdts(elf, &count);

	for (size_t i = 0; i < count; i++)
		require(*usdts[i].provider && *usdts[i].name &&
			strlen(usdts[i].arguments) < (1u << 20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("program", MFD_CLOEXEC);
	char path[32], error[ELF_ERROR_LEN] = "";
	struct elf *elf = NULL;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (elf_open(path, "/nonexistent", &elf, error)) {
		require(*error && !strchr(error, '\n'));
	} else {
		check_functions(elf);
		check_usdts(elf);
	}
	elf_close(&elf);
	close(fd);
	return 0;
}
