/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: what every option of the table takes and refuses, and what it says then. */
#include "test.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option_values.h"
#include "cli/options.h"
#include "dtrain/kernels.h"
#include "dtrain/strategy.h"

enum { WORDS = 32, ROOM = 512 };

/* Parses up to WORDS words behind the program's name; NULL ends them. */
static dt_status parse_words(dt_command_line *line, char *const *words) {
    char *argv[WORDS + 2] = {"dtrain"};
    int argc = 1;
    while (words[argc - 1]) {
        argv[argc] = words[argc - 1];
        argc++;
    }
    return dt_options_parse(argc, argv, line);
}

#define PARSE(line, ...) parse_words(line, (char * [WORDS + 1]){__VA_ARGS__})

static bool is_named(int command) {
    return dt_option_table_command((dt_command)command)->name != NULL;
}

/* The first command that uses an option. */
static dt_command user_of(const dt_option *option) {
    int command = 0;
    while (command < DT_COMMANDS && !dt_option_table_uses((dt_command)command, option))
        command++;
    assert_true(command < DT_COMMANDS && is_named(command));
    return (dt_command)command;
}

/* Parses COMMAND [FILE FILE] --name[=value]. The words live until the next call: options point to them. */
static dt_status parse_for(dt_command_line *line, dt_command command, const dt_option *option,
                           const char *value) {
    static char text[ROOM], name[ROOM];
    snprintf(text, sizeof text, "--%s%s%s", option->name, value ? "=" : "", value ? value : "");
    snprintf(name, sizeof name, "%s", dt_option_table_command(command)->name);
    char *words[WORDS + 1] = {text, name};
    for (int i = 0; i < dt_option_table_command(command)->needs || (command == DT_COMMAND_REPORT && !i); i++)
        words[2 + i] = "file";
    return parse_words(line, words);
}

/* The same for the first command that uses the option. */
static dt_status parse_value(dt_command_line *line, const dt_option *option, const char *value) {
    return parse_for(line, user_of(option), option, value);
}

static void refuse_value(const dt_option *option, const char *value) {
    dt_command_line line;
    char expected[ROOM], allowed[ROOM];
    snprintf(expected, sizeof expected, "--%s: '%s' is not allowed: %s", option->name, value,
             dt_option_values_allowed(option, allowed, sizeof allowed));
    dt_status status = parse_value(&line, option, value);
    assert_int_equal(status.code, DT_USAGE);
    assert_string_equal(status.text, expected);
}

/* What the walk says of an option. */
typedef struct shown {
    const char *name;
    char value[ROOM];
    bool set, quoted, given;
    dt_effect effect;
    int times;
} shown;

static void keep_value(void *context, const dt_setting *setting) {
    shown *found = context;
    if (strcmp(setting->name, found->name) != 0)
        return;
    found->set = setting->value != NULL;
    found->quoted = setting->quoted;
    found->given = setting->given;
    found->effect = setting->effect;
    found->times++;
    snprintf(found->value, sizeof found->value, "%s", setting->value ? setting->value : "");
}

static shown walk_to(const dt_options *options, const char *name) {
    shown found = {.name = name};
    options->walk(options, keep_value, &found);
    return found;
}

static void accept_number(const dt_option *option, double value) {
    dt_command_line line;
    char text[ROOM];
    snprintf(text, sizeof text, "%.17g", value);
    assert_ok(parse_value(&line, option, text));
    shown found = walk_to(&line.options, option->name);
    assert_int_equal(found.times, 1);
    assert_false(found.quoted);
    if (option->kind == DT_OPTION_FLOAT)
        assert_true(strtof(found.value, NULL) == (float)value);
    else
        assert_true(strtod(found.value, NULL) == value);
}

static void refuse_number(const dt_option *option, double value) {
    char text[ROOM];
    snprintf(text, sizeof text, "%.17g", value);
    refuse_value(option, text);
}

static bool is_number(const dt_option *option) {
    return option->kind <= DT_OPTION_FLOAT;
}

static bool takes_value(const dt_option *option) {
    return option->kind <= DT_OPTION_TEXT;
}

/* Calls `check` on all options that `belongs` picks; there must be some. */
static void for_options(bool (*belongs)(const dt_option *), void (*check)(const dt_option *)) {
    int checked = 0;
    for (int row = 0; row < dt_option_table_count(); row++)
        if (belongs(dt_option_table_row(row))) {
            check(dt_option_table_row(row));
            checked++;
        }
    assert_true(checked > 0);
}

static void check_limits(const dt_option *option) {
    if (option->kind == DT_OPTION_SEED)
        return;
    dt_limits limits = option->limits;
    bool whole = option->kind == DT_OPTION_COUNT;
    assert_true(limits.low < limits.high);
    double below = whole ? limits.low - 1 : nextafter(limits.low, -INFINITY);
    double above = whole ? limits.high + 1 : nextafter(limits.high, INFINITY);
    refuse_number(option, limits.low_open ? limits.low : below);
    refuse_number(option, limits.high_open ? limits.high : above);
    accept_number(option, limits.low_open ? nextafter(limits.low, INFINITY) : limits.low);
    accept_number(option, limits.high_open ? nextafter(limits.high, -INFINITY) : limits.high);
}

static void test_limits_of_numbers(void **state) {
    (void)state;
    for_options(is_number, check_limits);
}

static void check_junk(const dt_option *option) {
    static const char *const junk[] = {"",      "-1",    "x",     "1x",      "1 ", " 1",       "nan",
                                       "NaN",   "inf",   "-inf",  "0x1",     "1e", "--",       "1,5",
                                       "1e999", "-1e-3", "1.2.3", "1e-2e-3", "٣",  "infinity", "+"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
        refuse_value(option, junk[i]);
    if (option->kind == DT_OPTION_COUNT || option->kind == DT_OPTION_SEED) {
        refuse_value(option, "1.5");
        refuse_value(option, "1e1");
        refuse_value(option, "18446744073709551616");
        refuse_value(option, "99999999999999999999999999");
    }
    if (option->kind == DT_OPTION_COUNT) {
        refuse_value(option, "2147483648");
        refuse_value(option, "4294967297");
        refuse_value(option, "18446744073709551615");
    }
}

static void test_junk_is_no_number(void **state) {
    (void)state;
    for_options(is_number, check_junk);
}

static void test_all_seeds(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "--seed", "0"));
    assert_true(line.options.seed == 0);
    assert_ok(PARSE(&line, "--seed=9223372036854775807"));
    assert_true(line.options.seed == INT64_MAX);
    assert_false(walk_to(&line.options, "seed").quoted);
    assert_ok(PARSE(&line, "--seed", "18446744073709551615"));
    assert_true(line.options.seed == UINT64_MAX);
    assert_true(walk_to(&line.options, "seed").quoted);
    assert_string_equal(walk_to(&line.options, "seed").value, "18446744073709551615");
}

static bool is_choice(const dt_option *option) {
    return option->kind == DT_OPTION_CHOICE;
}

static void check_choices(const dt_option *option) {
    int count = 0;
    for (const dt_choice *choice = option->choices; choice->name; choice++, count++) {
        dt_command_line line;
        int value;
        assert_ok(parse_value(&line, option, choice->name));
        memcpy(&value, (char *)&line.options + option->offset, sizeof value);
        assert_int_equal(value, choice->value);
        assert_string_equal(walk_to(&line.options, option->name).value, choice->name);
        assert_true(walk_to(&line.options, option->name).quoted);
    }
    assert_true(count >= 1 && count < DT_MAX_CHOICES);
    refuse_value(option, "");
    refuse_value(option, "0");
    refuse_value(option, "Rows");
    char longer[ROOM];
    snprintf(longer, sizeof longer, "%sx", option->initial);
    refuse_value(option, longer);
    snprintf(longer, sizeof longer, "%.2s", option->initial);
    refuse_value(option, longer);
}

static void test_choices(void **state) {
    (void)state;
    for_options(is_choice, check_choices);
}

static const dt_option *find(const char *name) {
    for (int row = 0; row < dt_option_table_count(); row++)
        if (strcmp(dt_option_table_row(row)->name, name) == 0)
            return dt_option_table_row(row);
    fail_msg("no option --%s", name);
    abort();
}

/* A choice's name is the name that the module itself gives to the value. */
static void test_choices_are_named_as_elsewhere(void **state) {
    (void)state;
    for (const dt_choice *choice = find("engine")->choices; choice->name; choice++)
        assert_string_equal(choice->name, dt_engine_name((dt_engine)choice->value));
    for (const dt_choice *choice = find("strategy")->choices; choice->name; choice++)
        assert_string_equal(choice->name, dt_strategy_name((dt_strategy_kind)choice->value));
    for (const dt_choice *choice = find("precision")->choices; choice->name; choice++)
        assert_string_equal(choice->name, dt_precision_name((dt_precision)choice->value));
    for (const dt_choice *choice = find("wire")->choices; choice->name; choice++)
        assert_string_equal(choice->name, dt_wire_name((dt_wire)choice->value));
    for (const dt_choice *choice = find("isa")->choices; choice->name; choice++)
        if (choice->value != DT_ISA_BEST)
            assert_string_equal(choice->name, dt_isa_name((dt_isa)choice->value));
}

static void test_texts(void **state) {
    (void)state;
    dt_command_line line;
    refuse_value(find("data"), "");
    refuse_value(find("out"), "");
    assert_ok(PARSE(&line, "--data", "synthetic:100", "--out=a b"));
    assert_string_equal(line.options.data, "synthetic:100");
    assert_string_equal(line.options.out, "a b");
    assert_true(walk_to(&line.options, "data").set);
}

static void refuse_all(const char *name, const char *const *values) {
    for (; *values; values++)
        refuse_value(find(name), *values);
}

static void test_durations(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
        int seconds;
    } cases[] = {{"3h50m", "3h50m", 13800}, {"90s", "1m30s", 90},
                 {"2h", "2h", 7200},        {"10min", "10m", 600},
                 {"1h0m5s", "1h5s", 3605},  {"1s", "1s", 1},
                 {"90min", "1h30m", 5400},  {"596523h", "596523h", 2147482800}};
    dt_command_line line;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(parse_value(&line, find("max-time"), cases[i].text));
        assert_int_equal(line.options.max_time, cases[i].seconds);
        assert_string_equal(walk_to(&line.options, "max-time").value, cases[i].shown);
    }
    refuse_all("max-time", (const char *const[]){"", "0", "5", "0s", "h", "5m3h", "3h4h", "1h-5m", "3 h",
                                                 "1.5h", "-1s", "1d", "none", "596524h",
                                                 "99999999999999999999999s", "1hx", "10mi", NULL});
    assert_ok(PARSE(&line, NULL));
    assert_int_equal(line.options.max_time, 0);
    assert_false(walk_to(&line.options, "max-time").set);
}

static void test_intervals(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
        dt_interval_unit unit;
        int amount;
    } cases[] = {{"1epoch", "1epoch", DT_INTERVAL_EPOCHS, 1},
                 {"3epochs", "3epochs", DT_INTERVAL_EPOCHS, 3},
                 {"500steps", "500steps", DT_INTERVAL_STEPS, 500},
                 {"1step", "1step", DT_INTERVAL_STEPS, 1},
                 {"10min", "10m", DT_INTERVAL_SECONDS, 600},
                 {"1h30m", "1h30m", DT_INTERVAL_SECONDS, 5400},
                 {"none", "none", DT_INTERVAL_NONE, 0}};
    dt_command_line line;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(parse_value(&line, find("checkpoint-every"), cases[i].text));
        assert_int_equal(line.options.checkpoint_every.unit, cases[i].unit);
        assert_int_equal(line.options.checkpoint_every.amount, cases[i].amount);
        assert_string_equal(walk_to(&line.options, "checkpoint-every").value, cases[i].shown);
    }
    refuse_all("checkpoint-every",
               (const char *const[]){"", "epoch", "0epoch", "0steps", "500", "5 steps", "-1epoch", "1epochh",
                                     "2147483648steps", "None", "1.5epochs", NULL});
}

/* Its value may follow, may stand behind "=", or be left out. */
static void test_resume(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, NULL));
    assert_null(line.options.resume);
    assert_ok(PARSE(&line, "--resume"));
    assert_string_equal(line.options.resume, "");
    assert_ok(PARSE(&line, "--resume", "--batch", "3"));
    assert_string_equal(line.options.resume, "");
    assert_int_equal(line.options.batch, 3);
    assert_ok(PARSE(&line, "--resume", "some/file.h5", "train", "--batch", "3"));
    assert_string_equal(line.options.resume, "some/file.h5");
    assert_int_equal(line.options.batch, 3);
    assert_int_equal(line.command, DT_COMMAND_TRAIN);
    assert_ok(PARSE(&line, "--resu=folder"));
    assert_string_equal(line.options.resume, "folder");
    assert_ok(PARSE(&line, "--resume", "train"));
    assert_string_equal(line.options.resume, "");
    assert_fails(PARSE(&line, "--resume="), DT_USAGE,
                 "--resume: '' is not allowed: a name that is not empty");
    assert_fails(PARSE(&line, "--resume", "--quiet", "folder"), DT_USAGE, "'folder' is not a command");
}

static void test_defaults_are_the_seed_run(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, NULL));
    dt_options options = line.options;
    assert_int_equal(line.command, DT_COMMAND_TRAIN);
    assert_null(options.data);
    assert_int_equal(options.batch, 64);
    assert_int_equal(options.epochs, 10);
    assert_true(options.adam.lr == 1e-3 && options.adam.beta1 == 0.9 && options.adam.beta2 == 0.999 &&
                options.adam.epsilon == 1e-8);
    assert_true(options.seed == 1);
    assert_true(options.network.dropout == 0.5f && options.network.width == 1);
    assert_int_equal(options.network.bn_axis, DT_BN_ROWS);
    assert_int_equal(options.network.bn_layers, DT_BN_ALL);
    assert_int_equal(options.validation, 5000);
    assert_int_equal(options.train_limit | options.test_limit | options.max_steps | options.threads, 0);
    assert_int_equal(options.strategy, DT_STRATEGY_AUTO);
    assert_int_equal(options.grid, DT_GRID_AUTO);
    assert_int_equal(options.check_replicas | options.node_ranks, 0);
    assert_null(options.plan_ranks);
    assert_true(options.link_gbits == 0 && options.link_us == 0);
    assert_int_equal(options.engine, DT_ENGINE_AUTO);
    assert_int_equal(options.isa, DT_ISA_BEST);
    assert_string_equal(options.methods, "auto");
    assert_false(options.tune);
    assert_int_equal(options.precision, DT_PRECISION_FP32);
    assert_int_equal(options.wire, DT_WIRE_FP32);
    assert_string_equal(options.out, "run");
    assert_false(options.quiet);
    assert_int_equal(options.checkpoint_every.unit, DT_INTERVAL_EPOCHS);
    assert_int_equal(options.checkpoint_every.amount, 1);
    assert_int_equal(options.keep, 3);
    assert_false(options.checkpoint_required || options.override);
    assert_true(!options.resume && !options.init && options.max_time == 0);
    assert_int_equal(options.on_nan, DT_ON_NAN_STOP);
    assert_int_equal(options.stall_timeout, 300);
    assert_false(walk_to(&options, "data").set);
    assert_string_equal(walk_to(&options, "quiet").value, "false");
}

/* The numbers of ranks, as one word or several; any other word is an argument again. */
static void test_ranks_have_a_short_form(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "plan", "-N", "2,4,8", "--width=0.5"));
    assert_string_equal(line.options.plan_ranks, "2,4,8");
    assert_ok(PARSE(&line, "plan", "-N", "2", "4,6", "8", "--width=0.5"));
    assert_string_equal(line.options.plan_ranks, "2,4,6,8");
    assert_true(line.options.network.width == 0.5);
    assert_ok(PARSE(&line, "-N2", "4", "plan"));
    assert_true(walk_to(&line.options, "ranks").given);
    assert_int_equal(line.command, DT_COMMAND_PLAN);
    assert_string_equal(line.options.plan_ranks, "2,4");
    assert_fails(PARSE(&line, "plan", "-N", "2", "--quiet", "4"), DT_USAGE, "'4': an argument too many");
    assert_fails(PARSE(&line, "plan", "-N"), DT_USAGE, "-N");
    char digits[DT_LIST_ROOM];
    memset(digits, '1', sizeof digits - 1);
    digits[sizeof digits - 1] = '\0';
    assert_fails(PARSE(&line, "plan", "-N", "2", digits), DT_USAGE, "--ranks: more than 255 letters");
}

static void test_each_option_has_its_field(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "--data=d", "--validation=2", "--train-limit=3", "--test-limit=4", "--epochs=5",
                    "--batch=6", "--max-steps=7", "--lr=0.25", "--beta1=0.5", "--beta2=0.75", "--eps=0.125",
                    "--seed=8", "--width=2", "--dropout=0.25", "--bn-axis=channels", "--bn-layers=none",
                    "--threads=9", "--strategy=hybrid", "--grid=node", "--check-replicas=10",
                    "--link-gbits=1.5", "--link-us=2.5", "--engine=blas", "--isa=avx2", "--precision=bf16",
                    "--wire=bf16", "--methods=m", "--out=o", "--quiet"));
    dt_options options = line.options;
    assert_ok(PARSE(&line, "plan", "--ranks=2,4", "--node-ranks=11"));
    assert_string_equal(line.options.plan_ranks, "2,4");
    assert_int_equal(line.options.node_ranks, 11);
    assert_ok(PARSE(&line, "info", "--tune"));
    assert_true(line.options.tune);
    assert_ok(PARSE(&line, "inspect", "--json", "file"));
    assert_true(line.options.json);
    assert_ok(PARSE(&line, "--keep=10", "--checkpoint-required", "--override", "--init=i", "--on-nan=rewind",
                    "--stall-timeout=11", "--max-time=12s", "--checkpoint-every=13steps", "--resume=r"));
    assert_int_equal(line.options.keep, 10);
    assert_true(line.options.checkpoint_required && line.options.override);
    assert_string_equal(line.options.init, "i");
    assert_string_equal(line.options.resume, "r");
    assert_int_equal(line.options.on_nan, DT_ON_NAN_REWIND);
    assert_int_equal(line.options.stall_timeout, 11);
    assert_int_equal(line.options.max_time, 12);
    assert_int_equal(line.options.checkpoint_every.amount, 13);
    assert_string_equal(options.data, "d");
    assert_string_equal(options.out, "o");
    assert_int_equal(options.validation, 2);
    assert_int_equal(options.train_limit, 3);
    assert_int_equal(options.test_limit, 4);
    assert_int_equal(options.epochs, 5);
    assert_int_equal(options.batch, 6);
    assert_int_equal(options.max_steps, 7);
    assert_true(options.seed == 8);
    assert_int_equal(options.threads, 9);
    assert_true(options.adam.lr == 0.25 && options.adam.beta1 == 0.5 && options.adam.beta2 == 0.75 &&
                options.adam.epsilon == 0.125);
    assert_true(options.network.width == 2 && options.network.dropout == 0.25f);
    assert_int_equal(options.network.bn_axis, DT_BN_CHANNELS);
    assert_int_equal(options.network.bn_layers, DT_BN_NONE);
    assert_int_equal(options.strategy, DT_STRATEGY_HYBRID);
    assert_int_equal(options.grid, DT_GRID_NODE);
    assert_int_equal(options.check_replicas, 10);
    assert_true(options.link_gbits == 1.5 && options.link_us == 2.5);
    assert_int_equal(options.engine, DT_ENGINE_BLAS);
    assert_int_equal(options.isa, DT_ISA_AVX2);
    assert_string_equal(options.methods, "m");
    assert_int_equal(options.precision, DT_PRECISION_BF16);
    assert_int_equal(options.wire, DT_WIRE_BF16);
    assert_true(options.quiet);
}

static bool has_initial(const dt_option *option) {
    return option->initial != NULL;
}

/* Saying the default aloud changes nothing, and the walk shows it. */
static void check_initial(const dt_option *option) {
    dt_command_line silent, said;
    assert_ok(PARSE(&silent, NULL));
    assert_ok(parse_value(&said, option, option->initial));
    assert_false(walk_to(&silent.options, option->name).given);
    assert_true(walk_to(&said.options, option->name).given);
    shown a = walk_to(&silent.options, option->name), b = walk_to(&said.options, option->name);
    assert_string_equal(a.value, b.value);
    assert_int_equal(a.times, 1);
    if (is_number(option))
        assert_true(strtod(a.value, NULL) == strtod(option->initial, NULL));
    else
        assert_string_equal(a.value, option->initial);
}

static void test_initial_values(void **state) {
    (void)state;
    for_options(has_initial, check_initial);
}

static void check_missing(const dt_option *option) {
    dt_command_line line;
    char name[ROOM], expected[ROOM], allowed[ROOM];
    snprintf(name, sizeof name, "--%s", option->name);
    snprintf(expected, sizeof expected, "--%s: no value is given: %s", option->name,
             dt_option_values_allowed(option, allowed, sizeof allowed));
    assert_fails(PARSE(&line, "--quiet", name), DT_USAGE, expected);
}

static void test_missing_values(void **state) {
    (void)state;
    for_options(takes_value, check_missing);
}

static bool takes_none(const dt_option *option) {
    return option->kind == DT_OPTION_FLAG || option->kind == DT_OPTION_COMMAND;
}

static void check_surplus(const dt_option *option) {
    dt_command_line line;
    char word[ROOM];
    snprintf(word, sizeof word, "--%s=yes", option->name);
    assert_fails(PARSE(&line, word), DT_USAGE, "'yes' is not allowed: the option takes no value");
}

static void test_surplus_values(void **state) {
    (void)state;
    for_options(takes_none, check_surplus);
}

static void test_unknown_options(void **state) {
    (void)state;
    dt_command_line line;
    assert_fails(PARSE(&line, "--batch", "8", "--momentum=1"), DT_USAGE, "--momentum: no such option (");
    assert_fails(PARSE(&line, "--bach", "3"), DT_USAGE, "--bach: no such option; did you mean --batch?");
    assert_fails(PARSE(&line, "--bn_axis=rows"), DT_USAGE, "did you mean --bn-axis?");
    assert_fails(PARSE(&line, "--treads", "3"), DT_USAGE, "did you mean --threads?");
    assert_fails(PARSE(&line, "-b", "3"), DT_USAGE, "-b: no such option");
    assert_fails(PARSE(&line, "--seed", "5", "-xyz"), DT_USAGE, "-xyz: no such option");
    assert_fails(PARSE(&line, "--="), DT_USAGE, "--: no such option");
    char long_word[2000];
    memset(long_word, 'a', sizeof long_word);
    memcpy(long_word, "--", 2);
    long_word[sizeof long_word - 1] = '\0';
    assert_fails(PARSE(&line, long_word), DT_USAGE, "no such option");
    assert_fails(PARSE(&line, "--batch", long_word), DT_USAGE, "a whole number from 1 to 65536");
}

static void test_abbreviations(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "--epo", "3", "--th=2", "--q"));
    assert_int_equal(line.options.epochs, 3);
    assert_int_equal(line.options.threads, 2);
    assert_true(line.options.quiet);
    assert_fails(PARSE(&line, "--ep", "3"), DT_USAGE, "--ep: could be --epochs or --eps");
    assert_fails(PARSE(&line, "--epo", "x"), DT_USAGE, "--epochs: 'x' is not allowed");
}

static void test_commands(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "train", "--batch", "3"));
    assert_int_equal(line.command, DT_COMMAND_TRAIN);
    assert_ok(PARSE(&line, "--seed", "3", "eval"));
    assert_int_equal(line.command, DT_COMMAND_EVAL);
    assert_string_equal(line.options.weights, "run");
    assert_ok(PARSE(&line, "eval", "--out", "other"));
    assert_string_equal(line.options.weights, "other");
    assert_ok(PARSE(&line, "eval", "--quiet", "some.h5", "--test-limit=5"));
    assert_string_equal(line.options.weights, "some.h5");
    assert_int_equal(line.options.test_limit, 5);
    assert_ok(PARSE(&line, "info"));
    assert_int_equal(line.command, DT_COMMAND_INFO);
    assert_ok(PARSE(&line, "--info"));
    assert_int_equal(line.command, DT_COMMAND_INFO);
    assert_ok(PARSE(&line, "train", "--version"));
    assert_int_equal(line.command, DT_COMMAND_VERSION);
    assert_ok(PARSE(&line, "--version", "--help", "info"));
    assert_int_equal(line.command, DT_COMMAND_HELP);
}

static void test_report_paths(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "report", "a", "b"));
    assert_int_equal(line.command, DT_COMMAND_REPORT);
    assert_int_equal(line.path_count, 2);
    assert_string_equal(line.paths[0], "a");
    assert_string_equal(line.paths[1], "b");
    assert_fails(PARSE(&line, "report"), DT_USAGE, "report: no file or folder");
    assert_fails(PARSE(&line, "report", ""), DT_USAGE, "report: '' is not allowed");
    assert_ok(PARSE(&line, "report", "--help"));
    assert_int_equal(line.command, DT_COMMAND_HELP);
    char *words[DT_MAX_PATHS + 4] = {"dtrain", "report"};
    for (int i = 0; i <= DT_MAX_PATHS; i++)
        words[2 + i] = "x";
    assert_fails(dt_options_parse(DT_MAX_PATHS + 3, words, &line), DT_USAGE, "'x': more than 32 files");
    assert_ok(dt_options_parse(DT_MAX_PATHS + 2, words, &line));
}

static void test_wrong_arguments(void **state) {
    (void)state;
    dt_command_line line;
    assert_fails(PARSE(&line, "trian"), DT_USAGE,
                 "'trian' is not a command: train, eval, info, plan, report, inspect or export");
    assert_fails(PARSE(&line, ""), DT_USAGE, "'' is not a command");
    assert_fails(PARSE(&line, "-"), DT_USAGE, "'-' is not a command");
    assert_fails(PARSE(&line, "train", "x"), DT_USAGE, "'x': an argument too many");
    assert_fails(PARSE(&line, "info", "x"), DT_USAGE, "'x': an argument too many");
    assert_fails(PARSE(&line, "eval", "a", "b"), DT_USAGE, "'b': an argument too many");
    assert_fails(PARSE(&line, "eval", ""), DT_USAGE, "eval: '' is not allowed");
    assert_fails(PARSE(&line, "inspect"), DT_USAGE, "inspect: which file? dtrain inspect FILE");
    assert_fails(PARSE(&line, "inspect", "a", "b"), DT_USAGE, "'b': an argument too many: inspect takes one");
    assert_fails(PARSE(&line, "export", "a"), DT_USAGE, "export: which file? dtrain export FILE|DIR OUT.h5");
    assert_fails(PARSE(&line, "export", "a", "b", "c"), DT_USAGE,
                 "'c': an argument too many: export takes two");
    assert_ok(PARSE(&line, "export", "a", "b"));
    assert_string_equal(line.options.weights, "a");
    assert_string_equal(line.options.target, "b");
    assert_fails(PARSE(&line, "--help", "--batch", "0"), DT_USAGE, "--batch: '0'");
}

/* The order of words does not hang on the environment. */
static void test_posixly_correct(void **state) {
    (void)state;
    dt_command_line line;
    setenv("POSIXLY_CORRECT", "1", 1);
    dt_status status = PARSE(&line, "eval", "--quiet", "w");
    unsetenv("POSIXLY_CORRECT");
    assert_ok(status);
    assert_true(line.options.quiet);
    assert_string_equal(line.options.weights, "w");
}

/* A value that the option takes; NULL: it stands without one. */
static const char *some_value(const dt_option *option) {
    switch (option->kind) {
    case DT_OPTION_FLAG:
    case DT_OPTION_COMMAND:
        return NULL;
    case DT_OPTION_DURATION:
        return "1h";
    case DT_OPTION_TEXT:
    case DT_OPTION_TEXT_OR_NOTHING:
        return "2";
    default:
        return option->initial;
    }
}

/* Takes what its row names; refuses the rest and says which commands take it. */
static void check_users(const dt_option *option) {
    dt_command_line line;
    char expected[ROOM], users[WORDS * 4];
    for (int command = 0; command < DT_COMMANDS; command++) {
        if (!is_named(command))
            continue;
        dt_status status = parse_for(&line, (dt_command)command, option, some_value(option));
        snprintf(expected, sizeof expected, "--%s: %s does not use this option: leave it out (%s)",
                 option->name, dt_option_table_command((dt_command)command)->name,
                 dt_option_table_names(option->commands, " and ", users, sizeof users));
        if (dt_option_table_uses((dt_command)command, option))
            assert_ok(status);
        else
            assert_fails(status, DT_USAGE, expected);
    }
}

static bool is_any(const dt_option *option) {
    return option != NULL;
}

static void test_commands_refuse_what_they_do_not_use(void **state) {
    (void)state;
    for_options(is_any, check_users);
    dt_command_line line;
    assert_fails(PARSE(&line, "report", "a", "--lr", "5"), DT_USAGE,
                 "--lr: report does not use this option: leave it out (train)");
    assert_fails(PARSE(&line, "plan", "--json"), DT_USAGE, "--json: plan does not use");
    assert_fails(PARSE(&line, "--resume", "--json"), DT_USAGE, "--json: train does not use");
    assert_fails(PARSE(&line, "--lr", "5", "--info"), DT_USAGE, "--lr: info does not use");
    assert_fails(PARSE(&line, "eval", "--out", "a", "b"), DT_USAGE, "--out: weights are read from 'b'");
    assert_ok(PARSE(&line, "inspect", "a", "--lr", "5", "--help"));
}

static void check_row(const dt_option *option) {
    if (option->effect == DT_EFFECT_UNSTATED || option->commands == 0)
        fail_msg("--%s: its row states no effect or no command", option->name);
    assert_int_equal(option->commands >> DT_COMMANDS, 0);
    if (option->kind == DT_OPTION_COMMAND)
        return;
    /* Nothing but training has results that an effect could be on. */
    if (option->effect == DT_EFFECT_MATHEMATICS)
        assert_true(dt_option_table_uses(DT_COMMAND_TRAIN, option));
    dt_options options = dt_options_default();
    assert_int_equal(walk_to(&options, option->name).effect, option->effect);
}

static void test_rows_state_effect_and_commands(void **state) {
    (void)state;
    for_options(is_any, check_row);
}

static void test_last_one_wins(void **state) {
    (void)state;
    dt_command_line line;
    assert_ok(PARSE(&line, "--batch", "3", "--batch=4"));
    assert_int_equal(line.options.batch, 4);
}

/* --help in one line: argp wraps it as it likes. */
static char *help_in_one_line(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    dt_options_print_help(stream);
    fclose(stream);
    char *write = text;
    for (const char *read = text; *read; read++)
        if (!isspace((unsigned char)*read) || (write > text && write[-1] != ' '))
            *write++ = isspace((unsigned char)*read) ? ' ' : *read;
    *write = '\0';
    return text;
}

static void test_help_lists_every_option_with_its_default(void **state) {
    (void)state;
    char *help = help_in_one_line();
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        const char *value = option->otherwise ? option->otherwise : option->initial;
        char expected[2 * ROOM];
        snprintf(expected, sizeof expected, " --%s", option->name);
        assert_non_null(strstr(help, expected));
        char users[WORDS * 4];
        dt_option_table_names(option->commands, ", ", users, sizeof users);
        snprintf(expected, sizeof expected, value ? "%s (default: %s) [%s]" : "%s", option->text, value,
                 users);
        if (!strstr(help, expected))
            fail_msg("--help lacks '%s'", expected);
        assert_true(value || option->kind == DT_OPTION_COMMAND);
    }
    free(help);
}

static char *read_document(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("DT_TEST_SOURCE_DIR"), name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = NULL;
    size_t size = 0;
    assert_true(getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    return text;
}

static bool is_option(const char *name, size_t length) {
    for (int row = 0; row < dt_option_table_count(); row++)
        if (strlen(dt_option_table_row(row)->name) == length &&
            strncmp(dt_option_table_row(row)->name, name, length) == 0)
            return true;
    return false;
}

/* The options behind the word dtrain, up to the end of the line or of the quotation. */
static void check_commands_in(char *text, const char *document) {
    for (char *at = strstr(text, "dtrain "); at; at = strstr(at, "dtrain ")) {
        size_t length = strcspn(at, "\n`|#");
        char *end = at + length, *option = at;
        while ((option = strstr(option, " --")) && option < end) {
            option += strlen(" --");
            size_t name = strspn(option, "abcdefghijklmnopqrstuvwxyz0123456789-");
            if (!is_option(option, name))
                fail_msg("%s: dtrain has no option --%.*s", document, (int)name, option);
        }
        at = end;
    }
}

static void test_options_in_docs(void **state) {
    (void)state;
    static const char *const documents[] = {
        "README.md",          "docs/resume.md",  "docs/checkpoints.md", "docs/performance.md",
        "docs/strategies.md", "docs/scaling.md", "docs/results.md",     "slurm/README.md"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        char *text = read_document(documents[i]);
        check_commands_in(text, documents[i]);
        free(text);
    }
}

/* Whether the sentence from `begin` to the next full stop names the option. */
static bool sentence_names(const char *text, const char *begin, const dt_option *option) {
    const char *sentence = strstr(text, begin);
    assert_non_null(sentence);
    char quoted[ROOM];
    snprintf(quoted, sizeof quoted, "`--%s`", option->name);
    const char *end = strstr(sentence, "."), *found = strstr(sentence, quoted);
    return found && end && found < end;
}

/* docs/resume.md lists the options of each effect. */
static void test_effects_in_docs(void **state) {
    (void)state;
    char *text = read_document("docs/resume.md");
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        bool mathematics = sentence_names(text, "These options are the mathematics", option);
        bool bits = sentence_names(text, "These change the last bits", option);
        if (mathematics != (option->effect == DT_EFFECT_MATHEMATICS) ||
            bits != (option->effect == DT_EFFECT_BITS))
            fail_msg("docs/resume.md lists --%s among options of another effect", option->name);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_of_numbers),
        cmocka_unit_test(test_junk_is_no_number),
        cmocka_unit_test(test_all_seeds),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_choices_are_named_as_elsewhere),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_defaults_are_the_seed_run),
        cmocka_unit_test(test_ranks_have_a_short_form),
        cmocka_unit_test(test_each_option_has_its_field),
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_missing_values),
        cmocka_unit_test(test_surplus_values),
        cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_abbreviations),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_report_paths),
        cmocka_unit_test(test_posixly_correct),
        cmocka_unit_test(test_commands_refuse_what_they_do_not_use),
        cmocka_unit_test(test_rows_state_effect_and_commands),
        cmocka_unit_test(test_options_in_docs),
        cmocka_unit_test(test_effects_in_docs),
        cmocka_unit_test(test_last_one_wins),
        cmocka_unit_test(test_help_lists_every_option_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
