/* SPDX-License-Identifier: BSD-3-Clause */
/* Lifelines. */
#include "train/lifeline.h"

#include <errno.h>
#include <string.h>

dt_status dt_lifeline_hold(dt_lifeline *line) {
    pthread_mutexattr_t attributes;
    int failure = pthread_mutexattr_init(&attributes);
    atomic_init(&line->cut, false);
    if (!failure) {
        failure = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        if (!failure)
            failure = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        if (!failure)
            failure = pthread_mutex_init(&line->mutex, &attributes);
        pthread_mutexattr_destroy(&attributes);
    }
    if (!failure)
        failure = pthread_mutex_lock(&line->mutex);
    return failure ? dt_fail(DT_MACHINE, "no robust mutex to see by whether a rank has ended: %s",
                             strerror(failure))
                   : dt_ok();
}

void dt_lifeline_let_go(dt_lifeline *line) {
    pthread_mutex_unlock(&line->mutex);
}

/* The mutex tells of a dead owner once; what it says later differs between libraries, so that it is written
 * down. */
bool dt_lifeline_is_cut(dt_lifeline *line) {
    if (atomic_load(&line->cut))
        return true;
    int result = pthread_mutex_trylock(&line->mutex);
    if (result == EOWNERDEAD)
        atomic_store(&line->cut, true);
    if (result == 0 || result == EOWNERDEAD)
        pthread_mutex_unlock(&line->mutex);
    return result == EOWNERDEAD;
}
