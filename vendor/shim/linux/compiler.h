/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: only the attributes that the files use. READ_ONCE and
 * WRITE_ONCE stay volatile accesses; there is no KCSAN behind them.
 */
#ifndef SHIM_LINUX_COMPILER_H
#define SHIM_LINUX_COMPILER_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __always_inline inline __attribute__((always_inline))
#define __maybe_unused __attribute__((unused))
#define __must_check __attribute__((warn_unused_result))
#define __printf(string, first) __attribute__((__format__(__printf__, string, first)))
#define __noreturn __attribute__((noreturn))
#define __cold __attribute__((cold))
#define __init
#define __exit
#define __rcu
#define __percpu

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

#define BUILD_BUG_ON(condition) _Static_assert(!(condition), #condition)

#endif
