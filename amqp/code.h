/* Names of AMQP 0-9-1 reply codes ("Constants" of the specification), as RabbitMQ's STOMP plugin
 * writes them in ERROR frames. */
#pragma once

#include <stdint.h>

/* "not_found", "access_refused", …; "refused" for one that is not known. */
const char *broker_code_str(uint16_t code);
