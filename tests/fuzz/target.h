/* SPDX-License-Identifier: BSD-3-Clause */
/* A fuzz target, and what the targets have in common. libFuzzer calls the function below with made-up bytes;
 * replay.c calls it with files. Only a crash, a sanitizer's report or an assertion is a finding. */
#ifndef DTRAIN_TESTS_FUZZ_TARGET_H
#define DTRAIN_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. Whatever it takes it gives back, so that millions of calls fit one process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A stretch of the input. */
typedef struct piece {
    const uint8_t *data;
    size_t bytes;
} piece;

/* Cuts an input into `count` pieces: it begins with the lengths of all but the last, two bytes each, the
 * lower one first. What is missing is empty. */
void split_input(const uint8_t *data, size_t bytes, int count, piece *pieces);

enum { MEMORY_FILES = 8 };

/* The path of a regular file in memory, number 0 to MEMORY_FILES - 1, after it has received these bytes. */
const char *memory_file(int number, piece content);

/* The path of a folder that is made at the first call and removed when the process ends in the usual way. */
const char *scratch_folder(void);

/* The path of a file in it, after it has received these bytes: for a library that asks for the real path of
 * what it opens, which a memory file has not. */
const char *scratch_file(piece content);

/* Makes FOLDER/NAME, and the folders that the name goes through, a link to a memory file. */
void link_memory_file(const char *folder, const char *name, int number);

#endif
