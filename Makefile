# SPDX-License-Identifier: Apache-2.0
# make            build/bpftally
# make test       unit, kernel and end-to-end tests (root for the last two)
# make help       every target

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
else
Q :=
say = @:
endif

CC ?= cc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PKGS := libbpf libelf libmicrohttpd libcurl yaml-0.1 libprotobuf-c zlib liblzma \
	sqlite3 libpcre2-8 nettle gnutls
ARCH_INCLUDE := $(shell $(CC) -print-multiarch 2>/dev/null)

B := build
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion
CPPFLAGS_ALL := -D_GNU_SOURCE -DBPFTALLY_VERSION='"$(VERSION)"' -iquote include \
	-isystem $(B)/gen $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS ?= -O2 -g
CFLAGS_ALL := -std=gnu17 $(WARN) $(WERROR) -fno-omit-frame-pointer -fstack-protector-strong $(CFLAGS)
HARDEN := -Wl,-z,relro,-z,now
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lsnappy -lcap-ng -liberty -lcrypt -lunistring -lm
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter $(WERROR) \
	-D__TARGET_ARCH_x86 -iquote include -Ibpf -idirafter /usr/include/$(ARCH_INCLUDE)

SOURCES := $(wildcard src/*.c)
BPF_SOURCES := $(wildcard bpf/*.bpf.c)
PROTOS := $(wildcard src/*.proto)
GEN_C := $(PROTOS:src/%.proto=$(B)/gen/%.pb-c.c)
GEN_H := $(B)/gen/bpftally.skel.h $(B)/gen/functions.skel.h $(PROTOS:src/%.proto=$(B)/gen/%.pb-c.h)
OBJECTS := $(SOURCES:src/%.c=$(B)/obj/%.o) $(GEN_C:$(B)/gen/%.c=$(B)/obj/%.o)
ASAN_OBJECTS := $(OBJECTS:$(B)/obj/%=$(B)/asan/%)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
KERNEL_TESTS := $(patsubst tests/kernel/%.c,$(B)/tests/kernel/%,$(wildcard tests/kernel/test_*.c))
TOOLS := $(patsubst tools/%.c,$(B)/tools/%,$(wildcard tools/*.c))
PROFILER := $(B)/tests/vm/profile.so
CONFIG_SOURCES := $(wildcard src/config*.c) src/options.c src/address.c src/buf.c \
	src/slice.c src/capture.c src/pattern.c src/log_glob.c
ELF_SOURCES := $(wildcard src/elf*.c) src/demangle.c src/site.c src/instruction.c src/buf.c
RELABEL_SOURCES := $(addprefix src/,relabel.c pattern.c template.c letters.c slice.c \
	config_value.c buf.c log.c)
TEXTPARSE_SOURCES := $(addprefix src/,textparse.c decimal.c slice.c)
LINES_SOURCES := $(addprefix src/,log_lines.c log_multiline.c log_text.c slice.c buf.c)
WIRE_SOURCES := $(wildcard src/wire*.c) src/symbols.c src/snapshot.c src/buf.c $(GEN_C)
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.DELETE_ON_ERROR:
.PHONY: all help install clean test test-unit test-kernel test-shortcuts test-verifier \
	test-kernels test-kernels-daily test-e2e test-receivers check fuzz bench bench-instructions tools

all: $(B)/bpftally

help:
	@printf '%s\n' \
	  'make             build/bpftally' \
	  'make test        every test; kernel and e2e layers need root' \
	  'make test-unit   unit tests (no root): cmocka under ASan and UBSan' \
	  'make test-kernel real sockets against the loaded programs (root)' \
	  'make test-shortcuts the same, with every head parsed (root)' \
	  'make test-verifier  what the verifier takes, against its budget (root)' \
	  'make test-kernels  kernel tests in other kernels, hosts of all kinds, emulated' \
	  'make test-kernels-daily  the same kernels and hosts, fewer of the tests' \
	  'make test-e2e    unmodified programs, a real Prometheus (root)' \
	  'make test-receivers  delivery to receivers that have to be built first (root)' \
	  'make check       format, linter, include directions, warnings as errors' \
	  'make fuzz        each parser under libFuzzer, FUZZ_SECONDS=60 each' \
	  'make bench       cost of observing nginx under wrk, and functions (root)' \
	  'make bench-instructions  the same, counted under emulation' \
	  'make install     PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'

# --- the binary -------------------------------------------------------------

$(B)/bpftally: $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(HARDEN) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/obj/%.o: src/%.c | $(GEN_H)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# -MMD leaves out what comes through -isystem
$(B)/obj/probes.o $(B)/asan/probes.o: $(B)/gen/bpftally.skel.h
$(B)/obj/uprobes.o $(B)/asan/uprobes.o: $(B)/gen/functions.skel.h
$(foreach d,obj asan,$(patsubst src/%.c,$(B)/$d/%.o,$(wildcard src/wire*.c))): \
	$(filter $(B)/gen/remote_write%.pb-c.h,$(GEN_H))
$(B)/obj/exposition.o $(B)/asan/exposition.o: $(B)/gen/exposition.pb-c.h
$(foreach d,obj asan,$(patsubst src/%.c,$(B)/$d/%.o,$(wildcard src/otlp*.c))): \
	$(B)/gen/otlp.pb-c.h
$(B)/obj/loki.o $(B)/asan/loki.o: $(B)/gen/loki.pb-c.h

$(B)/obj/%.pb-c.o: $(B)/gen/%.pb-c.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -O2 -g -c -o $@ $<

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h: src/%.proto
	$(call say,PROTO,$<)
	$(Q)mkdir -p $(B)/gen
	$(Q)protoc-c --proto_path=src --c_out=$(B)/gen $<

# --- the kernel programs ----------------------------------------------------

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

# Two objects: what sockets need is loaded always, functions with the first rule.
$(B)/bpf/bpftally.o: $(filter-out %/function.bpf.o,$(BPF_SOURCES:bpf/%.bpf.c=$(B)/bpf/%.bpf.o))
$(B)/bpf/functions.o: $(B)/bpf/function.bpf.o

$(B)/bpf/bpftally.o $(B)/bpf/functions.o:
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gen/%.skel.h: $(B)/bpf/%.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

# --- tests ------------------------------------------------------------------

$(B)/asan/%.o: src/%.c | $(GEN_H)
	$(call say,CC,"$< (asan)")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -std=gnu17 $(WARN) $(WERROR) -O1 -g1 $(SANITIZE) -MMD -MP -c -o $@ $<

$(B)/asan/%.pb-c.o: $(B)/gen/%.pb-c.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -O1 -g1 $(SANITIZE) -c -o $@ $<

$(B)/asan/libbpftally.a: $(filter-out $(B)/asan/main.o,$(ASAN_OBJECTS))
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/tests/unit/%: tests/unit/%.c $(B)/asan/libbpftally.a
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Ibpf -Itests/unit -std=gnu17 -Wall -Wextra $(WERROR) -O1 -g1 $(SANITIZE) -MMD -MP -o $@ $< $(B)/asan/libbpftally.a $(LIBS) -lcmocka

$(B)/lib/libbpftally.a: $(filter-out $(B)/obj/main.o,$(OBJECTS))
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

$(B)/tests/kernel/%: tests/kernel/%.c $(wildcard tests/kernel/*.h) $(B)/lib/libbpftally.a
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/kernel -std=gnu17 -Wall -Wextra $(WERROR) -O1 -g -MMD -MP -o $@ $(filter %.c,$^) $(B)/lib/libbpftally.a $(LIBS) -lcmocka -lpthread

$(B)/tools/%: tools/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -o $@ $< -lpthread

$(addprefix $(B)/tools/,verifier attach empty parse lines): $(B)/tools/%: tools/%.c $(B)/lib/libbpftally.a
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -o $@ $< $(B)/lib/libbpftally.a $(LIBS)

# QEMU has what it calls.
$(PROFILER): tests/vm/profile.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -shared -MMD -MP -o $@ $<

tools: $(TOOLS) $(PROFILER)

test: test-unit test-kernel test-e2e

test-unit: $(UNIT_TESTS)
	$(Q)tests/run-cmocka $^

test-kernel: $(B)/bpftally $(KERNEL_TESTS)
	$(Q)tests/run-cmocka --root $(KERNEL_TESTS)

# The shortcut for heads like the last one must change nothing.
test-shortcuts: $(B)/bpftally $(KERNEL_TESTS)
	$(Q)BPFTALLY_NO_SHORTCUTS=1 tests/run-cmocka --root $(KERNEL_TESTS)

test-verifier: $(B)/tools/verifier
	$(Q)$(B)/tools/verifier tests/kernel/verifier.budget

test-kernels: $(B)/bpftally $(KERNEL_TESTS) $(TOOLS)
	$(Q)tests/vm/run $(KERNELS)

# In the same guests fewer of the kernel tests.
test-kernels-daily: $(B)/bpftally $(KERNEL_TESTS) $(TOOLS)
	$(Q)tests/vm/run --daily

test-e2e: $(B)/bpftally $(TOOLS)
	$(Q)tests/e2e/run

test-receivers: $(B)/bpftally $(TOOLS)
	$(Q)tests/receivers/run

fuzz: $(FUZZERS)
	$(Q)tests/fuzz/run $(FUZZERS)

$(B)/fuzz/%: tests/fuzz/%.c
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS_ALL) -Ibpf -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -MMD -MP -o $@ $< $(FUZZ_WITH)

# The parser of the file is not a header: its sources and their libraries come along.
$(B)/fuzz/fuzz_config: FUZZ_WITH = $(CONFIG_SOURCES) -lyaml -lbpf -lpcre2-8
$(B)/fuzz/fuzz_config: $(CONFIG_SOURCES) $(wildcard include/config*.h)
$(B)/fuzz/fuzz_elf: FUZZ_WITH = $(ELF_SOURCES) -lelf -llzma -liberty
$(B)/fuzz/fuzz_elf: $(ELF_SOURCES) $(wildcard include/elf*.h)
$(B)/fuzz/fuzz_relabel: FUZZ_WITH = $(RELABEL_SOURCES) -lpcre2-8 -lnettle -lunistring
$(B)/fuzz/fuzz_relabel: $(RELABEL_SOURCES) include/pattern.h include/relabel.h include/template.h
$(B)/fuzz/fuzz_textparse: FUZZ_WITH = $(TEXTPARSE_SOURCES)
$(B)/fuzz/fuzz_textparse: $(TEXTPARSE_SOURCES) include/textparse.h
$(B)/fuzz/fuzz_log_lines: FUZZ_WITH = $(LINES_SOURCES)
$(B)/fuzz/fuzz_log_lines: $(LINES_SOURCES) $(wildcard include/log_*.h)
$(B)/fuzz/fuzz_wire: FUZZ_WITH = $(WIRE_SOURCES) -lprotobuf-c -lsnappy
$(B)/fuzz/fuzz_wire: $(WIRE_SOURCES) $(wildcard include/wire*.h)

check:
	$(Q)tests/check

bench: $(B)/bpftally $(TOOLS)
	$(Q)tools/bench

# BENCH='--write', or '--quick', or names of scenarios, or '--parts [--write]'
bench-instructions: $(B)/bpftally $(TOOLS) $(PROFILER)
	$(Q)tools/bench-instructions $(BENCH)

install: $(B)/bpftally
	install -D -m 0755 $(B)/bpftally $(DESTDIR)$(PREFIX)/sbin/bpftally
	install -D -m 0644 packaging/bpftally.service \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/bpftally.service
	sed -i 's|/usr/local|$(PREFIX)|g' $(DESTDIR)$(PREFIX)/lib/systemd/system/bpftally.service

clean:
	rm -rf $(B)

-include $(wildcard $(B)/obj/*.d $(B)/asan/*.d $(B)/bpf/*.d $(B)/tests/*/*.d $(B)/fuzz/*.d $(B)/tools/*.d)
