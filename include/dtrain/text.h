/* SPDX-License-Identifier: BSD-3-Clause */
/* Text from files, file names and other programs on its way to a terminal. Local. */
#ifndef DTRAIN_TEXT_H
#define DTRAIN_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Copies `text` with every byte shown as \xNN that a terminal would obey and not show: control characters
 * (line breaks and tabs among them), what is no UTF-8, and the code points that turn or hide the text around
 * them (U+200B .. U+200F, U+2028 .. U+202E, U+2060 .. U+206F, U+061C, U+FEFF). Never cuts a character in two:
 * what does not fit into `room` bytes, the final zero among them, is left out. Returns the bytes written
 * without the zero. `out` and `text` must not overlap; room is at least 1. */
size_t dt_text_printable(char *out, size_t room, const char *text);

/* Prints printf-style, the result made printable as above; adds nothing, so that the caller writes its line
 * breaks itself. Without memory the text is cut. */
void dt_text_print(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Turns gaps between words of printable text into line breaks, so that no line has more than `columns`
 * columns; a word that is longer stays whole. */
void dt_text_break(char *text, int columns);

/* Ends printable text behind so many columns. */
void dt_text_cut(char *text, int columns);

/* Copies `text` into `out`. Where it does not fit, its longest words, which are paths, lose their middles,
 * and
 * "[...]" stands there; where that is not enough, so does the whole text. So the end of a message, which
 * tells the remedy, stays. `text` may be changed; room is at least 64. */
void dt_text_fit(char *out, size_t room, char *text);

/* Columns that printable text takes: its code points. */
int dt_text_columns(const char *text);

#endif
