/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells are kept until all widths are known. */
#include "report/table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/text.h"

struct dt_table {
    int columns;
    size_t cells, room;
    bool *words;
    bool out_of_memory;
    char **cell; /* the titles are the first row */
};

dt_status dt_table_create(const char *const *heads, int columns, dt_table **out) {
    assert(columns > 0);
    dt_table *table = calloc(1, sizeof *table);
    *out = table;
    if (table)
        table->words = calloc((size_t)columns, sizeof *table->words);
    if (!table || !table->words)
        return dt_fail(DT_MEMORY, "no memory for a table");
    table->columns = columns;
    for (int column = 0; column < columns; column++) {
        table->words[column] = heads[column][0] == '<';
        dt_table_add(table, "%s", heads[column] + table->words[column]);
    }
    return dt_ok();
}

void dt_table_destroy(dt_table *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->cells; i++)
        free(table->cell[i]);
    free(table->cell);
    free(table->words);
    free(table);
}

static bool make_room(dt_table *table) {
    if (table->cells < table->room)
        return true;
    size_t room = 2 * table->room + 64;
    char **cell = realloc(table->cell, room * sizeof *table->cell);
    if (!cell)
        return false;
    table->cell = cell;
    table->room = room;
    return true;
}

/* Cells are printed through a stream of their own, so that they are printable and as long as they are. */
void dt_table_add(dt_table *table, const char *format, ...) {
    char *text = NULL, *shown = NULL;
    size_t length = 0;
    va_list arguments;
    va_start(arguments, format);
    FILE *stream = table->out_of_memory ? NULL : open_memstream(&text, &length);
    bool made = stream && vfprintf(stream, format, arguments) >= 0;
    made = stream && fclose(stream) == 0 && made;
    va_end(arguments);
    if (made)
        shown = malloc(4 * length + 1);
    if (shown && make_room(table)) {
        (void)dt_text_printable(shown, 4 * length + 1, text);
        table->cell[table->cells++] = shown;
    } else {
        free(shown);
        table->out_of_memory = true;
    }
    free(text);
}

void dt_table_add_number(dt_table *table, double value, int digits) {
    if (!isfinite(value))
        dt_table_add(table, "-");
    else if (fabs(value) < 1e15)
        dt_table_add(table, "%.*f", digits, value);
    else
        dt_table_add(table, "%.*e", digits, value);
}

static int width_of(const dt_table *table, int column) {
    int width = 0;
    for (size_t i = (size_t)column; i < table->cells; i += (size_t)table->columns) {
        int columns = dt_text_columns(table->cell[i]);
        width = columns > width ? columns : width;
    }
    return width;
}

/* printf counts bytes, a terminal characters. */
static void print_cell(const char *text, int width, bool to_the_left, bool last, FILE *stream) {
    int blanks = width - dt_text_columns(text);
    if (!to_the_left)
        fprintf(stream, "%*s", blanks, "");
    fputs(text, stream);
    if (to_the_left && !last)
        fprintf(stream, "%*s", blanks, "");
    fputs(last ? "\n" : "  ", stream);
}

dt_status dt_table_print(const dt_table *table, FILE *stream) {
    int *widths = calloc((size_t)table->columns, sizeof *widths);
    if (table->out_of_memory || !widths) {
        free(widths);
        return dt_fail(DT_MEMORY, "no memory for a table of %zu cells", table->cells);
    }
    assert(table->cells % (size_t)table->columns == 0);
    for (int column = 0; column < table->columns; column++)
        widths[column] = width_of(table, column);
    for (size_t i = 0; i < table->cells; i++) {
        int column = (int)(i % (size_t)table->columns);
        print_cell(table->cell[i], widths[column], table->words[column], column == table->columns - 1,
                   stream);
    }
    free(widths);
    return dt_ok();
}
