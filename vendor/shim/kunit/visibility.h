/* SPDX-License-Identifier: GPL-2.0-only */
/* No-op: names that KUnit may see are visible to the linker as they are. */
#ifndef SHIM_KUNIT_VISIBILITY_H
#define SHIM_KUNIT_VISIBILITY_H

#define VISIBLE_IF_KUNIT
#define EXPORT_SYMBOL_IF_KUNIT(symbol)

#endif
