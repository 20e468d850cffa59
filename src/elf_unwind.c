/* SPDX-License-Identifier: Apache-2.0 */
/* Whether exceptions may pass, or stacks be changed: the kernel pairs the return probes
 * of a thread by the order of its calls, and after a change of stacks returns to the
 * other's caller. The unwind tables do not tell, C has them too; so it is told by what
 * a compiler of such a language leaves. C's own cleanup attribute, which glibc is built
 * with, is no exception: .gcc_except_table alone says nothing. */
#include <string.h>

#include "elf_internal.h"

#define TAG_NEEDED 1 /* DT_NEEDED */

struct dynamic_entry {
	uint64_t tag, value;
};

bool elf_unwind_is_name(const struct elf_section *section, const char *name)
{
	static const char *const names[] = {
	    "__cxa_throw", "__gxx_personality_v0", "rust_eh_personality",
	    "__gnat_personality_v0", "__gdc_personality_v0", "__objc_personality_v0",
	    /* coroutines: libc, Boost, libco, Ruby */
	    "makecontext", "setcontext", "swapcontext", "jump_fcontext", "co_switch",
	    "coroutine_transfer", NULL};

	for (size_t i = 0; names[i]; i++)
		if (!strcmp(name, names[i]))
			return true;
	/* A static C program has it, too, by way of glibc. */
	return !strcmp(name, "_Unwind_RaiseException") &&
	       !strcmp(section->name, ".dynsym");
}

/* Rust needs libgcc_s, and so does C, seldom, but then it handles no exceptions. */
static bool is_runtime(const struct elf_file *file, const char *library)
{
	return !strncmp(library, "libstdc++.so", 12) ||
	       !strncmp(library, "libc++", 6) || !strncmp(library, "libgnat", 7) ||
	       (!strncmp(library, "libgcc_s.so", 11) &&
		elf_file_section(file, ".gcc_except_table"));
}

bool elf_unwind_has_runtime(const struct elf_file *file)
{
	const struct elf_section *section = elf_file_section(file, ".dynamic");
	size_t len;
	const uint8_t *bytes = elf_file_bytes(file, section, &len);
	struct dynamic_entry entry;

	for (size_t i = 0; bytes && i < len / sizeof(entry); i++) {
		const char *library;

		memcpy(&entry, bytes + i * sizeof(entry), sizeof(entry));
		if (entry.tag != TAG_NEEDED)
			continue;
		library =
		    elf_file_string(file, elf_file_linked(file, section), entry.value);
		if (library && is_runtime(file, library))
			return true;
	}
	/* Static and stripped: nothing tells, so it may. */
	return !bytes && !elf_file_section(file, ".symtab") &&
	       elf_file_section(file, ".gcc_except_table");
}
