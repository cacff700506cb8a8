/* Binary heap.  Floor 2. */
#include "queue/sched/heap.h"

#include <stdlib.h>

#include "common/base/mem.h"

static void
place(struct q_heap *h, uint32_t at, struct q_node *node)
{
	h->v[at] = node;
	node->pos = at + 1;
}

static void
sift_up(struct q_heap *h, uint32_t at)
{
	struct q_node *node = h->v[at];

	while (at > 0) {
		uint32_t up = (at - 1) / 2;

		if (h->v[up]->key <= node->key)
			break;
		place(h, at, h->v[up]);
		at = up;
	}
	place(h, at, node);
}

static void
sift_down(struct q_heap *h, uint32_t at)
{
	struct q_node *node = h->v[at];

	for (;;) {
		uint32_t kid = 2 * at + 1;

		if (kid >= h->n)
			break;
		if (kid + 1 < h->n && h->v[kid + 1]->key < h->v[kid]->key)
			kid++;
		if (node->key <= h->v[kid]->key)
			break;
		place(h, at, h->v[kid]);
		at = kid;
	}
	place(h, at, node);
}

static void
grow(struct q_heap *h)
{
	if (h->n < h->cap)
		return;
	h->cap = h->cap > 0 ? h->cap + h->cap / 2 : 64;
	h->v = hb_realloc(h->v, h->cap * sizeof(struct q_node *));
}

void
q_heap_set(struct q_heap *h, struct q_node *node, int64_t key)
{
	if (node->pos == 0) {
		grow(h);
		place(h, h->n++, node);
	}
	node->key = key;
	sift_up(h, node->pos - 1);
	sift_down(h, node->pos - 1);
}

void
q_heap_remove(struct q_heap *h, struct q_node *node)
{
	uint32_t at = node->pos - 1;
	struct q_node *last;

	if (node->pos == 0)
		return;
	node->pos = 0;
	last = h->v[--h->n];
	if (last == node)
		return;
	place(h, at, last);
	sift_up(h, at);
	sift_down(h, last->pos - 1);
}

struct q_node *
q_heap_top(const struct q_heap *h)
{
	return h->n > 0 ? h->v[0] : NULL;
}

void
q_heap_free(struct q_heap *h)
{
	free(h->v);
	*h = (struct q_heap){ 0 };
}
