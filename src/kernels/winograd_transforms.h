/* SPDX-License-Identifier: BSD-3-Clause */
/* Printed by tools/winograd_transforms.c. One direction of each transform of Winograd's minimal
 * filtering F(m, r), named NAME_m_r: input (B^T), filter (G), output (A^T), and for the way back
 * gradient (A), filter_gradient (G^T), input_gradient (B). d and o are indexed by tap, pixel or
 * point; F(3, r) uses the indices of F(4, r)'s points. Included by vector_winograd.h only. */
#ifndef DTRAIN_KERNELS_WINOGRAD_TRANSFORMS_H
#define DTRAIN_KERNELS_WINOGRAD_TRANSFORMS_H

/* clang-format off */

/* Points 0, 3/4, -3/4, 3/2, -3/2, infinity. F(3, 3) has no point 4. */

DT_INLINE void filter_4_3(const vector *d, vector *o) {
    o[0] = (64.0f / 81.0f) * d[0];
    vector even1 = -(128.0f / 243.0f) * d[0] - (8.0f / 27.0f) * d[2];
    vector odd1 = d[1];
    o[1] = even1 - (32.0f / 81.0f) * odd1;
    o[2] = even1 + (32.0f / 81.0f) * odd1;
    vector even3 = (32.0f / 243.0f) * d[0] + (8.0f / 27.0f) * d[2];
    vector odd3 = d[1];
    o[3] = even3 + (16.0f / 81.0f) * odd3;
    o[4] = even3 - (16.0f / 81.0f) * odd3;
    o[5] = d[2];
}

DT_INLINE void filter_gradient_4_3(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    o[0] = (64.0f / 81.0f) * d[0] - (128.0f / 243.0f) * sum1 + (32.0f / 243.0f) * sum3;
    o[1] = -(32.0f / 81.0f) * difference1 + (16.0f / 81.0f) * difference3;
    o[2] = d[5] - (8.0f / 27.0f) * sum1 + (8.0f / 27.0f) * sum3;
}

DT_INLINE void input_4_3(const vector *d, vector *o) {
    o[0] = d[4] + (81.0f / 64.0f) * d[0] - (45.0f / 16.0f) * d[2];
    vector even1 = d[4] - (9.0f / 4.0f) * d[2];
    vector odd1 = d[3] - (9.0f / 4.0f) * d[1];
    o[1] = even1 + (3.0f / 4.0f) * odd1;
    o[2] = even1 - (3.0f / 4.0f) * odd1;
    vector even3 = d[4] - (9.0f / 16.0f) * d[2];
    vector odd3 = d[3] - (9.0f / 16.0f) * d[1];
    o[3] = even3 + (3.0f / 2.0f) * odd3;
    o[4] = even3 - (3.0f / 2.0f) * odd3;
    o[5] = d[5] + (81.0f / 64.0f) * d[1] - (45.0f / 16.0f) * d[3];
}

DT_INLINE void output_4_3(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    o[0] = d[0] + sum1 + sum3;
    o[1] = (3.0f / 4.0f) * difference1 + (3.0f / 2.0f) * difference3;
    o[2] = (9.0f / 16.0f) * sum1 + (9.0f / 4.0f) * sum3;
    o[3] = d[5] + (27.0f / 64.0f) * difference1 + (27.0f / 8.0f) * difference3;
}

DT_INLINE void gradient_4_3(const vector *d, vector *o) {
    o[0] = d[0];
    vector even1 = d[0] + (9.0f / 16.0f) * d[2];
    vector odd1 = d[3] + (16.0f / 9.0f) * d[1];
    o[1] = even1 + (27.0f / 64.0f) * odd1;
    o[2] = even1 - (27.0f / 64.0f) * odd1;
    vector even3 = d[0] + (9.0f / 4.0f) * d[2];
    vector odd3 = d[3] + (4.0f / 9.0f) * d[1];
    o[3] = even3 + (27.0f / 8.0f) * odd3;
    o[4] = even3 - (27.0f / 8.0f) * odd3;
    o[5] = d[3];
}

DT_INLINE void input_gradient_4_3(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    o[0] = (81.0f / 64.0f) * d[0];
    o[1] = -(27.0f / 16.0f) * difference1 - (27.0f / 32.0f) * difference3 + (81.0f / 64.0f) * d[5];
    o[2] = -(45.0f / 16.0f) * d[0] - (9.0f / 4.0f) * sum1 - (9.0f / 16.0f) * sum3;
    o[3] = (3.0f / 4.0f) * difference1 + (3.0f / 2.0f) * difference3 - (45.0f / 16.0f) * d[5];
    o[4] = d[0] + sum1 + sum3;
    o[5] = d[5];
}

DT_INLINE void input_3_3(const vector *d, vector *o) {
    o[0] = (81.0f / 64.0f) * d[0] - (27.0f / 32.0f) * d[1] - (9.0f / 4.0f) * d[2] + (3.0f / 2.0f) * d[3];
    o[1] = -(81.0f / 32.0f) * d[1] - (27.0f / 16.0f) * d[2] + (9.0f / 4.0f) * d[3];
    o[2] = (27.0f / 32.0f) * d[1] - (27.0f / 16.0f) * d[2] + (3.0f / 4.0f) * d[3];
    o[3] = -(27.0f / 16.0f) * d[1] + 3.0f * d[3];
    o[5] = d[4] + (27.0f / 32.0f) * d[1] - (9.0f / 16.0f) * d[2] - (3.0f / 2.0f) * d[3];
}

DT_INLINE void output_3_3(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    o[0] = d[0] + sum1 + d[3];
    o[1] = (3.0f / 4.0f) * difference1 + (3.0f / 2.0f) * d[3];
    o[2] = d[5] + (9.0f / 16.0f) * sum1 + (9.0f / 4.0f) * d[3];
}

DT_INLINE void gradient_3_3(const vector *d, vector *o) {
    o[0] = d[0];
    vector even1 = d[0] + (9.0f / 16.0f) * d[2];
    vector odd1 = d[1];
    o[1] = even1 + (3.0f / 4.0f) * odd1;
    o[2] = even1 - (3.0f / 4.0f) * odd1;
    o[3] = d[0] + (3.0f / 2.0f) * d[1] + (9.0f / 4.0f) * d[2];
    o[5] = d[2];
}

DT_INLINE void input_gradient_3_3(const vector *d, vector *o) {
    o[0] = (81.0f / 64.0f) * d[0];
    o[1] = -(27.0f / 32.0f) * d[0] - (81.0f / 32.0f) * d[1] + (27.0f / 32.0f) * d[2] - (27.0f / 16.0f) * d[3] + (27.0f / 32.0f) * d[5];
    o[2] = -(9.0f / 4.0f) * d[0] - (27.0f / 16.0f) * d[1] - (27.0f / 16.0f) * d[2] - (9.0f / 16.0f) * d[5];
    o[3] = (3.0f / 2.0f) * d[0] + (9.0f / 4.0f) * d[1] + (3.0f / 4.0f) * d[2] + 3.0f * d[3] - (3.0f / 2.0f) * d[5];
    o[4] = d[5];
}

/* Points 0, 1, -1, 2, -2, 1/2, -1/2, infinity. F(3, 5) has no point 6. */

DT_INLINE void filter_4_5(const vector *d, vector *o) {
    o[0] = -d[0];
    vector even1 = -(2.0f / 9.0f) * d[0] - (2.0f / 9.0f) * d[2] - (2.0f / 9.0f) * d[4];
    vector odd1 = d[1] + d[3];
    o[1] = even1 - (2.0f / 9.0f) * odd1;
    o[2] = even1 + (2.0f / 9.0f) * odd1;
    vector even3 = (1.0f / 90.0f) * d[0] + (2.0f / 45.0f) * d[2] + (8.0f / 45.0f) * d[4];
    vector odd3 = d[3] + (1.0f / 4.0f) * d[1];
    o[3] = even3 + (4.0f / 45.0f) * odd3;
    o[4] = even3 - (4.0f / 45.0f) * odd3;
    vector even5 = (32.0f / 45.0f) * d[0] + (8.0f / 45.0f) * d[2] + (2.0f / 45.0f) * d[4];
    vector odd5 = d[3] + 4.0f * d[1];
    o[5] = even5 + (4.0f / 45.0f) * odd5;
    o[6] = even5 - (4.0f / 45.0f) * odd5;
    o[7] = d[4];
}

DT_INLINE void filter_gradient_4_5(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    vector sum5 = d[5] + d[6], difference5 = d[5] - d[6];
    o[0] = -(2.0f / 9.0f) * sum1 + (1.0f / 90.0f) * sum3 + (32.0f / 45.0f) * sum5 - d[0];
    o[1] = -(2.0f / 9.0f) * difference1 + (1.0f / 45.0f) * difference3 + (16.0f / 45.0f) * difference5;
    o[2] = -(2.0f / 9.0f) * sum1 + (2.0f / 45.0f) * sum3 + (8.0f / 45.0f) * sum5;
    o[3] = -(2.0f / 9.0f) * difference1 + (4.0f / 45.0f) * difference3 + (4.0f / 45.0f) * difference5;
    o[4] = d[7] - (2.0f / 9.0f) * sum1 + (8.0f / 45.0f) * sum3 + (2.0f / 45.0f) * sum5;
}

DT_INLINE void input_4_5(const vector *d, vector *o) {
    o[0] = d[6] + (21.0f / 4.0f) * d[2] - (21.0f / 4.0f) * d[4] - d[0];
    vector even1 = d[2] - (17.0f / 4.0f) * d[4] + d[6];
    vector odd1 = d[1] - (17.0f / 4.0f) * d[3] + d[5];
    o[1] = even1 + odd1;
    o[2] = even1 - odd1;
    vector even3 = d[6] + (1.0f / 4.0f) * d[2] - (5.0f / 4.0f) * d[4];
    vector odd3 = d[5] + (1.0f / 4.0f) * d[1] - (5.0f / 4.0f) * d[3];
    o[3] = even3 + 2.0f * odd3;
    o[4] = even3 - 2.0f * odd3;
    vector even5 = d[6] + 4.0f * d[2] - 5.0f * d[4];
    vector odd5 = d[5] + 4.0f * d[1] - 5.0f * d[3];
    o[5] = even5 + (1.0f / 2.0f) * odd5;
    o[6] = even5 - (1.0f / 2.0f) * odd5;
    o[7] = d[7] + (21.0f / 4.0f) * d[3] - (21.0f / 4.0f) * d[5] - d[1];
}

DT_INLINE void output_4_5(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    vector sum5 = d[5] + d[6], difference5 = d[5] - d[6];
    o[0] = d[0] + sum1 + sum3 + sum5;
    o[1] = difference1 + 2.0f * difference3 + (1.0f / 2.0f) * difference5;
    o[2] = sum1 + 4.0f * sum3 + (1.0f / 4.0f) * sum5;
    o[3] = difference1 + 8.0f * difference3 + (1.0f / 8.0f) * difference5 + d[7];
}

DT_INLINE void gradient_4_5(const vector *d, vector *o) {
    o[0] = d[0];
    vector even1 = d[0] + d[2];
    vector odd1 = d[1] + d[3];
    o[1] = even1 + odd1;
    o[2] = even1 - odd1;
    vector even3 = d[0] + 4.0f * d[2];
    vector odd3 = d[3] + (1.0f / 4.0f) * d[1];
    o[3] = even3 + 8.0f * odd3;
    o[4] = even3 - 8.0f * odd3;
    vector even5 = d[0] + (1.0f / 4.0f) * d[2];
    vector odd5 = d[3] + 4.0f * d[1];
    o[5] = even5 + (1.0f / 8.0f) * odd5;
    o[6] = even5 - (1.0f / 8.0f) * odd5;
    o[7] = d[3];
}

DT_INLINE void input_gradient_4_5(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    vector sum5 = d[5] + d[6], difference5 = d[5] - d[6];
    o[0] = -d[0];
    o[1] = difference1 + (1.0f / 2.0f) * difference3 + 2.0f * difference5 - d[7];
    o[2] = sum1 + (21.0f / 4.0f) * d[0] + (1.0f / 4.0f) * sum3 + 4.0f * sum5;
    o[3] = -(17.0f / 4.0f) * difference1 - (5.0f / 2.0f) * difference3 - (5.0f / 2.0f) * difference5 + (21.0f / 4.0f) * d[7];
    o[4] = -(21.0f / 4.0f) * d[0] - (17.0f / 4.0f) * sum1 - (5.0f / 4.0f) * sum3 - 5.0f * sum5;
    o[5] = difference1 + 2.0f * difference3 + (1.0f / 2.0f) * difference5 - (21.0f / 4.0f) * d[7];
    o[6] = d[0] + sum1 + sum3 + sum5;
    o[7] = d[7];
}

DT_INLINE void input_3_5(const vector *d, vector *o) {
    o[0] = 2.0f * d[1] + (5.0f / 4.0f) * d[2] - (5.0f / 2.0f) * d[3] - (1.0f / 4.0f) * d[4] + (1.0f / 2.0f) * d[5] - d[0];
    o[1] = 3.0f * d[1] - 3.0f * d[2] - (27.0f / 4.0f) * d[3] + (3.0f / 4.0f) * d[4] + (3.0f / 2.0f) * d[5];
    o[2] = d[1] - 3.0f * d[2] + (7.0f / 4.0f) * d[3] + (3.0f / 4.0f) * d[4] - (1.0f / 2.0f) * d[5];
    o[3] = (5.0f / 2.0f) * d[1] - (15.0f / 4.0f) * d[2] - 5.0f * d[3] + (15.0f / 4.0f) * d[4] + (5.0f / 2.0f) * d[5];
    o[4] = (3.0f / 2.0f) * d[1] - (15.0f / 4.0f) * d[2] + (15.0f / 4.0f) * d[4] - (3.0f / 2.0f) * d[5];
    o[5] = d[5] + 4.0f * d[1] - 5.0f * d[3];
    o[7] = d[6] - 2.0f * d[1] + 4.0f * d[2] + (5.0f / 2.0f) * d[3] - 5.0f * d[4] - (1.0f / 2.0f) * d[5];
}

DT_INLINE void output_3_5(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    o[0] = d[0] + sum1 + sum3 + d[5];
    o[1] = difference1 + 2.0f * difference3 + (1.0f / 2.0f) * d[5];
    o[2] = sum1 + 4.0f * sum3 + (1.0f / 4.0f) * d[5] + d[7];
}

DT_INLINE void gradient_3_5(const vector *d, vector *o) {
    o[0] = d[0];
    vector even1 = d[0] + d[2];
    vector odd1 = d[1];
    o[1] = even1 + odd1;
    o[2] = even1 - odd1;
    vector even3 = d[0] + 4.0f * d[2];
    vector odd3 = d[1];
    o[3] = even3 + 2.0f * odd3;
    o[4] = even3 - 2.0f * odd3;
    o[5] = d[0] + (1.0f / 2.0f) * d[1] + (1.0f / 4.0f) * d[2];
    o[7] = d[2];
}

DT_INLINE void input_gradient_3_5(const vector *d, vector *o) {
    o[0] = -d[0];
    o[1] = d[2] + 2.0f * d[0] + 3.0f * d[1] + (5.0f / 2.0f) * d[3] + (3.0f / 2.0f) * d[4] + 4.0f * d[5] - 2.0f * d[7];
    o[2] = (5.0f / 4.0f) * d[0] - 3.0f * d[1] - 3.0f * d[2] - (15.0f / 4.0f) * d[3] - (15.0f / 4.0f) * d[4] + 4.0f * d[7];
    o[3] = -(5.0f / 2.0f) * d[0] - (27.0f / 4.0f) * d[1] + (7.0f / 4.0f) * d[2] - 5.0f * d[3] - 5.0f * d[5] + (5.0f / 2.0f) * d[7];
    o[4] = -(1.0f / 4.0f) * d[0] + (3.0f / 4.0f) * d[1] + (3.0f / 4.0f) * d[2] + (15.0f / 4.0f) * d[3] + (15.0f / 4.0f) * d[4] - 5.0f * d[7];
    o[5] = d[5] + (1.0f / 2.0f) * d[0] + (3.0f / 2.0f) * d[1] - (1.0f / 2.0f) * d[2] + (5.0f / 2.0f) * d[3] - (3.0f / 2.0f) * d[4] - (1.0f / 2.0f) * d[7];
    o[6] = d[7];
}

/* Points 0, 2/3, -2/3, 3/2, -3/2, infinity. */

DT_INLINE void filter_2_5(const vector *d, vector *o) {
    o[0] = d[0];
    vector even1 = -(81.0f / 130.0f) * d[0] - (18.0f / 65.0f) * d[2] - (8.0f / 65.0f) * d[4];
    vector odd1 = d[3] + (9.0f / 4.0f) * d[1];
    o[1] = even1 - (12.0f / 65.0f) * odd1;
    o[2] = even1 + (12.0f / 65.0f) * odd1;
    vector even3 = (8.0f / 65.0f) * d[0] + (18.0f / 65.0f) * d[2] + (81.0f / 130.0f) * d[4];
    vector odd3 = d[3] + (4.0f / 9.0f) * d[1];
    o[3] = even3 + (27.0f / 65.0f) * odd3;
    o[4] = even3 - (27.0f / 65.0f) * odd3;
    o[5] = d[4];
}

DT_INLINE void input_2_5(const vector *d, vector *o) {
    o[0] = d[0] - (97.0f / 36.0f) * d[2] + d[4];
    vector even1 = d[4] - (9.0f / 4.0f) * d[2];
    vector odd1 = d[3] - (9.0f / 4.0f) * d[1];
    o[1] = even1 + (2.0f / 3.0f) * odd1;
    o[2] = even1 - (2.0f / 3.0f) * odd1;
    vector even3 = d[4] - (4.0f / 9.0f) * d[2];
    vector odd3 = d[3] - (4.0f / 9.0f) * d[1];
    o[3] = even3 + (3.0f / 2.0f) * odd3;
    o[4] = even3 - (3.0f / 2.0f) * odd3;
    o[5] = d[1] - (97.0f / 36.0f) * d[3] + d[5];
}

DT_INLINE void output_2_5(const vector *d, vector *o) {
    vector sum1 = d[1] + d[2], difference1 = d[1] - d[2];
    vector sum3 = d[3] + d[4], difference3 = d[3] - d[4];
    o[0] = d[0] + sum1 + sum3;
    o[1] = d[5] + (2.0f / 3.0f) * difference1 + (3.0f / 2.0f) * difference3;
}

#endif
