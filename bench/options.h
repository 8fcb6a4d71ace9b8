/* The command line of the load generator. */
#pragma once

#include "protocol.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define OPTIONS_PIDS_MAX 8

struct options_pid {
    const char *name; /* "gateway" */
    pid_t pid;
    bool counts_syscalls;
};

struct options_url {
    const char *text; /* NULL: was not given */
    char host[128];
    char path[256]; /* of a protocol whose rooms are paths: with one %d, or none for one room */
    uint16_t port;
    bool is_tls; /* wss:// */
};

struct options {
    const char *label;
    struct options_url url;
    struct options_url publish_url; /* of publishers; as `url` where it was not given */
    const struct protocol *protocol;
    struct protocol_login login;
    const char *destination; /* with one %d for the room, or none for one room */
    double wildcard;         /* this share of the subscriptions uses the pattern */
    char pattern[256];       /* the destination, its last word replaced by * */
    bool pattern_hears_all;  /* it hears all rooms, since that word told them apart */
    unsigned subscribers;
    unsigned subscriptions; /* of each subscriber */
    double stalled;         /* this share of the subscribers reads nothing */
    unsigned rooms;
    unsigned publishers; /* connections that send; room r belongs to number r % publishers */
    unsigned threads;
    unsigned connecting; /* handshakes at a time, per thread */
    unsigned body_bytes;
    bool is_binary;  /* bodies are no UTF-8, and binary WebSocket messages carry them */
    unsigned window; /* closed loop: messages on their way at a time; 0: `rate` holds */
    double rate;     /* messages per second */
    double settle_s; /* between the last subscription and the memory reading */
    double warmup_s;
    double duration_s;
    bool is_idle;   /* connect and subscribe only */
    unsigned storm; /* so many connections come, subscribe and go, one after the other */
    bool is_hasty;  /* and do not wait until they have subscribed */
    struct options_pid pids[OPTIONS_PIDS_MAX];
    unsigned n_pids;
    const char
        *syscalls[OPTIONS_PIDS_MAX]; /* names of those whose system calls are to be counted */
    unsigned n_syscalls;
};

/* 0: go on; 1: help was printed; -1: a complaint was printed. Strings are borrowed from argv. */
int options_parse(struct options *o, int argc, char **argv);

/* The name of a room: the destination or a path, with its number in place of the %d. */
void options_room(const char *pattern, unsigned room, char *text, size_t len);
