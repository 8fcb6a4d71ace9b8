/* Arguments that others name, as the tables that rabbitmq-c encodes. */
#include "amqp/broker_internal.h"

#define ENTRY_FIXED 10 /* length of the name, type, and the longest of what is not text */

static amqp_bytes_t bytes_of(struct slice s)
{
    /* rabbitmq-c's bytes are not const; encoding only reads them. */
    return (amqp_bytes_t){s.len, (void *)(uintptr_t)s.ptr};
}

static amqp_field_value_t value_of(const struct broker_argument *arg)
{
    amqp_field_value_t value = {0};
    switch (arg->type) {
    case BROKER_TEXT:
        value.kind = AMQP_FIELD_KIND_UTF8;
        value.value.bytes = bytes_of(arg->text);
        break;
    case BROKER_INTEGER:
        value.kind = AMQP_FIELD_KIND_I64;
        value.value.i64 = arg->number;
        break;
    case BROKER_BOOLEAN:
        value.kind = AMQP_FIELD_KIND_BOOLEAN;
        value.value.boolean = arg->number != 0;
        break;
    }
    return value;
}

int argument_table(const struct broker_argument *args, size_t n,
                   amqp_table_entry_t entries[ARGUMENTS_MAX], amqp_table_t *table)
{
    size_t bytes = 0;
    if (n > ARGUMENTS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t text_len = args[i].type == BROKER_TEXT ? args[i].text.len : 0;
        if (args[i].name.len == 0 || args[i].name.len > CODEC_NAME_MAX ||
            text_len > ARGUMENTS_BYTES_MAX) {
            return -1;
        }
        bytes += ENTRY_FIXED + args[i].name.len + text_len;
        entries[i].key = bytes_of(args[i].name);
        entries[i].value = value_of(&args[i]);
    }
    if (bytes > ARGUMENTS_BYTES_MAX) {
        return -1;
    }
    *table = (amqp_table_t){(int)n, entries};
    return 0;
}
