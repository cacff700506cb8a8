/*
 * Greylisting for smtpd: rows of the store, and a walk that takes out the old
 * ones and counts the rest.  Floor 4.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/io/trouble.h"
#include "queue/manager/grey.h"

enum {
	ROWS_MAX = 200000,   /* of contacts, and of networks */
	WALK_ROWS = 200,     /* a turn */
	WALK_MS = 100,
	REST_MS = 600000,    /* between two walks */
	VALUE_MAX = 64
};

enum { CONTACTS, NETWORKS, KINDS };

struct q_greylist {
	struct q *q;
	struct hb_timer *timer;
	struct hb_buf at;      /* key where the walk is; empty: it begins */
	size_t rows[KINDS], walked[KINDS];
	struct hb_buf old;     /* keys of this turn: length and key */
	struct hb_buf key, value; /* at hand */
};

/* --- rows --- */

/* 0: there is no such row, or it cannot be read: *BROKEN. */
static int64_t
row(struct q_greylist *g, bool *broken)
{
	struct hb_buf value = HB_BUF_INIT(VALUE_MAX);
	int err = q_store_get(g->q->store, HB_TABLE_GREY,
	    hb_buf_span(&g->key), &value);
	int64_t ms = err == 0 ? q_grey_get(hb_buf_span(&value)) : 0;

	*broken = *broken || err == HB_E_IO;
	hb_buf_free(&value);
	return ms;
}

static void
put(struct q_greylist *g, int64_t ms)
{
	hb_buf_clear(&g->value);
	if (ms != 0)
		q_grey_put(ms, &g->value);
	q_store_put(g->q->store, HB_TABLE_GREY, hb_buf_span(&g->key),
	    hb_buf_span(&g->value), true, NULL, NULL);
}

/* The row of the key at hand is new. */
static bool
has_room(struct q_greylist *g, size_t kind)
{
	struct hb_span what = HB_SPAN("greylist");

	if (g->rows[kind] < ROWS_MAX) {
		g->rows[kind]++;
		return true;
	}
	hb_trouble_begin(HB_EV_STORE, what, HB_SPAN("200000 contacts are "
	    "remembered: new ones do not wait"));
	return false;
}

/* From now on the network is remembered, not the contact. */
static void
let_pass(struct q_greylist *g, const struct hb_netaddr *a,
    const struct q_grey_seen *seen, int64_t now_ms)
{
	if (seen->network == 0 && !has_room(g, NETWORKS))
		return;
	if (seen->contact != 0) {
		g->rows[CONTACTS] -= g->rows[CONTACTS] > 0;
		put(g, 0);
	}
	q_grey_network(a, &g->key);
	put(g, now_ms);
}

/* How long M, from A, has to wait. */
static int64_t
wait_for(struct q_greylist *g, const struct ipc_grey *m,
    const struct hb_netaddr *a)
{
	struct q_grey_seen seen = { 0 };
	struct q_grey_verdict v;
	bool broken = false;
	int64_t now = q_now(g->q);

	q_grey_network(a, &g->key);
	seen.network = row(g, &broken);
	q_grey_contact(a, m->sender, m->rcpt, &g->key);
	seen.contact = row(g, &broken);
	if (broken)
		return 0;
	v = q_grey_judge(&seen, g->q->env->conf->greylist.delay_ms, now);
	if (v.note == Q_GREY_NETWORK) {
		let_pass(g, a, &seen, now);
	} else if (v.note == Q_GREY_CONTACT) {
		if (seen.contact == 0 && !has_room(g, CONTACTS))
			return 0;
		put(g, now);
	}
	hb_stat(v.wait_ms > 0 ? HB_STAT_GREYLIST_WAITS
			      : HB_STAT_GREYLIST_PASSES);
	return v.wait_ms;
}

void
q_on_grey(struct q *q, struct hb_peer *p, const struct ipc_grey *m)
{
	struct ipc_grey_result out = { .ref = m->ref };
	struct hb_netaddr a;

	if (hb_netaddr_parse(m->client, &a) < 0) {
		hb_peer_violation(p, "a client without an address");
		return;
	}
	/* one that was asked before `greylist off' is told to go on */
	if (q->greylist != NULL && q->store != NULL)
		out.wait_s = (uint32_t)((wait_for(q->greylist, m, &a) + 999) /
		    1000);
	hb_peer_post(p, HB_IPC_GREY_RESULT, &out, -1);
}

/* --- the walk --- */

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct q_greylist *g = ctx;

	hb_buf_clear(&g->at);
	hb_buf_add(&g->at, key);
	if (q_grey_is_old(key, q_grey_get(value), q_now(g->q))) {
		hb_buf_add_le(&g->old, key.n, 2);
		hb_buf_add(&g->old, key);
	} else {
		g->walked[q_grey_is_network(key) ? NETWORKS : CONTACTS]++;
	}
}

static void
drop_old(struct q_greylist *g)
{
	struct hb_span rest = hb_buf_span(&g->old);

	while (rest.n > 0) {
		struct hb_span n = hb_span_take(&rest, 2);

		hb_buf_clear(&g->key);
		hb_buf_add(&g->key, hb_span_take(&rest, hb_get_le(n.p, 2)));
		put(g, 0);
	}
	hb_buf_clear(&g->old);
}

/* All rows were seen: what was counted counts. */
static void
end_walk(struct q_greylist *g)
{
	for (size_t i = 0; i < KINDS; i++) {
		g->rows[i] = g->walked[i];
		g->walked[i] = 0;
	}
	if (g->rows[CONTACTS] < ROWS_MAX && g->rows[NETWORKS] < ROWS_MAX)
		hb_trouble_end(HB_EV_STORE, HB_SPAN("greylist"));
	hb_buf_clear(&g->at);
}

static void
walk(void *ctx)
{
	struct q_greylist *g = ctx;
	struct hb_buf from = HB_BUF_INIT(0);
	int n = HB_E_IO;

	hb_buf_add(&from, hb_buf_span(&g->at));
	if (g->q->store != NULL)
		n = q_store_list(g->q->store, HB_TABLE_GREY,
		    hb_buf_span(&from), WALK_ROWS, on_row, g);
	hb_buf_free(&from);
	drop_old(g);
	if (n == WALK_ROWS) {
		hb_timer_set(g->timer, WALK_MS);
		return;
	}
	if (n >= 0)
		end_walk(g);
	hb_timer_set(g->timer, REST_MS);
}

void
q_greylist_start(struct q *q)
{
	struct q_greylist *g = q->greylist;

	if (q->env->conf->greylist.on == (g != NULL))
		return;
	if (g == NULL) {
		g = q->greylist = HB_NEW(struct q_greylist);
		g->q = q;
		g->timer = hb_timer_new(q->loop, walk, g);
		hb_timer_set(g->timer, 0);
		return;
	}
	hb_trouble_end(HB_EV_STORE, HB_SPAN("greylist"));
	hb_timer_free(&g->timer);
	hb_buf_free(&g->at);
	hb_buf_free(&g->old);
	hb_buf_free(&g->key);
	hb_buf_free(&g->value);
	free(g);
	q->greylist = NULL;
}
