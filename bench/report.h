/* What a run found out, as one JSON object on one line. */
#pragma once

#include "client.h"
#include "hist.h"
#include "options.h"

#include <stdint.h>

/* The servers and this program at one moment. */
struct report_sample {
    uint64_t at_ns;
    uint64_t delivered;
    int64_t cpu_us[OPTIONS_PIDS_MAX];
    int64_t rss_bytes[OPTIONS_PIDS_MAX];
    int64_t own_cpu_us;
};

struct report {
    struct report_sample start;     /* before the first connection */
    struct report_sample connected; /* all are ready */
    struct report_sample settled;   /* and some time has passed */
    struct report_sample from;      /* the measured span */
    struct report_sample until;
    struct hist latency;
    int64_t syscalls[OPTIONS_PIDS_MAX]; /* -1: not known */
    uint64_t syscalls_delivered;        /* while they were counted */
    uint64_t behind_ns; /* how much later than intended a message was sent, at the most */
    uint64_t connections;
    uint64_t sent;
    uint64_t expected; /* deliveries */
    uint64_t delivered;
    uint64_t duplicated;
    uint64_t foreign;
    uint64_t closed;
    struct client_fate fates[CLIENT_FATES_MAX]; /* of the stalled */
    uint64_t storm_gone;                        /* connections of the storm that had their turn */
    uint64_t storm_failed;                      /* of those: ended before they had subscribed */
    bool has_given_up; /* nothing came for a long time: the rest of the run was given up */
};

void report_sample(struct report_sample *sample, const struct options *o, uint64_t at_ns,
                   uint64_t delivered);

void report_print(const struct report *r, const struct options *o);
