/* What the kernel says about a server under test: processor time and resident memory, from /proc.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* utime + stime of the process, all its threads together, in microseconds; -1 when there is no such
 * process. */
int64_t process_cpu_us(pid_t pid);

/* Resident bytes; -1 when there is no such process. */
int64_t process_rss_bytes(pid_t pid);

/* Processor time of this process in microseconds. */
int64_t process_own_cpu_us(void);
