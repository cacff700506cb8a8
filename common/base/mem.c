/* Memory and arenas.  Floor 0. */
#include "common/base/mem.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 4000 };

struct block {
	struct block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

struct hb_arena {
	struct block *head;
};

void
hb_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, what);
	abort();
}

void *
hb_malloc(size_t n)
{
	void *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		HB_BUG("out of memory");
	return p;
}

void *
hb_calloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (p == NULL)
		HB_BUG("out of memory");
	return p;
}

void *
hb_realloc(void *p, size_t n)
{
	p = realloc(p, n > 0 ? n : 1);
	if (p == NULL)
		HB_BUG("out of memory");
	return p;
}

char *
hb_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(hb_malloc(n), s, n);
}

void
hb_wipe(void *p, size_t n)
{
	if (n == 0)
		return;
	memset(p, 0, n);
	__asm__ __volatile__("" : : "r"(p) : "memory");
}

struct hb_arena *
hb_arena_new(void)
{
	return HB_NEW(struct hb_arena);
}

static void
free_blocks(struct block *b)
{
	while (b != NULL) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
}

void
hb_arena_free(struct hb_arena **a)
{
	if (*a == NULL)
		return;
	free_blocks((*a)->head);
	free(*a);
	*a = NULL;
}

void
hb_arena_reset(struct hb_arena *a)
{
	struct block *keep = a->head;

	if (keep == NULL)
		return;
	free_blocks(keep->next);
	keep->next = NULL;
	if (keep->size > ARENA_BLOCK) {
		free(keep);
		a->head = NULL;
		return;
	}
	keep->used = 0;
}

/* The system's fresh pages are zero: only who uses them touches them. */
static void *
own_block(struct hb_arena *a, size_t n)
{
	struct block *b = hb_calloc(1, sizeof(*b) + n);

	*b = (struct block){ a->head, n, n };
	a->head = b;
	return b->data;
}

void *
hb_arena_alloc(struct hb_arena *a, size_t n)
{
	size_t align = alignof(max_align_t);
	struct block *b = a->head;
	void *p;

	if (n > SIZE_MAX / 2)
		HB_BUG("arena allocation too large");
	n = (n + align - 1) / align * align;
	if (n > ARENA_BLOCK)
		return own_block(a, n);
	if (b == NULL || b->size - b->used < n) {
		b = hb_malloc(sizeof(*b) + ARENA_BLOCK);
		*b = (struct block){ a->head, 0, ARENA_BLOCK };
		a->head = b;
	}
	p = b->data + b->used;
	b->used += n;
	return memset(p, 0, n);
}

struct hb_span
hb_arena_span(struct hb_arena *a, struct hb_span s)
{
	unsigned char *p;

	if (s.n == 0)
		return HB_SPAN_NONE;
	p = hb_arena_alloc(a, s.n);
	memcpy(p, s.p, s.n);
	return hb_span(p, s.n);
}

char *
hb_arena_cstr(struct hb_arena *a, struct hb_span s)
{
	char *p = hb_arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}
