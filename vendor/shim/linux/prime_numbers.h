/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: trial division, which is enough for a suite's small numbers. */
#ifndef SHIM_LINUX_PRIME_NUMBERS_H
#define SHIM_LINUX_PRIME_NUMBERS_H

#include <linux/types.h>

static inline bool is_prime_number(unsigned long x)
{
	for (unsigned long divisor = 2; divisor * divisor <= x; divisor++)
		if (x % divisor == 0)
			return false;
	return x >= 2;
}

/* The smallest prime above a number. */
static inline unsigned long next_prime_number(unsigned long x)
{
	do
		x++;
	while (!is_prime_number(x));
	return x;
}

/* As in the kernel, the loop begins with 1 if that is the start. */
#define for_each_prime_number_from(prime, from, most)			\
	for (prime = (from); prime <= (most); prime = next_prime_number(prime))

#define for_each_prime_number(prime, most) \
	for_each_prime_number_from(prime, 2, most)

#endif
