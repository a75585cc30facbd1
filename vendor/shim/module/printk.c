// SPDX-License-Identifier: GPL-2.0-only
/*
 * Formats the arguments of the kernel's variadic functions, and passes the text
 * to Rust. In C, because Rust cannot define variadic functions.
 */

#include <drm/drm_print.h>
#include <linux/kernel.h>
#include <kunit/test.h>

/* Longer lines are cut, as in the kernel's log. */
#define LINE_LENGTH 1024

int vsnprintf(char *text, size_t size, const char *format, __builtin_va_list arguments);

#define FORMAT(text, format) do {					\
	__builtin_va_list arguments;					\
	__builtin_va_start(arguments, format);				\
	vsnprintf(text, sizeof(text), format, arguments);		\
	__builtin_va_end(arguments);					\
} while (0)

void shim_printk(int level, const char *format, ...)
{
	char text[LINE_LENGTH];

	FORMAT(text, format);
	shim_runtime->printk(level, text);
}

void shim_vprintk(const char *format, __builtin_va_list arguments)
{
	char text[LINE_LENGTH];

	vsnprintf(text, sizeof(text), format, arguments);
	shim_runtime->printk(6, text);
}

void drm_printf(struct drm_printer *printer, const char *format, ...)
{
	size_t room = sizeof(printer->text) - printer->length;
	__builtin_va_list arguments;
	int length;

	__builtin_va_start(arguments, format);
	length = vsnprintf(printer->text + printer->length, room, format, arguments);
	__builtin_va_end(arguments);
	if (length < 0)
		return;
	printer->length += (size_t)length < room ? (size_t)length : room - 1;
	if (printer->length && printer->text[printer->length - 1] == '\n') {
		shim_runtime->printk(6, printer->text);
		printer->length = 0;
	}
}

void shim_kunit_fail(struct kunit *test, const struct shim_kunit_check *check,
		     const char *expected, const char *format, ...)
{
	char message[LINE_LENGTH] = "";

	if (format)
		FORMAT(message, format);
	shim_runtime->kunit_fail(test, check, expected, "", message);
}

static int format_values(char *text, size_t size, const char *format, ...)
{
	__builtin_va_list arguments;
	int length;

	__builtin_va_start(arguments, format);
	length = vsnprintf(text, size, format, arguments);
	__builtin_va_end(arguments);
	return length;
}

void shim_kunit_fail_values(struct kunit *test,
			    const struct shim_kunit_check *check,
			    const char *expected, const char *texts[2], s64 left,
			    s64 right, const char *format, ...)
{
	char values[LINE_LENGTH];
	char message[LINE_LENGTH] = "";

	format_values(values, sizeof(values), "%s = %lld (0x%llx), %s = %lld (0x%llx)",
		      texts[0], left, (u64)left, texts[1], right, (u64)right);
	if (format)
		FORMAT(message, format);
	shim_runtime->kunit_fail(test, check, expected, values, message);
}

void shim_kunit_fail_current_test(const char *file, unsigned int line,
				  const char *format, ...)
{
	char message[LINE_LENGTH];

	FORMAT(message, format);
	shim_runtime->fail_current_test(file, line, message);
}
