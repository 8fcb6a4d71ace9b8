/* How transcripts write bytes; for test_session.c alone. */
#pragma once

#include <cmocka.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/slice.h"

#define TEXT_MAX 20000

static void add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *text, const char *format, ...)
{
    size_t len = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + len, TEXT_MAX - len, format, args);
    va_end(args);
}

/* Bytes as a transcript has them. A LF is `|` in the header block and \n in a body. */
static void add_bytes(char *text, const char *bytes, size_t len, bool is_header)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n') {
            add(text, "%s", is_header ? "|" : "\\n");
        } else if (c == '\\' || c == '|' || c == '{') {
            add(text, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            add(text, "\\x%02x", c);
        } else {
            add(text, "%c", c);
        }
    }
}

static void add_slice(char *text, struct slice slice)
{
    add_bytes(text, slice.ptr, slice.len, false);
}

static char escaped(char c, const char **at)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case '0':
        return '\0';
    case 'x': {
        char hex[3] = {(*at)[0], (*at)[1], '\0'};
        *at += 2;
        return (char)strtol(hex, NULL, 16);
    }
    default:
        return c;
    }
}

/* The bytes that a transcript's text stands for. Returns their number. */
static size_t decode(const char *at, char *bytes)
{
    size_t len = 0;
    while (*at) {
        char c = *at++;
        if (c == '{') {
            char *end;
            long n = strtol(at, &end, 10);
            assert_true(*end == '*' && strchr(end, '}'));
            for (; n > 0; n--) {
                bytes[len++] = end[1];
            }
            at = strchr(end + 2, '}') + 1;
        } else if (c == '\\') {
            c = *at++;
            bytes[len++] = escaped(c, &at);
        } else {
            bytes[len++] = c == '|' ? '\n' : c;
        }
        assert_true(len < TEXT_MAX);
    }
    return len;
}

/* {300*a} only: for lines that are compared as text. */
static void expand(const char *line, char *out)
{
    out[0] = '\0';
    while (*line) {
        char *end = NULL;
        long n = line[0] == '{' ? strtol(line + 1, &end, 10) : 0;
        if (end && *end == '*') {
            for (; n > 0; n--) {
                add(out, "%c", end[1]);
            }
            line = strchr(end, '}') + 1;
        } else if (line[0] == '\\' && line[1]) {
            add(out, "%c%c", line[0], line[1]);
            line += 2;
        } else {
            add(out, "%c", *line++);
        }
    }
}
