/* Counts the system calls of other processes, by the kernel's tracepoint raw_syscalls:sys_enter.
 * That wants root (or CAP_PERFMON) and a mounted tracefs.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct syscalls;

/* Begins to count those of all threads that the process has now, and of threads that those start.
 * NULL when it cannot be done here. */
struct syscalls *syscalls_begin(pid_t pid);

/* Ends it; -1 for NULL or when a count could not be read. */
int64_t syscalls_end(struct syscalls *s);
