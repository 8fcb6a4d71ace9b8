#include "process.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
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
    char text[1024];
    unsigned long user = 0;
    unsigned long system = 0;
    /* the name in parentheses may hold anything: fields are counted behind the last one */
    char *rest = read_proc(pid, "stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                        &system) != 2) {
        return -1;
    }
    return (int64_t)(user + system) * 1000000 / sysconf(_SC_CLK_TCK);
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
