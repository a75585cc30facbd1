// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's KUnit suite, unchanged, with access to its seed, which is a
 * static variable: a run with another seed must first reset it. The build
 * defines the path, and whether the suite has a seed.
 */

#include SHIM_KUNIT_SUITE_FILE

void shim_kunit_forget_seed(void)
{
#ifdef SHIM_KUNIT_SUITE_HAS_SEED
	random_seed = 0;
#endif
}
