/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of commands and of options. */
#include "cli/option_table.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(dt_bn_axis) == sizeof(int) && sizeof(dt_bn_layers) == sizeof(int) &&
                  sizeof(dt_strategy_kind) == sizeof(int) && sizeof(dt_engine) == sizeof(int) &&
                  sizeof(dt_isa) == sizeof(int) && sizeof(dt_on_nan) == sizeof(int) &&
                  sizeof(dt_precision) == sizeof(int) && sizeof(dt_grid_wish) == sizeof(int) &&
                  sizeof(dt_wire) == sizeof(int),
              "choices are stored as int");

static const dt_command_row commands[DT_COMMANDS] = {
    [DT_COMMAND_TRAIN] = {"train", "[train]", 0, 0},
    [DT_COMMAND_EVAL] = {"eval", "eval [FILE|DIR]", 0, 1},
    [DT_COMMAND_INFO] = {"info", "info", 0, 0},
    [DT_COMMAND_PLAN] = {"plan", "plan", 0, 0},
    [DT_COMMAND_REPORT] = {"report", "report FILE|DIR...", 0, DT_MAX_PATHS},
    [DT_COMMAND_INSPECT] = {"inspect", "inspect FILE|DIR", 1, 1},
    [DT_COMMAND_EXPORT] = {"export", "export FILE|DIR OUT.h5", 2, 2},
};

#define FIELD(member)     .offset = offsetof(dt_options, member)
#define FROM_TO(from, to) .limits = {.low = (from), .high = (to)}

/* The commands that use an option: the last of its columns without a name. */
enum {
    TRAIN = 1u << DT_COMMAND_TRAIN,
    EVAL = 1u << DT_COMMAND_EVAL,
    INFO = 1u << DT_COMMAND_INFO,
    PLAN = 1u << DT_COMMAND_PLAN,
    INSPECT = 1u << DT_COMMAND_INSPECT,
    EXPORT = 1u << DT_COMMAND_EXPORT,
    EVERY = (1u << DT_COMMANDS) - 1
};

/* Effects: the data count by their fingerprint and not by their name, so --data has none; the loss of a test
 * changes nothing in the training, so --test-limit has none. Counts must fit an int. */
static const dt_option table[] = {
    {"data", "WHERE", DT_GROUP_DATA, DT_OPTION_TEXT, DT_EFFECT_NONE, TRAIN | EVAL | INFO, FIELD(data),
     .otherwise = "the first found of $DTRAIN_DATA, data/mnist, ../shared/data/mnist, "
                  "~/.keras/datasets/mnist.npz",
     .text = "folder with the four IDX files, an .npz file, or synthetic[:N] for N digits drawn by the "
             "program"},
    {"validation", "N", DT_GROUP_DATA, DT_OPTION_COUNT, DT_EFFECT_MATHEMATICS, TRAIN | EVAL,
     FIELD(validation), FROM_TO(0, INT_MAX), .initial = "5000",
     .text = "the first N training images are the validation set; 0 for none"},
    {"train-limit", "N", DT_GROUP_DATA, DT_OPTION_COUNT, DT_EFFECT_MATHEMATICS, TRAIN, FIELD(train_limit),
     FROM_TO(0, INT_MAX), .initial = "0", .text = "train on N of the remaining training images; 0 for all"},
    {"test-limit", "N", DT_GROUP_DATA, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN | EVAL, FIELD(test_limit),
     FROM_TO(0, INT_MAX), .initial = "0", .text = "test on N of the test images; 0 for all"},

    {"epochs", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN, FIELD(epochs),
     .limits = DT_LIMITS_EPOCHS, .initial = "10", .text = "passes over the training images"},
    {"batch", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, DT_EFFECT_MATHEMATICS, TRAIN | INFO | PLAN,
     FIELD(batch), FROM_TO(1, 65536), .initial = "64", .text = "samples of a step, all ranks together"},
    {"max-steps", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN, FIELD(max_steps),
     FROM_TO(0, INT_MAX), .initial = "0", .text = "stop after N steps; 0 for no limit"},
    {"lr", "RATE", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, DT_EFFECT_MATHEMATICS, TRAIN, FIELD(adam.lr),
     .limits = DT_LIMITS_RATE, .initial = "0.001", .text = "learning rate of Adam"},
    {"beta1", "B", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, DT_EFFECT_MATHEMATICS, TRAIN, FIELD(adam.beta1),
     .limits = DT_LIMITS_BETA, .initial = "0.9", .text = "Adam's decay of the mean gradient"},
    {"beta2", "B", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, DT_EFFECT_MATHEMATICS, TRAIN, FIELD(adam.beta2),
     .limits = DT_LIMITS_BETA, .initial = "0.999", .text = "Adam's decay of the mean squared gradient"},
    {"eps", "E", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, DT_EFFECT_MATHEMATICS, TRAIN, FIELD(adam.epsilon),
     .limits = DT_LIMITS_EPSILON, .initial = "1e-8",
     .text = "Adam's addend to the root of the mean squared gradient"},
    {"seed", "N", DT_GROUP_TRAINING, DT_OPTION_SEED, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | INFO, FIELD(seed),
     .initial = "1",
     .text = "what initial weights, order of samples, dropout and synthetic digits are drawn from"},

    {"width", "F", DT_GROUP_NETWORK, DT_OPTION_DOUBLE, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | INFO | PLAN,
     FIELD(network.width), .limits = DT_LIMITS_WIDTH, .initial = "1",
     .text = "factor on the number of channels and units of every hidden layer"},
    {"dropout", "RATE", DT_GROUP_NETWORK, DT_OPTION_FLOAT, DT_EFFECT_MATHEMATICS, TRAIN | PLAN,
     FIELD(network.dropout), .limits = DT_LIMITS_DROPOUT, .initial = "0.5",
     .text = "share of units left out behind each hidden dense layer"},
    {"bn-axis", NULL, DT_GROUP_NETWORK, DT_OPTION_CHOICE, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | PLAN,
     FIELD(network.bn_axis), .choices = {{"rows", DT_BN_ROWS}, {"channels", DT_BN_CHANNELS}},
     .initial = "rows",
     .text = "batch normalisation over each image row (Keras' axis=1) or each channel (axis=-1)"},
    {"bn-layers", NULL, DT_GROUP_NETWORK, DT_OPTION_CHOICE, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | PLAN,
     FIELD(network.bn_layers),
     .choices = {{"all", DT_BN_ALL}, {"first2", DT_BN_FIRST2}, {"none", DT_BN_NONE}}, .initial = "all",
     .text = "the convolutions that batch normalisation follows"},

    {"threads", "N", DT_GROUP_MACHINE, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN | EVAL | INFO | PLAN,
     FIELD(threads), FROM_TO(0, 4096), .initial = "0",
     .text = "threads of a rank; 0 for the cores that it may use, divided fairly among the ranks on them",
     .own = true},
    {"strategy", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_NONE, TRAIN | PLAN, FIELD(strategy),
     .choices = {{"allreduce", DT_STRATEGY_ALLREDUCE},
                 {"sharded", DT_STRATEGY_SHARDED},
                 {"hybrid", DT_STRATEGY_HYBRID},
                 {"auto", DT_STRATEGY_AUTO}},
     .initial = "auto",
     .text = "how the ranks share the work of a step; auto measures and takes the fastest"},
    {"grid", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_NONE, TRAIN | PLAN, FIELD(grid),
     .choices = {{"auto", DT_GRID_AUTO}, {"all", DT_GRID_ALL}, {"node", DT_GRID_NODE}}, .initial = "auto",
     .text = "the ranks that hybrid splits the hidden dense layers over: all, or those of each node, whose "
             "gradients then travel between nodes; auto takes what is predicted to be faster, by measuring "
             "where there are several nodes of several ranks"},
    {"engine", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_BITS, TRAIN | EVAL | INFO | PLAN,
     FIELD(engine),
     .choices = {{"auto", DT_ENGINE_AUTO},
                 {"direct", DT_ENGINE_DIRECT},
                 {"blas", DT_ENGINE_BLAS},
                 {"reference", DT_ENGINE_REFERENCE}},
     .initial = "auto",
     .text = "the bodies of the kernels: our own, the same without Winograd's convolutions, OpenBLAS, or "
             "plain C"},
    {"isa", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_BITS, TRAIN | EVAL | INFO | PLAN, FIELD(isa),
     .choices = {{"auto", DT_ISA_BEST},
                 {"baseline", DT_ISA_BASELINE},
                 {"avx2", DT_ISA_AVX2},
                 {"avx512", DT_ISA_AVX512},
                 {"avx512_bf16", DT_ISA_AVX512_BF16},
                 {"amx_bf16", DT_ISA_AMX_BF16}},
     .initial = "auto",
     .text = "the highest instruction set to use; auto for what the environment variable DTRAIN_ISA says, "
             "or else the best that every rank's CPU has"},
    {"precision", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | INFO | PLAN,
     FIELD(precision), .choices = {{"fp32", DT_PRECISION_FP32}, {"bf16", DT_PRECISION_BF16}},
     .initial = "fp32",
     .text = "what products are computed from: float32, or operands rounded to bfloat16, summed in float32 "
             "(weights, optimizer and activations stay float32); fast with AMX_BF16 or AVX512_BF16, else "
             "emulated"},

    {"wire", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, DT_EFFECT_MATHEMATICS, TRAIN | EVAL | PLAN,
     FIELD(wire), .choices = {{"fp32", DT_WIRE_FP32}, {"bf16", DT_WIRE_BF16}}, .initial = "fp32",
     .text = "what gradients, updates of weights and activations are between ranks: float32, or rounded to "
             "bfloat16 and summed in float32, which halves all bytes. Either has the same bits on any number "
             "of ranks, one included"},
    {"methods", "LIST", DT_GROUP_MACHINE, DT_OPTION_TEXT, DT_EFFECT_BITS, TRAIN | EVAL | INFO, FIELD(methods),
     .initial = "auto",
     .text = "how the five convolutions are computed, as in direct,fourier,winograd,passes,fourier: "
             "passes, direct (one "
             "input channel), winograd, fourier, tiles (bf16 with AMX) or winograd-large (5x5; less exact). "
             "auto is a fixed choice for each shape, engine and instruction set; tuned measures at the "
             "start, so its bits may differ from run to run"},
    {"tune", NULL, DT_GROUP_MACHINE, DT_OPTION_FLAG, DT_EFFECT_NONE, INFO, FIELD(tune), .otherwise = "off",
     .text = "time every method of every convolution"},

    {"check-replicas", "K", DT_GROUP_MACHINE, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN, FIELD(check_replicas),
     FROM_TO(0, INT_MAX), .initial = "0",
     .text = "compare weights and optimizer of all ranks every K steps; 0: after each epoch alone"},

    {"ranks", "N[,N...]", DT_GROUP_PLAN, DT_OPTION_TEXT, DT_EFFECT_NONE, PLAN, FIELD(plan_ranks),
     .otherwise = "the ranks that run",
     .text = "numbers of ranks to plan for; -N 2 4 8 is the same as --ranks 2,4,8", .letter = 'N'},
    {"node-ranks", "N", DT_GROUP_PLAN, DT_OPTION_COUNT, DT_EFFECT_NONE, PLAN, FIELD(node_ranks),
     FROM_TO(0, 65536), .initial = "0", .text = "ranks of a node; 0: as they run, with a link one"},
    {"link-gbits", "G", DT_GROUP_PLAN, DT_OPTION_DOUBLE, DT_EFFECT_NONE, TRAIN | PLAN, FIELD(link_gbits),
     FROM_TO(0, 1e6), .initial = "0", .text = "speed of a node's link in Gbit/s; 0: as measured"},
    {"link-us", "US", DT_GROUP_PLAN, DT_OPTION_DOUBLE, DT_EFFECT_NONE, TRAIN | PLAN, FIELD(link_us),
     FROM_TO(0, 1e6), .initial = "0", .text = "latency of a link in microseconds; 0: as measured"},

    {"out", "DIR", DT_GROUP_OUTPUT, DT_OPTION_TEXT, DT_EFFECT_NONE, TRAIN | EVAL, FIELD(out),
     .initial = "run", .text = "folder for metrics.jsonl and the weights"},
    {"quiet", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, DT_EFFECT_NONE, TRAIN | EVAL | INFO | PLAN | EXPORT,
     FIELD(quiet), .otherwise = "off", .text = "print warnings and errors alone"},
    {"json", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, DT_EFFECT_NONE, INSPECT, FIELD(json), .otherwise = "off",
     .text = "print JSON"},
    {"force", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, DT_EFFECT_NONE, EXPORT, FIELD(force), .otherwise = "off",
     .text = "write over an existing file"},

    {"checkpoint-every", "N", DT_GROUP_SAVING, DT_OPTION_INTERVAL, DT_EFFECT_NONE, TRAIN,
     FIELD(checkpoint_every), FROM_TO(1, INT_MAX), .initial = "1epoch",
     .text =
         "save so often: 1epoch, 500steps, 10min; none: at the end alone. Steps do not wait for the disk"},
    {"keep", "N", DT_GROUP_SAVING, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN, FIELD(keep), FROM_TO(1, 1000000),
     .initial = "3", .text = "keep the newest N checkpoints, and the best by validation loss"},
    {"checkpoint-required", NULL, DT_GROUP_SAVING, DT_OPTION_FLAG, DT_EFFECT_NONE, TRAIN,
     FIELD(checkpoint_required), .otherwise = "off",
     .text = "stop when a checkpoint cannot be written, instead of warning and going on"},
    {"resume", "FILE|DIR", DT_GROUP_SAVING, DT_OPTION_TEXT_OR_NOTHING, DT_EFFECT_NONE, TRAIN, FIELD(resume),
     .otherwise = "off",
     .text =
         "go on from this checkpoint, or from the newest in a folder, or in that of --out; none in --out: "
         "start afresh"},
    {"override", NULL, DT_GROUP_SAVING, DT_OPTION_FLAG, DT_EFFECT_NONE, TRAIN, FIELD(override),
     .otherwise = "off", .text = "resume also with options that change the mathematics"},
    {"init", "FILE", DT_GROUP_SAVING, DT_OPTION_TEXT, DT_EFFECT_NONE, TRAIN, FIELD(init),
     .otherwise = "weights drawn from the seed",
     .text = "start from the weights in this file, Keras' or dtrain's"},
    {"max-time", "TIME", DT_GROUP_SAVING, DT_OPTION_DURATION, DT_EFFECT_NONE, TRAIN, FIELD(max_time),
     FROM_TO(1, INT_MAX), .otherwise = "no limit",
     .text = "save and stop with exit code 75 before this much time has passed: 3h50m, 90min, 45s"},
    {"on-nan", NULL, DT_GROUP_SAVING, DT_OPTION_CHOICE, DT_EFFECT_NONE, TRAIN, FIELD(on_nan),
     .choices = {{"stop", DT_ON_NAN_STOP}, {"rewind", DT_ON_NAN_REWIND}}, .initial = "stop",
     .text = "what to do about a value that is not finite: end, or go back to the last checkpoint with half "
             "the learning rate, up to 3 times"},
    {"stall-timeout", "SECONDS", DT_GROUP_SAVING, DT_OPTION_COUNT, DT_EFFECT_NONE, TRAIN | EVAL | INFO | PLAN,
     FIELD(stall_timeout), FROM_TO(0, INT_MAX), .initial = "300",
     .text = "end with exit code 76, naming who is missing, when no rank gets on for so long; 0 for never"},

    {"info", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, DT_EFFECT_NONE, EVERY, .command = DT_COMMAND_INFO,
     .text = "the same as the command info"},
    {"version", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, DT_EFFECT_NONE, EVERY,
     .command = DT_COMMAND_VERSION, .text = "print the version and the commit"},
    {"help", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, DT_EFFECT_NONE, EVERY, .command = DT_COMMAND_HELP,
     .text = "print this list"},
};

static const char *const group_titles[DT_GROUPS] = {
    [DT_GROUP_DATA] = "Data:",
    [DT_GROUP_TRAINING] = "Training:",
    [DT_GROUP_NETWORK] = "Network:",
    [DT_GROUP_MACHINE] = "Machine:",
    [DT_GROUP_PLAN] = "Plan:",
    [DT_GROUP_OUTPUT] = "Output:",
    [DT_GROUP_SAVING] = "Saving and resuming:",
    [DT_GROUP_PROGRAM] = "Program:",
};

enum { ROWS = sizeof table / sizeof *table };

static_assert(sizeof table / sizeof *table <= DT_SETTINGS_MOST, "dt_options has a mark for each row");

int dt_option_table_count(void) {
    return ROWS;
}

const dt_option *dt_option_table_row(int index) {
    assert(index >= 0 && index < ROWS);
    return &table[index];
}

const char *dt_option_table_group(dt_option_group group) {
    return group_titles[group];
}

const dt_command_row *dt_option_table_command(dt_command command) {
    return &commands[command];
}

bool dt_option_table_uses(dt_command command, const dt_option *option) {
    return option->commands >> command & 1u;
}

const char *dt_option_table_names(unsigned set, const char *last, char *text, size_t room) {
    size_t used = 0;
    text[0] = '\0';
    set &= (1u << DT_COMMAND_VERSION) - 1;
    for (int command = 0; set >> command && used < room; command++) {
        bool is_last = set >> command == 1u;
        if (!(set >> command & 1u))
            continue;
        used += (size_t)snprintf(text + used, room - used, "%s%s",
                                 used == 0 ? ""
                                 : is_last ? last
                                           : ", ",
                                 commands[command].name);
    }
    return text;
}
