/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pem.h - a file of tls_config, read again when it has changed. What is in it is for
 * others to judge.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct pem {
	const char *path;   /* NULL: not configured */
	struct stat status; /* when it was read */
	bool is_read;       /* and taken: who could not, says so here */
};

/* *ret_bytes NULL: there is no file, or it is what it was. The caller wipes them.
 * -ENODATA: empty; -EFBIG: above 4 MiB; -EAGAIN: changed meanwhile; -ENOMEM, -errno. */
int pem_load(struct pem *pem, char **ret_bytes, size_t *ret_len);
/* Overwritten and freed; NULL is none. */
void pem_wipe(char **bytes, size_t len);
