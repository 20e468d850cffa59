/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Elements of an array, which must be one: a pointer gives nonsense. */
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
