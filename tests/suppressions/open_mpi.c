/* SPDX-License-Identifier: BSD-3-Clause */
/* Linked into programs that are built with AddressSanitizer, so that lsan.txt can name what Open MPI leaks.
 */

/* The leaks of a plugin that was unloaded have no name any more; so plugins stay. Link with -rdynamic: the
 * calls come from shared libraries. */
int dlclose(void *handle);
int dlclose(void *handle) {
    (void)handle;
    return 0;
}

/* Some leaks are made through functions of the C library without frame pointers: only the thorough unwinder
 * sees who called. And the leak checker takes what stands in front of a library's thread-local memory for its
 * size, which on some machines lets it read where nothing is ("Tracer caught signal 11"); without following
 * such memory it does not. ASAN_OPTIONS adds to this. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "fast_unwind_on_malloc=0:intercept_tls_get_addr=0";
}
