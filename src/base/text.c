/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8 read by its own rules, so that no locale decides what is shown. */
#include "dtrain/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTE = 4 /* of "\xNN" */, SHORT_TEXT = 512 };

/* Bytes of the sequence that a first byte announces; 0: none begins with it. */
static int announced(unsigned char first) {
    if (first < 0x80)
        return 1;
    if (first < 0xC2)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
}

/* Bytes of the character at `text`, and its code point; 0 bytes: no UTF-8. */
static int decode(const char *text, uint32_t *point) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    int length = announced(bytes[0]);
    *point = length > 1 ? bytes[0] & (0xFFU >> (length + 1)) : bytes[0];
    for (int i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        *point = *point << 6 | (bytes[i] & 0x3FU);
    }
    bool surrogate = *point >= 0xD800 && *point <= 0xDFFF;
    return length > 0 && *point >= least[length] && *point <= 0x10FFFF && !surrogate ? length : 0;
}

static bool is_shown(uint32_t point) {
    static const uint32_t hidden[][2] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0x61C, 0x61C},
                                         {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},
                                         {0xFEFF, 0xFEFF}};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (point >= hidden[i][0] && point <= hidden[i][1])
            return false;
    return true;
}

static void show_byte(char *out, char byte) {
    static const char digits[] = "0123456789abcdef";
    unsigned value = (unsigned char)byte;
    memcpy(out, "\\x", 2);
    out[2] = digits[value >> 4];
    out[3] = digits[value & 0xF];
}

size_t dt_text_printable(char *out, size_t room, const char *text) {
    size_t used = 0;
    while (*text) {
        uint32_t point;
        int length = decode(text, &point);
        bool shown = length > 0 && is_shown(point);
        int taken = length > 0 ? length : 1;
        size_t needed = (size_t)taken * (shown ? 1 : SHOWN_BYTE);
        if (used + needed >= room)
            break;
        if (shown)
            memcpy(out + used, text, (size_t)taken);
        for (int i = 0; !shown && i < taken; i++)
            show_byte(out + used + (size_t)i * SHOWN_BYTE, text[i]);
        used += needed;
        text += taken;
    }
    out[used] = '\0';
    return used;
}

static void print_printable(FILE *stream, const char *text) {
    char brief[SHORT_TEXT];
    size_t room = SHOWN_BYTE * strlen(text) + 1;
    char *shown = room > sizeof brief ? malloc(room) : NULL;
    (void)dt_text_printable(shown ? shown : brief, shown ? room : sizeof brief, text);
    fputs(shown ? shown : brief, stream);
    free(shown);
}

void dt_text_print(FILE *stream, const char *format, ...) {
    char brief[SHORT_TEXT];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(brief, sizeof brief, format, arguments);
    char *whole = length >= (int)sizeof brief ? malloc((size_t)length + 1) : NULL;
    if (whole)
        vsnprintf(whole, (size_t)length + 1, format, again);
    print_printable(stream, whole ? whole : brief);
    va_end(again);
    va_end(arguments);
    free(whole);
}

static bool begins_character(char byte) {
    return ((unsigned char)byte & 0xC0) != 0x80;
}

static const char gap_mark[] = "[...]";

/* Takes at least `bytes` bytes out of the middle of text[first, first + length), and marks the gap. */
static void cut_middle(char *text, size_t first, size_t length, size_t bytes) {
    size_t mark = strlen(gap_mark), taken = bytes + mark;
    if (taken > length)
        taken = length;
    size_t from = first + (length - taken) / 2, to = from + taken;
    while (from > first && !begins_character(text[from]))
        from--;
    while (!begins_character(text[to]))
        to++;
    memmove(text + from + mark, text + to, strlen(text + to) + 1);
    memcpy(text + from, gap_mark, mark);
}

static size_t find_longest_word(const char *text, size_t *first) {
    size_t longest = 0;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, " ");
        if (length > longest) {
            longest = length;
            *first = (size_t)(at - text);
        }
        at += length + strspn(at + length, " ");
    }
    return longest;
}

void dt_text_fit(char *out, size_t room, char *text) {
    enum { SHORT_WORD = 160 };
    size_t length;
    while ((length = strlen(text)) >= room) {
        size_t first = 0, excess = length + 1 - room, word = find_longest_word(text, &first);
        size_t most = word > SHORT_WORD ? word - SHORT_WORD : 0;
        if (most == 0)
            cut_middle(text, 0, length, excess);
        else
            cut_middle(text, first, word, excess < most ? excess : most);
    }
    memcpy(out, text, length + 1);
}

int dt_text_columns(const char *text) {
    int columns = 0;
    for (; *text; text++)
        columns += begins_character(*text);
    return columns;
}

void dt_text_break(char *text, int columns) {
    char *line = text, *gap = NULL, *word = NULL; /* the last gap behind a word, and the word behind it */
    int used = 0;
    for (char *at = text; *at; at++) {
        used += begins_character(*at);
        bool begins = at > line && at[-1] == ' ', ends = at > line && at[-1] != ' ';
        if (*at == ' ') {
            gap = ends ? at : gap;
            continue;
        }
        word = begins ? at : word;
        if (used <= columns || !gap)
            continue;
        assert(word); /* there is a gap, and this character stands behind it */
        *gap = '\n';
        memmove(gap + 1, word, strlen(word) + 1);
        at = gap;
        line = gap + 1;
        gap = NULL;
        used = 0;
    }
}

void dt_text_cut(char *text, int columns) {
    for (; *text; text++)
        if (begins_character(*text) && columns-- <= 0) {
            *text = '\0';
            return;
        }
}
