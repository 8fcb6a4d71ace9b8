#include "process.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Reads a small file of /proc/PID/; NULL when it is not there. */
static char *read_proc(pid_t pid, const char *name, char *text, size_t len)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        return NULL;
    }
    size_t n = fread(text, 1, len - 1, file);
    fclose(file);
    text[n] = '\0';
    return n > 0 ? text : NULL;
}

int64_t process_cpu_us(pid_t pid)
{
    /* of all its threads, to the nanosecond; /proc/PID/stat counts in steps of 10 ms */
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) < 0) {
        return -1;
    }
    return (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

int64_t process_rss_bytes(pid_t pid)
{
    char text[256];
    long pages = 0;
    if (!read_proc(pid, "statm", text, sizeof(text)) || sscanf(text, "%*d %ld", &pages) != 1) {
        return -1;
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

int64_t process_own_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}
