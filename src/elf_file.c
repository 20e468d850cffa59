/* SPDX-License-Identifier: Apache-2.0 */
#include "elf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gelf.h>

#include "cleanup.h"

/* Above what the largest programs with debug information have. */
#define SECTION_MAX_BYTES (1ull << 30)
#define SEGMENTS_MAX 1024
#define NAME_MAX_BYTES 16384

struct elf_file {
	int fd;
	Elf *elf;
	struct elf_section *sections;
	size_t section_count;
	struct elf_segment *segments;
	size_t segment_count;
};

void elf_file_close(struct elf_file **file)
{
	if (!*file)
		return;
	elf_end((*file)->elf);
	cleanup_close(&(*file)->fd);
	free((*file)->sections);
	free((*file)->segments);
	free(*file);
	*file = NULL;
}

/* ---- the head: judged before libelf sees it ---- */

static const char *judge_header(const Elf64_Ehdr *header)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return "is not an ELF file";
	if (header->e_ident[EI_CLASS] == ELFCLASS32)
		return "is a 32-bit program, which is not supported";
	if (header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64)
		return "is for another machine: only x86-64 is supported";
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return "is neither a program nor a library";
	/* More than 65,279 sections: what a linker makes for no program. */
	if ((!header->e_shnum && header->e_shoff) || header->e_phnum > SEGMENTS_MAX)
		return "has an absurd number of sections or segments";
	return NULL;
}

static const char *judge_file(int fd)
{
	struct stat status;
	Elf64_Ehdr header = {0};

	if (fstat(fd, &status))
		return "cannot be examined";
	if (!S_ISREG(status.st_mode))
		return "is not a regular file";
	/* Of 32-bit files the head is shorter, and then the file may be, too. */
	if (pread(fd, &header, sizeof(header), 0) < (ssize_t)sizeof(Elf32_Ehdr))
		return "is not an ELF file";
	return judge_header(&header);
}

/* ---- sections and segments ---- */

static void read_section(Elf_Scn *scn, size_t names, struct elf_file *file)
{
	struct elf_section *section = &file->sections[file->section_count];
	GElf_Shdr header;

	if (!gelf_getshdr(scn, &header))
		return;
	*section = (struct elf_section){
	    .name = elf_strptr(file->elf, names, header.sh_name),
	    .index = elf_ndxscn(scn),
	    .link = header.sh_link,
	    .address = header.sh_addr,
	    .size = header.sh_size,
	    .offset = header.sh_offset,
	    .has_bytes = header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL &&
			 !(header.sh_flags & SHF_COMPRESSED),
	    .is_symbols = header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM,
	};
	if (section->name)
		file->section_count++;
}

static int read_sections(struct elf_file *file)
{
	Elf_Scn *scn = NULL;
	size_t count, names;

	if (elf_getshdrnum(file->elf, &count) || elf_getshdrstrndx(file->elf, &names))
		return 0;
	file->sections = calloc(count + 1, sizeof(*file->sections));
	if (!file->sections)
		return -ENOMEM;
	while (file->section_count < count && (scn = elf_nextscn(file->elf, scn)))
		read_section(scn, names, file);
	return 0;
}

static int read_segments(struct elf_file *file)
{
	size_t count;

	if (elf_getphdrnum(file->elf, &count) || count > SEGMENTS_MAX)
		return 0;
	file->segments = calloc(count + 1, sizeof(*file->segments));
	if (!file->segments)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(file->elf, (int)i, &header) ||
		    header.p_type != PT_LOAD)
			continue;
		file->segments[file->segment_count++] = (struct elf_segment){
		    .address = header.p_vaddr,
		    .offset = header.p_offset,
		    .size = header.p_filesz,
		    .executable = header.p_flags & PF_X,
		    .writable = header.p_flags & PF_W,
		};
	}
	return 0;
}

int elf_file_open(int fd, struct elf_file **ret_file, const char **ret_why)
{
	CLEANUP(elf_file_close) struct elf_file *file = calloc(1, sizeof(*file));

	*ret_why = "cannot be read: out of memory";
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	file->fd = fd;
	if ((*ret_why = judge_file(fd)))
		return -EINVAL;
	*ret_why = "is damaged";
	elf_version(EV_CURRENT);
	/* Not ELF_C_READ_MMAP: a mapped file that is cut ends the reader. */
	file->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF)
		return -EINVAL;
	*ret_why = "cannot be read: out of memory";
	if (read_sections(file) || read_segments(file))
		return -ENOMEM;
	*ret_file = TAKE(file);
	return 0;
}

const struct elf_section *elf_file_sections(const struct elf_file *file,
					    size_t *ret_count)
{
	*ret_count = file->section_count;
	return file->sections;
}

const struct elf_section *elf_file_section(const struct elf_file *file,
					   const char *name)
{
	for (size_t i = 0; i < file->section_count; i++)
		if (!strcmp(file->sections[i].name, name))
			return &file->sections[i];
	return NULL;
}

const struct elf_section *elf_file_linked(const struct elf_file *file,
					  const struct elf_section *section)
{
	for (size_t i = 0; i < file->section_count; i++)
		if (file->sections[i].index == section->link)
			return &file->sections[i];
	return NULL;
}

const struct elf_segment *elf_file_segments(const struct elf_file *file,
					    size_t *ret_count)
{
	*ret_count = file->segment_count;
	return file->segments;
}

const struct elf_segment *elf_file_segment(const struct elf_file *file,
					   uint64_t address)
{
	for (size_t i = 0; i < file->segment_count; i++) {
		const struct elf_segment *segment = &file->segments[i];

		if (address >= segment->address &&
		    address - segment->address < segment->size)
			return segment;
	}
	return NULL;
}

/* ---- what is in them ---- */

/* Raw: this machine's byte order is the file's, and nothing is unpacked. */
const uint8_t *elf_file_bytes(const struct elf_file *file,
			      const struct elf_section *section, size_t *ret_len)
{
	Elf_Scn *scn;
	Elf_Data *data;

	*ret_len = 0;
	if (!section || !section->has_bytes || !section->size ||
	    section->size > SECTION_MAX_BYTES)
		return NULL;
	scn = elf_getscn(file->elf, section->index);
	data = scn ? elf_rawdata(scn, NULL) : NULL;
	if (!data || !data->d_buf || data->d_size != section->size)
		return NULL;
	*ret_len = data->d_size;
	return data->d_buf;
}

const char *elf_file_string(const struct elf_file *file,
			    const struct elf_section *section, uint64_t offset)
{
	size_t len;
	const uint8_t *bytes = elf_file_bytes(file, section, &len);

	/* Not searched to its end: a million symbols may share a string of a GB. */
	if (!bytes || offset >= len || bytes[len - 1] != '\0' ||
	    strnlen((const char *)bytes + offset, NAME_MAX_BYTES) == NAME_MAX_BYTES)
		return NULL;
	return (const char *)bytes + offset;
}

bool elf_file_symbol(const struct elf_file *file, const struct elf_section *section,
		     size_t i, struct elf_symbol *ret_symbol)
{
	size_t len;
	const uint8_t *bytes = elf_file_bytes(file, section, &len);
	Elf64_Sym symbol;
	const char *name;

	if (!bytes || i >= len / sizeof(symbol))
		return false;
	memcpy(&symbol, bytes + i * sizeof(symbol), sizeof(symbol));
	name = elf_file_string(file, elf_file_linked(file, section), symbol.st_name);
	*ret_symbol = (struct elf_symbol){
	    .name = name ? name : "",
	    .address = symbol.st_value,
	    .size = symbol.st_size,
	    .is_function = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
			   symbol.st_shndx != SHN_UNDEF,
	};
	return true;
}

bool elf_file_read(const struct elf_file *file, uint64_t offset, void *ret_bytes,
		   size_t len)
{
	return offset <= INT64_MAX &&
	       pread(file->fd, ret_bytes, len, (off_t)offset) == (ssize_t)len;
}

int elf_file_fd(const struct elf_file *file)
{
	return file->fd;
}

/* ---- notes: a head of three words, name and description, each padded to four ---- */

static size_t padded(uint32_t len)
{
	return ((size_t)len + 3) & ~(size_t)3;
}

bool elf_note_next(const uint8_t *notes, size_t len, size_t *position,
		   struct elf_note *ret_note)
{
	size_t left = *position < len ? len - *position : 0;
	const uint8_t *note = notes + *position;
	Elf64_Nhdr head;

	if (left < sizeof(head))
		return false;
	memcpy(&head, note, sizeof(head));
	left -= sizeof(head);
	note += sizeof(head);
	if (padded(head.n_namesz) > left || !head.n_namesz ||
	    head.n_descsz > left - padded(head.n_namesz) ||
	    note[head.n_namesz - 1] != '\0')
		return false;
	*ret_note = (struct elf_note){
	    .type = head.n_type,
	    .name = (const char *)note,
	    .description = note + padded(head.n_namesz),
	    .len = head.n_descsz,
	};
	*position += sizeof(head) + padded(head.n_namesz) + padded(head.n_descsz);
	return true;
}

const char *elf_string_next(const uint8_t *bytes, size_t len, size_t *position)
{
	const char *string = (const char *)bytes + *position;
	size_t string_len = *position < len ? strnlen(string, len - *position) : 0;

	if (*position >= len || *position + string_len == len)
		return NULL;
	*position += string_len + 1;
	return string;
}

/* ---- what it is ---- */

/* Executables that are not at a fixed address say what they are, since binutils 2.26.
 */
bool elf_file_is_library(const struct elf_file *file)
{
	const struct elf_section *section = elf_file_section(file, ".dynamic");
	size_t len;
	const uint8_t *bytes = elf_file_bytes(file, section, &len);
	GElf_Ehdr header;
	Elf64_Dyn entry;

	if (!gelf_getehdr(file->elf, &header) || header.e_type != ET_DYN)
		return false;
	for (size_t i = 0; bytes && i < len / sizeof(entry); i++) {
		memcpy(&entry, bytes + i * sizeof(entry), sizeof(entry));
		if (entry.d_tag == DT_FLAGS_1 && entry.d_un.d_val & DF_1_PIE)
			return false;
	}
	return true;
}
