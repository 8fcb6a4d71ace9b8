/* What options.c (the command line) and options_check.c (what it amounts to) share. */
#pragma once

#include "options.h"

#include <limits.h>

#define OPTIONS_NO_WINDOW UINT_MAX /* --window was not given */
#define OPTIONS_NO_SUBSCRIBERS UINT_MAX
#define OPTIONS_NO_DURATION (-1.0)

/* Fills in what follows from other options, and looks at them together. 0, or -1 with a complaint.
 */
int options_finish(struct options *o);

/* Prints, and returns -1. */
int options_complain(const char *what, const char *value);
