/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement. A kernel BUG kills the task; here it unwinds through the C
 * frames to the caller. A WARN is recorded with its place; there is no
 * backtrace. The bodies are in src/runtime/bug.rs.
 */
#ifndef SHIM_LINUX_BUG_H
#define SHIM_LINUX_BUG_H

#include <linux/compiler.h>
#include <linux/types.h>
#include <module/runtime.h>

#define BUG() shim_bug("BUG()", __FILE__, __LINE__)

#define BUG_ON(condition) do {						\
	if (unlikely(condition))					\
		shim_bug(#condition, __FILE__, __LINE__);	\
} while (0)

#define WARN_ON(condition) ({						\
	bool shim_warn = (condition);					\
	if (unlikely(shim_warn))					\
		shim_runtime->warn(#condition, __FILE__, __LINE__);	\
	unlikely(shim_warn);						\
})

/* The text is recorded as the condition. Its arguments are not formatted. */
#define WARN(condition, text, ...) ({					\
	bool shim_warn = (condition);					\
	if (unlikely(shim_warn))					\
		shim_runtime->warn(text, __FILE__, __LINE__);		\
	unlikely(shim_warn);						\
})

/* Recorded each time, not once. */
#define WARN_ON_ONCE(condition) WARN_ON(condition)

#endif
