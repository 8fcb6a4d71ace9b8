#include "syscalls.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS_MAX 256

struct syscalls {
    int fds[THREADS_MAX];
    unsigned n;
};

static long tracepoint(void)
{
    static const char *const FILES[] = {
        "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
        "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
    };
    long id = -1;
    for (int i = 0; i < 2 && id < 0; i++) {
        FILE *file = fopen(FILES[i], "r");
        if (file) {
            if (fscanf(file, "%ld", &id) != 1) {
                id = -1;
            }
            fclose(file);
        }
    }
    return id;
}

static int count_thread(long id, long thread)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = (uint64_t)id, .inherit = 1};
    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static DIR *threads_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    return opendir(path);
}

struct syscalls *syscalls_begin(pid_t pid)
{
    long id = tracepoint();
    DIR *threads = id < 0 ? NULL : threads_of(pid);
    struct syscalls *s = calloc(1, sizeof(*s));
    struct dirent *entry;
    while (s && threads && (entry = readdir(threads)) != NULL && s->n < THREADS_MAX) {
        long thread = atol(entry->d_name); /* . and .. are 0 */
        int fd = thread > 0 ? count_thread(id, thread) : -1;
        if (fd >= 0) {
            s->fds[s->n++] = fd;
        }
    }
    if (threads) {
        closedir(threads);
    }
    if (s && s->n == 0) {
        free(s);
        s = NULL;
    }
    return s;
}

int64_t syscalls_end(struct syscalls *s)
{
    int64_t sum = 0;
    if (!s) {
        return -1;
    }
    for (unsigned i = 0; i < s->n; i++) {
        uint64_t n = 0;
        sum = sum < 0 || read(s->fds[i], &n, sizeof(n)) != sizeof(n) ? -1 : sum + (int64_t)n;
        close(s->fds[i]);
    }
    free(s);
    return sum;
}
