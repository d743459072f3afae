/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranks by nodes. */
#include "parallel/node_map.h"

#include <stdlib.h>

static void fill(dt_node_map *map) {
    int count = 0;
    for (int node = 0; node < map->nodes; node++) {
        map->first[node] = count;
        for (int rank = 0; rank < map->ranks; rank++)
            if (map->node_of[rank] == node) {
                map->place[rank] = count - map->first[node];
                map->members[count++] = rank;
            }
    }
    map->first[map->nodes] = count;
}

dt_status dt_node_map_create(int ranks, int rank, const int *node_of, dt_node_map *map) {
    size_t count = (size_t)ranks;
    *map = (dt_node_map){.ranks = ranks, .rank = rank, .node_of = calloc(count, sizeof(int))};
    map->place = calloc(count, sizeof(int));
    map->first = calloc(count + 1, sizeof(int));
    map->members = calloc(count, sizeof(int));
    if (!map->node_of || !map->place || !map->first || !map->members) {
        dt_node_map_release(map);
        return dt_fail(DT_MEMORY, "no memory for the nodes of %d ranks", ranks);
    }
    for (int i = 0; i < ranks; i++) {
        map->node_of[i] = node_of ? node_of[i] : i;
        map->nodes = map->node_of[i] < map->nodes ? map->nodes : map->node_of[i] + 1;
    }
    fill(map);
    return dt_ok();
}

void dt_node_map_release(dt_node_map *map) {
    free(map->node_of);
    free(map->place);
    free(map->first);
    free(map->members);
    *map = (dt_node_map){0};
}

int dt_node_map_holder(const dt_node_map *map, int node, int owner) {
    if (map->node_of[owner] == node)
        return owner;
    int size = map->first[node + 1] - map->first[node];
    return map->members[map->first[node] + map->place[owner] % size];
}
