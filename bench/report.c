#include "report.h"
#include "process.h"

#include <stdio.h>

void report_sample(struct report_sample *sample, const struct options *o, uint64_t at_ns,
                   uint64_t delivered)
{
    sample->at_ns = at_ns;
    sample->delivered = delivered;
    sample->own_cpu_us = process_own_cpu_us();
    for (unsigned i = 0; i < o->n_pids; i++) {
        sample->cpu_us[i] = process_cpu_us(o->pids[i].pid);
        sample->rss_bytes[i] = process_rss_bytes(o->pids[i].pid);
    }
}

/* Labels and URLs come from the command line: what JSON does not like is left out. */
static void print_text(const char *name, const char *text)
{
    printf("\"%s\":\"", name);
    for (; *text; text++) {
        if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ') {
            putchar(*text);
        }
    }
    printf("\",");
}

static void print_connect(const struct report *r, const struct options *o)
{
    double n = r->connections > 0 ? (double)r->connections : 1;
    printf("\"connect\":{\"seconds\":%.3f,\"processes\":{",
           (double)(r->connected.at_ns - r->start.at_ns) / 1e9);
    for (unsigned i = 0; i < o->n_pids; i++) {
        printf("%s\"%s\":{\"cpu_us_per_connection\":%.2f,\"rss_bytes_before\":%lld,\"rss_bytes_"
               "after\":%lld,"
               "\"rss_bytes_per_connection\":%.1f}",
               i ? "," : "", o->pids[i].name,
               (double)(r->connected.cpu_us[i] - r->start.cpu_us[i]) / n,
               (long long)r->start.rss_bytes[i], (long long)r->settled.rss_bytes[i],
               (double)(r->settled.rss_bytes[i] - r->start.rss_bytes[i]) / n);
    }
    printf("}},");
}

static void print_idle(const struct report *r, const struct options *o)
{
    double seconds = (double)(r->until.at_ns - r->from.at_ns) / 1e9;
    printf("\"heartbeat_ms\":%u,\"idle\":{\"seconds\":%.3f,\"processes\":{", o->login.heartbeat_ms,
           seconds);
    for (unsigned i = 0; i < o->n_pids; i++) {
        printf("%s\"%s\":{\"cpu_share\":%.5f,\"rss_bytes\":%lld}", i ? "," : "", o->pids[i].name,
               (double)(r->until.cpu_us[i] - r->from.cpu_us[i]) / 1e6 / seconds,
               (long long)r->until.rss_bytes[i]);
    }
    printf("}},");
}

static void print_storm(const struct report *r, const struct options *o)
{
    double seconds = (double)(r->until.at_ns - r->from.at_ns) / 1e9;
    double n = r->storm_gone > 0 ? (double)r->storm_gone : 1;
    printf("\"storm\":{\"connections\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"per_s\":%.1f,"
           "\"cpu_us_per_connection\":{",
           (unsigned long long)r->storm_gone, (unsigned long long)r->storm_failed, seconds,
           seconds > 0 ? n / seconds : 0);
    for (unsigned i = 0; i < o->n_pids; i++) {
        printf("%s\"%s\":%.2f", i ? "," : "", o->pids[i].name,
               (double)(r->until.cpu_us[i] - r->from.cpu_us[i]) / n);
    }
    printf("}},\"given_up\":%s,", r->has_given_up ? "true" : "false");
}

static void print_cpu(const struct report *r, const struct options *o)
{
    double delivered = (double)(r->until.delivered - r->from.delivered);
    double sum = 0;
    printf("\"cpu\":{");
    for (unsigned i = 0; i < o->n_pids; i++) {
        double us = (double)(r->until.cpu_us[i] - r->from.cpu_us[i]);
        sum += us;
        printf("\"%s\":{\"seconds\":%.3f,\"us_per_delivery\":%.4f,\"rss_bytes\":%lld},",
               o->pids[i].name, us / 1e6, delivered > 0 ? us / delivered : 0,
               (long long)r->until.rss_bytes[i]);
    }
    printf("\"us_per_delivery\":%.4f,\"loadgen_seconds\":%.3f},",
           delivered > 0 ? sum / delivered : 0,
           (double)(r->until.own_cpu_us - r->from.own_cpu_us) / 1e6);
}

static void print_latency(const struct hist *h)
{
    printf("\"latency_us\":{\"n\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99_9\":%.1f,"
           "\"max\":%.1f},",
           (unsigned long long)h->n, (double)hist_quantile(h, 0.5) / 1e3,
           (double)hist_quantile(h, 0.9) / 1e3, (double)hist_quantile(h, 0.99) / 1e3,
           (double)hist_quantile(h, 0.999) / 1e3, (double)h->max / 1e3);
}

static void print_syscalls(const struct report *r, const struct options *o)
{
    const char *comma = "";
    printf("\"syscalls_per_delivery\":{");
    for (unsigned i = 0; i < o->n_pids; i++) {
        if (!o->pids[i].counts_syscalls) {
            continue;
        }
        printf("%s\"%s\":", comma, o->pids[i].name);
        if (r->syscalls[i] < 0 || r->syscalls_delivered == 0) {
            printf("null");
        } else {
            printf("%.4f", (double)r->syscalls[i] / (double)r->syscalls_delivered);
        }
        comma = ",";
    }
    printf("},");
}

static void print_measured(const struct report *r, const struct options *o)
{
    double seconds = (double)(r->until.at_ns - r->from.at_ns) / 1e9;
    uint64_t delivered = r->until.delivered - r->from.delivered;
    printf("\"publishers\":%u,\"body_bytes\":%u,\"binary\":%s,\"window\":%u,\"rate\":%g,"
           "\"seconds\":%.3f,"
           "\"delivered\":%llu,"
           "\"delivered_per_s\":%.1f,",
           o->publishers, o->body_bytes, o->is_binary ? "true" : "false", o->window, o->rate,
           seconds, (unsigned long long)delivered, seconds > 0 ? (double)delivered / seconds : 0);
    print_latency(&r->latency);
    if (o->window == 0) {
        printf("\"behind_ms\":%.3f,", (double)r->behind_ns / 1e6);
    }
    print_cpu(r, o);
    if (o->n_syscalls > 0) {
        print_syscalls(r, o);
    }
    uint64_t unique = r->delivered - r->duplicated;
    printf("\"total\":{\"sent\":%llu,\"expected\":%llu,\"delivered\":%llu,\"lost\":%lld,"
           "\"duplicated\":%llu,\"foreign\":%llu},"
           "\"given_up\":%s,",
           (unsigned long long)r->sent, (unsigned long long)r->expected,
           (unsigned long long)r->delivered, (long long)(r->expected - unique),
           (unsigned long long)r->duplicated, (unsigned long long)r->foreign,
           r->has_given_up ? "true" : "false");
}

static void print_stalled(const struct report *r, const struct options *o)
{
    uint64_t closed = 0;
    for (unsigned i = 0; i < CLIENT_FATES_MAX; i++) {
        closed += r->fates[i].n;
    }
    printf("\"stalled\":{\"n\":%llu,\"closed\":%llu,\"codes\":{",
           (unsigned long long)deal_count_stalled(o), (unsigned long long)closed);
    for (unsigned i = 0; i < CLIENT_FATES_MAX && r->fates[i].n > 0; i++) {
        printf("%s\"%u\":%llu", i ? "," : "", r->fates[i].code, (unsigned long long)r->fates[i].n);
    }
    printf("}},");
}

void report_print(const struct report *r, const struct options *o)
{
    printf("{");
    print_text("label", o->label);
    print_text("url", o->url.text);
    print_text("protocol", o->protocol->name);
    printf("\"subscribers\":%u,\"subscriptions\":%u,\"rooms\":%u,\"wildcard\":%g,", o->subscribers,
           o->subscriptions, o->rooms, o->wildcard);
    print_connect(r, o);
    if (!o->is_idle) {
        print_measured(r, o);
    }
    if (o->storm > 0) {
        print_storm(r, o);
    } else if (o->is_idle && o->duration_s > 0) {
        print_idle(r, o);
    }
    if (o->stalled > 0) {
        print_stalled(r, o);
    }
    printf("\"closed\":%llu}\n", (unsigned long long)r->closed);
}
