/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up what the running daemon does not need: every capability but those to
 * read our maps, other processes' /proc and token files; and the way back. */
#pragma once

/* 0, or -errno; -EPERM when the process had no capabilities to begin with. */
int privileges_drop(void);
