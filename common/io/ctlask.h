/*
 * Control requests that the durable store answers (`hauberkctl sts ...`,
 * `hauberkctl ledger ...`).  Floor 3.
 *
 *	hb_ctl_ask -> BEGIN of the verb -> the store, once or in slices
 *	           -> items to control -> hb_ctl_ask_end
 *
 * A request lives until the store has answered all it began.  If control is
 * lost, the request sends nothing more and ends when it would have; only
 * hb_ctl_asks_free ends it early.
 */
#ifndef HB_IO_CTLASK_H
#define HB_IO_CTLASK_H

#include <sys/queue.h>

#include "common/base/limits.h"
#include "common/io/ctlreply.h"
#include "common/io/loop.h"
#include "common/io/store.h"

struct hb_ctl_ask;

/* All requests about one table.  Everything is borrowed. */
struct hb_ctl_asks {
	struct hb_loop *loop;
	const struct hb_store_ops *ops;
	void *store;
	void *ctx;               /* whatever the verbs need */
	LIST_HEAD(, hb_ctl_ask) list; /* under way */
};

/* KEY, VALUE: a row that this worker owns.  Called only while A's control is
 * up. */
typedef void (*hb_ctl_ask_row_fn)(
    struct hb_ctl_ask *a, struct hb_span key, struct hb_span value);

struct hb_ctl_ask {
	LIST_ENTRY(hb_ctl_ask) link;
	struct hb_ctl_asks *all;
	struct hb_ctl to; /* peer NULL: control is gone */
	enum hb_ctl_verb verb;
	char domain[HB_MAX_DOMAIN + 1]; /* lower case: a key of the store */
	struct hb_buf value; /* of the request */
	/* State of the request besides the store's, or NULL; CANCEL gives it up
	 * if the request ends early. */
	void *work;
	void (*cancel)(void *work);
	/* a list */
	hb_ctl_ask_row_fn row;
	struct hb_timer *timer;
	char last[HB_MAX_DOMAIN + 1]; /* last row before the next slice */
	size_t rows;                  /* of this slice */
};

struct hb_ctl_ask_verb {
	enum hb_ctl_verb verb;
	bool domain; /* its argument is a domain */
	/* Must lead to hb_ctl_ask_end, now or later. */
	void (*begin)(struct hb_ctl_ask *a);
};

/* Answers Q by one of N VERBS; false if Q is none of them. */
bool hb_ctl_ask(struct hb_ctl_asks *all, const struct hb_ctl_ask_verb *verbs,
    size_t n, struct hb_peer *control, const struct ipc_ctl *q);
/* CODE and TEXT as in hb_ctl_end.  Frees A. */
void hb_ctl_ask_end(struct hb_ctl_ask *a, unsigned code, const char *text);
/* The same for a result of the store: ERR 0 or an error. */
void hb_ctl_ask_done(struct hb_ctl_ask *a, int err);
/* Does this worker own the domain of A? */
bool hb_ctl_ask_is_ours(const struct hb_ctl_ask *a);
/* Reads the row of A's domain; GOT has A as its ctx. */
void hb_ctl_ask_get(struct hb_ctl_ask *a, hb_store_got_fn got);
/* Writes VALUE as the row of A's domain, with flush; DONE has A as its ctx. */
void hb_ctl_ask_put(
    struct hb_ctl_ask *a, struct hb_span value, hb_store_done_fn done);
/* Sends the whole table as an array, then the end.  The list waits while
 * control does not read. */
void hb_ctl_ask_list(struct hb_ctl_ask *a, hb_ctl_ask_row_fn row);

void hb_ctl_asks_lost(struct hb_ctl_asks *all, const struct hb_peer *control);
/* The store must not call back afterwards: free the store next. */
void hb_ctl_asks_free(struct hb_ctl_asks *all);

#endif
