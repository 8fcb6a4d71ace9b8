#include "common/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Standard error is a pipe between capture() and release(), so nothing is asserted in between: the
 * message would be captured too. */
static int real_stderr = -1;
static int reader = -1;
static char captured[1 << 20];

static void capture(void)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    real_stderr = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    reader = fds[0];
}

/* What was written, as one text. */
static const char *release(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    size_t len = 0;
    ssize_t n = 0;
    while (len < sizeof captured - 1 &&
           (n = read(reader, captured + len, sizeof captured - 1 - len)) > 0) {
        len += (size_t)n;
    }
    captured[len] = '\0';
    close(reader);
    assert_int_equal(strlen(captured), len);
    return captured;
}

static size_t count_of(const char *text, const char *piece)
{
    size_t n = 0;
    for (const char *p = strstr(text, piece); p; p = strstr(p + 1, piece)) {
        n++;
    }
    return n;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0) {
        fail_msg("\"%s\" does not match \"%s\"", text, pattern);
    }
    regfree(&re);
}

/* Every line is whole: it begins with the time and ends with a newline. */
static void assert_lines_whole(const char *text)
{
    while (*text) {
        const char *end = strchr(text, '\n');
        assert_non_null(end);
        assert_true(end - text + 1 <= LOG_LINE_MAX);
        assert_int_equal(strncmp(text, "20", 2), 0);
        assert_int_equal(text[10], 'T');
        assert_int_equal(text[23], 'Z');
        text = end + 1;
    }
}

static void test_shape(void **state)
{
    (void)state;
    capture();
    log_info("chat-1/0/17", "test.shape", "user=%s n=%d", "ann", 3);
    log_warn(NULL, "test.shape", "x=%d", 1);
    assert_matches(release(),
                   "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                   "info test\\.shape id=chat-1/0/17 user=ann n=3\n"
                   "20[^ ]* warn test\\.shape id=- x=1\n$");
}

static void test_level(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("DEBUG", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
    assert_true(log_is_on(LOG_INFO));
    assert_false(log_is_on(LOG_DEBUG));

    int n = 0;
    capture();
    log_debug("-", "test.level", "n=%d", ++n);
    log_set_level(LOG_WARN);
    log_info("-", "test.level", "n=%d", 10);
    log_warn("-", "test.level", "n=%d", 11);
    log_set_level(LOG_DEBUG);
    log_debug("-", "test.level", "n=%d", 12);
    log_set_level(LOG_INFO);
    const char *text = release();
    assert_int_equal(n, 0);
    assert_int_equal(count_of(text, "\n"), 2);
    assert_matches(text, "warn test.level id=- n=11\n.* debug test.level id=- n=12\n$");
}

static void expect_escaped(const char *raw, const char *escaped)
{
    char expected[512];
    snprintf(expected, sizeof expected, " info test.escape id=- v=%s\n", escaped);
    capture();
    log_info("-", "test.escape", "v=%s", raw);
    const char *text = release();
    const char *rest = strchr(text, ' ');
    assert_non_null(rest);
    assert_string_equal(rest, expected);
}

static void test_control_bytes_are_escaped(void **state)
{
    (void)state;
    expect_escaped("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d");
    expect_escaped("\x1b[31m\x7f\x01", "\\x1b[31m\\x7f\\x01");
    expect_escaped("\xc2\x9b"
                   "1m",
                   "\\xc2\\x9b1m");
    expect_escaped("a\xe2\x80\xa8z", "a\\xe2\\x80\\xa8z");
}

static void test_valid_utf8_stays(void **state)
{
    (void)state;
    expect_escaped("\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
                   "\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80");
    expect_escaped("\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
                   "\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void test_invalid_utf8_is_escaped(void **state)
{
    (void)state;
    expect_escaped("\xff", "\\xff");
    expect_escaped("\x80", "\\x80");
    expect_escaped("\xc0\xaf", "\\xc0\\xaf");                   /* overlong */
    expect_escaped("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong */
    expect_escaped("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"); /* overlong */
    expect_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
    expect_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    expect_escaped("\xe2\x82", "\\xe2\\x82");                   /* cut off */
    expect_escaped("\xc3(", "\\xc3(");                          /* broken off */
    expect_escaped("\xf0\x9f\x98 x", "\\xf0\\x9f\\x98 x");      /* broken off */
}

static void test_no_line_can_be_injected(void **state)
{
    (void)state;
    char all[256];
    for (int i = 1; i < 256; i++) {
        all[i - 1] = (char)i;
    }
    all[255] = '\0';
    capture();
    log_info(all, all, "%s", all);
    log_info("a\n2026-01-01T00:00:00.000Z error x id=-", "test.inject", "v=%s", "\r\n\n");
    const char *text = release();
    assert_int_equal(count_of(text, "\n"), 2);
    assert_lines_whole(text);
    for (const char *p = text; *p; p++) {
        assert_true(*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
    }
}

static void test_long_line_is_cut(void **state)
{
    (void)state;
    static char text[3 * LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    capture();
    log_info("-", "test.long", "v=%s", text);
    memset(text, '\n', sizeof text - 1);
    log_info("-", "test.long", "v=%s", text);
    const char *lines = release();
    assert_lines_whole(lines);
    assert_int_equal(count_of(lines, "\n"), 2);
    assert_int_equal(count_of(lines, "...\n"), 2);
    assert_matches(lines, "xx\\.\\.\\.\n");
    assert_matches(lines, "(\\\\x0a)+\\.\\.\\.\n$"); /* no half escape */
}

static long second_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec;
}

static void test_frequent_event_is_limited_and_told(void **state)
{
    (void)state;
    enum { LINES = 300 };
    uint64_t dropped = log_dropped();
    capture();
    long begin = second_now();
    for (int i = 0; i < LINES; i++) {
        log_info("-", "test.burst", "i=%d", i);
    }
    log_info("-", "test.rare", "x=%d", 1);
    size_t seconds = (size_t)(second_now() - begin) + 1;
    uint64_t held_back = log_dropped() - dropped;
    /* It is told by the next line, of whatever event, once the second is over. */
    while (second_now() < begin + (long)seconds) {
        struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    log_info("-", "test.later", "x=%d", 1);
    const char *text = release();

    size_t written = count_of(text, " test.burst id=");
    assert_true(written >= LOG_BURST && written <= seconds * LOG_BURST);
    assert_int_equal(written + held_back, LINES);
    assert_int_equal(count_of(text, " test.rare "), 1);
    size_t told = 0;
    for (const char *p = strstr(text, "event=test.burst lines="); p;
         p = strstr(p + 1, "event=test.burst lines=")) {
        told += strtoul(p + strlen("event=test.burst lines="), NULL, 10);
    }
    assert_int_equal(told, held_back);
    assert_matches(text,
                   " info log\\.suppressed id=- event=test\\.burst lines=[0-9]+\n.* test\\.later ");
}

static void test_stuck_pipe_does_not_block(void **state)
{
    (void)state;
    static char text[LOG_LINE_MAX - 100];
    memset(text, 'y', sizeof text - 1);
    static const char *const names[] = {"test.stuck1", "test.stuck2", "test.stuck3", "test.stuck4"};
    uint64_t dropped = log_dropped();
    capture();
    alarm(20); /* blocking would end the program */
    for (int i = 0; i < 4 * (LOG_BURST - 1); i++) {
        log_info("-", names[i % 4], "v=%s", text);
    }
    alarm(0);
    uint64_t lost = log_dropped() - dropped;
    const char *lines = release();
    assert_lines_whole(lines);
    assert_true(lost > 0);
    assert_int_equal(count_of(lines, "\n") + lost, 4 * (LOG_BURST - 1));
}

static void test_nobody_reads(void **state)
{
    (void)state;
    uint64_t dropped = log_dropped();
    capture();
    close(reader);
    reader = open("/dev/null", O_RDONLY);
    log_info("-", "test.nobody", "x=%d", 1); /* SIGPIPE would end the program */
    release();
    assert_int_equal(log_dropped() - dropped, 1);

    capture();
    close(STDERR_FILENO);
    log_info("-", "test.nobody", "x=%d", 2);
    release();
    assert_int_equal(log_dropped() - dropped, 2);
}

static void *log_from_thread(void *name)
{
    for (int i = 0; i < 40; i++) {
        log_info("-", name, "i=%d v=%s", i, "zzzzzzzzzzzzzzzzzzzzzzzz");
    }
    return NULL;
}

static void test_threads_do_not_mix_lines(void **state)
{
    (void)state;
    static char names[4][16] = {"test.thread1", "test.thread2", "test.thread3", "test.thread4"};
    pthread_t threads[4];
    capture();
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, log_from_thread, names[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    const char *text = release();
    assert_lines_whole(text);
    assert_int_equal(count_of(text, " v=zzzzzzzzzzzzzzzzzzzzzzzz\n"), 160);
}

static void test_more_events_than_the_table_holds(void **state)
{
    (void)state;
    uint64_t dropped = log_dropped();
    capture();
    for (int i = 0; i < 400; i++) {
        char name[32];
        snprintf(name, sizeof name, "test.many%d", i);
        log_info("-", name, "i=%d", i);
    }
    const char *text = release();
    assert_lines_whole(text);
    assert_int_equal(count_of(text, " test.many") + (log_dropped() - dropped), 400);
    assert_true(count_of(text, " test.many") >= 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_control_bytes_are_escaped),
        cmocka_unit_test(test_valid_utf8_stays),
        cmocka_unit_test(test_invalid_utf8_is_escaped),
        cmocka_unit_test(test_no_line_can_be_injected),
        cmocka_unit_test(test_long_line_is_cut),
        cmocka_unit_test(test_frequent_event_is_limited_and_told),
        cmocka_unit_test(test_stuck_pipe_does_not_block),
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_threads_do_not_mix_lines),
        cmocka_unit_test(test_more_events_than_the_table_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
