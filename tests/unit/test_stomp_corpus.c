/* Replays the fuzz corpus, one test for each file: what was once found stays found, with either
 * compiler. */
#include <dirent.h>

#include "tests/fuzz/fuzz_stomp.c"
#include "tests/unit/stomp_testing.h"

#define MAX_FILES 500
#define MAX_FILE_BYTES 65536

static const char corpus[] = TESTS_DIR "/fuzz/corpus/stomp";
static char names[MAX_FILES][256];
static struct CMUnitTest tests[MAX_FILES];

static void test_file(void **state)
{
    static uint8_t bytes[MAX_FILE_BYTES];
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", corpus, (const char *)*state);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    assert_true(len > 0 && len < sizeof(bytes));
    fclose(file);
    assert_int_equal(LLVMFuzzerTestOneInput(bytes, len), 0);
}

int main(void)
{
    size_t n = 0;
    DIR *dir = opendir(corpus);
    if (dir == NULL) {
        perror(corpus);
        return 1;
    }
    for (struct dirent *e = readdir(dir); e != NULL && n < MAX_FILES; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            snprintf(names[n], sizeof(names[n]), "%s", e->d_name);
            tests[n] = (struct CMUnitTest){names[n], test_file, NULL, NULL, names[n]};
            n++;
        }
    }
    closedir(dir);
    if (n == 0) {
        fprintf(stderr, "%s is empty\n", corpus);
        return 1;
    }
    return _cmocka_run_group_tests("stomp_corpus", tests, n, NULL, NULL);
}
