/* SPDX-License-Identifier: BSD-3-Clause */
/* A library that is loaded along and sets a locale with a decimal comma before main, as some do. Says so in
 * the file that DT_TEST_MARK names. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void set_locale(void) {
    const char *mark = getenv("DT_TEST_MARK");
    setlocale(LC_ALL, "de_DE.UTF-8");
    FILE *file = mark ? fopen(mark, "w") : NULL;
    if (file) {
        fprintf(file, "%.1f\n", 0.5);
        fclose(file);
    }
}
