/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as text and back. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "abi.h"

#define ADDRESS_TEXT_LEN 128

/* "ADDR:PORT", ":PORT", "[v6]:PORT" -> sockaddr; -EINVAL when it is not one. */
int address_parse(const char *text, struct sockaddr_storage *ret_address,
		  socklen_t *ret_len);
/* The server end of a connection as a label value: "127.0.0.1", "::1" (IPv4
 * mapped in IPv6 becomes IPv4), "/run/x.sock", "@abstract". Bytes that are not
 * printable ASCII become '?'. */
void address_text(const struct tally_address *address, char ret_text[ADDRESS_TEXT_LEN]);
