/* SPDX-License-Identifier: BSD-3-Clause */
/* numpy's array format: a mark, a version, and a Python dictionary with descr, fortran_order and shape. */
#include "data/npy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* numpy pads the dictionary to a multiple of 64 bytes; one of a plain array is far below this. */
enum { LONGEST_HEADER = 4096 };

static dt_status fail_damaged(const char *subject, const char *cause) {
    return dt_fail(DT_DATA, "%s: damaged: %s", subject, cause);
}

static dt_status read_dictionary(dt_stream *stream, const char *subject, char *text) {
    unsigned char prefix[8], length_bytes[4] = {0};
    DT_TRY(dt_stream_read_all(stream, prefix, sizeof prefix));
    if (memcmp(prefix, "\x93NUMPY", 6) != 0)
        return fail_damaged(subject, "it is no numpy array");
    if (prefix[6] < 1 || prefix[6] > 3)
        return dt_fail(DT_DATA, "%s: version %d of numpy's format cannot be read", subject, prefix[6]);
    DT_TRY(dt_stream_read_all(stream, length_bytes, prefix[6] == 1 ? 2 : 4));
    uint32_t length = dt_file_little32(length_bytes);
    if (length >= LONGEST_HEADER)
        return dt_fail(DT_DATA, "%s: has a header of %u bytes: not an array of plain numbers", subject,
                       length);
    DT_TRY(dt_stream_read_all(stream, text, length));
    text[length] = '\0';
    return dt_ok();
}

/* The text behind 'key': in the dictionary; NULL if it is not there. */
static const char *find_value(const char *dictionary, const char *key) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(dictionary, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at != ':')
        return NULL;
    at++;
    return at + strspn(at, " ");
}

static bool is_supported(dt_npy_type type, char order) {
    bool single = type.bytes == 1;
    if (order == '>' || (order == '|' && !single))
        return false;
    switch (type.kind) {
    case 'u':
    case 'i':
        return single || type.bytes == 2 || type.bytes == 4 || type.bytes == 8;
    case 'f':
        return type.bytes == 4 || type.bytes == 8;
    case 'b':
        return single;
    default:
        return false;
    }
}

static dt_status fail_type(const char *subject, const char *type_text) {
    const char *why = "numbers must be integers, bool, float32 or float64";
    if (type_text[0] == '>')
        why = "big-endian numbers cannot be read";
    if (strchr(type_text, 'O'))
        why = "Python objects cannot be read";
    return dt_fail(DT_DATA, "%s: dtype '%s' is not supported: %s", subject, type_text, why);
}

static dt_status parse_type(const char *subject, const char *value, dt_npy_header *header) {
    if (!value || (*value != '\'' && *value != '['))
        return fail_damaged(subject, "its header has no descr");
    if (*value == '[')
        return fail_type(subject, "structure");
    size_t length = strcspn(value + 1, "'");
    if (length < 2 || length >= sizeof header->type_text)
        return fail_damaged(subject, "its header has no sensible descr");
    for (size_t i = 0; i < length; i++)
        header->type_text[i] = isprint((unsigned char)value[1 + i]) ? value[1 + i] : '?';
    header->type_text[length] = '\0';
    char *end;
    long bytes = strtol(header->type_text + 2, &end, 10);
    header->type = (dt_npy_type){header->type_text[1], bytes > 0 && bytes <= 8 ? (int)bytes : 0};
    bool ordered = strchr("<>|", header->type_text[0]) != NULL;
    if (!ordered || *end != '\0' || !is_supported(header->type, header->type_text[0]))
        return fail_type(subject, header->type_text);
    return dt_ok();
}

static dt_status parse_shape(const char *subject, const char *value, dt_npy_header *header) {
    if (!value || *value != '(')
        return fail_damaged(subject, "its header has no shape");
    size_t length = strcspn(value, ")") + 1;
    snprintf(header->shape_text, sizeof header->shape_text, "%.*s", (int)length, value);
    for (const char *at = value + 1 + strspn(value + 1, " "); *at != ')';) {
        if (!isdigit((unsigned char)*at))
            return fail_damaged(subject, "its header has no sensible shape");
        if (header->dimensions == DT_NPY_DIMENSIONS)
            return dt_fail(DT_DATA, "%s: has more than %d dimensions: %s", subject, DT_NPY_DIMENSIONS,
                           header->shape_text);
        char *end;
        header->shape[header->dimensions++] = strtoull(at, &end, 10);
        /* Python 2 wrote (60000L, 28L, 28L). */
        at = end + (*end == 'L');
        at += strspn(at, " ,");
    }
    return dt_ok();
}

dt_status dt_npy_read_header(dt_stream *stream, const char *subject, dt_npy_header *header) {
    char dictionary[LONGEST_HEADER];
    *header = (dt_npy_header){0};
    DT_TRY(read_dictionary(stream, subject, dictionary));
    DT_TRY(parse_type(subject, find_value(dictionary, "descr"), header));
    DT_TRY(parse_shape(subject, find_value(dictionary, "shape"), header));
    const char *fortran_order = find_value(dictionary, "fortran_order");
    if (fortran_order && strncmp(fortran_order, "True", 4) == 0)
        return dt_fail(DT_DATA,
                       "%s: is in Fortran order (dtype '%s', shape %s); save numpy.ascontiguousarray(...)",
                       subject, header->type_text, header->shape_text);
    if (!fortran_order || strncmp(fortran_order, "False", 5) != 0)
        return fail_damaged(subject, "its header has no fortran_order");
    return dt_ok();
}

static uint64_t little_endian(const unsigned char *bytes, int count) {
    switch (count) {
    case 1:
        return bytes[0];
    case 2:
        return dt_file_little16(bytes);
    case 4:
        return dt_file_little32(bytes);
    default:
        return dt_file_little32(bytes) | (uint64_t)dt_file_little32(bytes + 4) << 32;
    }
}

double dt_npy_number(dt_npy_type type, const unsigned char *bytes) {
    uint64_t bits = little_endian(bytes, type.bytes);
    if (type.kind == 'f' && type.bytes == 4) {
        uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, sizeof value);
        return (double)value;
    }
    if (type.kind == 'f') {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (type.kind == 'i') {
        uint64_t sign = (uint64_t)1 << (8 * type.bytes - 1);
        return (double)(int64_t)((bits ^ sign) - sign);
    }
    return (double)bits;
}
