/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to preload: stands between dtrain and MPI, by MPI's profiling interface, and lets one call of one
 * rank fail, or stops or ends the process there.
 *
 *   DT_MPI_RANK=r    the rank concerned, as the launcher numbers it (OMPI_COMM_WORLD_RANK or PMI_RANK)
 *   DT_MPI_SITE=n    the n-th place of the program that calls MPI, in the order in which it comes there first
 *   DT_MPI_CALL=name count places that call this function alone
 *   DT_MPI_DEPTH=d   calls by way of different callers, d deep, are different places; 1 when unset
 *   DT_MPI_DO=what   fail (the call is not made and returns an error), stop (SIGSTOP) or kill (SIGKILL), in
 *                    place of the call; behind: the same after it
 *   DT_MPI_LIST=f    a file that receives a line for each place: its number and the call's name
 *
 * MPI_Abort and MPI_Error_string, with which a program reports a failure, are left alone. */
#include <execinfo.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLACES = 4096, DEEPEST = 8, OWN_FRAMES = 2 };

static struct { void *frames[DEEPEST]; } places[MOST_PLACES];
static int count;

static int number(const char *name, int missing) {
    const char *text = getenv(name);
    return text ? atoi(text) : missing;
}

static int is_concerned(void) {
    int rank = number("OMPI_COMM_WORLD_RANK", number("PMI_RANK", 0));
    return rank == number("DT_MPI_RANK", -1);
}

static void list(const char *name) {
    const char *path = getenv("DT_MPI_LIST");
    FILE *stream = path ? fopen(path, "a") : NULL;
    if (!stream)
        return;
    fprintf(stream, "%d %s\n", count, name);
    fclose(stream);
}

/* Whether this is the first call from a place, and the place the one. */
static __attribute__((noinline)) int strikes(const char *name) {
    void *frames[DEEPEST + OWN_FRAMES] = {0};
    int depth = number("DT_MPI_DEPTH", 1);
    const char *only = getenv("DT_MPI_CALL");
    if (!is_concerned() || (only && strcmp(only, name) != 0))
        return 0;
    memset(frames, 0, sizeof frames);
    (void)backtrace(frames, (depth < DEEPEST ? depth : DEEPEST) + OWN_FRAMES);
    for (int i = 0; i < count; i++)
        if (memcmp(places[i].frames, frames + OWN_FRAMES, sizeof places[i].frames) == 0)
            return 0;
    if (count == MOST_PLACES)
        return 0;
    memcpy(places[count++].frames, frames + OWN_FRAMES, sizeof places[0].frames);
    list(name);
    return count == number("DT_MPI_SITE", 0);
}

/* Whether the call is to fail. */
static int act(int behind) {
    const char *what = getenv("DT_MPI_DO");
    if (!what)
        return 0;
    if (behind != (strncmp(what, "behind-", 7) == 0))
        return 0;
    what += behind ? 7 : 0;
    if (strcmp(what, "stop") == 0)
        raise(SIGSTOP);
    if (strcmp(what, "kill") == 0)
        raise(SIGKILL);
    return strcmp(what, "fail") == 0;
}

#define WRAP(name, parameters, arguments)   \
    int MPI_##name parameters {             \
        int struck = strikes("MPI_" #name); \
        if (struck && act(0))               \
            return MPI_ERR_OTHER;           \
        int result = PMPI_##name arguments; \
        if (struck && act(1))               \
            return MPI_ERR_OTHER;           \
        return result;                      \
    }

WRAP(Init_thread, (int *count_, char ***words, int level, int *provided), (count_, words, level, provided))
WRAP(Finalize, (void), ())
WRAP(Get_version, (int *version, int *subversion), (version, subversion))
WRAP(Get_library_version, (char *text, int *length), (text, length))
WRAP(Get_processor_name, (char *text, int *length), (text, length))
WRAP(Comm_rank, (MPI_Comm comm, int *rank), (comm, rank))
WRAP(Comm_size, (MPI_Comm comm, int *size), (comm, size))
WRAP(Comm_dup, (MPI_Comm comm, MPI_Comm *copy), (comm, copy))
WRAP(Comm_free, (MPI_Comm * comm), (comm))
WRAP(Comm_set_errhandler, (MPI_Comm comm, MPI_Errhandler handler), (comm, handler))
WRAP(Comm_split, (MPI_Comm comm, int color, int key, MPI_Comm *part), (comm, color, key, part))
WRAP(Comm_split_type, (MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *part),
     (comm, type, key, info, part))
WRAP(Bcast, (void *data, int items, MPI_Datatype type, int root, MPI_Comm comm),
     (data, items, type, root, comm))
WRAP(Allgather,
     (const void *mine, int sent, MPI_Datatype sent_type, void *all, int received, MPI_Datatype type,
      MPI_Comm comm),
     (mine, sent, sent_type, all, received, type, comm))
WRAP(Allreduce, (const void *mine, void *sum, int items, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
     (mine, sum, items, type, op, comm))
WRAP(Iallgather,
     (const void *mine, int sent, MPI_Datatype sent_type, void *all, int received, MPI_Datatype type,
      MPI_Comm comm, MPI_Request *request),
     (mine, sent, sent_type, all, received, type, comm, request))
WRAP(Iallreduce,
     (const void *mine, void *sum, int items, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
      MPI_Request *request),
     (mine, sum, items, type, op, comm, request))
WRAP(Ibarrier, (MPI_Comm comm, MPI_Request *request), (comm, request))
WRAP(Ibcast, (void *data, int items, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request),
     (data, items, type, root, comm, request))
WRAP(Iprobe, (int source, int tag, MPI_Comm comm, int *found, MPI_Status *facts),
     (source, tag, comm, found, facts))
WRAP(Irecv,
     (void *data, int items, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request),
     (data, items, type, source, tag, comm, request))
WRAP(Isend,
     (const void *data, int items, MPI_Datatype type, int target, int tag, MPI_Comm comm,
      MPI_Request *request),
     (data, items, type, target, tag, comm, request))
WRAP(Test, (MPI_Request * request, int *done, MPI_Status *facts), (request, done, facts))
WRAP(Testall, (int items, MPI_Request *requests, int *done, MPI_Status *facts),
     (items, requests, done, facts))
WRAP(Waitall, (int items, MPI_Request *requests, MPI_Status *facts), (items, requests, facts))
