/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax and categorical cross-entropy on logits, in double: ten values a sample cost nothing. Local, thread
 * safe. */
#ifndef DTRAIN_MODEL_LOSS_H
#define DTRAIN_MODEL_LOSS_H

#include "dtrain/model.h"

enum { DT_LOGITS = 10 };

/* Adds the samples' losses and hits to totals. */
void dt_loss_measure(int samples, const float *logits, const uint8_t *labels, dt_totals *totals);

/* The gradient of the mean loss over `batch` samples: (softmax - one-hot) / batch, [samples][10]. */
void dt_loss_gradient(int samples, int batch, const float *logits, const uint8_t *labels, float *gradient);

/* Softmax, [samples][10]. */
void dt_loss_probabilities(int samples, const float *logits, float *probabilities);

#endif
