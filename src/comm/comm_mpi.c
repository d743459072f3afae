/* SPDX-License-Identifier: BSD-3-Clause */
/* Communication over MPI-3: the one file that knows MPI. */
#include "dtrain/comm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "comm/guard.h"
#include "comm/handover.h"
#include "comm/launch.h"
#include "dtrain/log.h"
#include "dtrain/timer.h"

/* Collectives go in pieces of 4 MB. MPI libraries allocate a temporary the size of the message; glibc maps
 * and unmaps one above 32 MiB each time, and its page faults cost ten times the transport. It also keeps
 * MPI's int counts far from their end. */
enum { PIECE_BYTES = 4 << 20 };

struct dt_comm {
    dt_comm *root;      /* itself, or what it was split off: counts the traffic, has the manners */
    MPI_Comm world;     /* collectives */
    MPI_Comm transfers; /* messages of dt_transfers: their tags meet no others */
    MPI_Comm node;      /* the ranks of this node */
    MPI_Comm leaders;   /* node rank 0 of each node; MPI_COMM_NULL on other ranks */
    int rank, size;
    int node_number, nodes;
    int node_rank, node_size;
    int *nodes_of_ranks; /* [size] */
    bool polite;
    dt_launch_facts launch; /* of the root */
    dt_guard *guard;        /* of the root, while it is being set up; else NULL */
    dt_comm_observer observer;
    void *observer_context;
    dt_traffic traffic;
    int under_way;          /* sets of transfers that are not done, and 1 for a wait */
    double under_way_since; /* when the first of them began */
    int waits;              /* within one another */
    double waiting_since;
    char host[MPI_MAX_PROCESSOR_NAME];
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
};

/* Not dt_log_error: that is silent on all ranks but 0. */
static _Noreturn void end_all(const dt_comm *comm, int result, const char *call) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    MPI_Error_string(result, text, &length);
    fprintf(stderr, "dtrain: error: rank %d on %s: %s: %s\n", comm->rank, comm->host, call, text);
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, DT_MACHINE);
    _exit(DT_MACHINE);
}

#define CHECK(comm, call)                         \
    do {                                          \
        int check_result = (call);                \
        if (check_result != MPI_SUCCESS)          \
            end_all((comm), check_result, #call); \
    } while (0)

static int minimum(size_t a, int b) {
    return a < (size_t)b ? (int)a : b;
}

/* Communication of the whole process begins and ends: the clock runs from the first to the last of what is
 * under way at one time. */
static void enter(dt_comm *root, double now) {
    if (root->under_way++ == 0)
        root->under_way_since = now;
}

static void leave(dt_comm *root, double now) {
    assert(root->under_way > 0);
    if (--root->under_way == 0)
        root->traffic.seconds += now - root->under_way_since;
}

void dt_comm_wait_begin(dt_comm *comm) {
    dt_comm *root = comm->root;
    if (root->size == 1 || root->waits++ > 0)
        return;
    root->waiting_since = dt_timer_now();
    enter(root, root->waiting_since);
}

void dt_comm_wait_end(dt_comm *comm) {
    dt_comm *root = comm->root;
    if (root->size == 1 || --root->waits > 0)
        return;
    double now = dt_timer_now();
    root->traffic.waited += now - root->waiting_since;
    leave(root, now);
}

/* Between two tests of a polite wait: gives the core away at once, and sleeps when the wait is a long one, 20
 * microseconds at first and up to 200. A message that is about to arrive is met within the first 50. */
static void idle_pause(dt_idle *idle) {
    enum { PATIENCE_US = 50, FIRST_SLEEP_NS = 20000, LONGEST_SLEEP_NS = 200000 };
    sched_yield();
    if (idle->since == 0) {
        *idle = (dt_idle){dt_timer_now(), FIRST_SLEEP_NS};
        return;
    }
    if (dt_timer_now() - idle->since < PATIENCE_US * 1e-6)
        return;
    /* A signal may cut the sleep short: the next test comes sooner, that is all. */
    (void)nanosleep(&(struct timespec){0, idle->sleep_ns}, NULL);
    idle->sleep_ns = idle->sleep_ns * 2 < LONGEST_SLEEP_NS ? idle->sleep_ns * 2 : LONGEST_SLEEP_NS;
}

void dt_comm_observe(dt_comm *comm, dt_comm_observer observer, void *context) {
    comm->root->observer = observer;
    comm->root->observer_context = context;
}

static void tell(const dt_comm *comm, dt_comm_doing doing) {
    if (comm->root->observer)
        comm->root->observer(comm->root->observer_context, doing);
}

void dt_comm_tell(dt_comm *comm, dt_comm_doing doing) {
    tell(comm, doing);
}

static void await(const dt_comm *comm, int count, MPI_Request *requests) {
    if (!comm->root->polite) {
        CHECK(comm, MPI_Waitall(count, requests, MPI_STATUSES_IGNORE));
        return;
    }
    dt_idle idle = {0};
    for (;;) {
        int done;
        CHECK(comm, MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE));
        if (done)
            return;
        idle_pause(&idle);
    }
}

static void wait_all(const dt_comm *comm, int count, MPI_Request *requests) {
    tell(comm, DT_COMM_WAITS);
    await(comm, count, requests);
    tell(comm, DT_COMM_GOT_ON);
    dt_guard_note(comm->root->guard, "set up what ranks share");
}

void dt_comm_pause(dt_comm *comm, dt_idle *idle) {
    int found;
    /* What is found is of no interest: the look makes the library move its messages. */
    CHECK(comm, MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->transfers, &found, MPI_STATUS_IGNORE));
    if (comm->root->polite)
        idle_pause(idle);
}

/* Failures of this communicator come back as return values. */
static void return_errors(const dt_comm *comm, MPI_Comm communicator) {
    CHECK(comm, MPI_Comm_set_errhandler(communicator, MPI_ERRORS_RETURN));
}

/* The ranks that share memory with this one. DTRAIN_NODE_RANKS=N cuts every node into nodes of N ranks, so
 * that one machine can stand for several. */
static void split_nodes(dt_comm *comm) {
    MPI_Comm sharing;
    CHECK(comm, MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &sharing));
    const char *text = getenv("DTRAIN_NODE_RANKS");
    int place, ranks = text ? atoi(text) : 0;
    CHECK(comm, MPI_Comm_rank(sharing, &place));
    CHECK(comm, MPI_Comm_split(sharing, ranks > 0 ? place / ranks : 0, comm->rank, &comm->node));
    CHECK(comm, MPI_Comm_free(&sharing));
}

/* Leaders are ordered by their rank in the world, and a leader is its node's lowest rank: so a leader's rank
 * among the leaders is the number of its node. */
static void number_nodes(dt_comm *comm) {
    int color = comm->node_rank == 0 ? 0 : MPI_UNDEFINED;
    CHECK(comm, MPI_Comm_split(comm->world, color, comm->rank, &comm->leaders));
    int numbers[2] = {0, 0};
    if (comm->leaders != MPI_COMM_NULL) {
        return_errors(comm, comm->leaders);
        CHECK(comm, MPI_Comm_rank(comm->leaders, &numbers[0]));
        CHECK(comm, MPI_Comm_size(comm->leaders, &numbers[1]));
    }
    CHECK(comm, MPI_Bcast(numbers, 2, MPI_INT, 0, comm->node));
    comm->node_number = numbers[0];
    comm->nodes = numbers[1];
    CHECK(comm, MPI_Allgather(&comm->node_number, 1, MPI_INT, comm->nodes_of_ranks, 1, MPI_INT, comm->world));
}

/* Numbers a node's ranks once its communicator stands, and then the nodes. */
static void find_place(dt_comm *comm) {
    return_errors(comm, comm->node);
    CHECK(comm, MPI_Comm_rank(comm->node, &comm->node_rank));
    CHECK(comm, MPI_Comm_size(comm->node, &comm->node_size));
    number_nodes(comm);
}

/* MPI's name and version, cut at the end of the first sentence or line. */
static void read_library(dt_comm *comm) {
    int length;
    CHECK(comm, MPI_Get_library_version(comm->library, &length));
    comm->library[strcspn(comm->library, ",\n\r")] = '\0';
}

static dt_status check_version(void) {
    int version, subversion;
    int result = MPI_Get_version(&version, &subversion);
    if (result != MPI_SUCCESS || version < 3)
        return dt_fail(DT_MACHINE, "MPI %d.%d is too old: version 3 or later is needed",
                       result == MPI_SUCCESS ? version : 0, result == MPI_SUCCESS ? subversion : 0);
    return dt_ok();
}

static const char *variable(const char *name) {
    return getenv(name);
}

#if defined(OPEN_MPI)
static const dt_launch_family family = DT_LAUNCH_OPEN_MPI;
#elif defined(MPICH_VERSION) || defined(I_MPI_VERSION)
static const dt_launch_family family = DT_LAUNCH_HYDRA;
#else
static const dt_launch_family family = DT_LAUNCH_OTHER;
#endif

/* All processes of the launcher are refused alike: the first of them has the words. */
static dt_status check_launch(const dt_launch *launch, int mpi_size) {
    dt_status status = dt_launch_check(launch, mpi_size);
    if (launch->rank != 0)
        status.text[0] = '\0';
    return status;
}

#ifdef OPEN_MPI
/* How Open MPI uses TCP, where the user has not said it. Messages up to the first limit are given to the
 * kernel at once, which sends and receives them while the ranks compute; longer ones wait for both sides to
 * call MPI, as often as they have parts. A slice of a piece (DT_PIECE_FLOATS) on two ranks is shorter. With
 * one link the acknowledgements of one direction wait behind the data of the other. */
static dt_status prepare_tcp(void) {
    static const char *const settings[][2] = {{"OMPI_MCA_btl_tcp_eager_limit", "589824"},
                                              {"OMPI_MCA_btl_tcp_rndv_eager_limit", "589824"},
                                              {"OMPI_MCA_btl_tcp_max_send_size", "589824"},
                                              {"OMPI_MCA_btl_tcp_links", "2"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (setenv(settings[i][0], settings[i][1], 0) != 0)
            return dt_fail(DT_MEMORY, "no memory for the environment variable %s", settings[i][0]);
    return dt_ok();
}
#endif

static dt_status start_mpi(const dt_launch *launch) {
    DT_TRY(check_version());
#ifdef OPEN_MPI
    DT_TRY(prepare_tcp());
    /* Open MPI ends the process inside its initialisation in this case, with a message that helps nobody. */
    DT_TRY(check_launch(launch, 0));
#else
    (void)launch;
#endif
    int provided;
    int result = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (result != MPI_SUCCESS)
        return dt_fail(DT_MACHINE, "MPI could not be initialised (MPI_Init_thread returned %d)", result);
    if (provided < MPI_THREAD_FUNNELED) {
        MPI_Finalize();
        return dt_fail(DT_MACHINE,
                       "this MPI library does not work in a process with threads (level %d, "
                       "MPI_THREAD_FUNNELED is needed)",
                       provided);
    }
    return dt_ok();
}

/* The first message between each rank and rank 0, one each way. */
typedef struct greetings {
    int peers;                     /* ranks 0 .. peers - 1 */
    dt_guard_greeting *words;      /* [peers + 1], the last is this rank's */
    MPI_Request *receives, *sends; /* [peers] */
} greetings;

static void post_greetings(const dt_comm *comm, const greetings *all) {
    enum { GREETING = 1 };
    for (int peer = 0; peer < all->peers; peer++) {
        all->receives[peer] = all->sends[peer] = MPI_REQUEST_NULL;
        if (peer == comm->rank)
            continue;
        CHECK(comm, MPI_Irecv(&all->words[peer], (int)sizeof *all->words, MPI_BYTE, peer, GREETING,
                              MPI_COMM_WORLD, &all->receives[peer]));
        CHECK(comm, MPI_Isend(&all->words[all->peers], (int)sizeof *all->words, MPI_BYTE, peer, GREETING,
                              MPI_COMM_WORLD, &all->sends[peer]));
    }
}

/* How many are still silent. */
static int hear_greetings(const dt_comm *comm, const greetings *all) {
    int silent = 0;
    for (int peer = 0; peer < all->peers; peer++) {
        int done;
        if (all->receives[peer] == MPI_REQUEST_NULL)
            continue;
        CHECK(comm, MPI_Test(&all->receives[peer], &done, MPI_STATUS_IGNORE));
        silent += !done;
        if (done)
            dt_guard_hear(comm->guard, peer, &all->words[peer]);
    }
    return silent;
}

/* A rank that cannot be reached is known before a collective call hangs on it. */
static dt_status greet(const dt_comm *comm) {
    greetings all = {.peers = comm->rank == 0 ? comm->size : 1};
    size_t peers = (size_t)all.peers;
    all.words = calloc(peers + 1, sizeof *all.words);
    all.receives = malloc(2 * peers * sizeof(MPI_Request));
    if (!all.words || !all.receives) {
        free(all.words);
        free(all.receives);
        return dt_fail(DT_MEMORY, "no memory for the first messages of %d ranks", all.peers);
    }
    all.sends = all.receives + peers;
    dt_guard_greeting *own = &all.words[peers];
    own->process = (int)getpid();
    snprintf(own->host, sizeof own->host, "%.*s", DT_GUARD_HOST - 1, comm->host);
    post_greetings(comm, &all);
    while (hear_greetings(comm, &all) > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    CHECK(comm, MPI_Waitall(all.peers, all.sends, MPI_STATUSES_IGNORE));
    free(all.words);
    free(all.receives);
    return dt_ok();
}

/* Where the ranks of a machine cannot share memory, each is a node of its own: it works on copies, and talks
 * to the others by messages. */
static void part_strangers(dt_comm *comm) {
    dt_comm_window *trial;
    dt_status status = dt_comm_window_create(comm, sizeof(int), &trial);
    if (!dt_failed(&status)) {
        dt_comm_window_release(trial);
        return;
    }
    if (comm->rank == 0)
        dt_log_warning("ranks of a machine cannot share memory here, so that each holds its own copies: %s",
                       status.text);
    if (comm->leaders != MPI_COMM_NULL)
        CHECK(comm, MPI_Comm_free(&comm->leaders));
    CHECK(comm, MPI_Comm_free(&comm->node));
    CHECK(comm, MPI_Comm_split(comm->world, comm->rank, 0, &comm->node));
    find_place(comm);
}

/* What stands in a world of one rank too. */
static dt_status open_world(dt_comm *comm) {
    comm->nodes_of_ranks = calloc((size_t)comm->size, sizeof *comm->nodes_of_ranks);
    if (!comm->nodes_of_ranks)
        return dt_fail(DT_MEMORY, "no memory for a table of ranks");
    DT_TRY(greet(comm));
    dt_guard_note(comm->guard, "set up its groups of ranks");
    CHECK(comm, MPI_Comm_dup(MPI_COMM_WORLD, &comm->world));
    CHECK(comm, MPI_Comm_dup(MPI_COMM_WORLD, &comm->transfers));
    return_errors(comm, comm->world);
    return_errors(comm, comm->transfers);
    split_nodes(comm);
    find_place(comm);
    if (comm->nodes < comm->size)
        part_strangers(comm);
    read_library(comm);
    dt_guard_note(comm->guard, "set up what ranks share");
    return dt_ok();
}

/* MPI runs: who this rank is, and whether it is alone against its will. */
static dt_status find_world(dt_comm *comm, const dt_launch *launch, int timeout) {
    int length;
    return_errors(comm, MPI_COMM_WORLD);
    CHECK(comm, MPI_Get_processor_name(comm->host, &length));
    CHECK(comm, MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank));
    CHECK(comm, MPI_Comm_size(MPI_COMM_WORLD, &comm->size));
    DT_TRY(check_launch(launch, comm->size));
    DT_TRY(dt_guard_create(timeout, comm->rank, comm->size, comm->host, &comm->guard));
    return open_world(comm);
}

dt_status dt_comm_create_guarded(int timeout, dt_comm **comm) {
    dt_comm *created = calloc(1, sizeof *created);
    *comm = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for a communicator");
    created->root = created;
    const dt_launch launch = dt_launch_read(variable, family);
    created->launch = dt_launch_facts_read(variable);
    dt_status status = start_mpi(&launch);
    if (!dt_failed(&status)) {
        status = find_world(created, &launch, timeout);
        if (dt_failed(&status))
            MPI_Finalize();
    }
    if (dt_failed(&status)) {
        dt_guard_destroy(created->guard);
        free(created->nodes_of_ranks);
        free(created);
        return status;
    }
    *comm = created;
    return dt_ok();
}

dt_status dt_comm_create(dt_comm **comm) {
    return dt_comm_create_guarded(0, comm);
}

void dt_comm_end_guard(dt_comm *comm) {
    dt_guard_destroy(comm->guard);
    comm->guard = NULL;
}

dt_status dt_comm_split(dt_comm *comm, int color, int key, dt_comm **part) {
    dt_comm *created = calloc(1, sizeof *created);
    int *nodes = calloc((size_t)comm->size, sizeof *nodes);
    *part = NULL;
    dt_status status = created && nodes ? dt_ok() : dt_fail(DT_MEMORY, "no memory for a group of ranks");
    status = dt_comm_agree(comm, status);
    if (!created || !nodes || dt_failed(&status)) {
        free(created);
        free(nodes);
        return status;
    }
    *created = *comm;
    created->nodes_of_ranks = nodes;
    tell(comm, DT_COMM_WAITS);
    CHECK(comm, MPI_Comm_split(comm->world, color < 0 ? MPI_UNDEFINED : color, key, &created->world));
    if (created->world == MPI_COMM_NULL) {
        tell(comm, DT_COMM_GOT_ON);
        free(created);
        free(nodes);
        return status;
    }
    CHECK(comm, MPI_Comm_dup(created->world, &created->transfers));
    return_errors(comm, created->world);
    return_errors(comm, created->transfers);
    CHECK(comm, MPI_Comm_rank(created->world, &created->rank));
    CHECK(comm, MPI_Comm_size(created->world, &created->size));
    CHECK(comm, MPI_Comm_split(created->world, comm->node_number, created->rank, &created->node));
    find_place(created);
    tell(comm, DT_COMM_GOT_ON);
    *part = created;
    return status;
}

/* Gives a communicator's parts back to MPI. */
static void free_parts(dt_comm *comm) {
    if (comm->leaders != MPI_COMM_NULL)
        CHECK(comm, MPI_Comm_free(&comm->leaders));
    CHECK(comm, MPI_Comm_free(&comm->node));
    CHECK(comm, MPI_Comm_free(&comm->transfers));
    CHECK(comm, MPI_Comm_free(&comm->world));
    free(comm->nodes_of_ranks);
}

void dt_comm_destroy(dt_comm *comm) {
    if (!comm)
        return;
    bool whole = comm->root == comm;
    if (whole)
        dt_comm_end_guard(comm);
    /* MPI_Finalize waits for all ranks too, and spins. */
    if (whole)
        dt_comm_barrier(comm);
    free_parts(comm);
    if (whole)
        CHECK(comm, MPI_Finalize());
    free(comm);
}

int dt_comm_launcher_rank(void) {
    return dt_launch_rank(variable);
}

dt_launch_facts dt_comm_launch_facts(const dt_comm *comm) {
    return comm->root->launch;
}

int dt_comm_rank(const dt_comm *comm) {
    return comm->rank;
}

int dt_comm_size(const dt_comm *comm) {
    return comm->size;
}

int dt_comm_node(const dt_comm *comm) {
    return comm->node_number;
}

int dt_comm_nodes(const dt_comm *comm) {
    return comm->nodes;
}

int dt_comm_node_of(const dt_comm *comm, int rank) {
    assert(rank >= 0 && rank < comm->size);
    return comm->nodes_of_ranks[rank];
}

int dt_comm_node_rank(const dt_comm *comm) {
    return comm->node_rank;
}

int dt_comm_node_size(const dt_comm *comm) {
    return comm->node_size;
}

const char *dt_comm_host(const dt_comm *comm) {
    return comm->host;
}

const char *dt_comm_library(const dt_comm *comm) {
    return comm->library;
}

#if defined(OMPI_MAJOR_VERSION)
static const char vendor[] = "Open MPI";
#define HEADERS_FORMAT "%d.%d.%d", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION
#elif defined(MPICH_VERSION)
static const char vendor[] = "MPICH";
#define HEADERS_FORMAT "%s", MPICH_VERSION
#else
static const char vendor[] = "MPI";
#define HEADERS_FORMAT "%d.%d", MPI_VERSION, MPI_SUBVERSION
#endif

/* "Open MPI v4.1.4, package: ..", "MPICH Version:      4.0.2": one make's versions fit each other where the
 * loader takes them. */
dt_linked dt_comm_linked(void) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length;
    dt_linked library = {.name = vendor};
    (void)MPI_Get_library_version(text, &length);
    const char *number = text + strcspn(text, "0123456789");
    snprintf(library.headers, sizeof library.headers, HEADERS_FORMAT);
    snprintf(library.loaded, sizeof library.loaded, "%.*s", (int)strcspn(number, ", \n"), number);
    library.fits = strstr(text, vendor) != NULL;
    return library;
}

void dt_comm_set_polite(dt_comm *comm, bool polite) {
    comm->root->polite = polite;
}

/* Collectives are nonblocking ones and a wait, polite or not: MPI does not let a blocking call on one rank
 * meet a nonblocking one on another, and ranks may differ in manners. */
static void reduce(dt_comm *comm, void *values, int count, size_t value_bytes, MPI_Datatype type,
                   MPI_Op operation) {
    assert(count >= 0);
    if (comm->size == 1)
        return;
    dt_comm_wait_begin(comm);
    char *place = values;
    for (size_t left = (size_t)count; left > 0;) {
        int piece = minimum(left, PIECE_BYTES / (int)value_bytes);
        MPI_Request request;
        CHECK(comm, MPI_Iallreduce(MPI_IN_PLACE, place, piece, type, operation, comm->world, &request));
        wait_all(comm, 1, &request);
        place += (size_t)piece * value_bytes;
        left -= (size_t)piece;
    }
    dt_comm_wait_end(comm);
}

void dt_comm_sum_i64(dt_comm *comm, int64_t *values, int count) {
    reduce(comm, values, count, sizeof *values, MPI_INT64_T, MPI_SUM);
}

void dt_comm_sum_f64(dt_comm *comm, double *values, int count) {
    reduce(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_SUM);
}

void dt_comm_sum_f32_at_once(dt_comm *comm, float *values, int count) {
    CHECK(comm, MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, comm->world));
}

void dt_comm_max_f64(dt_comm *comm, double *values, int count) {
    reduce(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_MAX);
}

int dt_comm_lowest(dt_comm *comm, int mine) {
    int lowest = mine < 0 ? INT_MAX : mine;
    reduce(comm, &lowest, 1, sizeof lowest, MPI_INT, MPI_MIN);
    return lowest == INT_MAX ? -1 : lowest;
}

static void broadcast_over(dt_comm *comm, MPI_Comm over, void *data, size_t bytes, int root) {
    dt_comm_wait_begin(comm);
    char *place = data;
    while (bytes > 0) {
        int piece = minimum(bytes, PIECE_BYTES);
        MPI_Request request;
        CHECK(comm, MPI_Ibcast(place, piece, MPI_BYTE, root, over, &request));
        wait_all(comm, 1, &request);
        place += piece;
        bytes -= (size_t)piece;
    }
    dt_comm_wait_end(comm);
}

void dt_comm_broadcast(dt_comm *comm, void *data, size_t bytes, int root) {
    assert(root >= 0 && root < comm->size);
    if (comm->size > 1)
        broadcast_over(comm, comm->world, data, bytes, root);
}

void dt_comm_allgather(dt_comm *comm, const void *mine, size_t bytes, void *all) {
    char *own = (char *)all + (size_t)comm->rank * bytes;
    if (bytes == 0)
        return;
    memcpy(own, mine, bytes);
    if (comm->size == 1)
        return;
    if (bytes > PIECE_BYTES) {
        for (int root = 0; root < comm->size; root++)
            dt_comm_broadcast(comm, (char *)all + (size_t)root * bytes, bytes, root);
        return;
    }
    MPI_Request request;
    dt_comm_wait_begin(comm);
    CHECK(comm, MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, all, (int)bytes, MPI_BYTE, comm->world, &request));
    wait_all(comm, 1, &request);
    dt_comm_wait_end(comm);
}

static void barrier_over(dt_comm *comm, MPI_Comm over) {
    MPI_Request request;
    dt_comm_wait_begin(comm);
    CHECK(comm, MPI_Ibarrier(over, &request));
    wait_all(comm, 1, &request);
    dt_comm_wait_end(comm);
}

void dt_comm_barrier(dt_comm *comm) {
    barrier_over(comm, comm->world);
}

dt_status dt_comm_agree(dt_comm *comm, dt_status mine) {
    if (comm->size == 1)
        return mine;
    int lowest = dt_failed(&mine) ? comm->rank : INT_MAX;
    reduce(comm, &lowest, 1, sizeof lowest, MPI_INT, MPI_MIN);
    if (lowest == INT_MAX)
        return mine;
    dt_status agreed = {0};
    if (lowest == comm->rank)
        agreed = dt_fail(mine.code, "rank %d on %s: %s", comm->rank, comm->host, mine.text);
    dt_comm_broadcast(comm, &agreed, sizeof agreed, lowest);
    return agreed;
}

/* A memory file of the leader, mapped by the ranks of its node. Not an MPI window: Open MPI's lie in
 * /dev/shm, which containers make 64 MB small; when it is too full there, the leader's call fails and the
 * others hang in theirs; and a run that is killed leaves its file behind. */
struct dt_comm_window {
    dt_comm *comm;
    void *data;
    size_t bytes;  /* as asked for */
    size_t mapped; /* at least a token */
    size_t part;   /* bytes that each rank brings; 0: all are the leader's */
    int file;      /* the leader's, until all have mapped it; else -1 */
};

/* How the others of a node find the leader's file, and know that it is the leader's: process numbers and
 * names mean other things in other name spaces. The file begins with the token until all have seen it. */
typedef struct window_address {
    int process, file;
    unsigned char token[DT_HANDOVER_TOKEN];
} window_address;

static dt_status refuse_window(size_t bytes, const char *step) {
    return dt_fail(DT_MEMORY, "no memory for the %.1f MB that the ranks of a node share (%s): %s",
                   (double)bytes / 1e6, step, strerror(errno));
}

/* It returns its error; a signal ends it early. */
static dt_status allocate_pages(const dt_comm_window *window, int file, size_t begin, size_t bytes) {
    do
        errno = posix_fallocate(file, (off_t)begin, (off_t)bytes);
    while (errno == EINTR);
    return errno ? refuse_window(window->bytes, "posix_fallocate") : dt_ok();
}

/* Touches a rank's part through the mapping, which may then have huge pages; a system that cannot say when it
 * has no memory left for that is asked for the file's pages instead. Both give zeroed pages of the memory
 * near this rank. */
static dt_status touch_part(dt_comm_window *window, int file) {
    size_t begin = (size_t)window->comm->node_rank * window->part;
    /* Huge pages are a wish: many systems keep them from shared memory. */
    (void)madvise(window->data, window->mapped, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
    if (madvise((char *)window->data + begin, window->part, MADV_POPULATE_WRITE) == 0)
        return dt_ok();
    if (errno != EINVAL)
        return refuse_window(window->bytes, "touching the pages");
#endif
    return allocate_pages(window, file, begin, window->part);
}

/* Leader: the file, zero. Memory files are not counted against the machine's memory before
 * their pages are taken, and taking more than there is wakes the out-of-memory killer: a private mapping of
 * the size asks the kernel first. */
static dt_status reserve_window(dt_comm_window *window, window_address *address) {
    void *trial = mmap(NULL, window->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED)
        return refuse_window(window->bytes, "mmap");
    munmap(trial, window->mapped);
    window->file = memfd_create("dtrain", MFD_CLOEXEC);
    if (window->file < 0)
        return refuse_window(window->bytes, "memfd_create");
    if (ftruncate(window->file, (off_t)window->mapped) != 0)
        return refuse_window(window->bytes, "ftruncate");
    *address = (window_address){.process = (int)getpid(), .file = window->file};
    if (!dt_handover_draw(address->token))
        return refuse_window(window->bytes, "getrandom");
    if (pwrite(window->file, address->token, sizeof address->token, 0) != sizeof address->token)
        return refuse_window(window->bytes, "pwrite");
    return window->part > 0 ? dt_ok() : allocate_pages(window, window->file, 0, window->mapped);
}

static dt_status map_window(dt_comm_window *window, int file) {
    void *data = mmap(NULL, window->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED)
        return refuse_window(window->bytes, "mmap of the shared file");
    window->data = data;
    return window->part > 0 ? touch_part(window, file) : dt_ok();
}

static bool is_leaders(int file, const window_address *leader) {
    unsigned char found[DT_HANDOVER_TOKEN];
    return pread(file, found, sizeof found, 0) == sizeof found &&
           memcmp(found, leader->token, sizeof found) == 0;
}

/* The leader's file through the leader's table of open files, -1 where that cannot be seen. */
static int open_leaders(const window_address *leader) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", leader->process, leader->file);
    int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file >= 0 && !is_leaders(file, leader)) {
        close(file);
        return -1;
    }
    return file;
}

static int sum_over_node(const dt_comm *comm, int mine) {
    MPI_Request request;
    CHECK(comm, MPI_Iallreduce(MPI_IN_PLACE, &mine, 1, MPI_INT, MPI_SUM, comm->node, &request));
    wait_all(comm, 1, &request);
    return mine;
}

/* The leader gives its file through a socket to those that could not open it. */
static dt_status hand_over(const dt_comm_window *window, const window_address *leader, int takers,
                           int *file) {
    const dt_comm *comm = window->comm;
    bool leads = comm->node_rank == 0, takes = !leads && *file < 0;
    int listener = leads ? dt_handover_listen(leader->token) : -1;
    dt_status status = leads && listener < 0 ? refuse_window(window->bytes, "a socket") : dt_ok();
    if (sum_over_node(comm, dt_failed(&status)) > 0)
        return status;
    if (leads && !dt_handover_give(listener, window->file, takers))
        status = refuse_window(window->bytes, "giving the file");
    if (takes)
        *file = dt_handover_take(leader->token);
    if (takes && *file < 0)
        status = refuse_window(window->bytes, "taking the leader's file");
    else if (takes && !is_leaders(*file, leader))
        status = dt_fail(DT_MEMORY, "the memory that the ranks of a node share is not the leader's");
    if (listener >= 0)
        close(listener);
    return status;
}

/* A rank that is alone on its node needs no file. */
static dt_status map_alone(dt_comm_window *window) {
    void *data = mmap(NULL, window->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return refuse_window(window->bytes, "mmap");
    window->data = data;
    (void)madvise(data, window->mapped, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
    if (madvise(data, window->mapped, MADV_POPULATE_WRITE) != 0 && errno != EINVAL)
        return refuse_window(window->bytes, "touching the pages");
#endif
    return dt_ok();
}

/* Between the ranks of a node, both halves agreed on by all before anybody goes on. */
static dt_status share_window(dt_comm_window *window) {
    dt_comm *comm = window->comm;
    bool leads = comm->node_rank == 0;
    window_address leader = {0};
    DT_TRY(dt_comm_agree(comm, leads && comm->node_size > 1 ? reserve_window(window, &leader) : dt_ok()));
    if (comm->node_size == 1)
        return dt_comm_agree(comm, map_alone(window));
    broadcast_over(comm, comm->node, &leader, sizeof leader, 0);
    int file = leads ? window->file : open_leaders(&leader);
    int takers = sum_over_node(comm, file < 0);
    dt_status status = takers > 0 ? hand_over(window, &leader, takers, &file) : dt_ok();
    if (!dt_failed(&status) && file >= 0)
        status = map_window(window, file);
    if (!leads && file >= 0)
        close(file);
    DT_TRY(dt_comm_agree(comm, status));
    assert(window->data);
    if (leads)
        memset(window->data, 0, sizeof leader.token);
    dt_comm_node_barrier(comm);
    return dt_ok();
}

static void close_window_file(dt_comm_window *window) {
    if (window->file >= 0)
        close(window->file);
    window->file = -1;
}

static dt_status create_window(dt_comm *comm, size_t bytes, size_t part, dt_comm_window **window) {
    dt_comm_window *created = malloc(sizeof *created);
    *window = NULL;
    dt_status status =
        dt_comm_agree(comm, created ? dt_ok() : dt_fail(DT_MEMORY, "no memory for a window's description"));
    if (!created || dt_failed(&status)) {
        free(created);
        return status;
    }
    *created = (dt_comm_window){.comm = comm,
                                .bytes = bytes,
                                .mapped = bytes > DT_HANDOVER_TOKEN ? bytes : DT_HANDOVER_TOKEN,
                                .part = part,
                                .file = -1};
    status = share_window(created);
    close_window_file(created);
    if (dt_failed(&status)) {
        if (created->data)
            munmap(created->data, created->mapped);
        free(created);
        return status;
    }
    *window = created;
    return dt_ok();
}

dt_status dt_comm_window_create(dt_comm *comm, size_t bytes, dt_comm_window **window) {
    return create_window(comm, bytes, 0, window);
}

dt_status dt_comm_window_create_parts(dt_comm *comm, size_t bytes, dt_comm_window **window) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t part = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    return create_window(comm, part * (size_t)comm->node_size, part, window);
}

void dt_comm_window_release(dt_comm_window *window) {
    if (!window)
        return;
    munmap(window->data, window->mapped);
    free(window);
}

void *dt_comm_window_data(dt_comm_window *window) {
    return window->data;
}

size_t dt_comm_window_part(const dt_comm_window *window) {
    return window->part;
}

void dt_comm_node_barrier(dt_comm *comm) {
    /* What was written before the barrier is seen after it. */
    atomic_thread_fence(memory_order_seq_cst);
    barrier_over(comm, comm->node);
    atomic_thread_fence(memory_order_seq_cst);
}

void dt_comm_publish(dt_comm *comm, void *data, size_t bytes) {
    if (comm->leaders != MPI_COMM_NULL && comm->nodes > 1)
        broadcast_over(comm, comm->leaders, data, bytes, 0);
    dt_comm_node_barrier(comm);
}

void dt_comm_window_publish(dt_comm *comm, dt_comm_window *window) {
    dt_comm_publish(comm, window->data, window->bytes);
}

struct dt_transfers {
    dt_comm *comm;
    int capacity;
    int used;
    MPI_Request requests[];
};

dt_status dt_transfers_create(dt_comm *comm, int capacity, dt_transfers **transfers) {
    assert(capacity >= 0);
    *transfers = malloc(sizeof **transfers + (size_t)capacity * sizeof(MPI_Request));
    if (!*transfers)
        return dt_fail(DT_MEMORY, "no memory for a set of %d transfers", capacity);
    **transfers = (dt_transfers){.comm = comm, .capacity = capacity};
    return dt_ok();
}

void dt_transfers_destroy(dt_transfers *transfers) {
    assert(!transfers || transfers->used == 0);
    free(transfers);
}

static MPI_Request *next_request(dt_transfers *transfers, int tag, size_t count) {
    assert(transfers->used < transfers->capacity);
    assert(tag >= 0 && tag <= 32767);
    assert(count <= INT_MAX);
    /* Unused without assertions. */
    (void)tag, (void)count;
    if (transfers->used == 0)
        enter(transfers->comm->root, dt_timer_now());
    return &transfers->requests[transfers->used++];
}

static void start_send(dt_transfers *transfers, int rank, int tag, const void *values, size_t count,
                       MPI_Datatype type, size_t bytes) {
    dt_comm *comm = transfers->comm;
    MPI_Request *request = next_request(transfers, tag, count);
    CHECK(comm, MPI_Isend(values, (int)count, type, rank, tag, comm->transfers, request));
    comm->root->traffic.sent += bytes;
}

static void start_receive(dt_transfers *transfers, int rank, int tag, void *values, size_t count,
                          MPI_Datatype type, size_t bytes) {
    dt_comm *comm = transfers->comm;
    MPI_Request *request = next_request(transfers, tag, count);
    CHECK(comm, MPI_Irecv(values, (int)count, type, rank, tag, comm->transfers, request));
    comm->root->traffic.received += bytes;
}

void dt_transfers_send(dt_transfers *transfers, int rank, int tag, const float *values, size_t count) {
    start_send(transfers, rank, tag, values, count, MPI_FLOAT, count * sizeof *values);
}

void dt_transfers_receive(dt_transfers *transfers, int rank, int tag, float *values, size_t count) {
    start_receive(transfers, rank, tag, values, count, MPI_FLOAT, count * sizeof *values);
}

void dt_transfers_send_halves(dt_transfers *transfers, int rank, int tag, const uint16_t *halves,
                              size_t count) {
    start_send(transfers, rank, tag, halves, count, MPI_UINT16_T, count * sizeof *halves);
}

void dt_transfers_receive_halves(dt_transfers *transfers, int rank, int tag, uint16_t *halves, size_t count) {
    start_receive(transfers, rank, tag, halves, count, MPI_UINT16_T, count * sizeof *halves);
}

/* The set is done. */
static void empty(dt_transfers *transfers) {
    if (transfers->used > 0)
        leave(transfers->comm->root, dt_timer_now());
    transfers->used = 0;
}

bool dt_transfers_test(dt_transfers *transfers) {
    int done;
    CHECK(transfers->comm, MPI_Testall(transfers->used, transfers->requests, &done, MPI_STATUSES_IGNORE));
    if (done)
        empty(transfers);
    return done;
}

void dt_transfers_wait(dt_transfers *transfers) {
    dt_comm_wait_begin(transfers->comm);
    wait_all(transfers->comm, transfers->used, transfers->requests);
    empty(transfers);
    dt_comm_wait_end(transfers->comm);
}

dt_traffic dt_comm_traffic(const dt_comm *comm) {
    const dt_comm *root = comm->root;
    dt_traffic traffic = root->traffic;
    double now = dt_timer_now();
    if (root->under_way > 0)
        traffic.seconds += now - root->under_way_since;
    if (root->waits > 0)
        traffic.waited += now - root->waiting_since;
    return traffic;
}

_Noreturn void dt_comm_abort(dt_comm *comm, int exit_code) {
    fflush(NULL);
    MPI_Abort(comm->world, exit_code);
    _exit(exit_code);
}
