/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces and slices of an array. */
#include "parallel/slices.h"

#include "dtrain/memory.h"
#include "dtrain/team.h"

int dt_slices_pieces(const dt_slices *slices) {
    return (int)((slices->floats + slices->piece_floats - 1) / slices->piece_floats);
}

dt_range dt_slices_piece(const dt_slices *slices, int piece) {
    size_t begin = (size_t)piece * slices->piece_floats, left = slices->floats - begin;
    return (dt_range){begin, left < slices->piece_floats ? left : slices->piece_floats};
}

dt_range dt_slices_of(const dt_slices *slices, int piece, int owner) {
    dt_range whole = dt_slices_piece(slices, piece);
    long begin, end;
    dt_team_split((long)whole.count, DT_ALIGNMENT_FLOATS, owner, slices->ranks, &begin, &end);
    return (dt_range){whole.begin + (size_t)begin, (size_t)(end - begin)};
}

size_t dt_slices_longest(const dt_slices *slices) {
    size_t ranks = (size_t)slices->ranks;
    size_t piece = slices->piece_floats < slices->floats ? slices->piece_floats : slices->floats;
    return dt_align_floats((piece + ranks - 1) / ranks);
}

dt_range dt_range_meet(dt_range a, dt_range b) {
    size_t begin = a.begin > b.begin ? a.begin : b.begin;
    size_t a_end = a.begin + a.count, b_end = b.begin + b.count, end = a_end < b_end ? a_end : b_end;
    return (dt_range){begin, end > begin ? end - begin : 0};
}
