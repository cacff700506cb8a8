/*
 * Arenas, and allocation that succeeds or ends the process.  Floor 0.  Running
 * out of memory aborts: sizes that come from outside are bounded before.
 */
#ifndef HB_BASE_MEM_H
#define HB_BASE_MEM_H

#include <stddef.h>

#include "common/base/span.h"

/* Each returns owned memory; free it with free(). */
void *hb_malloc(size_t n) __attribute__((malloc, returns_nonnull));
void *hb_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *hb_realloc(void *p, size_t n) __attribute__((returns_nonnull));
char *hb_strdup(const char *s) __attribute__((malloc, returns_nonnull));

#define HB_NEW(type) ((type *)hb_calloc(1, sizeof(type)))

/* Overwrites secrets; the compiler cannot optimise it away. */
void hb_wipe(void *p, size_t n);

/* Reports the place of a broken invariant of ours and aborts. */
void hb_bug(const char *file, int line, const char *what) HB_NORETURN;
#define HB_BUG(what) hb_bug(__FILE__, __LINE__, (what))
#define HB_ASSERT(cond)                                                        \
	((cond) ? (void)0 : hb_bug(__FILE__, __LINE__, #cond))

/*
 * An arena is memory that is freed at once with its owner (a session, an
 * attempt).  Allocations are zeroed and aligned for any type.
 */
struct hb_arena;
struct hb_arena *hb_arena_new(void);
void hb_arena_free(struct hb_arena **a); /* accepts NULL inside */
/* Frees all allocations but keeps one block for the next use. */
void hb_arena_reset(struct hb_arena *a);
void *hb_arena_alloc(struct hb_arena *a, size_t n);
struct hb_span hb_arena_span(struct hb_arena *a, struct hb_span s);
char *hb_arena_cstr(struct hb_arena *a, struct hb_span s);

#endif
