/* SPDX-License-Identifier: Apache-2.0 */
/* A note of <sys/sdt.h> has three addresses and three strings: the probe's nop, what
 * .stapsdt.base was when it was linked, the semaphore or 0; provider, name,
 * arguments. The section .stapsdt.base is there to tell how far prelink has moved the
 * file since (https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "elf_internal.h"

#define NOTE_TYPE 3 /* NT_STAPSDT */

struct usdt_addresses {
	uint64_t nop, base, semaphore;
};

static uint64_t moved_by(const struct elf_file *file,
			 const struct usdt_addresses *addresses)
{
	const struct elf_section *base = elf_file_section(file, ".stapsdt.base");

	return base ? base->address - addresses->base : 0;
}

static uint64_t semaphore_offset(const struct elf_file *file, uint64_t address)
{
	const struct elf_segment *segment = elf_file_segment(file, address);

	if (!segment || !segment->writable || segment->executable)
		return 0;
	return segment->offset + (address - segment->address);
}

static bool read_strings(const struct elf_note *note, struct elf_usdt *usdt)
{
	size_t position = sizeof(struct usdt_addresses);

	usdt->provider = elf_string_next(note->description, note->len, &position);
	usdt->name = elf_string_next(note->description, note->len, &position);
	usdt->arguments = elf_string_next(note->description, note->len, &position);
	return usdt->provider && usdt->name && usdt->arguments && *usdt->provider &&
	       *usdt->name;
}

/* A semaphore that cannot be raised leaves a probe that never fires: none at all. */
static bool read_note(const struct elf_file *file, const struct elf_note *note,
		      struct elf_usdt *usdt)
{
	struct usdt_addresses addresses;
	uint64_t by;

	if (note->type != NOTE_TYPE || strcmp(note->name, "stapsdt") != 0 ||
	    note->len < sizeof(addresses))
		return false;
	memcpy(&addresses, note->description, sizeof(addresses));
	*usdt = (struct elf_usdt){0};
	by = moved_by(file, &addresses);
	if (!read_strings(note, usdt) ||
	    !elf_code_offset(file, addresses.nop + by, &usdt->offset))
		return false;
	if (addresses.semaphore)
		usdt->semaphore_offset =
		    semaphore_offset(file, addresses.semaphore + by);
	return !addresses.semaphore || usdt->semaphore_offset;
}

int elf_usdt_read(const struct elf_file *file, struct elf_usdt **ret_usdts,
		  size_t *ret_count)
{
	const struct elf_section *section = elf_file_section(file, ".note.stapsdt");
	AUTO_FREE struct elf_usdt *usdts = NULL;
	size_t len, position = 0, count = 0;
	const uint8_t *notes = elf_file_bytes(file, section, &len);
	struct elf_note note;

	while (notes && count < ELF_USDTS_MAX &&
	       elf_note_next(notes, len, &position, &note)) {
		/* Grows by powers of two: when the count is one, it is full. */
		if (!(count & (count - 1))) {
			void *larger =
			    reallocarray(usdts, count ? count * 2 : 1, sizeof(*usdts));

			if (!larger)
				return -ENOMEM;
			usdts = larger;
		}
		count += read_note(file, &note, &usdts[count]);
	}
	*ret_usdts = TAKE(usdts);
	*ret_count = count;
	return 0;
}
