/*
 * `hauberkctl export`: all waiting mail, as a file for another host
 * (common/proto/queuefile.h).  Floor 4.
 *
 * The bytes go to control as strings of one list, in slices, no faster than
 * control takes them.  The queue continues meanwhile: a message is written in
 * its state at its turn.  The export changes nothing.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/ctlreply.h"
#include "common/proto/queuefile.h"

enum {
	SLICE = 200,		 /* messages at a time, or recipients */
	PENDING_MAX = 512 << 10, /* output that waits for control */
	BUSY_MS = 5
};

enum stage {
	NEXT,	 /* the next message is looked for */
	LOADING, /* its body is being read */
	RCPTS,
	BODY
};

struct q_export {
	TAILQ_ENTRY(q_export) link;
	struct q *q;
	struct hb_ctl c;
	struct hb_timer *timer;
	struct hb_qf_writer w;
	struct hb_buf out; /* records, not sent yet */
	uint32_t cursor;
	bool reading; /* the envelope at CURSOR */
	bool gone; /* nobody waits any more; freed when the body has come */
	/* the message under way */
	enum stage stage;
	uint64_t id;
	uint32_t rcpt; /* its next */
	struct hb_buf bytes; /* header section, and a body that is not large */
	int fd; /* of a large body; -1: none */
	uint64_t at, size; /* of the message */
	/* for the last word */
	uint64_t written, unreadable, under_way;
};

static void
export_free(struct q_export *x)
{
	hb_timer_free(&x->timer);
	hb_buf_free(&x->out);
	hb_buf_free(&x->bytes);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
}

static void
forget(struct q_export *x)
{
	TAILQ_REMOVE(&x->q->exports, x, link);
	x->gone = true;
	if (x->stage != LOADING)
		export_free(x);
}

/* --- one message --- */

/* The one way to the next message: nothing of this one is left. */
static void
leave_message(struct q_export *x)
{
	hb_buf_clear(&x->bytes);
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
	x->at = 0;
	x->rcpt = 0;
	x->stage = NEXT;
}

static void
end_message(struct q_export *x, enum hb_qf_type how)
{
	hb_qf_put(&x->w, how, HB_SPAN_NONE, &x->out);
	x->written += how == HB_QF_END;
	x->unreadable += how == HB_QF_DROP;
	leave_message(x);
}

/* False: nothing of it was written. */
static bool
put_message(
    struct q_export *x, const struct sched_msg *m, const struct q_envelope *h)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct hb_env env = h->env;
	struct hb_qf_msg rec = { .waited_ms = q_now(x->q) - m->arrived_ms,
		.warned = (m->flags & Q_MF_NOWARN) != 0 };
	int err;

	env.size = x->size;
	env.flags &= ~(HB_ENV_LARGE | HB_ENV_HELD);
	env.flags |= (m->flags & Q_MF_HELD) != 0 ? HB_ENV_HELD : 0;
	err = hb_tlv_encode(&hb_env_record, &env, &bytes);
	rec.env = hb_buf_span(&bytes);
	if (err == 0)
		err = hb_qf_put_record(&x->w, HB_QF_MSG, &hb_qf_msg_record,
		    &rec, &x->out);
	hb_buf_free(&bytes);
	return err == 0;
}

static void
put_rcpt(struct q_export *x, const struct sched_rcpt *r,
    const struct hb_rcpt *rcpt)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	const struct q_last *last = q_rcpt_last(r);
	int64_t next = q_rcpt_next_ms(r), now = q_now(x->q);
	struct hb_qf_rcpt rec = { .attempts = r->attempts,
		.wait_ms = next > now ? next - now : 0 };
	int err = hb_tlv_encode(&hb_rcpt_record, rcpt, &bytes);

	rec.rcpt = hb_buf_span(&bytes);
	if (last != NULL)
		rec.outcome = hb_span(last->record, last->n);
	if (err == 0)
		err = hb_qf_put_record(&x->w, HB_QF_RCPT, &hb_qf_rcpt_record,
		    &rec, &x->out);
	hb_buf_free(&bytes);
	if (err < 0)
		end_message(x, HB_QF_DROP);
}

/* Those that still wait for something; they may come and go meanwhile. */
static void
put_rcpts(struct q_export *x)
{
	struct sched_msg *m = q_sched_find(x->q->sched, x->id);
	struct q_envelope *h = m != NULL ? q_envelope_get(x->q, m) : NULL;

	if (m != NULL && h == NULL) {
		end_message(x, HB_QF_DROP);
		return;
	}
	for (int i = 0; i < SLICE && x->stage == RCPTS; i++) {
		struct sched_rcpt *r =
		    m != NULL ? q_sched_next_rcpt(m, x->rcpt) : NULL;
		const struct hb_rcpt *rcpt;

		if (r == NULL) {
			x->stage = BODY;
			return;
		}
		x->rcpt = r->idx + 1;
		x->under_way += r->state == Q_ACTIVE;
		rcpt = q_envelope_rcpt(h, r->idx);
		if (rcpt != NULL)
			put_rcpt(x, r, rcpt);
		else
			end_message(x, HB_QF_DROP);
	}
}

static void
put_body(struct q_export *x)
{
	static unsigned char room[HB_QF_PAYLOAD];
	uint64_t left = x->size - x->at;
	size_t n = left < sizeof(room) ? (size_t)left : sizeof(room);
	struct hb_span part = HB_SPAN_NONE;

	if (n == 0) {
		end_message(x, HB_QF_END);
		return;
	}
	if (x->at < x->bytes.n) {
		part = hb_span_from(hb_buf_span(&x->bytes), (size_t)x->at);
	} else {
		ssize_t got = pread(x->fd, room, n,
		    (off_t)(x->at - x->bytes.n));

		if (got <= 0) {
			end_message(x, HB_QF_DROP);
			return;
		}
		part = hb_span(room, (size_t)got);
	}
	part = hb_span_head(part, n);
	hb_qf_put(&x->w, HB_QF_BODY, part, &x->out);
	x->at += part.n;
}

static bool
take_content(struct q_export *x, const struct q_content *c)
{
	struct stat st = { .st_size = 0 };

	x->fd = c->fd;
	hb_buf_add(&x->bytes, c->head);
	hb_buf_add(&x->bytes, c->body);
	if (c->fd >= 0 && fstat(c->fd, &st) < 0)
		return false;
	x->size = x->bytes.n + (uint64_t)st.st_size;
	return true;
}

static void
on_content(void *ctx, int err, const struct q_content *c)
{
	struct q_export *x = ctx;
	bool good = err == 0 && take_content(x, c);
	struct sched_msg *m;
	struct q_envelope *h;

	if (x->gone) {
		export_free(x);
		return;
	}
	hb_timer_set(x->timer, 0);
	m = q_sched_find(x->q->sched, x->id);
	h = m != NULL && good ? q_envelope_get(x->q, m) : NULL;
	if (h != NULL && put_message(x, m, h)) {
		x->stage = RCPTS;
		return;
	}
	x->unreadable += m != NULL; /* NULL: it ended meanwhile */
	leave_message(x);
}

/* --- the whole file --- */

static void
end_export(struct q_export *x)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%llu message%s written",
	    (unsigned long long)x->written, x->written == 1 ? "" : "s");

	if (x->under_way > 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
		    "; recipients of whom delivery is under way, and who may "
		    "get it twice: %llu; pause delivery first",
		    (unsigned long long)x->under_way);
	if (x->unreadable > 0)
		(void)snprintf(text + n, sizeof(text) - (size_t)n,
		    "; %llu cannot be read and are not in it",
		    (unsigned long long)x->unreadable);
	hb_ctl_close(&x->c);
	hb_ctl_end(&x->c, x->unreadable > 0, text);
	forget(x);
}

/* False: there is no more. */
static bool
next_message(struct q_export *x)
{
	uint32_t at = x->cursor;
	struct sched_msg *m = q_sched_walk(x->q->sched, &at);

	if (m == NULL)
		return false;
	x->reading = !q_envelope_ready(x->q, m);
	if (x->reading)
		return true;
	x->cursor = at;
	x->id = m->id;
	x->stage = LOADING;
	q_spool_content(x->q->spool, m->id, on_content, x);
	return true;
}

static bool
is_full(const struct q_export *x)
{
	return x->out.n + hb_peer_pending(x->c.peer) > PENDING_MAX;
}

static void
step(void *ctx)
{
	struct q_export *x = ctx;
	bool more = true;

	x->reading = false;
	for (int i = 0; i < SLICE && more && x->stage != LOADING &&
	     !x->reading && !is_full(x); i++) {
		if (x->stage == RCPTS)
			put_rcpts(x);
		else if (x->stage == BODY)
			put_body(x);
		else
			more = next_message(x);
	}
	if (!more)
		hb_qf_put(&x->w, HB_QF_TAIL, HB_SPAN_NONE, &x->out);
	while (x->out.n > 0) {
		struct hb_span part =
		    hb_span_head(hb_buf_span(&x->out), HB_QF_PAYLOAD);

		hb_ctl_str(&x->c, NULL, part);
		hb_buf_consume(&x->out, part.n);
	}
	if (!more)
		end_export(x);
	else if (x->stage != LOADING)
		hb_timer_set(x->timer, is_full(x) ? BUSY_MS : 0);
}

void
q_export(struct q *q, const struct hb_ctl *c)
{
	struct q_export *x = HB_NEW(struct q_export);
	struct hb_qf_head head = { .written_ms = hb_now_ms(),
		.hostname = hb_span_str(q->env->conf->hostname) };

	*x = (struct q_export){ .q = q, .c = *c, .fd = -1,
		.out = HB_BUF_INIT(0), .bytes = HB_BUF_INIT(0) };
	x->timer = hb_timer_new(q->loop, step, x);
	TAILQ_INSERT_TAIL(&q->exports, x, link);
	hb_ctl_array(c, NULL);
	if (hb_qf_put_record(&x->w, HB_QF_HEAD, &hb_qf_head_record, &head,
		&x->out) < 0) {
		hb_ctl_close(c);
		hb_ctl_end(c, 1, "the name of this host is too long");
		forget(x);
		return;
	}
	step(x);
}

void
q_export_end(struct q *q, struct hb_peer *control, uint32_t ref)
{
	struct q_export *x;

	TAILQ_FOREACH(x, &q->exports, link)
		if (x->c.peer == control && x->c.ref == ref)
			break;
	if (x == NULL)
		return;
	hb_ctl_close(&x->c);
	hb_ctl_end(&x->c, 1, "ended before its time");
	forget(x);
}

void
q_exports_lost(struct q *q, struct hb_peer *control)
{
	struct q_export *x, *next;

	for (x = TAILQ_FIRST(&q->exports); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (control == NULL || x->c.peer == control)
			forget(x);
	}
}
