// SPDX-License-Identifier: GPL-2.0-only
/*
 * What code calls that was compiled with -fsanitize=undefined, when it does something
 * undefined: each report is a warning, with its place. The compilers' own library prints
 * instead, and does not say which call of the allocator it was.
 *
 * The names and the arguments are those that GCC and Clang share. What a report is about
 * begins with its place, in nearly all of them.
 */
#include "runtime.h"

struct place {
	const char *file;
	u32 line;
	u32 column;
};

extern const char gpu_buddy_sanitized __attribute__((visibility("default")));
const char gpu_buddy_sanitized = 1;

static void report(const struct place *place, const char *what)
{
	shim_runtime->warn(what, place->file, place->line);
}

/* The values that follow the place are not looked at. */
#define HANDLER(name, what) \
	void __ubsan_handle_##name(const struct place *place); \
	void __ubsan_handle_##name(const struct place *place) \
	{ \
		report(place, "undefined behaviour: " what); \
	}

HANDLER(add_overflow, "an addition overflows")
HANDLER(sub_overflow, "a subtraction overflows")
HANDLER(mul_overflow, "a multiplication overflows")
HANDLER(negate_overflow, "a negation overflows")
HANDLER(divrem_overflow, "a division by zero, or one that overflows")
HANDLER(shift_out_of_bounds, "a shift by too many bits, or by less than none")
HANDLER(out_of_bounds, "an index beyond its array")
HANDLER(type_mismatch_v1, "an access through a pointer that is null, or not aligned, or has no room for the type")
HANDLER(pointer_overflow, "a pointer overflows")
HANDLER(vla_bound_not_positive, "an array of no size, or less")
HANDLER(load_invalid_value, "a value that its type does not have")
HANDLER(float_cast_overflow, "a number that does not fit its type")
HANDLER(invalid_builtin, "a builtin that is not defined for its argument")
HANDLER(nonnull_arg, "a null pointer where none may be")
HANDLER(alignment_assumption, "a pointer that is not aligned as was assumed")

/* The place of the return comes second. */
void __ubsan_handle_nonnull_return_v1(const void *data, const struct place *place);
void __ubsan_handle_nonnull_return_v1(const void *data, const struct place *place)
{
	report(place, "undefined behaviour: a null pointer is returned where none may be");
}

/* There is no way on from these two. */
#define FINAL(name, what) \
	void __ubsan_handle_##name(const struct place *place); \
	void __ubsan_handle_##name(const struct place *place) \
	{ \
		shim_runtime->bug("undefined behaviour: " what, place->file, place->line); \
		__builtin_unreachable(); \
	}

FINAL(builtin_unreachable, "what was said to be unreachable is reached")
FINAL(missing_return, "a function ends without its value")
