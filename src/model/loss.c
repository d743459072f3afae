/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax, cross-entropy, and exact sums of losses. */
#include "model/loss.h"

#include <math.h>

/* Losses are summed as multiples of 2^-32: 2^20 samples of loss 2^11 fit, and rounding is 1e-10 of a loss
 * near 1. Single losses beyond the cap are counted as the cap. */
static const double loss_unit = 0x1p32, loss_cap = DT_LOSS_CAP;

static int argmax(const float *logits) {
    int best = 0;
    for (int i = 1; i < DT_LOGITS; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* exp(logit - largest) of each class; returns their sum. */
static double exponentials(const float *logits, double *exponential) {
    double largest = logits[argmax(logits)], sum = 0.0;
    for (int i = 0; i < DT_LOGITS; i++) {
        exponential[i] = exp(logits[i] - largest);
        sum += exponential[i];
    }
    return sum;
}

void dt_loss_measure(int samples, const float *logits, const uint8_t *labels, dt_totals *totals) {
    for (int n = 0; n < samples; n++, logits += DT_LOGITS) {
        double exponential[DT_LOGITS];
        int best = argmax(logits);
        double loss =
            log(exponentials(logits, exponential)) + (double)logits[best] - (double)logits[labels[n]];
        totals->samples++;
        if (isfinite(loss)) {
            totals->loss += llround(fmin(loss, loss_cap) * loss_unit);
            totals->correct += best == labels[n];
        } else {
            totals->not_finite++;
        }
    }
}

void dt_loss_gradient(int samples, int batch, const float *logits, const uint8_t *labels, float *gradient) {
    for (int n = 0; n < samples; n++, logits += DT_LOGITS, gradient += DT_LOGITS) {
        double exponential[DT_LOGITS];
        double sum = exponentials(logits, exponential);
        for (int i = 0; i < DT_LOGITS; i++)
            gradient[i] = (float)((exponential[i] / sum - (i == labels[n])) / batch);
    }
}

void dt_loss_probabilities(int samples, const float *logits, float *probabilities) {
    for (int n = 0; n < samples; n++, logits += DT_LOGITS, probabilities += DT_LOGITS) {
        double exponential[DT_LOGITS];
        double sum = exponentials(logits, exponential);
        for (int i = 0; i < DT_LOGITS; i++)
            probabilities[i] = (float)(exponential[i] / sum);
    }
}

double dt_totals_loss(dt_totals totals) {
    if (totals.not_finite > 0)
        return NAN;
    return totals.samples ? (double)totals.loss / loss_unit / (double)totals.samples : 0.0;
}

double dt_totals_accuracy(dt_totals totals) {
    return totals.samples ? (double)totals.correct / (double)totals.samples : 0.0;
}

dt_totals dt_totals_add(dt_totals a, dt_totals b) {
    return (dt_totals){a.loss + b.loss, a.correct + b.correct, a.samples + b.samples,
                       a.not_finite + b.not_finite};
}
