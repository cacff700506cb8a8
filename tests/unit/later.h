/* Answers of a world that is played: at the end of the turn, never inside of
 * the question, in the order of the questions. */
#ifndef TESTS_UNIT_LATER_H
#define TESTS_UNIT_LATER_H

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/io/loop.h"

struct later {
	struct later *next;
	void (*fn)(void *arg); /* NULL: cancelled */
	void *arg;
};

static struct {
	struct hb_hook *hook;
	struct later *first, **last;
} later_list;

static inline void
later_run(void *ctx)
{
	struct later *l = later_list.first, *next;

	hb_hook_free(&later_list.hook);
	later_list.first = NULL;
	for (; l != NULL; l = next) {
		next = l->next;
		if (l->fn != NULL)
			l->fn(l->arg);
		free(l);
	}
}

/* FN, which frees ARG. */
static inline struct later *
later(struct hb_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct later *l = HB_NEW(struct later);

	if (later_list.first == NULL) {
		later_list.last = &later_list.first;
		later_list.hook = hb_hook_new(loop, later_run, NULL);
		hb_hook_arm(later_list.hook);
	}
	*l = (struct later){ NULL, fn, arg };
	*later_list.last = l;
	later_list.last = &l->next;
	return l;
}

/* FN will not run. */
static inline void
later_cancel(struct later *l)
{
	free(l->arg);
	l->fn = NULL;
}

#endif
