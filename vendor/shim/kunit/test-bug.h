/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: fails the KUnit case that runs on this thread, if there is one.
 */
#ifndef SHIM_KUNIT_TEST_BUG_H
#define SHIM_KUNIT_TEST_BUG_H

#include <linux/compiler.h>

void __printf(3, 4) shim_kunit_fail_current_test(const char *file,
						 unsigned int line,
						 const char *format, ...);

#define kunit_fail_current_test(format, ...) \
	shim_kunit_fail_current_test(__FILE__, __LINE__, format, ##__VA_ARGS__)

#endif
