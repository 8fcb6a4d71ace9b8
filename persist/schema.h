/* Brings the tables to the version this program knows. Inside of persist/ only.
 */
#pragma once

struct uv_loop_s;

/* Runs the loop until all migrations are applied, in one transaction, or until it failed. Several
 * may do so at once: one works, the others wait and find nothing left to do. A database that is not
 * there yet is waited for, SCHEMA_WAIT_MS at the most. 0, or -1 with the reason in the log. */
#define SCHEMA_WAIT_MS 15000
int schema_migrate(struct uv_loop_s *loop, const char *url) __attribute__((warn_unused_result));
