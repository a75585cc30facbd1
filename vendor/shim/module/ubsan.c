// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handlers for code that is compiled with -fsanitize=undefined. Each report
 * is a warning with its place. The compilers' own library prints instead, and
 * does not tell which call of the allocator it was.
 *
 * The names and arguments are those that GCC and Clang share. In nearly all
 * handlers, the data begins with the place.
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

/* The values after the place are ignored. */
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
HANDLER(shift_out_of_bounds, "a shift by too many bits, or by a negative number")
HANDLER(out_of_bounds, "an index beyond its array")
HANDLER(type_mismatch_v1, "an access through a pointer that is null, misaligned, or to too little memory")
HANDLER(pointer_overflow, "a pointer overflows")
HANDLER(vla_bound_not_positive, "an array whose size is not positive")
HANDLER(load_invalid_value, "a value that is invalid for its type")
HANDLER(float_cast_overflow, "a floating-point number that does not fit into its new type")
HANDLER(invalid_builtin, "a builtin with an invalid argument")
HANDLER(nonnull_arg, "a null pointer as a nonnull argument")
HANDLER(alignment_assumption, "a pointer that is not aligned as assumed")

/* Here the place is the second argument. */
void __ubsan_handle_nonnull_return_v1(const void *data, const struct place *place);
void __ubsan_handle_nonnull_return_v1(const void *data, const struct place *place)
{
	report(place, "undefined behaviour: a null pointer from a returns_nonnull function");
}

/* After these two, the code cannot continue. */
#define FINAL(name, what) \
	void __ubsan_handle_##name(const struct place *place); \
	void __ubsan_handle_##name(const struct place *place) \
	{ \
		shim_runtime->bug("undefined behaviour: " what, place->file, place->line); \
		__builtin_unreachable(); \
	}

FINAL(builtin_unreachable, "unreachable code is reached")
FINAL(missing_return, "a function ends without returning a value")
