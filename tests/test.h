/* SPDX-License-Identifier: BSD-3-Clause */
/* cmocka with what it needs in front of it, and asserts on statuses. */
#ifndef DTRAIN_TESTS_TEST_H
#define DTRAIN_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dtrain/status.h"

/* The call must succeed; its message is printed when it does not. */
#define assert_ok(call)                                       \
    do {                                                      \
        dt_status assert_ok_status = (call);                  \
        if (dt_failed(&assert_ok_status))                     \
            fail_msg("%s: %s", #call, assert_ok_status.text); \
    } while (0)

/* The call must fail with this code and a message that contains the text. */
#define assert_fails(call, expected_code, part)                                                          \
    do {                                                                                                 \
        dt_status assert_fails_status = (call);                                                          \
        if (assert_fails_status.code != (expected_code))                                                 \
            fail_msg("%s: code %d: %s", #call, (int)assert_fails_status.code, assert_fails_status.text); \
        if (!strstr(assert_fails_status.text, (part)))                                                   \
            fail_msg("%s: '%s' is not in: %s", #call, (part), assert_fails_status.text);                 \
    } while (0)

#endif
