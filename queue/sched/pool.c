/* Pool of cells.  Floor 2. */
#include "queue/sched/pool.h"

#include <stdlib.h>

#include "common/base/mem.h"

enum { BLOCK_CELLS = 512 };

void
q_pool_init(struct q_pool *p, size_t size)
{
	*p = (struct q_pool){ .size = size };
}

static void *
fresh(struct q_pool *p)
{
	if (p->used == p->nblocks * BLOCK_CELLS) {
		p->blocks = hb_realloc(p->blocks,
		    (p->nblocks + 1) * sizeof(void *));
		p->blocks[p->nblocks++] = hb_calloc(BLOCK_CELLS, p->size);
	}
	return q_pool_at(p, p->used++);
}

void *
q_pool_get(struct q_pool *p)
{
	void *cell = p->free_list;

	p->live++;
	if (cell == NULL)
		return fresh(p);
	memcpy(&p->free_list, cell, sizeof(void *));
	memset(cell, 0, p->size);
	return cell;
}

void
q_pool_put(struct q_pool *p, void *cell)
{
	memset(cell, 0, p->size);
	memcpy(cell, &p->free_list, sizeof(void *));
	p->free_list = cell;
	p->live--;
}

void *
q_pool_at(const struct q_pool *p, uint32_t i)
{
	unsigned char *block = p->blocks[i / BLOCK_CELLS];

	return block + (i % BLOCK_CELLS) * p->size;
}

void
q_pool_free(struct q_pool *p)
{
	for (uint32_t i = 0; i < p->nblocks; i++)
		free(p->blocks[i]);
	free(p->blocks);
	*p = (struct q_pool){ 0 };
}
