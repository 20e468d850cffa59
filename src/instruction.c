/* SPDX-License-Identifier: Apache-2.0 */
#include "instruction.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <capstone/capstone.h>

#include "cleanup.h"

#define CODE_MAX_BYTES (1u << 20)
#define ALL_REGISTERS 0xffff
#define RSP 4
#define RBP 5
#define R14 14

/* ---- registers ---- */

static const struct {
	x86_reg names[5];
} register_names[16] = {
    {{X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH}},
    {{X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH}},
    {{X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH}},
    {{X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH}},
    {{X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL}},
    {{X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL}},
    {{X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL}},
    {{X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL}},
    {{X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B}},
    {{X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B}},
    {{X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B}},
    {{X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B}},
    {{X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B}},
    {{X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B}},
    {{X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B}},
    {{X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B}},
};

/* -1: none of the sixteen. */
static int register_number(x86_reg name)
{
	for (int i = 0; name != X86_REG_INVALID && i < 16; i++)
		for (size_t j = 0; j < 5; j++)
			if (register_names[i].names[j] == name)
				return i;
	return -1;
}

static bool is_register(const cs_x86_op *operand, int number)
{
	return operand->type == X86_OP_REG && register_number(operand->reg) == number;
}

static uint16_t bit_of(const cs_x86_op *operand)
{
	int number = operand->type == X86_OP_REG ? register_number(operand->reg) : -1;

	return (uint16_t)(number < 0 ? 0 : 1u << number);
}

/* Instructions that write their first operand and nothing else of the sixteen, and
 * those that write none. Only of these we say what they leave alone: tables of
 * implicit operands have had their errors. */
static uint16_t written(const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;

	switch (insn->id) {
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_BT:
	case X86_INS_NOP:
	case X86_INS_ENDBR64:
		return 0;
	case X86_INS_PUSH:
		return INSTRUCTION_RSP;
	case X86_INS_LEAVE:
		return INSTRUCTION_RSP | INSTRUCTION_RBP;
	case X86_INS_POP:
		return INSTRUCTION_RSP | bit_of(&x86->operands[0]);
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
	case X86_INS_LEA:
	case X86_INS_ADD:
	case X86_INS_SUB:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_XOR:
	case X86_INS_INC:
	case X86_INS_DEC:
	case X86_INS_NEG:
	case X86_INS_NOT:
	case X86_INS_SHL:
	case X86_INS_SHR:
	case X86_INS_SAR:
	case X86_INS_MOVAPS:
	case X86_INS_MOVUPS:
	case X86_INS_MOVAPD:
	case X86_INS_MOVUPD:
	case X86_INS_MOVDQA:
	case X86_INS_MOVDQU:
	case X86_INS_MOVD:
	case X86_INS_MOVQ:
	case X86_INS_PXOR:
	case X86_INS_XORPS:
	case X86_INS_XORPD:
		return bit_of(&x86->operands[0]);
	default:
		return ALL_REGISTERS;
	}
}

/* ---- what the kernel does with it (arch/x86/kernel/uprobes.c) ---- */

static bool is_jcc(const uint8_t *bytes)
{
	return (bytes[0] & 0xf0) == 0x70 ||
	       (bytes[0] == 0x0f && (bytes[1] & 0xf0) == 0x80);
}

/* branch_setup_xol_ops() and push_setup_xol_ops(), without prefixes: some of them
 * are refused, others taken for something else. */
static bool is_emulated(const cs_insn *insn)
{
	const uint8_t *bytes = insn->bytes;

	switch (insn->size) {
	case 1:
		return bytes[0] == 0x90 || (bytes[0] & 0xf8) == 0x50;
	case 2:
		return bytes[0] == 0xeb || (bytes[0] & 0xf0) == 0x70 ||
		       (bytes[0] == 0x41 && (bytes[1] & 0xf8) == 0x50);
	case 5:
		return bytes[0] == 0xe8 || bytes[0] == 0xe9;
	case 6:
		return is_jcc(bytes);
	default:
		return false;
	}
}

/* What the kernel takes, and steps wrongly: behind a system call the program goes on in
 * the copy that was stepped; pushf saves the trap flag, which a popf then sets; what is
 * repeated hits the probe each time. */
static bool is_stepped_wrongly(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_SYSCALL:
	case X86_INS_SYSENTER:
	case X86_INS_INT:
	case X86_INS_PUSHF:
	case X86_INS_PUSHFQ:
		return true;
	case X86_INS_MOVSB:
	case X86_INS_MOVSW:
	case X86_INS_MOVSD:
	case X86_INS_MOVSQ:
	case X86_INS_STOSB:
	case X86_INS_STOSW:
	case X86_INS_STOSD:
	case X86_INS_STOSQ:
	case X86_INS_LODSB:
	case X86_INS_LODSW:
	case X86_INS_LODSD:
	case X86_INS_LODSQ:
	case X86_INS_CMPSB:
	case X86_INS_CMPSW:
	case X86_INS_CMPSQ:
	case X86_INS_SCASB:
	case X86_INS_SCASW:
	case X86_INS_SCASD:
	case X86_INS_SCASQ:
		/* SSE's movsd has the second opcode byte 0x0f */
		return insn->detail->x86.opcode[0] != 0x0f &&
		       insn->detail->x86.prefix[0];
	default:
		return false;
	}
}

/* is_prefix_bad(), and of good_insns_64 what compilers write. */
static bool is_refused(const cs_insn *insn)
{
	for (size_t i = 0; i < insn->size; i++)
		switch (insn->bytes[i]) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0xf0:
			return true;
		case 0x66:
		case 0x67:
		case 0xf2:
		case 0xf3:
			continue;
		default:
			return insn->bytes[i] == 0xcc || insn->bytes[i] == 0xf4;
		}
	return true;
}

/* ---- where it goes ---- */

static enum instruction_kind jump_kind(const cs_x86_op *operand)
{
	if (operand->type == X86_OP_IMM)
		return INSTRUCTION_JUMP;
	if (operand->type != X86_OP_MEM)
		return INSTRUCTION_REGISTER;
	return operand->mem.index == X86_REG_INVALID ? INSTRUCTION_POINTER
						     : INSTRUCTION_TABLE;
}

static bool is_jump(const cs_insn *insn)
{
	for (uint8_t i = 0; i < insn->detail->groups_count; i++)
		if (insn->detail->groups[i] == X86_GRP_JUMP)
			return true;
	return false;
}

static enum instruction_kind kind_of(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_RET:
	case X86_INS_RETF:
	case X86_INS_RETFQ:
		return INSTRUCTION_RETURN;
	case X86_INS_UD0:
	case X86_INS_UD2:
	case X86_INS_INT3:
	case X86_INS_HLT:
		return INSTRUCTION_STOP;
	case X86_INS_CALL:
		return INSTRUCTION_CALL;
	case X86_INS_JMP:
		return jump_kind(&insn->detail->x86.operands[0]);
	case X86_INS_LJMP:
		return INSTRUCTION_REGISTER;
	case X86_INS_LOOP:
	case X86_INS_LOOPE:
	case X86_INS_LOOPNE:
	case X86_INS_XBEGIN:
		return INSTRUCTION_BRANCH;
	default:
		return is_jump(insn) ? INSTRUCTION_BRANCH : INSTRUCTION_PLAIN;
	}
}

/* How registers came by their value since control last came here from elsewhere. */
struct origins {
	uint16_t added; /* `add table, reg; jmp *reg`: a switch, position independent */
	uint16_t loaded; /* `mov 8(obj), reg; jmp *reg`: a call by pointer */
};

static void follow_origins(const cs_insn *insn, const struct instruction *instruction,
			   struct origins *origins)
{
	const cs_x86_op *from = &insn->detail->x86.operands[1];

	if (instruction->kind == INSTRUCTION_BRANCH)
		return;
	origins->added &= (uint16_t)~instruction->writes;
	origins->loaded &= (uint16_t)~instruction->writes;
	if (insn->id == X86_INS_ADD)
		origins->added |= instruction->writes;
	if (insn->id == X86_INS_MOV && from->type == X86_OP_MEM &&
	    from->mem.index == X86_REG_INVALID)
		origins->loaded |= instruction->writes;
	if (instruction->kind != INSTRUCTION_PLAIN)
		*origins = (struct origins){0};
}

static enum instruction_kind register_jump_kind(const cs_insn *insn,
						const struct origins *origins)
{
	uint16_t bit = bit_of(&insn->detail->x86.operands[0]);

	if (bit & origins->added)
		return INSTRUCTION_TABLE;
	return bit & origins->loaded ? INSTRUCTION_POINTER : INSTRUCTION_REGISTER;
}

/* ---- the stack pointer ---- */

static bool is_plain_operand(const cs_x86_op *memory, int base)
{
	return memory->type == X86_OP_MEM &&
	       register_number(memory->mem.base) == base &&
	       memory->mem.index == X86_REG_INVALID &&
	       memory->mem.disp == (int32_t)memory->mem.disp;
}

static bool is_small(const cs_x86_op *operand)
{
	return operand->type == X86_OP_IMM && operand->imm == (int32_t)operand->imm &&
	       operand->imm != INT32_MIN;
}

static void stack_moves(struct instruction *instruction, int64_t by)
{
	instruction->stack = STACK_MOVES;
	instruction->stack_by = (int32_t)by;
}

static void stack_is_frame(struct instruction *instruction, int64_t by)
{
	instruction->stack = STACK_FRAME;
	instruction->stack_by = (int32_t)by;
}

static void follow_stack(const cs_insn *insn, struct instruction *instruction)
{
	const cs_x86 *x86 = &insn->detail->x86;
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];

	if (insn->id == X86_INS_PUSH || insn->id == X86_INS_PUSHFQ)
		stack_moves(instruction, to->size == 2 ? -2 : -8);
	else if (insn->id == X86_INS_POP && !is_register(to, RSP))
		stack_moves(instruction, to->size == 2 ? 2 : 8);
	else if (insn->id == X86_INS_POPFQ)
		stack_moves(instruction, 8);
	else if (insn->id == X86_INS_LEAVE)
		stack_is_frame(instruction, 8);
	else if (insn->id == X86_INS_ENTER)
		instruction->stack = STACK_LOST;
	else if (!is_register(to, RSP) &&
		 !(x86->op_count > 1 && insn->id == X86_INS_XCHG &&
		   is_register(from, RSP)))
		return;
	else if (insn->id == X86_INS_CMP || insn->id == X86_INS_TEST)
		return;
	else if (insn->id == X86_INS_SUB && is_small(from))
		stack_moves(instruction, -from->imm);
	else if (insn->id == X86_INS_ADD && is_small(from))
		stack_moves(instruction, from->imm);
	else if (insn->id == X86_INS_LEA && is_plain_operand(from, RSP))
		stack_moves(instruction, from->mem.disp);
	else if (insn->id == X86_INS_LEA && is_plain_operand(from, RBP))
		stack_is_frame(instruction, from->mem.disp);
	else if (insn->id == X86_INS_MOV && is_register(from, RBP))
		stack_is_frame(instruction, 0);
	else
		instruction->stack = STACK_LOST;
}

static void follow_frame(const cs_insn *insn, struct instruction *instruction)
{
	const cs_x86 *x86 = &insn->detail->x86;
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];

	if (insn->id == X86_INS_LEAVE || insn->id == X86_INS_ENTER ||
	    (insn->id == X86_INS_XCHG && is_register(from, RBP)))
		instruction->frame = FRAME_LOST;
	else if (insn->id == X86_INS_PUSH || insn->id == X86_INS_CMP ||
		 insn->id == X86_INS_TEST || !x86->op_count || !is_register(to, RBP))
		return;
	else if (insn->id == X86_INS_MOV && is_register(from, RSP))
		instruction->frame = FRAME_STACK;
	else if (insn->id == X86_INS_LEA && is_plain_operand(from, RSP)) {
		instruction->frame = FRAME_STACK;
		instruction->frame_by = (int32_t)from->mem.disp;
	} else
		instruction->frame = FRAME_LOST;
}

static void find_memory(const cs_insn *insn, struct instruction *instruction)
{
	const cs_x86 *x86 = &insn->detail->x86;

	if (insn->id == X86_INS_POP)
		instruction->uses_stack = true;
	if (insn->id == X86_INS_LEA || insn->id == X86_INS_NOP)
		return;
	for (uint8_t i = 0; i < x86->op_count; i++) {
		const cs_x86_op *operand = &x86->operands[i];
		bool at_stack = is_plain_operand(operand, RSP);

		if (!at_stack && !is_plain_operand(operand, RBP))
			continue;
		instruction->uses_stack = at_stack;
		instruction->uses_frame = !at_stack;
		instruction->memory_at = (int32_t)operand->mem.disp;
	}
}

/* ---- the row ---- */

/* With an operand size prefix and no REX.W, processors do not agree on the length of
 * a jump's displacement. */
static bool is_ambiguous(const cs_insn *insn, const struct instruction *instruction)
{
	return (instruction->kind == INSTRUCTION_CALL ||
		instruction->kind == INSTRUCTION_JUMP ||
		instruction->kind == INSTRUCTION_BRANCH) &&
	       insn->detail->x86.prefix[2] == 0x66 && !(insn->detail->x86.rex & 8);
}

static bool compares_g(const cs_insn *insn)
{
	const cs_x86_op *with = &insn->detail->x86.operands[1];

	return insn->id == X86_INS_CMP && is_plain_operand(with, R14) &&
	       with->mem.disp == 16;
}

static void describe(const cs_insn *insn, uint64_t address,
		     struct instruction *instruction)
{
	static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

	*instruction = (struct instruction){
	    .offset = (uint32_t)(insn->address - address),
	    .len = (uint8_t)insn->size,
	    .kind = kind_of(insn),
	    .writes = written(insn),
	    .is_emulated = is_emulated(insn),
	    .is_refused = is_refused(insn) || is_stepped_wrongly(insn),
	    .is_nop = insn->id == X86_INS_NOP,
	    .is_nop5 = insn->size == 5 && !memcmp(insn->bytes, nop5, 5),
	    .compares_g = compares_g(insn),
	};
	if (insn->detail->x86.op_count &&
	    insn->detail->x86.operands[0].type == X86_OP_IMM)
		instruction->target =
		    (int64_t)((uint64_t)insn->detail->x86.operands[0].imm - address);
	follow_stack(insn, instruction);
	follow_frame(insn, instruction);
	find_memory(insn, instruction);
}

/* Capstone's functions. The library is there while something is decoded, and not for
 * the many who have no rule over functions: it takes 3 MB. */
struct decoder {
	void *library;
	__typeof__(&cs_malloc) allocate;
	__typeof__(&cs_disasm_iter) next;
	__typeof__(&cs_free) release;
	__typeof__(&cs_close) close;
	csh handle;
};

static void read_row(const struct decoder *decoder, const uint8_t *code,
		     uint64_t address, struct instructions *instructions)
{
	cs_insn *insn = decoder->allocate(decoder->handle);
	size_t left = instructions->len;
	uint64_t next = address;
	struct origins origins = {0};
	size_t end = 0;

	while (insn && left &&
	       decoder->next(decoder->handle, &code, &left, &next, insn)) {
		struct instruction *instruction =
		    &instructions->row[instructions->count];

		describe(insn, address, instruction);
		if (is_ambiguous(insn, instruction))
			break;
		if (instruction->kind == INSTRUCTION_REGISTER)
			instruction->kind = register_jump_kind(insn, &origins);
		follow_origins(insn, instruction, &origins);
		end += instruction->len;
		instructions->at[instruction->offset] = (uint32_t)++instructions->count;
	}
	instructions->is_whole = end == instructions->len;
	if (insn)
		decoder->release(insn, 1);
}

void instructions_free(struct instructions *instructions)
{
	free(instructions->row);
	free(instructions->at);
	*instructions = (struct instructions){0};
}

#define TEXT(number) #number
#define LIBRARY_OF(version) "libcapstone.so." TEXT(version)
#define LIBRARY LIBRARY_OF(CS_API_MAJOR)

static int open_library(struct decoder *decoder)
{
	__typeof__(&cs_option) option;
	__typeof__(&cs_open) open;

	decoder->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!decoder->library)
		return -ELIBACC;
	open = dlsym(decoder->library, "cs_open");
	option = dlsym(decoder->library, "cs_option");
	decoder->allocate = dlsym(decoder->library, "cs_malloc");
	decoder->next = dlsym(decoder->library, "cs_disasm_iter");
	decoder->release = dlsym(decoder->library, "cs_free");
	decoder->close = dlsym(decoder->library, "cs_close");
	if (!open || !option || !decoder->allocate || !decoder->next ||
	    !decoder->release || !decoder->close)
		return -ELIBBAD;
	if (open(CS_ARCH_X86, CS_MODE_64, &decoder->handle) != CS_ERR_OK)
		return -ENOMEM;
	option(decoder->handle, CS_OPT_DETAIL, CS_OPT_ON);
	return 0;
}

int decoder_create(struct decoder **ret_decoder)
{
	CLEANUP(decoder_free) struct decoder *decoder = calloc(1, sizeof(*decoder));
	int err = decoder ? open_library(decoder) : -ENOMEM;

	if (!err)
		*ret_decoder = TAKE(decoder);
	return err;
}

void decoder_free(struct decoder **decoder)
{
	if (!*decoder)
		return;
	if ((*decoder)->handle)
		(*decoder)->close(&(*decoder)->handle);
	if ((*decoder)->library)
		dlclose((*decoder)->library);
	free(*decoder);
	*decoder = NULL;
}

int instructions_read(struct decoder *decoder, const uint8_t *code, size_t len,
		      uint64_t address, struct instructions *ret_instructions)
{
	CLEANUP(instructions_free) struct instructions instructions = {.len = len};
	CLEANUP(decoder_free) struct decoder *own = NULL;
	int err;

	if (len > CODE_MAX_BYTES)
		return -E2BIG;
	instructions.row = calloc(len + 1, sizeof(*instructions.row));
	instructions.at = calloc(len + 1, sizeof(*instructions.at));
	if (!instructions.row || !instructions.at)
		return -ENOMEM;
	err = decoder ? 0 : decoder_create(&own);
	if (err)
		return err;
	read_row(decoder ? decoder : own, code, address, &instructions);
	*ret_instructions = instructions;
	instructions = (struct instructions){0};
	return 0;
}

const struct instruction *instructions_at(const struct instructions *instructions,
					  int64_t offset)
{
	if (offset < 0 || offset >= (int64_t)instructions->len ||
	    !instructions->at[offset])
		return NULL;
	return &instructions->row[instructions->at[offset] - 1];
}
