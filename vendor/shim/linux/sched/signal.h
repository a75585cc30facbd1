/* SPDX-License-Identifier: GPL-2.0-only */
/* No-op: included, but nothing in it is used. */
#ifndef SHIM_LINUX_SCHED_SIGNAL_H
#define SHIM_LINUX_SCHED_SIGNAL_H

#endif
