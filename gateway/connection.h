/* What all AMQP connections of a gateway have in common. Pure. */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"

/* Borrows from both. What is a connection's own (is_publisher, watches, …) is for the caller to
 * add. */
struct broker_options connection_options(const struct config *config, const char *name);
