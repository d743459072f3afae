/* SPDX-License-Identifier: BSD-3-Clause */
/* The control word of a thread's floating-point unit. */
#include "dtrain/denormals.h"

#include <float.h>

#if defined(__x86_64__)

/* MXCSR: bit 15 flushes results, bit 6 takes operands as 0. Every x86-64 CPU has both. */
void dt_denormals_flush(void) {
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 1u << 15 | 1u << 6);
}

#elif defined(__aarch64__)

/* FPCR: bit 24 flushes operands and results. */
void dt_denormals_flush(void) {
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | 1ul << 24));
}

#else

void dt_denormals_flush(void) {
}

#endif

bool dt_denormals_flushed(void) {
    volatile float smallest = FLT_MIN, half = 0.5f;
    volatile float result = smallest * half, operand = FLT_MIN / 2;
    volatile float doubled = operand * 2;
    return result == 0 && doubled == 0;
}
