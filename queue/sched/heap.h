/*
 * A binary heap of due times, intrusive.  Floor 2, pure.  Insert, move and
 * remove cost O(log n); the heap never owns its nodes.
 */
#ifndef QUEUE_SCHED_HEAP_H
#define QUEUE_SCHED_HEAP_H

#include "common/base/span.h"

struct q_node {
	int64_t key;  /* ms */
	uint32_t pos; /* position + 1; 0: not in a heap */
};
struct q_heap {
	struct q_node **v; /* owned array of borrowed nodes */
	uint32_t n, cap;
};

/* Inserts NODE, or moves it if it is in the heap already. */
void q_heap_set(struct q_heap *h, struct q_node *node, int64_t key);
/* NODE need not be in a heap. */
void q_heap_remove(struct q_heap *h, struct q_node *node);
/* NULL if the heap is empty. */
struct q_node *q_heap_top(const struct q_heap *h);
void q_heap_free(struct q_heap *h);

#endif
