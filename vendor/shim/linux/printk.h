/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: passes a level and a formatted line to src/runtime/printk.rs,
 * which captures it or passes it to the `log` crate. The level is an argument
 * of its own. The C library formats: it does not know the kernel's %p
 * extensions, and %#x of 0 has no 0x.
 */
#ifndef SHIM_LINUX_PRINTK_H
#define SHIM_LINUX_PRINTK_H

#include <linux/compiler.h>

void __printf(2, 3) shim_printk(int level, const char *format, ...);

void shim_vprintk(const char *format, __builtin_va_list arguments);

#define vprintk(format, arguments) shim_vprintk(format, arguments)

#ifndef pr_fmt
#define pr_fmt(format) format
#endif

#define pr_emerg(format, ...) shim_printk(0, pr_fmt(format), ##__VA_ARGS__)
#define pr_alert(format, ...) shim_printk(1, pr_fmt(format), ##__VA_ARGS__)
#define pr_crit(format, ...) shim_printk(2, pr_fmt(format), ##__VA_ARGS__)
#define pr_err(format, ...) shim_printk(3, pr_fmt(format), ##__VA_ARGS__)
#define pr_warn(format, ...) shim_printk(4, pr_fmt(format), ##__VA_ARGS__)
#define pr_notice(format, ...) shim_printk(5, pr_fmt(format), ##__VA_ARGS__)
#define pr_info(format, ...) shim_printk(6, pr_fmt(format), ##__VA_ARGS__)
#define pr_debug(format, ...) shim_printk(7, pr_fmt(format), ##__VA_ARGS__)

#endif
