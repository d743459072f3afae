/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranks that are not like rank 0 are named, with the difference. */
#include "test.h"

#include "cli/options.h"
#include "mpi/group.h"
#include "train/fingerprint.h"

static dt_comm *comm;

static bool is_last(void) {
    return dt_comm_rank(comm) == dt_comm_size(comm) - 1;
}

static void test_the_same_everywhere(void **state) {
    (void)state;
    dt_options options = dt_options_default();
    options.threads = 1 + dt_comm_rank(comm);
    assert_ok(dt_fingerprint_check_program(comm, "dtrain 1", &options));
    assert_ok(dt_fingerprint_check_isa(comm, DT_ISA_AVX2));
    assert_ok(dt_fingerprint_check_data(comm, 17));
}

static void test_differences(void **state) {
    (void)state;
    dt_options options = dt_options_default();
    if (is_last())
        options.adam.beta2 = 0.99;
    assert_fails(dt_fingerprint_check_program(comm, "dtrain 1", &options), DT_USAGE,
                 "--beta2 is 0.99 here, but 0.999 on rank 0");
    assert_fails(dt_fingerprint_check_program(comm, "dtrain 1", &options), DT_USAGE, "rank ");
    options = dt_options_default();
    options.data = is_last() ? "here" : NULL;
    assert_fails(dt_fingerprint_check_program(comm, "dtrain 1", &options), DT_USAGE,
                 "--data is here here, but not given on rank 0");
    options = dt_options_default();
    assert_fails(dt_fingerprint_check_program(comm, is_last() ? "dtrain 2" : "dtrain 1", &options),
                 DT_MACHINE, "this is dtrain 2, but dtrain 1 on rank 0");
    assert_fails(dt_fingerprint_check_isa(comm, is_last() ? DT_ISA_AVX2 : DT_ISA_AVX512), DT_MACHINE,
                 "its instruction set is avx2, but avx512 on rank 0");
    assert_fails(dt_fingerprint_check_isa(comm, is_last() ? DT_ISA_AVX512 : DT_ISA_BASELINE), DT_MACHINE,
                 "use --isa baseline");
    assert_fails(dt_fingerprint_check_data(comm, is_last() ? 255 : 17), DT_DATA,
                 "hash 00000000000000ff, but 0000000000000011");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_everywhere),
        cmocka_unit_test(test_differences),
    };
    if (!group_begins(&comm))
        return 1;
    return group_ends(comm, cmocka_run_group_tests(tests, NULL, NULL));
}
