/*
 * `hauberkctl import`: takes in mail that waited at another host
 * (common/proto/queuefile.h).  Floor 4.
 *
 * The file comes through control in pieces; each piece is answered when it was
 * read, so that at most a window is in transit.  Many messages become durable
 * at a time, each with its state, all or nothing.  A message keeps its id:
 * importing the same file again finds those that still wait.  At a damaged
 * place the rest of the file is refused: the messages imported before are
 * reported, so that nobody has to guess.
 */
#include "config.h"

#include "queue/manager/intake.h"
#include "queue/manager/role.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/ctlreply.h"
#include "common/proto/intake.h"
#include "common/proto/queuefile.h"
#include "common/proto/status.h"

enum {
	FLYING_MAX = 1000,	    /* messages that become durable */
	FLYING_BYTES = 16 << 20,
	IN_MAX = 1 << 20,	    /* more than control's window */
	RCPTS_MAX = 1000000,	    /* of one message */
	REPORTS_MOST = 1000,	    /* messages that are named */
	STOP_PART = 4		    /* as queuetime.c: of the lifetime */
};

static const char id_is_taken[] =
    "a message with this id is just coming in or leaving: import again";

/* One message. */
struct moved {
	struct q_import *im;
	struct hb_arena *arena; /* owns what the lists point to */
	struct hb_env env;
	struct hb_rcpt *rcpts; /* malloc */
	struct q_change *changes; /* malloc: one for each of them */
	size_t n, cap;
	bool warned;
	struct q_intake in;
	uint64_t at; /* in the file */
	int64_t now_ms; /* one for all recipients: they go together */
	size_t cost; /* while it becomes durable */
};

struct q_import {
	TAILQ_ENTRY(q_import) link;
	struct q *q;
	struct hb_ctl c; /* its peer is NULL when control is gone */
	struct hb_qf_reader r;
	struct hb_buf in;
	struct moved *open; /* being read; NULL: none, or it is passed over */
	size_t flying, flying_bytes;
	int64_t travel_ms; /* since the file was written */
	bool whole;	   /* control has sent all */
	bool stopped;	   /* the rest is refused */
	uint64_t taken, kept, refused;
};

/* --- reports --- */

static void
report(struct q_import *im, uint64_t at, uint64_t id, const char *why)
{
	char word[17];

	if (im->c.peer == NULL)
		return;
	hb_ctl_object(&im->c, NULL);
	hb_ctl_int(&im->c, "at", (int64_t)at);
	hb_msgid_format(id, word);
	if (id != 0)
		hb_ctl_text(&im->c, "id", word);
	hb_ctl_text(&im->c, "why", why);
	hb_ctl_close(&im->c);
}

static void
moved_free(struct moved *m)
{
	q_intake_free(&m->in);
	free(m->rcpts);
	free(m->changes);
	hb_arena_free(&m->arena);
	free(m);
}

/* Forgets the message that is being read. */
static void
drop_open(struct q_import *im)
{
	struct moved *m = im->open;

	im->open = NULL;
	if (m == NULL)
		return;
	q_intake_discard(&m->in);
	moved_free(m);
}

/* No more is taken out of the file. */
static void
stop(struct q_import *im, uint64_t at, const char *why)
{
	if (!im->stopped)
		report(im, at, 0, why);
	im->stopped = true;
	drop_open(im);
}

static void
stop_for(struct q_import *im, uint64_t at, int err)
{
	char why[128];

	(void)snprintf(why, sizeof(why), "%s: the rest is not taken",
	    hb_strerror(err));
	stop(im, at, why);
}

/* One message is not taken; those behind it are. */
static void
refuse(struct q_import *im, struct moved *m, const char *why)
{
	if (im->refused++ < REPORTS_MOST)
		report(im, m->at, m->env.id, why);
	if (im->open == m)
		drop_open(im);
}

/* --- a message becomes durable --- */

static void
end_if_over(struct q_import *im)
{
	const struct hb_ctl *c = &im->c;

	if (im->flying > 0 || (c->peer != NULL &&
		!(im->whole && (im->stopped || im->in.n == 0))))
		return;
	if (c->peer != NULL) {
		hb_ctl_object(c, NULL);
		hb_ctl_int(c, "imported", (int64_t)im->taken);
		hb_ctl_int(c, "kept", (int64_t)im->kept);
		hb_ctl_int(c, "refused", (int64_t)im->refused);
		hb_ctl_close(c);
		hb_ctl_close(c);
		hb_ctl_end(c, im->stopped || im->refused > 0, NULL);
	}
	TAILQ_REMOVE(&im->q->imports, im, link);
	hb_buf_free(&im->in);
	free(im);
}

static void read_on(struct q_import *im);

/* Takes M. */
static void
accept(struct q *q, struct moved *m)
{
	struct hb_arena *a = m->arena;
	struct hb_rcpt *rcpts = hb_arena_alloc(a, m->n * sizeof(*rcpts));

	HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, m->env.id),
	    hb_kv_span(HB_K_FROM, m->env.sender),
	    hb_kv_str(HB_K_CLIENT, "import"),
	    hb_kv_int(HB_K_SIZE, (int64_t)m->env.size),
	    hb_kv_int(HB_K_NRCPT, (int64_t)m->n),
	    hb_kv_if(m->env.message_id.n > 0,
		hb_kv_span(HB_K_MESSAGE_ID, m->env.message_id)));
	memcpy(rcpts, m->rcpts, m->n * sizeof(*rcpts));
	m->arena = NULL;
	q_accept_moved(q, a, &m->env, rcpts, m->n, m->changes,
	    m->n + (m->warned ? 1 : 0));
}

static void
on_durable(void *ctx, int err)
{
	struct moved *m = ctx;
	struct q_import *im = m->im;

	im->flying--;
	im->flying_bytes -= m->cost;
	if (err < 0) {
		im->refused++;
		stop_for(im, m->at, err);
	} else {
		im->taken++;
		accept(im->q, m);
	}
	moved_free(m);
	read_on(im);
}

/* Waited here as long as it did there, and on the way; its state is one
 * record with it. */
static void
stamp(struct q_import *im, struct moved *m, int64_t waited_ms)
{
	struct q *q = im->q;
	int64_t most = 2 * q->env->conf->lifetime;

	m->env.arrived_ms = m->env.arrived_ms > 0 &&
		m->env.arrived_ms < hb_now_ms()
	    ? m->env.arrived_ms : hb_now_ms();
	waited_ms = waited_ms < 0 ? 0 : waited_ms > most ? most : waited_ms;
	q_stamp_env(q, &m->env);
	m->now_ms = m->env.queue_ms;
	m->env.queue_ms -= waited_ms + im->travel_ms;
}

static void
commit(struct q_import *im)
{
	struct moved *m = im->open;
	struct hb_incoming_fields as_it_is = { .completes = false };
	struct q_body b;
	const char *why;
	int err;

	if (m->n == 0) { /* the last recipient was just done */
		drop_open(im);
		return;
	}
	why = q_intake_end(&m->in, &as_it_is, &m->env, &b);
	if (why != NULL) {
		refuse(im, m, why);
		return;
	}
	q_env_head(&m->env, b.head, m->arena);
	b.changes = m->changes;
	b.nchanges = m->n;
	if (m->warned)
		m->changes[b.nchanges++] =
		    (struct q_change){ .kind = Q_CHANGE_WARNED };
	err = q_spool_add(im->q->spool, &m->env, m->rcpts, m->n, &b,
	    on_durable, m);
	if (err == HB_E_NOSPACE) {
		stop_for(im, m->at, err);
	} else if (err < 0) {
		refuse(im, m, err == HB_E_EXISTS ? id_is_taken
						 : hb_strerror(err));
	} else {
		im->open = NULL;
		im->flying++;
		m->cost = b.head.n + b.bytes.n + m->n * sizeof(*m->rcpts);
		im->flying_bytes += m->cost;
		q_intake_free(&m->in);
	}
}

/* --- the records of a message --- */

/* NULL: it is not here.  Else what is to be said of it; "": it is the same. */
static const char *
is_here(struct q *q, const struct hb_env *env)
{
	struct sched_msg *m = q_sched_find(q->sched, env->id);
	struct q_envelope *h = m != NULL ? q_envelope_get(q, m) : NULL;
	bool ahead = env->arrived_ms > hb_now_ms(); /* not kept: see stamp */

	if (m == NULL)
		return NULL;
	if (h != NULL && m->size == env->size &&
	    (ahead || h->env.arrived_ms == env->arrived_ms) &&
	    hb_span_eq(h->env.sender, env->sender))
		return "";
	return "another message with this id waits here: import again when "
	       "it has left";
}

static const char *
check_env(struct q_import *im, struct moved *m)
{
	struct hb_env *e = &m->env;
	int err = hb_intake_env(e, m->arena);

	if (err < 0 || e->id == 0)
		return "its envelope is malformed";
	if (e->size > im->q->env->conf->max_message_size)
		return "larger than max-message-size";
	e->flags = hb_env_one_tls_flag(e->flags & (HB_ENV_SMTPUTF8 |
	    HB_ENV_REQUIRETLS | HB_ENV_TLS_OPTIONAL | HB_ENV_HELD |
	    HB_ENV_DSN | HB_ENV_LOCAL));
	return is_here(im->q, e);
}

/* It was held to the limits where it came in; what the host there put in front
 * may be beyond them. */
static void
begin(struct q_import *im, uint64_t at, const struct hb_qf_item *it)
{
	struct hb_incoming_rules rules = { .max_size = UINT64_MAX,
		.max_header = HB_MAX_HEADER_BYTES + HB_INCOMING_OURS,
		.no_dot = true, .max_hops = UINT_MAX };
	struct moved *m = HB_NEW(struct moved);
	const char *why;

	*m = (struct moved){ .im = im, .arena = hb_arena_new(),
		.in = { .fd = -1 }, .env = it->env,
		.warned = it->msg.warned != 0, .at = at };
	im->open = m;
	why = check_env(im, m);
	if (why != NULL && why[0] == '\0') {
		im->kept++;
		drop_open(im);
	} else if (why != NULL) {
		refuse(im, m, why);
	} else if (q_spool_space(im->q->spool) < m->env.size + HB_MAX_OTHERS_ROOM) {
		stop_for(im, at, HB_E_NOSPACE);
	} else {
		stamp(im, m, it->msg.waited_ms);
		q_intake_start(&m->in, im->q->spool, m->env.id, m->env.size,
		    &rules);
	}
}

/* What happened last, as far as it can be told to anybody. */
static const struct hb_outcome *
keep_outcome(struct moved *m, const struct hb_qf_item *it)
{
	struct hb_outcome *o = hb_arena_alloc(m->arena, sizeof(*o));
	struct hb_span *texts[] = { &o->mx, &o->tls, &o->sts, &o->policy_id,
		&o->addr };

	hb_record_copy(m->arena, &hb_outcome_record, &it->outcome, o);
	o->idx = (uint32_t)m->n;
	o->at_ms = hb_now_ms();
	if (o->result == HB_RESULT_NONE)
		return NULL;
	if (!hb_status_is_valid(o->status))
		o->status = HB_SPAN_NONE;
	for (size_t i = 0; i < HB_ARRAY_LEN(texts); i++)
		if (!hb_intake_is_text(*texts[i]))
			*texts[i] = HB_SPAN_NONE;
	return o;
}

static void
add_rcpt(struct q_import *im, const struct hb_qf_item *it)
{
	struct moved *m = im->open;
	int64_t most = im->q->env->conf->retry.max_ms;
	int64_t wait = it->to.wait_ms > most ? most : it->to.wait_ms;

	if (m->n == m->cap) {
		m->cap = m->cap > 0 ? m->cap * 2 : 4;
		m->rcpts = hb_realloc(m->rcpts, m->cap * sizeof(*m->rcpts));
		/* and one for the warning */
		m->changes = hb_realloc(m->changes,
		    (m->cap + 1) * sizeof(*m->changes));
	}
	if (m->n == RCPTS_MAX || hb_intake_moved_rcpt(&it->rcpt, m->arena,
	    &m->rcpts[m->n]) < 0) {
		refuse(im, m, m->n == RCPTS_MAX ? "too many recipients"
						: "a recipient is malformed");
		return;
	}
	wait = wait < im->travel_ms ? 0 : wait - im->travel_ms;
	m->rcpts[m->n].idx = (uint32_t)m->n;
	m->changes[m->n] = (struct q_change){ .kind = Q_CHANGE_TRIED,
		.idx = (uint32_t)m->n, .attempts = it->to.attempts,
		.next_ms = m->now_ms + wait, .stamp = q_stamp(im->q),
		.outcome = keep_outcome(m, it) };
	m->n++;
}

static void
add_body(struct q_import *im, struct hb_span bytes)
{
	struct moved *m = im->open;
	int err = q_intake_feed(&m->in, bytes);

	if (err == HB_E_EXISTS)
		refuse(im, m, id_is_taken);
	else if (err < 0)
		stop_for(im, m->at, err);
}

static void
begin_file(struct q_import *im, const struct hb_qf_head *h)
{
	int64_t most = im->q->env->conf->lifetime / STOP_PART;
	int64_t now = hb_now_ms();

	/* a clock that is wrong by more lets no mail expire */
	if (h->written_ms > 0 && h->written_ms < now &&
	    now - h->written_ms <= most)
		im->travel_ms = now - h->written_ms;
}

static void
take(struct q_import *im, uint64_t at, const struct hb_qf_item *it)
{
	if (it->type == HB_QF_HEAD)
		begin_file(im, &it->head);
	else if (it->type == HB_QF_MSG)
		begin(im, at, it);
	else if (im->open == NULL)
		return;
	else if (it->type == HB_QF_RCPT)
		add_rcpt(im, it);
	else if (it->type == HB_QF_BODY)
		add_body(im, it->body);
	else if (it->type == HB_QF_END)
		commit(im);
	else
		drop_open(im);
}

/* --- the file --- */

static const char *
fault(int err)
{
	switch (err) {
	case HB_E_UNSUPPORTED:
		return "written by another version: nothing is taken";
	case HB_E_SYNTAX:
		return "not what hauberkctl export writes: the rest is not "
		       "taken";
	default:
		return "damaged here: the rest is not taken";
	}
}

/* Reads what it can.  Returns the bytes used. */
static size_t
read_records(struct q_import *im)
{
	struct hb_qf_item it;
	size_t total = 0;

	while (!im->stopped && im->flying < FLYING_MAX &&
	    im->flying_bytes < FLYING_BYTES) {
		uint64_t at = im->r.at;
		int used = hb_qf_read(&im->r, hb_buf_span(&im->in), &it);

		if (used == 0)
			break;
		if (used < 0) {
			stop(im, at, fault(used));
			break;
		}
		take(im, at, &it);
		hb_buf_consume(&im->in, (size_t)used);
		total += (size_t)used;
	}
	if (im->stopped) {
		total += im->in.n;
		hb_buf_clear(&im->in);
	}
	return total;
}

/* IM may be gone afterwards. */
static void
read_on(struct q_import *im)
{
	bool waits;
	size_t used;

	if (im->c.peer == NULL) {
		end_if_over(im);
		return;
	}
	used = read_records(im);
	if (used > 0)
		hb_ctl_int(&im->c, NULL, (int64_t)used);
	waits = im->flying >= FLYING_MAX || im->flying_bytes >= FLYING_BYTES;
	if (im->whole && !waits && !im->stopped &&
	    im->r.last != HB_QF_TAIL) {
		stop(im, im->r.at, "cut short here: the rest is missing");
		hb_buf_clear(&im->in);
	}
	end_if_over(im);
}

void
q_on_ctl_input(struct q *q, struct hb_peer *p, const struct ipc_ctl_input *in)
{
	struct q_import *im;

	TAILQ_FOREACH(im, &q->imports, link)
		if (im->c.peer == p && im->c.ref == in->ref && !im->whole)
			break;
	if (im == NULL) {
		q_export_end(q, p, in->ref);
		return;
	}
	if (im->in.n + in->bytes.n > IN_MAX) {
		hb_peer_violation(p, "more of a file than was asked for");
		return;
	}
	hb_buf_add(&im->in, in->bytes);
	im->whole = in->last != 0;
	read_on(im);
}

void
q_import(struct q *q, const struct hb_ctl *c)
{
	struct q_import *im = HB_NEW(struct q_import);

	im->q = q;
	im->c = *c;
	im->in = HB_BUF_INIT(0);
	TAILQ_INSERT_TAIL(&q->imports, im, link);
	hb_ctl_array(c, NULL);
}

/* What is on its way to the disk comes in all the same. */
void
q_imports_lost(struct q *q, struct hb_peer *control)
{
	struct q_import *im, *next;

	for (im = TAILQ_FIRST(&q->imports); im != NULL; im = next) {
		next = TAILQ_NEXT(im, link);
		if (control != NULL && im->c.peer != control)
			continue;
		im->c.peer = NULL;
		drop_open(im);
		end_if_over(im);
	}
}
