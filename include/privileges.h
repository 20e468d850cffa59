/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up what the running daemon does not need: every capability but those to
 * read our maps, other processes' /proc and token files; and the way back. The
 * user stays: as root, files of root remain writable. */
#pragma once

/* Keeps of the needed capabilities those that are there. 0, or -errno. */
int privileges_drop(void);
