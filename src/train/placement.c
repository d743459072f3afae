/* SPDX-License-Identifier: BSD-3-Clause */
/* The placement table: gathered, folded, printed. */
#include "dtrain/placement.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/log.h"

/* What the decision on a node's threads needs of each of its ranks. */
typedef struct rank_facts {
    int node;
    int omp_num_threads;
    dt_launch_facts launch;
    dt_cores cores;
} rank_facts;

/* The first number of a list such as "4,2", 0 if there is none. */
static int read_omp_num_threads(void) {
    const char *text = getenv("OMP_NUM_THREADS");
    long threads = text ? strtol(text, NULL, 10) : 0;
    return threads > 0 && threads <= INT_MAX ? (int)threads : 0;
}

static bool share_machine(const rank_facts *a, const rank_facts *b) {
    return a->cores.boot && b->cores.boot ? a->cores.boot == b->cores.boot : a->node == b->node;
}

static int lowest_of_machine(const rank_facts *facts, int rank) {
    int lowest = 0;
    while (!share_machine(&facts[lowest], &facts[rank]))
        lowest++;
    return lowest;
}

/* One machine that MPI takes for several nodes: its ranks still share its cores. */
static void warn_of_nodes(const dt_comm *comm, const rank_facts *facts, dt_placement *decision) {
    size_t used = strlen(decision->warnings);
    int me = dt_comm_rank(comm), ranks = 0, strangers = 0;
    for (int rank = 0; rank < dt_comm_size(comm); rank++)
        if (share_machine(&facts[rank], &facts[me])) {
            ranks++;
            strangers += facts[rank].node != facts[me].node;
        }
    if (strangers > 0)
        snprintf(decision->warnings + used, sizeof decision->warnings - used,
                 "%sMPI takes this machine for several nodes: its %d ranks share its cores, but no memory%s",
                 used > 0 ? "\n" : "", ranks,
                 getenv("DTRAIN_NODE_RANKS") ? ", as DTRAIN_NODE_RANKS says" : "");
}

/* The decision for this rank among the ranks of its node. The node's wish and launch facts are its first
 * rank's: a variable that differs between the ranks of a node must not lead to different decisions. */
static dt_placement decide(const dt_comm *comm, const rank_facts *facts, dt_cores *node_cores,
                           int threads_option) {
    dt_thread_wish wish = {.threads_option = threads_option};
    dt_launch_facts launch = {.launcher = DT_LAUNCHER_NONE};
    int count = 0, me = 0;
    const rank_facts *mine = &facts[dt_comm_rank(comm)];
    for (int rank = 0; rank < dt_comm_size(comm); rank++) {
        if (!share_machine(&facts[rank], mine))
            continue;
        if (count == 0) {
            wish.omp_num_threads = facts[rank].omp_num_threads;
            launch = facts[rank].launch;
        }
        if (rank == dt_comm_rank(comm))
            me = count;
        node_cores[count++] = facts[rank].cores;
    }
    dt_placement decision = dt_topology_place(node_cores, count, me, wish, launch);
    warn_of_nodes(comm, facts, &decision);
    return decision;
}

static void describe(const dt_comm *comm, const dt_cores *cores, const dt_placement *decision,
                     dt_place *place) {
    snprintf(place->host, sizeof place->host, "%s", dt_comm_host(comm));
    snprintf(place->cpu, sizeof place->cpu, "%s", cores->cpu);
    dt_topology_cores_text(cores, place->cores, sizeof place->cores);
    place->core_count = cores->count;
    place->machine_cores = cores->machine;
    place->node = dt_comm_node(comm);
    place->threads = decision->threads;
    place->quota = decision->quota;
    place->oversubscribed = decision->oversubscribed;
    place->set = *cores;
    snprintf(place->warnings, sizeof place->warnings, "%s", decision->warnings);
}

/* Gathers into room that stands on all ranks. */
static void gather(dt_comm *comm, const rank_facts *mine, int threads_option, rank_facts *facts,
                   dt_cores *node_cores, dt_placement_table *table) {
    dt_comm_allgather(comm, mine, sizeof *mine, facts);
    dt_placement decision = decide(comm, facts, node_cores, threads_option);
    dt_place *place = &table->places[table->ranks]; /* a spare row: sending and receiving must not overlap */
    describe(comm, &mine->cores, &decision, place);
    place->machine = lowest_of_machine(facts, dt_comm_rank(comm));
    dt_comm_allgather(comm, place, sizeof *place, table->places);
    dt_comm_set_polite(comm, decision.oversubscribed);
}

dt_status dt_placement_gather(dt_comm *comm, int threads_option, dt_placement_table *table) {
    size_t ranks = (size_t)dt_comm_size(comm);
    *table = (dt_placement_table){.ranks = (int)ranks};
    table->places = calloc(ranks + 1, sizeof *table->places);
    rank_facts *facts = calloc(ranks, sizeof *facts);
    dt_cores *node_cores = calloc(ranks, sizeof *node_cores);
    rank_facts mine;
    memset(&mine, 0, sizeof mine);
    mine.node = dt_comm_node(comm);
    mine.omp_num_threads = read_omp_num_threads();
    mine.launch = dt_comm_launch_facts(comm);

    bool has_room = table->places && facts && node_cores;
    dt_status status = has_room ? dt_topology_read(&mine.cores)
                                : dt_fail(DT_MEMORY, "no memory for the places of %zu ranks", ranks);
    status = dt_comm_agree(comm, status);
    if (has_room && !dt_failed(&status))
        gather(comm, &mine, threads_option, facts, node_cores, table);
    else
        dt_placement_release(table);
    free(node_cores);
    free(facts);
    return status;
}

void dt_placement_release(dt_placement_table *table) {
    free(table->places);
    *table = (dt_placement_table){0};
}

/* Whether this rank belongs to the set that a list is made of. */
typedef bool (*rank_filter)(const void *context, int rank);

/* "rank 3", "ranks 0-3,8"; a list that does not fit ends in "..". Returns how many ranks there are. */
static int list_ranks(int ranks, rank_filter belongs, const void *context, char *text, size_t room) {
    char list[160] = "";
    size_t used = 0;
    int count = 0;
    for (int rank = 0; rank < ranks; rank++) {
        if (!belongs(context, rank))
            continue;
        int last = rank;
        while (last + 1 < ranks && belongs(context, last + 1))
            last++;
        count += last - rank + 1;
        if (used + 32 < sizeof list) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%d", used ? "," : "", rank);
            if (last > rank)
                used += (size_t)snprintf(list + used, sizeof list - used, "-%d", last);
        } else if (list[used - 1] != '.')
            used += (size_t)snprintf(list + used, sizeof list - used, ",..");
        rank = last;
    }
    snprintf(text, room, "rank%s %s", count == 1 ? "" : "s", list);
    return count;
}

static bool intersect(const dt_cores *a, const dt_cores *b) {
    for (int word = 0; word < DT_CORE_WORDS; word++)
        if (a->mask[word] & b->mask[word])
            return true;
    return false;
}

static bool same_cores(const dt_cores *a, const dt_cores *b) {
    return memcmp(a->mask, b->mask, sizeof a->mask) == 0;
}

/* Ranks of one node that stand in one line: all on the same cores, or each with as many cores of its own. */
typedef struct rank_group {
    int first; /* rank */
    int ranks;
    int sharers;  /* ranks of the node that may use some core of the first one, itself included */
    dt_cores set; /* of all its ranks */
    int line;     /* the first group, perhaps of another node, that looks the same */
} rank_group;

typedef struct folding {
    const dt_placement_table *table;
    rank_group *groups;
    int count;
    int *group_of; /* rank */
} folding;

static int count_sharers(const dt_placement_table *table, int rank) {
    int sharers = 0;
    for (int other = 0; other < table->ranks; other++)
        if (table->places[other].machine == table->places[rank].machine &&
            intersect(&table->places[other].set, &table->places[rank].set))
            sharers++;
    return sharers;
}

static bool joins_group(const folding *fold, const rank_group *group, int rank, int sharers) {
    const dt_place *first = &fold->table->places[group->first], *place = &fold->table->places[rank];
    return first->node == place->node && first->threads == place->threads && group->sharers == sharers &&
           first->core_count == place->core_count && (sharers <= 1 || same_cores(&first->set, &place->set));
}

static bool looks_the_same(const folding *fold, const rank_group *a, const rank_group *b) {
    const dt_place *first = &fold->table->places[a->first], *second = &fold->table->places[b->first];
    return first->node != second->node && first->threads == second->threads &&
           first->core_count == second->core_count && a->ranks == b->ranks && a->sharers == b->sharers &&
           same_cores(&a->set, &b->set);
}

static void fold_ranks(folding *fold) {
    for (int rank = 0; rank < fold->table->ranks; rank++) {
        int sharers = count_sharers(fold->table, rank), number = 0;
        while (number < fold->count && !joins_group(fold, &fold->groups[number], rank, sharers))
            number++;
        rank_group *group = &fold->groups[number];
        if (number == fold->count) {
            *group = (rank_group){.first = rank, .sharers = sharers};
            fold->count++;
        }
        group->ranks++;
        for (int word = 0; word < DT_CORE_WORDS; word++)
            group->set.mask[word] |= fold->table->places[rank].set.mask[word];
        fold->group_of[rank] = number;
    }
    for (int number = 0; number < fold->count; number++) {
        int line = 0;
        while (line < number && !looks_the_same(fold, &fold->groups[line], &fold->groups[number]))
            line++;
        fold->groups[number].line = line;
    }
}

typedef struct line_filter {
    const folding *fold;
    int line;
} line_filter;

static bool stands_in_line(const void *context, int rank) {
    const line_filter *filter = context;
    return filter->fold->groups[filter->fold->group_of[rank]].line == filter->line;
}

/* "node1", or "node1 .. node8 (8 hosts)". */
static void write_hosts(const folding *fold, int line, char *text, size_t room) {
    int hosts = 0, last = line;
    for (int number = line; number < fold->count; number++)
        if (fold->groups[number].line == line) {
            hosts++;
            last = number;
        }
    const dt_place *places = fold->table->places;
    const char *host = places[fold->groups[line].first].host;
    if (hosts == 1)
        snprintf(text, room, "%s", host);
    else
        snprintf(text, room, "%s .. %s (%d hosts)", host, places[fold->groups[last].first].host, hosts);
}

/* "cores 0-1 (shared by 4)", "cores 0-7 (2 each)". */
static void write_cores(const folding *fold, int line, char *text, size_t room) {
    const rank_group *group = &fold->groups[line];
    const dt_place *first = &fold->table->places[group->first];
    char cores[64];
    dt_topology_cores_text(&group->set, cores, sizeof cores);
    const char *word = strpbrk(cores, "-,") ? "cores" : "core";
    if (group->sharers > 1)
        snprintf(text, room, "%s %s (shared by %d)", word, cores, group->sharers);
    else if (group->ranks > 1)
        snprintf(text, room, "%s %s (%d each)", word, cores, first->core_count);
    else
        snprintf(text, room, "%s %s", word, cores);
}

enum { COLUMNS = 3, COLUMN_ROOM = 200 };

static void write_columns(const folding *fold, int line, char columns[COLUMNS][COLUMN_ROOM]) {
    line_filter filter = {fold, line};
    list_ranks(fold->table->ranks, stands_in_line, &filter, columns[0], COLUMN_ROOM);
    write_hosts(fold, line, columns[1], COLUMN_ROOM);
    write_cores(fold, line, columns[2], COLUMN_ROOM);
}

/* ", by the CPU quota of 1.5 cores", or nothing where cores or the user set the threads. */
static void write_reason(const folding *fold, int line, char *text, size_t room) {
    double quota = fold->table->places[fold->groups[line].first].quota;
    text[0] = '\0';
    if (quota > 0)
        snprintf(text, room, ", by the CPU quota of %.4g core%s", quota, quota > 1 ? "s" : "");
}

/* Twice over the lines: for the widths, then to print. */
static void print_lines(const folding *fold) {
    char columns[COLUMNS][COLUMN_ROOM];
    int width[COLUMNS] = {0};
    for (int printing = 0; printing <= 1; printing++)
        for (int line = 0; line < fold->count; line++) {
            if (fold->groups[line].line != line)
                continue;
            write_columns(fold, line, columns);
            for (int column = 0; column < COLUMNS; column++)
                if ((int)strlen(columns[column]) > width[column])
                    width[column] = (int)strlen(columns[column]);
            int threads = fold->table->places[fold->groups[line].first].threads;
            char why[64];
            write_reason(fold, line, why, sizeof why);
            if (printing)
                dt_log_note("%-*s  %-*s  %-*s  %d thread%s%s%s", width[0], columns[0], width[1], columns[1],
                            width[2], columns[2], threads, threads == 1 ? "" : "s",
                            strchr(columns[0], 's') ? " each" : "", why);
        }
}

static void print_table(const dt_placement_table *table) {
    folding fold = {.table = table};
    fold.groups = calloc((size_t)table->ranks, sizeof *fold.groups);
    fold.group_of = calloc((size_t)table->ranks, sizeof *fold.group_of);
    if (fold.groups && fold.group_of) {
        fold_ranks(&fold);
        print_lines(&fold);
    } else
        dt_log_warning("no memory to print the places of %d ranks", table->ranks);
    free(fold.groups);
    free(fold.group_of);
}

/* Whether `line` is one of the lines of `text`. */
static bool has_line(const char *text, const char *line, size_t length) {
    for (const char *next; *text; text = *next ? next + 1 : next) {
        next = text + strcspn(text, "\n");
        if ((size_t)(next - text) == length && memcmp(text, line, length) == 0)
            return true;
    }
    return false;
}

typedef struct warning_filter {
    const dt_placement_table *table;
    const char *line;
    size_t length;
} warning_filter;

static bool has_warning(const void *context, int rank) {
    const warning_filter *filter = context;
    return has_line(filter->table->places[rank].warnings, filter->line, filter->length);
}

/* Prints the lines of this rank's warnings that no lower rank has. */
static void print_warnings(const dt_placement_table *table, int rank) {
    const char *line = table->places[rank].warnings;
    for (size_t length; *line; line += length + (line[length] == '\n')) {
        length = strcspn(line, "\n");
        warning_filter filter = {table, line, length};
        char ranks[COLUMN_ROOM];
        bool known = false;
        for (int lower = 0; lower < rank && !known; lower++)
            known = has_warning(&filter, lower);
        if (known || length == 0)
            continue;
        if (list_ranks(table->ranks, has_warning, &filter, ranks, sizeof ranks) == table->ranks)
            dt_log_warning("%.*s", (int)length, line);
        else
            dt_log_warning("%s: %.*s", ranks, (int)length, line);
    }
}

static bool has_cpu(const void *context, int rank) {
    const warning_filter *filter = context;
    return strcmp(filter->table->places[rank].cpu, filter->line) == 0;
}

/* Every step waits for all ranks, so the slowest processor sets the pace; worth saying once. */
static void print_processors(const dt_placement_table *table) {
    char text[1024];
    size_t used = 0;
    int models = 0;
    for (int rank = 0; rank < table->ranks; rank++) {
        warning_filter filter = {.table = table, .line = table->places[rank].cpu};
        char ranks[COLUMN_ROOM];
        int lower = 0;
        while (!has_cpu(&filter, lower))
            lower++;
        if (lower < rank)
            continue;
        models++;
        list_ranks(table->ranks, has_cpu, &filter, ranks, sizeof ranks);
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s (%s)", models > 1 ? ", " : "",
                                     filter.line, ranks);
    }
    if (models > 1)
        dt_log_warning("the ranks run on different processors, and each step waits for the slowest: %s; ask "
                       "for nodes of one kind",
                       text);
}

void dt_placement_print(const dt_placement_table *table) {
    print_table(table);
    for (int rank = 0; rank < table->ranks; rank++)
        print_warnings(table, rank);
    print_processors(table);
}
