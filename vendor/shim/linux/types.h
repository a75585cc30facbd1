/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: the compiler's own types, without a C library's headers. */
#ifndef SHIM_LINUX_TYPES_H
#define SHIM_LINUX_TYPES_H

#include <linux/compiler.h>

typedef unsigned char u8, __u8;
typedef unsigned short u16, __u16;
typedef unsigned int u32, __u32;
typedef unsigned long long u64, __u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef __SIZE_TYPE__ size_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef _Bool bool;
typedef unsigned int gfp_t;

#define true 1
#define false 0
#define NULL ((void *)0)

#define BITS_PER_BYTE 8
#define BITS_PER_LONG 64

/* As on x86. Older kernels use it for their smallest chunk. */
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)

struct list_head {
	struct list_head *next, *prev;
};

#endif
