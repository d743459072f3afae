/* SPDX-License-Identifier: BSD-3-Clause */
/* Regular files alone, read within limits and written beside their names. */
#include "report/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/text.h"

enum {
    MOST_BYTES = 16 << 20, /* of a line: a start line has some 150 bytes a rank */
    MOST_GB = 16,          /* of a file: twenty million epochs */
    CHUNK = 64 << 10
};

dt_status dt_files_join(char path[DT_FILES_PATH], const char *folder, const char *name, const char *last) {
    const char *end = folder + strlen(folder);
    const char *slash = end > folder && end[-1] == '/' ? "" : "/";
    return dt_path_write(DT_FILE, path, "%s%s%s%s%s", folder, slash, name, last ? "/" : "", last ? last : "");
}

static dt_status cannot_read(const char *path) {
    return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
}

dt_status dt_files_open(const char *path, FILE **file) {
    struct stat about;
    *file = NULL;
    /* Without waiting for the other side of a pipe. */
    int handle = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (handle < 0)
        return cannot_read(path);
    dt_status status = fstat(handle, &about) == 0 ? dt_ok() : cannot_read(path);
    if (!dt_failed(&status) && !S_ISREG(about.st_mode))
        status = dt_fail(DT_FILE, "%s: cannot be read: it is not a regular file", path);
    if (!dt_failed(&status) && about.st_size > (off_t)MOST_GB << 30)
        status = dt_fail(DT_FILE, "%s: %lld bytes are no record of a run: at most %d GB are read", path,
                         (long long)about.st_size, MOST_GB);
    if (!dt_failed(&status) && !(*file = fdopen(handle, "r")))
        status = cannot_read(path);
    if (dt_failed(&status))
        close(handle);
    return status;
}

/* Bytes read and not yet handed on. */
typedef struct text_buffer {
    char *bytes;
    size_t used, room;
} text_buffer;

/* Reads on; *end: the file has no more. */
static dt_status read_chunk(FILE *file, const char *path, text_buffer *buffer, bool *end) {
    if (buffer->room - buffer->used < CHUNK) {
        size_t room = 2 * buffer->room + CHUNK;
        char *bytes = realloc(buffer->bytes, room);
        if (!bytes)
            return dt_fail(DT_MEMORY, "%s: no memory for %zu bytes of it", path, room);
        buffer->bytes = bytes;
        buffer->room = room;
    }
    size_t read = fread(buffer->bytes + buffer->used, 1, CHUNK, file);
    if (ferror(file))
        return cannot_read(path);
    buffer->used += read;
    *end = read < CHUNK;
    return dt_ok();
}

/* A file on its way through `take`. `damage` is what is wrong with the line before, as long as it may turn
 * out to be the last words of a writer that was stopped: behind those comes the end of the file or a new
 * start. */
typedef struct json_lines {
    const char *path;
    long long number;
    dt_status (*take)(void *context, json_t *line);
    void *context;
    dt_status damage;
} json_lines;

static bool is_start(const json_t *line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    return event && strcmp(event, "start") == 0;
}

static dt_status take_line(json_lines *lines, const char *text, size_t length) {
    json_error_t error;
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    dt_status status = lines->damage;
    if (!line) {
        lines->damage =
            dt_fail(DT_FILE, "%s, line %lld: not a JSON object: %s", lines->path, lines->number, error.text);
        return status;
    }
    if (is_start(line))
        status = dt_ok();
    lines->damage = dt_ok();
    if (!dt_failed(&status)) {
        status = json_is_object(line) ? lines->take(lines->context, line)
                                      : dt_fail(DT_FILE, "not a JSON object: another kind of value");
        if (dt_failed(&status))
            status = dt_fail(status.code, "%s, line %lld: %s", lines->path, lines->number, status.text);
    }
    json_decref(line);
    return status;
}

/* Hands on the lines that are whole, at the end of the file also the last one; keeps the rest. */
static dt_status take_lines(json_lines *lines, text_buffer *buffer, size_t searched, bool end) {
    dt_status status = dt_ok();
    char *line = buffer->bytes, *after = buffer->bytes + buffer->used, *from = line + searched, *stop;
    while (!dt_failed(&status) && line < after) {
        stop = memchr(from, '\n', (size_t)(after - from));
        if (!stop && !end)
            break;
        if (!stop)
            stop = after;
        lines->number++;
        if (stop > line)
            status = take_line(lines, line, (size_t)(stop - line));
        line = from = stop < after ? stop + 1 : after;
    }
    buffer->used = (size_t)(after - line);
    if (line != buffer->bytes)
        memmove(buffer->bytes, line, buffer->used);
    if (!dt_failed(&status) && buffer->used > MOST_BYTES)
        status = dt_fail(DT_FILE, "%s, line %lld: longer than %d MB", lines->path, lines->number + 1,
                         MOST_BYTES >> 20);
    return status;
}

dt_status dt_files_read_lines(const char *path, dt_status (*take)(void *context, json_t *line),
                              void *context) {
    json_lines lines = {.path = path, .take = take, .context = context, .damage = dt_ok()};
    text_buffer buffer = {0};
    FILE *file;
    DT_TRY(dt_files_open(path, &file));
    dt_status status = dt_ok();
    for (bool end = false; !end && !dt_failed(&status);) {
        size_t searched = buffer.used;
        status = read_chunk(file, path, &buffer, &end);
        if (!dt_failed(&status))
            status = take_lines(&lines, &buffer, searched, end);
    }
    free(buffer.bytes);
    fclose(file);
    return status;
}

dt_status dt_files_read_object(const char *path, json_t **object) {
    text_buffer buffer = {0};
    json_error_t error = {0};
    FILE *file;
    *object = NULL;
    DT_TRY(dt_files_open(path, &file));
    dt_status status = dt_ok();
    for (bool end = false; !end && !dt_failed(&status);) {
        status = read_chunk(file, path, &buffer, &end);
        if (!dt_failed(&status) && buffer.used > MOST_BYTES)
            status = dt_fail(DT_FILE, "%s: longer than %d MB", path, MOST_BYTES >> 20);
    }
    if (!dt_failed(&status))
        *object = json_loadb(buffer.bytes, buffer.used, JSON_REJECT_DUPLICATES, &error);
    if (!dt_failed(&status) && !json_is_object(*object)) {
        status = dt_fail(DT_FILE, "%s: not a JSON object%s%s", path, *object ? "" : ": ", error.text);
        json_decref(*object);
        *object = NULL;
    }
    free(buffer.bytes);
    fclose(file);
    return status;
}

/* Open addressing, at most half full. */
struct dt_file_identity {
    dev_t device;
    ino_t number;
    bool taken;
};

static struct dt_file_identity *place_of(const dt_file_set *set, dev_t device, ino_t number) {
    size_t at = (size_t)(((uint64_t)number ^ (uint64_t)device << 40) * 0x9E3779B97F4A7C15U >> 20);
    struct dt_file_identity *place = &set->places[at % set->room];
    while (place->taken && (place->device != device || place->number != number))
        place = &set->places[++at % set->room];
    return place;
}

static dt_status widen(dt_file_set *set) {
    dt_file_set wider = {.count = set->count, .room = 2 * set->room + 64};
    wider.places = calloc(wider.room, sizeof *wider.places);
    if (!wider.places)
        return dt_fail(DT_MEMORY, "no memory for a list of %zu files", wider.room);
    for (size_t i = 0; i < set->room; i++)
        if (set->places[i].taken)
            *place_of(&wider, set->places[i].device, set->places[i].number) = set->places[i];
    free(set->places);
    *set = wider;
    return dt_ok();
}

dt_status dt_file_set_add(dt_file_set *set, const char *path, bool *known) {
    struct stat about;
    *known = false;
    if (stat(path, &about) != 0)
        return dt_ok();
    if (2 * (set->count + 1) > set->room)
        DT_TRY(widen(set));
    struct dt_file_identity *place = place_of(set, about.st_dev, about.st_ino);
    *known = place->taken;
    set->count += !place->taken;
    *place = (struct dt_file_identity){about.st_dev, about.st_ino, true};
    return dt_ok();
}

void dt_file_set_release(dt_file_set *set) {
    free(set->places);
    *set = (dt_file_set){0};
}

static dt_status cannot_write(const char *path) {
    return dt_fail(DT_FILE, "%s: cannot be written: %s", path, strerror(errno));
}

dt_status dt_output_open(dt_output *output, const char *folder, const char *name) {
    struct stat about;
    output->stream = NULL;
    DT_TRY(dt_files_join(output->path, folder, name, NULL));
    if (lstat(output->path, &about) == 0 && !S_ISREG(about.st_mode))
        return dt_fail(DT_FILE, "%s: cannot be written: it is %s; remove it first", output->path,
                       S_ISLNK(about.st_mode) ? "a symbolic link" : "not a regular file");
    snprintf(output->temporary, sizeof output->temporary, "%s.partial-%ld", output->path, (long)getpid());
    /* What an earlier process of this number left. */
    (void)unlink(output->temporary);
    int handle = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (handle < 0)
        return cannot_write(output->path);
    output->stream = fdopen(handle, "w");
    if (output->stream)
        return dt_ok();
    dt_status status = cannot_write(output->path);
    close(handle);
    (void)unlink(output->temporary);
    return status;
}

dt_status dt_output_close(dt_output *output, dt_status failure) {
    errno = 0;
    bool lost = fflush(output->stream) != 0 || ferror(output->stream) != 0;
    if (lost && !dt_failed(&failure))
        failure = cannot_write(output->path);
    if (fclose(output->stream) != 0 && !dt_failed(&failure))
        failure = cannot_write(output->path);
    output->stream = NULL;
    if (!dt_failed(&failure) && rename(output->temporary, output->path) != 0)
        failure = cannot_write(output->path);
    if (dt_failed(&failure))
        (void)unlink(output->temporary);
    return failure;
}

static bool is_number(const char *text) {
    return text[strspn(text, "0123456789+-.eE")] == '\0' && strpbrk(text, "0123456789");
}

static void write_field(FILE *stream, const char *text) {
    bool formula = text[0] && strchr("=+-@", text[0]) && strcmp(text, "-") != 0 && !is_number(text);
    bool quoted = formula || strpbrk(text, ",\"") || text[0] == ' ';
    if (quoted)
        fputc('"', stream);
    if (formula)
        fputc('\'', stream);
    for (const char *letter = text; *letter; letter++) {
        if (*letter == '"')
            fputc('"', stream);
        fputc(*letter, stream);
    }
    if (quoted)
        fputc('"', stream);
}

void dt_output_field(FILE *stream, const char *text) {
    size_t room = 4 * strlen(text) + 1;
    char *shown = malloc(room), brief[256];
    (void)dt_text_printable(shown ? shown : brief, shown ? room : sizeof brief, text);
    write_field(stream, shown ? shown : brief);
    free(shown);
}
