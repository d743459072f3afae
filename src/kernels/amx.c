/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether tiles may be used. Linux gives a process their state, 8 KB a thread, only when it has asked. */
#include "kernels/amx.h"

#if defined(DT_HAVE_AMX) && defined(__linux__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of CPUID: leaf 1, ECX, and leaf 7, EDX (Intel SDM, volume 2, CPUID); of XCR0 (volume 1, 13.3); of
 * arch_prctl (Linux, Documentation/arch/x86/xstate.rst). */
enum {
    OSXSAVE = 1 << 27,
    AMX_BF16 = 1 << 22,
    AMX_TILE = 1 << 24,
    TILE_STATES = 3 << 17, /* their configuration, their data */
    TILE_DATA = 18,
    ASK_FOR_PERMISSION = 0x1023
};

static bool cpu_has_tiles(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_TILE) && (d & AMX_BF16);
}

static bool system_saves_tiles(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & TILE_STATES) == TILE_STATES;
}

bool dt_amx_allowed(void) {
    return cpu_has_tiles() && system_saves_tiles() &&
           syscall(SYS_arch_prctl, ASK_FOR_PERMISSION, TILE_DATA) == 0;
}

#else

bool dt_amx_allowed(void) {
    return false;
}

#endif
