/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: the header's path before it moved. */
#ifndef SHIM_ASM_UNALIGNED_H
#define SHIM_ASM_UNALIGNED_H

#include <linux/unaligned.h>

#endif
