/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded in front of the libraries: the one that DT_OTHER_LIBRARY names gives a version that nothing was
 * built with. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release);
const char *zlibVersion(void);
const char *jansson_version_str(void);
unsigned hwloc_get_api_version(void);

static bool is_other(const char *name) {
    const char *other = getenv("DT_OTHER_LIBRARY");
    return other && strcmp(other, name) == 0;
}

int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release) {
    int (*real)(unsigned *, unsigned *, unsigned *);
    *(void **)&real = dlsym(RTLD_NEXT, "H5get_libversion");
    int result = real(major, minor, release);
    if (is_other("HDF5"))
        *minor = 99;
    return result;
}

const char *zlibVersion(void) {
    const char *(*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "zlibVersion");
    return is_other("zlib") ? "9.0.1" : real();
}

const char *jansson_version_str(void) {
    const char *(*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "jansson_version_str");
    return is_other("jansson") ? "9.0.1" : real();
}

unsigned hwloc_get_api_version(void) {
    unsigned (*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "hwloc_get_api_version");
    return is_other("hwloc") ? 0x00090001 : real();
}
