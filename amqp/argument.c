/* Arguments that others name, as the tables that rabbitmq-c encodes. */
#include "amqp/broker_internal.h"

#define ENTRY_FIXED 10 /* length of the name, type, and the longest of what is not text */
#define ITEM_FIXED 5   /* type and length */

static amqp_bytes_t bytes_of(struct slice s)
{
    /* rabbitmq-c's bytes are not const; encoding only reads them. */
    return (amqp_bytes_t){s.len, (void *)(uintptr_t)s.ptr};
}

static amqp_field_value_t text_of(struct slice s)
{
    amqp_field_value_t value = {.kind = AMQP_FIELD_KIND_UTF8};
    value.value.bytes = bytes_of(s);
    return value;
}

/* The next item of a list with commas, behind those that *room has. -1: no room for it. */
static int put_item(struct argument_room *room, struct slice text)
{
    if (room->n_items == ARGUMENTS_ITEMS_MAX) {
        return -1;
    }
    room->items[room->n_items++] = text_of(text);
    return 0;
}

static int put_list(struct argument_room *room, struct slice text, amqp_field_value_t *value)
{
    size_t first = room->n_items;
    size_t start = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ',') {
            if (put_item(room, (struct slice){text.ptr + start, i - start}) != 0) {
                return -1;
            }
            start = i + 1;
        }
    }
    if (put_item(room, (struct slice){text.ptr + start, text.len - start}) != 0) {
        return -1;
    }
    value->kind = AMQP_FIELD_KIND_ARRAY;
    value->value.array.num_entries = (int)(room->n_items - first);
    value->value.array.entries = room->items + first;
    return 0;
}

static int put_value(struct argument_room *room, const struct broker_argument *arg,
                     amqp_field_value_t *value)
{
    *value = (amqp_field_value_t){0};
    switch (arg->type) {
    case BROKER_TEXT:
        *value = text_of(arg->text);
        return 0;
    case BROKER_INTEGER:
        value->kind = AMQP_FIELD_KIND_I64;
        value->value.i64 = arg->number;
        return 0;
    case BROKER_BOOLEAN:
        value->kind = AMQP_FIELD_KIND_BOOLEAN;
        value->value.boolean = arg->number != 0;
        return 0;
    case BROKER_TIMESTAMP:
        value->kind = AMQP_FIELD_KIND_TIMESTAMP;
        value->value.u64 = (uint64_t)arg->number;
        return 0;
    case BROKER_TEXTS:
        return put_list(room, arg->text, value);
    }
    return -1;
}

/* Only texts count: of what has none, `text` means nothing. */
static size_t text_len(const struct broker_argument *arg)
{
    return arg->type == BROKER_TEXT || arg->type == BROKER_TEXTS ? arg->text.len : 0;
}

int argument_table(const struct broker_argument *args, size_t n, struct argument_room *room,
                   amqp_table_t *table)
{
    size_t bytes = 0;
    room->n_items = 0;
    if (n > ARGUMENTS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (args[i].name.len == 0 || args[i].name.len > CODEC_NAME_MAX ||
            text_len(&args[i]) > ARGUMENTS_BYTES_MAX ||
            put_value(room, &args[i], &room->entries[i].value) != 0) {
            return -1;
        }
        bytes += ENTRY_FIXED + args[i].name.len + text_len(&args[i]);
        room->entries[i].key = bytes_of(args[i].name);
    }
    if (bytes + room->n_items * ITEM_FIXED > ARGUMENTS_BYTES_MAX) {
        return -1;
    }
    *table = (amqp_table_t){(int)n, room->entries};
    return 0;
}
