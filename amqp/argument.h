/* Tables of arguments for methods. For the .c files of amqp/ alone. */
#pragma once

#include "amqp/broker.h"

#include <amqp.h>

#define ARGUMENTS_MAX 32
#define ARGUMENTS_BYTES_MAX 3072 /* encoded; with the names of its method it fits into any frame */

/* Fills `entries` (which borrow from `args`) and *table (which borrows `entries`). -1 when there
 * are too many, when they are too long together, or when a name has no or over 255 bytes:
 * rabbitmq-c would write the length of such a name wrongly. */
int argument_table(const struct broker_argument *args, size_t n,
                   amqp_table_entry_t entries[ARGUMENTS_MAX], amqp_table_t *table)
    __attribute__((warn_unused_result));
