/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints src/kernels/winograd_transforms.h: the transforms of Winograd's minimal filtering F(m, r), worked
 * out from their interpolation points in exact rationals.
 *
 * m outputs of a filter with r taps come from n = m + r - 1 products, one for each point: the filter and the
 * output's gradient are polynomials that are evaluated at the points (a Vandermonde matrix), the input goes
 * through the transposed interpolation. Beside F(4, r) stands F(3, r) on all of its points but one, which is
 * called `drop`; with the same scale of every row both share their transformed filters. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 8 };

typedef struct rational {
    int64_t over, under; /* in lowest terms, under > 0 */
} rational;

static const rational zero = {0, 1}, one = {1, 1};

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return llabs(a);
}

static rational fraction(int64_t over, int64_t under) {
    int64_t divisor = common_divisor(over, under) * (under < 0 ? -1 : 1);
    return (rational){over / divisor, under / divisor};
}

static rational times(rational a, rational b) {
    rational first = fraction(a.over, b.under), second = fraction(b.over, a.under);
    return (rational){first.over * second.over, first.under * second.under};
}

static rational minus(rational a, rational b) {
    return fraction(a.over * b.under - b.over * a.under, a.under * b.under);
}

static rational inverse_of(rational a) {
    return fraction(a.under, a.over);
}

static bool same(rational a, rational b) {
    return a.over == b.over && a.under == b.under;
}

static bool opposite(rational a, rational b) {
    return a.over == -b.over && a.under == b.under;
}

/* Points in pairs p, -p behind 0; infinity is the last. */
typedef struct family {
    int outputs, taps, points;
    rational point[MAX];
    rational scale[MAX]; /* of the filter's rows */
    int place[MAX];      /* each point's index in F(4, r) */
} family;

typedef struct matrix {
    int rows, columns;
    rational at[MAX][MAX];
} matrix;

static bool infinite(const family *f, int i) {
    return i == f->points - 1;
}

/* Row i: 1, p, p^2, .. of point i, times `scale` where there is one; infinity has the highest coefficient. */
static matrix evaluation(const family *f, int columns, const rational *scale) {
    matrix m = {.rows = f->points, .columns = columns};
    for (int i = 0; i < f->points; i++) {
        rational power = scale ? scale[i] : one;
        for (int j = 0; j < columns; j++) {
            m.at[i][j] = infinite(f, i) ? (j == columns - 1 ? power : zero) : power;
            if (!infinite(f, i))
                power = times(power, f->point[i]);
        }
    }
    return m;
}

/* Multiplies a polynomial of `terms` coefficients by (x - p). */
static void multiply_by_root(rational *polynomial, int terms, rational p) {
    polynomial[terms] = zero;
    for (int j = terms; j >= 0; j--)
        polynomial[j] = minus(j > 0 ? polynomial[j - 1] : zero, times(p, polynomial[j]));
}

/* Row i: the coefficients of the product of (x - q) over all other finite points q, which at p is the product
 * of (p - q) and has to be the scale's inverse: the transposed inverse of the evaluation. */
static matrix interpolation(const family *f) {
    matrix m = {.rows = f->points, .columns = f->points};
    for (int i = 0; i < f->points; i++) {
        rational *row = m.at[i], factor = f->scale[i];
        int terms = 1;
        row[0] = one;
        for (int j = 0; !infinite(f, j); j++) {
            if (j == i)
                continue;
            multiply_by_root(row, terms++, f->point[j]);
            if (!infinite(f, i))
                factor = times(factor, minus(f->point[i], f->point[j]));
        }
        for (int j = 0; j < f->points; j++)
            row[j] = j < terms ? times(row[j], inverse_of(factor)) : zero;
    }
    return m;
}

static matrix transposed(matrix m) {
    matrix result = {.rows = m.columns, .columns = m.rows};
    for (int i = 0; i < m.rows; i++)
        for (int j = 0; j < m.columns; j++)
            result.at[j][i] = m.at[i][j];
    return result;
}

/* A sum of coefficients times names. */
typedef struct sum {
    int terms;
    rational factor[MAX];
    char name[MAX][16];
} sum;

static void add_term(sum *s, rational factor, const char *format, int index) {
    if (factor.over == 0)
        return;
    s->factor[s->terms] = factor;
    snprintf(s->name[s->terms++], sizeof s->name[0], format, index);
}

static bool unit(rational a) {
    return a.under == 1 && (a.over == 1 || a.over == -1);
}

static void print_magnitude(rational a) {
    if (a.under == 1)
        printf("%lld.0f * ", llabs(a.over));
    else
        printf("(%lld.0f / %lld.0f) * ", llabs(a.over), (long long)a.under);
}

static void print_term(const sum *s, int i, bool first) {
    if (first)
        printf("%s", s->factor[i].over < 0 ? "-" : "");
    else
        printf(" %s ", s->factor[i].over < 0 ? "-" : "+");
    if (!unit(s->factor[i]))
        print_magnitude(s->factor[i]);
    printf("%s", s->name[i]);
}

/* Begins with a term that needs no multiplication, or else has one follow the first, so that every other one
 * is a fused multiply-add. */
static void print_sum(const sum *s) {
    bool printed[MAX] = {false}, first = true;
    if (s->terms == 0)
        printf("(vector){0}");
    for (int pass = 0; pass < 3; pass++)
        for (int i = 0; i < s->terms; i++) {
            bool now = pass == 0 ? same(s->factor[i], one) && first : pass == 1 ? !unit(s->factor[i]) : true;
            if (printed[i] || !now)
                continue;
            print_term(s, i, first);
            printed[i] = true;
            first = false;
        }
}

static void print_assignment(const char *left, int index, const sum *s) {
    printf("    ");
    printf(left, index);
    printf(" = ");
    print_sum(s);
    printf(";\n");
}

/* The partner of point i at -p, or -1. */
static int partner(const family *f, int i) {
    for (int j = i + 1; j < f->points - 1; j++)
        if (opposite(f->point[i], f->point[j]))
            return j;
    return -1;
}

static bool rows_mirror(const matrix *m, int i, int j) {
    for (int k = 0; k < m->columns; k++)
        if (!same(m->at[i][k], m->at[j][k]) && !opposite(m->at[i][k], m->at[j][k]))
            return false;
    return true;
}

/* Two outputs that differ in the sign of their odd terms: even + c * odd and even - c * odd. */
static void print_mirrored(const family *f, const matrix *m, int i, int j) {
    sum even = {0}, odd = {0};
    rational common = one;
    int index = f->place[i];
    for (int k = 0; k < m->columns; k++)
        if (m->at[i][k].over != 0 && same(m->at[i][k], m->at[j][k]))
            add_term(&even, m->at[i][k], "d[%d]", k);
        else
            add_term(&odd, m->at[i][k], "d[%d]", k);
    if (odd.terms > 0)
        common = odd.factor[odd.terms - 1];
    for (int k = 0; k < odd.terms; k++)
        if (unit(odd.factor[k]))
            common = one;
    for (int k = 0; k < odd.terms; k++)
        odd.factor[k] = times(odd.factor[k], inverse_of(common));
    print_assignment("vector even%d", index, &even);
    print_assignment("vector odd%d", index, &odd);
    for (int side = 0; side < 2; side++) {
        sum both = {0};
        add_term(&both, one, "even%d", index);
        add_term(&both, side ? minus(zero, common) : common, "odd%d", index);
        print_assignment("o[%d]", f->place[side ? j : i], &both);
    }
}

/* From few values to one for each point. */
static void print_spread(const family *f, matrix m, const char *name) {
    bool done[MAX] = {false};
    printf("\nDT_INLINE void %s_%d_%d(const vector *d, vector *o) {\n", name, f->outputs, f->taps);
    for (int i = 0; i < f->points; i++) {
        int j = partner(f, i);
        if (done[i])
            continue;
        if (j >= 0 && rows_mirror(&m, i, j)) {
            print_mirrored(f, &m, i, j);
            done[j] = true;
            continue;
        }
        sum row = {0};
        for (int k = 0; k < m.columns; k++)
            add_term(&row, m.at[i][k], "d[%d]", k);
        print_assignment("o[%d]", f->place[i], &row);
    }
    printf("}\n");
}

static bool columns_mirror(const matrix *m, int i, int j) {
    for (int k = 0; k < m->rows; k++)
        if (!same(m->at[k][i], m->at[k][j]) && !opposite(m->at[k][i], m->at[k][j]))
            return false;
    return true;
}

/* From a value for each point to few: points p and -p enter as their sum and difference. */
static void print_gather(const family *f, matrix m, const char *name) {
    int mirror[MAX];
    bool covered[MAX] = {false};
    printf("\nDT_INLINE void %s_%d_%d(const vector *d, vector *o) {\n", name, f->outputs, f->taps);
    for (int i = 0; i < f->points; i++) {
        int j = partner(f, i), p = f->place[i];
        mirror[i] = j >= 0 && columns_mirror(&m, i, j) ? j : -1;
        if (mirror[i] < 0)
            continue;
        covered[j] = true;
        printf("    vector sum%d = d[%d] + d[%d], difference%d = d[%d] - d[%d];\n", p, p, f->place[j], p, p,
               f->place[j]);
    }
    for (int k = 0; k < m.rows; k++) {
        sum row = {0};
        for (int i = 0; i < f->points; i++) {
            if (covered[i])
                continue;
            bool even = mirror[i] >= 0 && same(m.at[k][i], m.at[k][mirror[i]]);
            add_term(&row, m.at[k][i],
                     mirror[i] < 0 ? "d[%d]"
                     : even        ? "sum%d"
                                   : "difference%d",
                     f->place[i]);
        }
        print_assignment("o[%d]", k, &row);
    }
    printf("}\n");
}

/* F(4, r) with the scale that makes the input's polynomials monic. */
static family large_family(const rational *points, int count, int taps) {
    family f = {.outputs = count - taps + 1, .taps = taps, .points = count};
    for (int i = 0; i < count; i++) {
        f.point[i] = points[i];
        f.place[i] = i;
    }
    for (int i = 0; i < count; i++) {
        f.scale[i] = one;
        for (int j = 0; !infinite(&f, i) && !infinite(&f, j); j++)
            if (j != i)
                f.scale[i] = times(f.scale[i], inverse_of(minus(points[i], points[j])));
    }
    return f;
}

/* F(3, r) without the last finite point. */
static family small_family(const family *large) {
    family f = {.outputs = large->outputs - 1, .taps = large->taps, .points = large->points - 1};
    for (int i = 0; i < f.points; i++) {
        f.place[i] = infinite(&f, i) ? i + 1 : i;
        f.point[i] = large->point[f.place[i]];
        f.scale[i] = large->scale[f.place[i]];
    }
    return f;
}

static void print_tile_transforms(const family *f) {
    matrix input = interpolation(f), gradient = evaluation(f, f->outputs, NULL);
    print_spread(f, input, "input");
    print_gather(f, transposed(gradient), "output");
    print_spread(f, gradient, "gradient");
    print_gather(f, transposed(input), "input_gradient");
}

static void print_points(const rational *points, int count) {
    printf("\n/* Points");
    for (int i = 0; i < count - 1; i++)
        if (points[i].under == 1)
            printf(" %lld,", (long long)points[i].over);
        else
            printf(" %lld/%lld,", (long long)points[i].over, (long long)points[i].under);
    printf(" infinity");
}

static void print_families(const rational *points, int count, int taps) {
    family large = large_family(points, count, taps), small = small_family(&large);
    matrix filter = evaluation(&large, taps, large.scale);
    print_points(points, count);
    printf(". F(3, %d) has no point %d. */\n", taps, count - 2);
    print_spread(&large, filter, "filter");
    print_gather(&large, transposed(filter), "filter_gradient");
    print_tile_transforms(&large);
    print_tile_transforms(&small);
}

/* What the forward pass alone needs. */
static void print_forward_family(const rational *points, int count, int taps) {
    family f = large_family(points, count, taps);
    matrix gradient = evaluation(&f, f.outputs, NULL);
    print_points(points, count);
    printf(". */\n");
    print_spread(&f, evaluation(&f, taps, f.scale), "filter");
    print_spread(&f, interpolation(&f), "input");
    print_gather(&f, transposed(gradient), "output");
}

int main(void) {
    const rational six[] = {{0, 1}, {3, 4}, {-3, 4}, {3, 2}, {-3, 2}, {0, 1}};
    const rational six_of_five[] = {{0, 1}, {2, 3}, {-2, 3}, {3, 2}, {-3, 2}, {0, 1}};
    const rational eight[] = {{0, 1}, {1, 1}, {-1, 1}, {2, 1}, {-2, 1}, {1, 2}, {-1, 2}, {0, 1}};
    printf(
        "/* SPDX-License-Identifier: BSD-3-Clause */\n"
        "/* Printed by tools/winograd_transforms.c. One direction of each transform of Winograd's minimal\n"
        " * filtering F(m, r), named NAME_m_r: input (B^T), filter (G), output (A^T), and for the way back\n"
        " * gradient (A), filter_gradient (G^T), input_gradient (B). d and o are indexed by tap, pixel or\n"
        " * point; F(3, r) uses the indices of F(4, r)'s points. Included by vector_winograd.h only. */\n"
        "#ifndef DTRAIN_KERNELS_WINOGRAD_TRANSFORMS_H\n"
        "#define DTRAIN_KERNELS_WINOGRAD_TRANSFORMS_H\n"
        "\n"
        "/* clang-format off */\n");
    print_families(six, 6, 3);
    print_families(eight, 8, 5);
    print_forward_family(six_of_five, 6, 5);
    printf("\n#endif\n");
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
