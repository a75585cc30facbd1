/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: one CPU, so per-CPU data is plain data. */
#ifndef SHIM_LINUX_PERCPU_H
#define SHIM_LINUX_PERCPU_H

#define for_each_possible_cpu(cpu) for ((cpu) = 0; (cpu) < 1; (cpu)++)
#define per_cpu_ptr(pointer, cpu) ((void)(cpu), (pointer))

#endif
