/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seekdir DIR SEED ROUNDS: reads a directory from its beginning to its end,
 * remembering places (telldir); then goes back to some of them and to the
 * beginning, and checks that what follows is what followed before.  Prints
 * the names of the first pass, each ended by a NUL.  1 and a line on stderr
 * when something differed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
	char **names;
	long *places; /* before each name */
	size_t n, cap;
};

static void add(struct list *l, const char *name, long place)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 1024;
		l->names = realloc(l->names, l->cap * sizeof(*l->names));
		l->places = realloc(l->places, l->cap * sizeof(*l->places));
		if (!l->names || !l->places)
			abort();
	}
	l->names[l->n] = strdup(name);
	l->places[l->n++] = place;
}

/* Reads max names from where d stands: they must be those from at on. */
static int follow(DIR *d, const struct list *l, size_t at, size_t max)
{
	struct dirent *e;
	size_t i = at;

	while (i < at + max && (e = readdir(d))) {
		if (i >= l->n || strcmp(e->d_name, l->names[i]) != 0) {
			fprintf(stderr,
				"from place %zu: name %zu is %s, "
				"not %s\n",
				at, i, e->d_name,
				i < l->n ? l->names[i] : "the end");
			return 1;
		}
		i++;
	}
	if (i < at + max && i != l->n) {
		fprintf(stderr, "from place %zu: ended at %zu of %zu\n", at, i,
			l->n);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : 1;
	int rounds = argc > 3 ? atoi(argv[3]) : 20, bad = 0;
	struct list l = {0};
	struct dirent *e;
	long place;
	DIR *d = argc > 1 ? opendir(argv[1]) : NULL;

	if (!d) {
		perror("opendir");
		return 2;
	}
	for (;;) {
		/* Back and forth in the middle of the first pass, too. */
		place = telldir(d);
		if (l.n && rand_r(&seed) % 2000 == 0) {
			const size_t at = (size_t)rand_r(&seed) % l.n;

			seekdir(d, l.places[at]);
			bad |= follow(d, &l, at, l.n - at < 50 ? l.n - at : 50);
			seekdir(d, place);
		}
		e = readdir(d);
		if (!e)
			break;
		add(&l, e->d_name, place);
	}
	for (int i = 0; i < rounds && l.n; i++) {
		const size_t at = (size_t)rand_r(&seed) % l.n;

		seekdir(d, l.places[at]);
		bad |= follow(d, &l, at, 500);
	}
	rewinddir(d);
	bad |= follow(d, &l, 0, (size_t)-1 / 2);
	closedir(d);
	for (size_t i = 0; i < l.n; i++) {
		fputs(l.names[i], stdout);
		putchar(0);
	}
	return bad;
}
