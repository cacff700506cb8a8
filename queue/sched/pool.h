/*
 * Cells of one size without an allocator's overhead for each.  Floor 2, pure.
 * Cells are numbered, so that a walk over all of them can stop and resume while
 * others come and go.
 */
#ifndef QUEUE_SCHED_POOL_H
#define QUEUE_SCHED_POOL_H

#include "common/base/span.h"

struct q_pool {
	size_t size;	/* of a cell; at least a pointer */
	void **blocks;	/* owned */
	uint32_t nblocks, used; /* cells ever handed out */
	void *free_list;
	uint32_t live;
};

void q_pool_init(struct q_pool *p, size_t size);
/* Zeroed. */
void *q_pool_get(struct q_pool *p);
/* Zeroes the cell except its first pointer, which links the list of free
 * cells. */
void q_pool_put(struct q_pool *p, void *cell);
/* Cell number I < p->used; it may be a free one. */
void *q_pool_at(const struct q_pool *p, uint32_t i);
void q_pool_free(struct q_pool *p);

#endif
