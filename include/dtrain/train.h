/* SPDX-License-Identifier: BSD-3-Clause */
/* A run: what the user may choose, and the two things that can be done with it. Collective: all ranks call
 * with the same options. */
#ifndef DTRAIN_TRAIN_H
#define DTRAIN_TRAIN_H

#include "dtrain/comm.h"
#include "dtrain/kernels.h"
#include "dtrain/network.h"
#include "dtrain/strategy.h"

typedef struct dt_options dt_options;

/* What another value of a setting changes in the results of a run. */
typedef enum dt_effect {
    DT_EFFECT_UNSTATED,
    DT_EFFECT_NONE,       /* nothing: a resumed run may have another value */
    DT_EFFECT_BITS,       /* the last bits, which a resumed run is warned of */
    DT_EFFECT_MATHEMATICS /* what is computed: another value makes it another run */
} dt_effect;

/* A setting of a run. */
typedef struct dt_setting {
    const char *name;
    const char *value; /* a number or true/false as it stands in JSON, or a string; NULL: not set */
    bool quoted;       /* a string */
    bool given;        /* the command line names it */
    bool own;          /* each rank may have a value of its own */
    dt_effect effect;
} dt_setting;

/* Hands out every setting of a run. */
typedef void (*dt_setting_visit)(void *context, const dt_setting *setting);
typedef void (*dt_settings_walk)(const dt_options *options, dt_setting_visit visit, void *context);

enum { DT_SETTINGS_MOST = 96 };

/* How often something is done. */
typedef enum dt_interval_unit {
    DT_INTERVAL_NONE, /* never */
    DT_INTERVAL_EPOCHS,
    DT_INTERVAL_STEPS,
    DT_INTERVAL_SECONDS
} dt_interval_unit;

typedef struct dt_interval {
    dt_interval_unit unit;
    int amount;
} dt_interval;

/* What becomes of a run that meets a value that is not finite. */
typedef enum dt_on_nan {
    DT_ON_NAN_STOP,
    DT_ON_NAN_REWIND /* back to the last checkpoint, with half the learning rate; at most 3 times */
} dt_on_nan;

/* Everything that the command line can say about a run. Strings are borrowed. cli/option_table.c has names,
 * limits, defaults, effects, and the commands that use each. */
struct dt_options {
    const char *data; /* NULL: search (dataset.h) */
    int epochs;
    int batch; /* global batch */
    dt_adam_config adam;
    uint64_t seed;
    dt_network_config network;
    int validation;  /* the first so many training images are the validation set; 0: none */
    int train_limit; /* use only so many of the training images that remain; 0: all */
    int test_limit;  /* use only so many test images; 0: all */
    int max_steps;   /* stop after so many steps; 0: no limit */
    int threads;     /* a rank; 0: the cores this rank may use, shared fairly */
    dt_strategy_kind strategy;
    dt_grid_wish grid;
    int check_replicas; /* steps between comparisons of the replicas, beside those of each epoch; 0: none */
    const char *plan_ranks; /* plan: numbers of ranks with commas; NULL: the ranks that run */
    int node_ranks;         /* plan: ranks of a node; 0: as they run */
    double link_gbits;      /* plan: speed of the link of a node, Gbit/s; 0: as measured */
    double link_us;         /* plan: its latency, microseconds; 0: as measured */
    dt_engine engine;
    dt_isa isa;
    dt_precision precision;
    dt_wire wire;
    const char *methods; /* of the convolutions: auto, tuned, or a list (methods.h) */
    bool tune;           /* info: measure all methods */
    const char *out;     /* folder for metrics.jsonl and checkpoints */
    dt_interval checkpoint_every;
    int keep;                 /* checkpoints that stay, beside the best */
    bool checkpoint_required; /* a checkpoint that cannot be written ends the run */
    const char *resume;       /* checkpoint or folder to go on from; empty: `out`; NULL: a fresh start */
    bool override;            /* resume although options that matter differ */
    const char *init;         /* file of weights to start from; NULL: drawn from the seed */
    int max_time;             /* seconds after which the run must have ended; 0: no limit */
    dt_on_nan on_nan;
    int stall_timeout;   /* seconds without progress of any rank after which the run is ended; 0: never */
    const char *weights; /* eval, inspect, export: file, or folder with last.weights.h5 */
    const char *target;  /* export: the file to write */
    bool force;          /* export: write over an existing file */
    bool json;           /* inspect: JSON instead of tables */
    bool quiet;
    bool given[DT_SETTINGS_MOST]; /* by the number of a setting in the walk: the command line names it */
    dt_settings_walk walk; /* names and values of all of the above, for the records of a run; NULL: none */
};

/* From now on SIGTERM, SIGINT, SIGUSR1, SIGUSR2 and SIGHUP ask the run that follows to save and leave; one
 * that comes five seconds or more before the first step ends this process, which has nothing to save. A
 * program calls it before it starts MPI, which takes a moment; without it dt_train_run does. Main thread; not
 * collective. */
void dt_train_heed_signals(void);

/* Ends a process whose ranks no longer get on, from dt_comm_create_guarded on: takes over from the
 * communicator's guard. timeout: seconds; 0: nothing is watched. Collective. Errors, agreed on. */
typedef struct dt_watchdog dt_watchdog;
dt_status dt_train_watch(dt_comm *comm, int timeout, dt_watchdog **watchdog);
void dt_train_end_watch(dt_watchdog *watchdog); /* NULL is fine */

/* Trains. On rank 0: progress and results on the terminal, metrics.jsonl and checkpoints in options->out.
 * Everything that can fail is checked on all ranks before the first step. Errors: any code of status.h, the
 * same on all ranks; DT_STOPPED when a signal or --max-time ended the run and its state was saved. */
dt_status dt_train_run(const dt_options *options, dt_comm *comm, dt_watchdog *watchdog);

/* Measures, and prints what a step would cost under each strategy, for options->plan_ranks. */
dt_status dt_plan_run(const dt_options *options, dt_comm *comm);

/* Loss and accuracy of saved weights on the validation and test images of options->data. The network's
 * options come from the file; from options->network when Keras wrote it. Warns when a checkpoint's run had
 * other data. */
dt_status dt_evaluate_run(const dt_options *options, dt_comm *comm);

#endif
