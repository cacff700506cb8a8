/*
 * Stands in for libFuzzer: runs a target over its committed seeds, and over
 * each seed cut short at every byte.  The seeds of fuzz_NAME are the files
 * in tests/fuzz/seeds/NAME; files can also be named as arguments.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_SEED = 1 << 20, MAX_CUTS = 4096 };

/* Each run gets memory of just its size, so that an over-read traps. */
static void
run_exact(const unsigned char *data, size_t n)
{
	unsigned char *copy = malloc(n > 0 ? n : 1);

	if (copy == NULL)
		abort();
	if (n > 0)
		memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int
run_file(const char *path)
{
	static unsigned char data[MAX_SEED];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		return -1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	run_exact(data, n);
	for (size_t cut = 0; cut < n && cut < MAX_CUTS; cut++)
		run_exact(data, cut);
	return 0;
}

static int
run_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[8192];
	int n = 0;

	if (d == NULL) {
		perror(dir);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (run_file(path) < 0) {
			n = -1;
			break;
		}
		n++;
	}
	closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	const char *src = getenv("HB_SRCDIR");
	const char *name = strstr(argv[0], "fuzz_");
	char dir[4096];
	int n = 0;

	if (argc > 1) {
		for (int i = 1; i < argc; i++, n++)
			if (run_file(argv[i]) < 0)
				return 1;
	} else {
		for (const char *p = name; p != NULL; p = strstr(p + 1, "fuzz_"))
			name = p;
		if (name == NULL)
			return 1;
		snprintf(dir, sizeof(dir), "%s/tests/fuzz/seeds/%s",
		    src != NULL ? src : ".", name + strlen("fuzz_"));
		n = run_dir(dir);
	}
	printf("%d seeds replayed\n", n);
	return n > 0 ? 0 : 1;
}
