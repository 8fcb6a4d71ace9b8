#include "floor_rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing; at most half full. */
static struct {
    struct room **slots;
    size_t n_slots;
    size_t n;
} table;

/* A benchmark's server may give up at once. */
void *need(void *memory)
{
    if (!memory) {
        perror("floor");
        exit(1);
    }
    return memory;
}

static struct room **slot_of(const char *name, size_t len)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
    }
    for (size_t i = (size_t)hash & (table.n_slots - 1);; i = (i + 1) & (table.n_slots - 1)) {
        struct room *room = table.slots[i];
        if (!room || (room->name_len == len && memcmp(room->name, name, len) == 0)) {
            return &table.slots[i];
        }
    }
}

static void grow(void)
{
    struct room **old = table.slots;
    size_t n_old = table.n_slots;
    table.n_slots = n_old ? n_old * 2 : 1024;
    table.slots = need(calloc(table.n_slots, sizeof(struct room *)));
    for (size_t i = 0; i < n_old; i++) {
        if (old[i]) {
            *slot_of(old[i]->name, old[i]->name_len) = old[i];
        }
    }
    free(old);
}

struct room *rooms_get(const char *name, size_t len)
{
    if (table.n * 2 >= table.n_slots) {
        grow();
    }
    struct room **slot = slot_of(name, len);
    if (!*slot) {
        struct room *room = need(calloc(1, sizeof(*room)));
        room->name = need(malloc(len + 1));
        memcpy(room->name, name, len);
        room->name_len = len;
        *slot = room;
        table.n++;
    }
    return *slot;
}

static uint32_t group_of(struct room *room, const char *id, size_t len)
{
    len = len < sizeof(room->groups->id) ? len : sizeof(room->groups->id) - 1;
    for (uint32_t i = 0; i < room->n_groups; i++) {
        if (strncmp(room->groups[i].id, id, len) == 0 && room->groups[i].id[len] == '\0') {
            return i;
        }
    }
    room->groups = need(realloc(room->groups, (room->n_groups + 1) * sizeof(struct group)));
    struct group *group = &room->groups[room->n_groups];
    *group = (struct group){0};
    memcpy(group->id, id, len);
    return room->n_groups++;
}

void rooms_join(struct room *room, const char *id, size_t id_len, struct peer *peer,
                struct seats *seats)
{
    uint32_t number = group_of(room, id, id_len);
    struct group *group = &room->groups[number];
    if (group->n == group->cap) {
        group->cap = group->cap ? group->cap * 2 : 2;
        group->members = need(realloc(group->members, group->cap * sizeof(struct member)));
    }
    seats->seats = need(realloc(seats->seats, (seats->n + 1) * sizeof(struct seat)));
    seats->seats[seats->n] = (struct seat){.room = room, .group = number, .member = group->n};
    group->members[group->n++] = (struct member){.peer = peer, .seat = seats->n++};
}

void rooms_leave(struct seats *seats, struct seats *(*seats_of)(struct peer *))
{
    for (uint32_t i = 0; i < seats->n; i++) {
        struct seat *seat = &seats->seats[i];
        struct group *group = &seat->room->groups[seat->group];
        struct member last = group->members[--group->n];
        group->members[seat->member] = last;
        seats_of(last.peer)->seats[last.seat].member = seat->member;
    }
    free(seats->seats);
    *seats = (struct seats){0};
}
