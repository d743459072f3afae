/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding of gzip and of a zip's members. The first byte chooses the form, the second how much is read at a
 * time. */
#include <zlib.h>

#include "data/stream.h"
#include "target.h"

enum { MOST_BYTES = 1 << 20 };

static void read_stream(const dt_stream_config *config, size_t portion) {
    dt_stream *stream;
    uint8_t content[256];
    size_t got = portion, total = 0;
    uint64_t extra;
    dt_status status = dt_stream_create(config, &stream);
    while (!dt_failed(&status) && got == portion && total < MOST_BYTES) {
        status = dt_stream_read(stream, content, portion, &got);
        total += got;
    }
    if (!dt_failed(&status))
        status = dt_stream_drain(stream, &extra);
    dt_stream_destroy(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    dt_file file;
    if (bytes < 2)
        return 0;
    dt_status status = dt_file_open(memory_file(0, (piece){data + 2, bytes - 2}), &file);
    if (dt_failed(&status))
        return 0;
    dt_stream_config config = {.file = &file,
                               .subject = "input",
                               .encoding = (dt_encoding)(data[0] % (DT_ENCODING_ZIP_DEFLATED + 1)),
                               .bytes = bytes - 2,
                               .content_bytes = bytes - 2,
                               .crc = (uint32_t)crc32_z(0, data + 2, bytes - 2)};
    read_stream(&config, data[1] ? data[1] : 1);
    dt_file_close(&file);
    return 0;
}
