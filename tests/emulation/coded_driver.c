/* Multiplies rows by codes as kernels ask for it, so that a way's code can be run by itself, and writes the products.

   Input: which layout, rows, blocks, columns of a block and bytes of a run, int32; the rows, float32; the runs of 16
   rows of codes. Of up to 64 rows, that is, as a part of a product has them. Output: rows of 20 float32, of which the
   last four should be as they were.
*/
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 128, NUMBERS = 32, BEYOND = 16 * RECORD, WIDTH = 20 };

typedef void record_of(int64_t x, int64_t record, int64_t numbers, int64_t many);
typedef void product_of(int64_t runs, int64_t blocks, int64_t records, int64_t apart, int64_t numbers, int64_t rows,
                        int64_t out, int64_t stride);
#define LAYOUT(n) extern record_of record_##n; extern product_of row_##n, rows_##n;
LAYOUT(0) LAYOUT(1) LAYOUT(2) LAYOUT(3)
static record_of *const records_of[] = {record_0, record_1, record_2, record_3};
static product_of *const row_of[] = {row_0, row_1, row_2, row_3};
static product_of *const rows_of[] = {rows_0, rows_1, rows_2, rows_3};

static void *taken(size_t bytes) {
    void *found = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!found || fread(found, 1, bytes, stdin) != bytes) exit(2);
    return found;
}

int main(void) {
    int32_t told[5];
    while (fread(told, 4, 5, stdin) == 5) {
        int64_t which = told[0], rows = told[1], blocks = told[2], columns = told[3], run = told[4];
        float *x = taken((size_t)(rows * blocks * columns * 4));
        uint8_t *runs = taken((size_t)(blocks * run));
        uint8_t *records = malloc((size_t)(rows * blocks * (RECORD + NUMBERS) + BEYOND));
        uint8_t *numbers = records + rows * blocks * RECORD;
        size_t size = (size_t)rows * WIDTH * 4;
        float *out = malloc(size);
        memset(records, 0xA5, (size_t)(rows * blocks * (RECORD + NUMBERS) + BEYOND));
        memset(out, 0x5A, size);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t b = 0; b < blocks; b++)
                records_of[which]((int64_t)(x + (r * blocks + b) * columns), (int64_t)(records + (b * rows + r) * RECORD),
                                  (int64_t)(numbers + (b * rows + r) * NUMBERS), rows >= 8);
        (rows == 1 ? row_of : rows_of)[which]((int64_t)runs, blocks, (int64_t)records, rows * RECORD, (int64_t)numbers,
                                              rows, (int64_t)out, WIDTH * 4);
        if (fwrite(out, 1, size, stdout) != size) return 2;
        free(x), free(runs), free(records), free(out);
    }
    return 0;
}
