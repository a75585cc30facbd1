/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: KUnit's macros over src/kunit.rs, which runs the cases. A failed
 * assertion ends its case by unwinding; the kernel ends a thread. There are no
 * parameters or resources, and no attributes except the speed of a case.
 */
#ifndef SHIM_KUNIT_TEST_H
#define SHIM_KUNIT_TEST_H

#include <kunit/test-bug.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/types.h>

struct kunit {
	const char *name;
	void *priv;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
	bool slow;
};

struct kunit_suite {
	const char *name;
	int (*suite_init)(struct kunit_suite *suite);
	void (*suite_exit)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

/* The only suite of a tree, and a way to reset the seed of its init function. */
extern struct kunit_suite *const shim_kunit_suite;
void shim_kunit_forget_seed(void);

#define KUNIT_CASE(function) { .run_case = function, .name = #function }
#define KUNIT_CASE_SLOW(function) \
	{ .run_case = function, .name = #function, .slow = true }
#define kunit_test_suite(suite) \
	struct kunit_suite *const shim_kunit_suite = &(suite)

#define kunit_printk(level, test, format, ...) \
	shim_printk(level, "# %s: " format, (test)->name, ##__VA_ARGS__)
#define kunit_err(test, format, ...) kunit_printk(3, test, format, ##__VA_ARGS__)
#define kunit_warn(test, format, ...) kunit_printk(4, test, format, ##__VA_ARGS__)
#define kunit_info(test, format, ...) kunit_printk(6, test, format, ##__VA_ARGS__)

/* The place of a check, and whether its failure ends the case. */
struct shim_kunit_check {
	const char *file;
	unsigned int line;
	bool assertion;
};

/* The last argument is the test's own format, or null. */
void __printf(4, 5) shim_kunit_fail(struct kunit *test,
				    const struct shim_kunit_check *check,
				    const char *expected,
				    const char *format, ...);
void __printf(7, 8) shim_kunit_fail_values(struct kunit *test,
					   const struct shim_kunit_check *check,
					   const char *expected,
					   const char *texts[2], s64 left,
					   s64 right, const char *format, ...);

#define SHIM_KUNIT_CHECK(is_assertion)				\
	&(const struct shim_kunit_check){			\
		.file = __FILE__,				\
		.line = __LINE__,				\
		.assertion = is_assertion,			\
	}

#define SHIM_KUNIT_HOLDS(test, assertion, condition, expected, ...) do {	\
	if (unlikely(!(condition)))						\
		shim_kunit_fail(test, SHIM_KUNIT_CHECK(assertion), expected,	\
				__VA_ARGS__);					\
} while (0)

#define SHIM_KUNIT_COMPARE(test, assertion, left, operator, right, ...) do {	\
	__auto_type shim_left = (left);						\
	__auto_type shim_right = (right);					\
	if (unlikely(!(shim_left operator shim_right)))				\
		shim_kunit_fail_values(test, SHIM_KUNIT_CHECK(assertion),	\
				       #left " " #operator " " #right,		\
				       (const char *[2]){ #left, #right },	\
				       (s64)shim_left, (s64)shim_right,		\
				       __VA_ARGS__);				\
} while (0)

/* A null format: the test has no message of its own. */
#define SHIM_KUNIT_NO_MSG (const char *)NULL

#define KUNIT_FAIL(test, ...) \
	shim_kunit_fail(test, SHIM_KUNIT_CHECK(false), "not to get here", __VA_ARGS__)

#define KUNIT_EXPECT_TRUE_MSG(test, condition, ...) \
	SHIM_KUNIT_HOLDS(test, false, condition, #condition " to be true", __VA_ARGS__)
#define KUNIT_ASSERT_TRUE_MSG(test, condition, ...) \
	SHIM_KUNIT_HOLDS(test, true, condition, #condition " to be true", __VA_ARGS__)
#define KUNIT_EXPECT_FALSE_MSG(test, condition, ...) \
	SHIM_KUNIT_HOLDS(test, false, !(condition), #condition " to be false", __VA_ARGS__)
#define KUNIT_ASSERT_FALSE_MSG(test, condition, ...) \
	SHIM_KUNIT_HOLDS(test, true, !(condition), #condition " to be false", __VA_ARGS__)
#define KUNIT_EXPECT_NULL_MSG(test, pointer, ...) \
	SHIM_KUNIT_HOLDS(test, false, !(pointer), #pointer " to be null", __VA_ARGS__)
#define KUNIT_ASSERT_NULL_MSG(test, pointer, ...) \
	SHIM_KUNIT_HOLDS(test, true, !(pointer), #pointer " to be null", __VA_ARGS__)
#define KUNIT_EXPECT_NOT_NULL_MSG(test, pointer, ...) \
	SHIM_KUNIT_HOLDS(test, false, pointer, #pointer " not to be null", __VA_ARGS__)
#define KUNIT_ASSERT_NOT_NULL_MSG(test, pointer, ...) \
	SHIM_KUNIT_HOLDS(test, true, pointer, #pointer " not to be null", __VA_ARGS__)
#define KUNIT_EXPECT_NOT_ERR_OR_NULL_MSG(test, pointer, ...)			\
	SHIM_KUNIT_HOLDS(test, false, !IS_ERR_OR_NULL(pointer),			\
			 #pointer " to be a valid pointer", __VA_ARGS__)
#define KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, pointer, ...)			\
	SHIM_KUNIT_HOLDS(test, true, !IS_ERR_OR_NULL(pointer),			\
			 #pointer " to be a valid pointer", __VA_ARGS__)

#define KUNIT_EXPECT_EQ_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, ==, right, __VA_ARGS__)
#define KUNIT_ASSERT_EQ_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, ==, right, __VA_ARGS__)
#define KUNIT_EXPECT_NE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, !=, right, __VA_ARGS__)
#define KUNIT_ASSERT_NE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, !=, right, __VA_ARGS__)
#define KUNIT_EXPECT_LT_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, <, right, __VA_ARGS__)
#define KUNIT_ASSERT_LT_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, <, right, __VA_ARGS__)
#define KUNIT_EXPECT_LE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, <=, right, __VA_ARGS__)
#define KUNIT_ASSERT_LE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, <=, right, __VA_ARGS__)
#define KUNIT_EXPECT_GT_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, >, right, __VA_ARGS__)
#define KUNIT_ASSERT_GT_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, >, right, __VA_ARGS__)
#define KUNIT_EXPECT_GE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, >=, right, __VA_ARGS__)
#define KUNIT_ASSERT_GE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, >=, right, __VA_ARGS__)
#define KUNIT_EXPECT_PTR_EQ_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, ==, right, __VA_ARGS__)
#define KUNIT_ASSERT_PTR_EQ_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, ==, right, __VA_ARGS__)
#define KUNIT_EXPECT_PTR_NE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, false, left, !=, right, __VA_ARGS__)
#define KUNIT_ASSERT_PTR_NE_MSG(test, left, right, ...) \
	SHIM_KUNIT_COMPARE(test, true, left, !=, right, __VA_ARGS__)

#define KUNIT_EXPECT_TRUE(test, x) \
	KUNIT_EXPECT_TRUE_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_TRUE(test, x) \
	KUNIT_ASSERT_TRUE_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_FALSE(test, x) \
	KUNIT_EXPECT_FALSE_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_FALSE(test, x) \
	KUNIT_ASSERT_FALSE_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_NULL(test, x) \
	KUNIT_EXPECT_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_NULL(test, x) \
	KUNIT_ASSERT_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_NOT_NULL(test, x) \
	KUNIT_EXPECT_NOT_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_NOT_NULL(test, x) \
	KUNIT_ASSERT_NOT_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_NOT_ERR_OR_NULL(test, x) \
	KUNIT_EXPECT_NOT_ERR_OR_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x) \
	KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, x, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_EQ(test, left, right) \
	KUNIT_EXPECT_EQ_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_EQ(test, left, right) \
	KUNIT_ASSERT_EQ_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_NE(test, left, right) \
	KUNIT_EXPECT_NE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_NE(test, left, right) \
	KUNIT_ASSERT_NE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_LT(test, left, right) \
	KUNIT_EXPECT_LT_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_LT(test, left, right) \
	KUNIT_ASSERT_LT_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_LE(test, left, right) \
	KUNIT_EXPECT_LE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_LE(test, left, right) \
	KUNIT_ASSERT_LE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_GT(test, left, right) \
	KUNIT_EXPECT_GT_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_GT(test, left, right) \
	KUNIT_ASSERT_GT_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_GE(test, left, right) \
	KUNIT_EXPECT_GE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_GE(test, left, right) \
	KUNIT_ASSERT_GE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_PTR_EQ(test, left, right) \
	KUNIT_EXPECT_PTR_EQ_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_PTR_EQ(test, left, right) \
	KUNIT_ASSERT_PTR_EQ_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_EXPECT_PTR_NE(test, left, right) \
	KUNIT_EXPECT_PTR_NE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)
#define KUNIT_ASSERT_PTR_NE(test, left, right) \
	KUNIT_ASSERT_PTR_NE_MSG(test, left, right, SHIM_KUNIT_NO_MSG)

#endif
