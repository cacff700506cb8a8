/* Rounds: one filter after the other is asked.  Floor 2.  See filters.h. */
#include "smtpd/filters.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/proto/header.h"
#include "smtpd/session-priv.h"

/* --- steps --- */

enum putting {
	PUT,	 /* into the filter's output */
	NOTHING, /* there is nothing (more) to be sent at this step */
	LATER	 /* it must be read from a file first */
};

static enum putting
put_connect(struct smtpd_session *s, struct smtpd_milter *m)
{
	char name[80];
	struct hb_milter_client c = { .address = hb_span_str(s->client),
		.is_v6 = s->client_is_v6, .port = s->filters->client_port };

	snprintf(name, sizeof(name), s->local != NULL ? "localhost" : "[%s]",
	    s->client);
	c.name = hb_span_str(name);
	hb_milter_put_client(&m->out, &c);
	return PUT;
}

/* A step whose data are one text. */
static enum putting
put_one(struct smtpd_milter *m, enum hb_milter_step step, struct hb_span text)
{
	size_t begun = hb_milter_begin(&m->out,
	    hb_milter_step_info(step).letter);

	hb_milter_put_text(&m->out, text);
	hb_milter_end(&m->out, begun);
	return PUT;
}

static enum putting
put_helo(struct smtpd_session *s, struct smtpd_milter *m)
{
	return put_one(m, HB_MILTER_HELO, hb_span_str(s->helo));
}

static enum putting
put_unknown(struct smtpd_session *s, struct smtpd_milter *m)
{
	return put_one(m, HB_MILTER_UNKNOWN, hb_buf_span(&s->filters->line));
}

/* WORD, which ends behind its NUL, if ARG is not empty. */
static void
put_arg(struct smtpd_milter *m, const char *word, struct hb_span arg)
{
	if (arg.n == 0)
		return;
	hb_buf_adds(&m->out, word);
	hb_milter_put_text(&m->out, arg);
}

static size_t
begin_path(struct smtpd_milter *m, enum hb_milter_step step,
    struct hb_span address)
{
	size_t begun = hb_milter_begin(&m->out,
	    hb_milter_step_info(step).letter);

	hb_buf_adds(&m->out, "<");
	hb_buf_add(&m->out, address);
	hb_milter_put_text(&m->out, HB_SPAN(">"));
	return begun;
}

static enum putting
put_mail(struct smtpd_session *s, struct smtpd_milter *m)
{
	static const char *const rets[] = { [HB_RET_FULL] = "FULL",
		[HB_RET_HDRS] = "HDRS" };
	static const char *const bodies[] = { [HB_BODY_7BIT] = "",
		[HB_BODY_8BITMIME] = "8BITMIME",
		[HB_BODY_BINARY] = "BINARYMIME" };
	const struct smtpd_txn *t = &s->txn;
	size_t begun = begin_path(m, HB_MILTER_MAIL, hb_buf_span(&t->sender));
	char size[24] = "";

	if (t->declared > 0)
		snprintf(size, sizeof(size), "%llu",
		    (unsigned long long)t->declared);
	put_arg(m, "SIZE=", hb_span_str(size));
	put_arg(m, "BODY=", hb_span_str(bodies[t->body]));
	put_arg(m, "RET=", t->ret != HB_RET_NONE ? hb_span_str(rets[t->ret])
						 : HB_SPAN_NONE);
	put_arg(m, "ENVID=", hb_buf_span(&t->envid));
	put_arg(m, "", t->utf8 ? HB_SPAN("SMTPUTF8") : HB_SPAN_NONE);
	hb_milter_end(&m->out, begun);
	return PUT;
}

static enum putting
put_rcpt(struct smtpd_session *s, struct smtpd_milter *m)
{
	const struct hb_rcpt *r = &s->filters->about->rcpt;
	size_t begun = begin_path(m, HB_MILTER_RCPT, r->address);
	struct hb_buf notify = HB_BUF_INIT(0);

	if (r->notify != 0)
		hb_notify_format(r->notify, &notify);
	put_arg(m, "NOTIFY=", hb_buf_span(&notify));
	put_arg(m, "ORCPT=", r->orcpt);
	hb_milter_end(&m->out, begun);
	hb_buf_free(&notify);
	return PUT;
}

static enum putting
put_data(struct smtpd_session *s, struct smtpd_milter *m)
{
	if (m->asked_data)
		return NOTHING;
	m->asked_data = true;
	hb_milter_put(&m->out, 'T');
	return PUT;
}

/* The next field, without our own and what is none. */
static struct hb_span
next_field(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	struct hb_span head = hb_buf_span(&s->txn.in.head), rest, field;

	for (;;) {
		if (f->head_at == f->ours)
			f->head_at += f->ours_n;
		rest = hb_span_from(head, f->head_at);
		if (rest.n == 0)
			return HB_SPAN_NONE;
		field = hb_header_field(rest);
		f->head_at += field.n;
		if (hb_header_classify(field) == HB_HEADER_FIELD)
			return field;
	}
}

static enum putting
put_field(struct smtpd_session *s, struct smtpd_milter *m)
{
	struct hb_span field = next_field(s), name, value;

	if (field.n == 0)
		return NOTHING;
	name = hb_header_name(field);
	value = hb_span_from(field, hb_span_find(field, ':') + 1);
	if (value.n >= 2)
		value.n -= 2; /* the last CRLF */
	hb_milter_put_field(&m->out, name, value,
	    (m->terms.steps & HB_MILTER_KEEPS_SPACE) != 0);
	return PUT;
}

static enum putting
put_eoh(struct smtpd_session *s, struct smtpd_milter *m)
{
	hb_milter_put(&m->out, 'N');
	return PUT;
}

/* Filters see no stuffed dots.  Takes BYTES, the next of the body. */
static void
put_piece(struct smtpd_filters *f, struct smtpd_milter *m,
    struct hb_span bytes)
{
	size_t begun = hb_milter_begin(&m->out, 'B');

	f->body_at += bytes.n;
	while (bytes.n > 0) {
		size_t end = hb_span_find(bytes, '\n') + 1;
		struct hb_span line = hb_span_take(&bytes, end);

		if (f->line_starts && line.p[0] == '.')
			line = hb_span_from(line, 1);
		f->line_starts = line.n == 0 ? false
					     : line.p[line.n - 1] == '\n';
		hb_buf_add(&m->out, line);
	}
	hb_milter_end(&m->out, begun);
}

static enum putting
put_body(struct smtpd_session *s, struct smtpd_milter *m)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_keep *k;

	if (m->skips || f->body_at >= f->body.size)
		return NOTHING;
	if (!f->body.in_file) {
		struct hb_span rest = hb_span_from(
		    hb_buf_span(&f->body.bytes), (size_t)f->body_at);

		put_piece(f, m, hb_span_head(rest, HB_MILTER_CHUNK));
		return PUT;
	}
	k = &smtpd_add_act(s, SMTPD_ACT_KEEP_READ)->keep;
	k->file = f->body.file;
	k->at = f->body_at;
	k->n = HB_MILTER_CHUNK;
	return LATER;
}

static enum putting
put_end(struct smtpd_session *s, struct smtpd_milter *m)
{
	hb_milter_put(&m->out, 'E');
	return PUT;
}

static enum putting (*const puts_of[])(struct smtpd_session *s,
    struct smtpd_milter *m) = {
	[HB_MILTER_CONNECT] = put_connect,
	[HB_MILTER_HELO] = put_helo,
	[HB_MILTER_UNKNOWN] = put_unknown,
	[HB_MILTER_MAIL] = put_mail,
	[HB_MILTER_RCPT] = put_rcpt,
	[HB_MILTER_DATA] = put_data,
	[HB_MILTER_FIELD] = put_field,
	[HB_MILTER_EOH] = put_eoh,
	[HB_MILTER_BODY] = put_body,
	[HB_MILTER_END] = put_end,
};

/* --- the round --- */

static void
to_filter(struct smtpd_filters *f, size_t n)
{
	f->at = n;
	f->step = f->first;
	f->head_at = 0;
	f->body_at = f->body.empty_line;
	f->line_starts = true;
	f->drains = false;
	if (n >= f->n)
		f->is_round = false;
}

static void
next_step(struct smtpd_filters *f)
{
	if (f->step == f->last)
		to_filter(f, f->at + 1);
	else
		f->step++;
}

static void
decide(struct smtpd_filters *f, enum hb_action action, enum hb_reason reason)
{
	f->is_round = false;
	f->action = action;
	f->reason = reason;
	f->code = 0;
	f->status[0] = '\0';
	hb_buf_clear(&f->text);
}

/* With the words of CODE, from reply.def. */
static void
decide_reply(struct smtpd_filters *f, enum smtpd_reply_id id)
{
	struct ipc_verdict v = smtpd_verdict(id);

	decide(f, (enum hb_action)v.action, (enum hb_reason)v.reason);
	f->code = v.code;
	if (hb_span_copy(v.status, f->status, sizeof(f->status)) < 0)
		f->status[0] = '\0';
	hb_buf_add(&f->text, v.text);
}

/* What the client hears of a filter that cannot be asked. */
static void
decide_lost(struct smtpd_filters *f, const struct smtpd_milter *m)
{
	if (m->conf->on_failure == HB_FILTER_REJECT)
		decide_reply(f, SMTPD_R_FILTER_NEEDED);
	else
		decide_reply(f, SMTPD_R_FILTER_LOST);
}

static bool
is_asked(const struct smtpd_filters *f, const struct smtpd_milter *m)
{
	bool lost = m->state == SMTPD_MILTER_GONE &&
	    m->conf->on_failure == HB_FILTER_ACCEPT;
	bool refused = f->about != NULL &&
	    f->about->verdict.action != HB_ACTION_ACCEPT;

	return !m->accepted && !m->passes && !lost &&
	    (!refused || m->state != SMTPD_MILTER_READY ||
		(m->terms.steps & HB_MILTER_WANTS_REFUSED) != 0);
}

/* False: something is waited for. */
static bool
go_on(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m)
{
	enum putting put;
	size_t before = m->out.n;

	if (!smtpd_milter_wants(m, f->step)) {
		next_step(f);
		return true;
	}
	smtpd_symbols_put(s, m, f->step);
	put = puts_of[f->step](s, m);
	if (put == NOTHING) {
		hb_buf_truncate(&m->out, before);
		next_step(f);
		return true;
	}
	if (put == LATER)
		return false;
	m->knows = m->knows || f->step >= HB_MILTER_MAIL;
	if (smtpd_milter_asked(m, f->step))
		return false;
	f->drains = f->step == HB_MILTER_BODY;
	if (f->step != HB_MILTER_BODY && f->step != HB_MILTER_FIELD)
		next_step(f);
	return !f->drains;
}

static bool
run(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;

	while (f->is_round) {
		struct smtpd_milter *m = &f->v[f->at];

		if (!is_asked(f, m))
			to_filter(f, f->at + 1);
		else if (m->state == SMTPD_MILTER_GONE)
			decide_lost(f, m);
		else if (m->state == SMTPD_MILTER_NEW)
			smtpd_milter_open(m);
		else if (m->state != SMTPD_MILTER_READY || !go_on(s, f, m))
			return false;
	}
	return true;
}

bool
smtpd_round(struct smtpd_session *s, enum hb_milter_step first,
    enum hb_milter_step last, const struct smtpd_question *about)
{
	struct smtpd_filters *f = s->filters;

	decide(f, HB_ACTION_ACCEPT, HB_REASON_NONE);
	f->is_round = true;
	f->first = first;
	f->last = last;
	f->about = about;
	to_filter(f, 0);
	return run(s);
}

struct ipc_verdict
smtpd_round_verdict(const struct smtpd_session *s)
{
	const struct smtpd_filters *f = s->filters;

	return (struct ipc_verdict){ .action = (uint32_t)f->action,
		.code = f->code,
		.status = hb_span_str(f->status),
		.reason = (uint32_t)f->reason,
		.text = hb_buf_span(&f->text) };
}

bool
smtpd_filters_want_refused(const struct smtpd_session *s)
{
	const struct smtpd_filters *f = s->filters;

	for (size_t i = 0; f != NULL && i < f->n; i++)
		if (f->v[i].state == SMTPD_MILTER_READY &&
		    !f->v[i].accepted && !f->v[i].passes &&
		    (f->v[i].terms.steps & HB_MILTER_WANTS_REFUSED) != 0)
			return true;
	return false;
}

/* --- what filters say --- */

static void
log_filter(const struct smtpd_session *s, const struct smtpd_milter *m,
    const char *action, struct hb_span text)
{
	enum hb_milter_step step = s->filters->step;

	HB_LOG(HB_LOG_INFO, HB_EV_MILTER,
	    hb_kv_if(s->txn.id != 0, hb_kv_id(HB_K_MSG, s->txn.id)),
	    hb_kv_str(HB_K_NAME, m->conf->name),
	    hb_kv_str(HB_K_STAGE, hb_milter_step_info(step).word),
	    hb_kv_str(HB_K_ACTION, action),
	    hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_if(text.n > 0, hb_kv_span(HB_K_TEXT, text)));
}

static void
forget_fresh(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	unsigned slot = f->fresh.file;

	hb_buf_free(&f->fresh.bytes);
	hb_buf_free(&f->fresh_rest);
	hb_buf_free(&f->fresh_out);
	hb_incoming_free(&f->fresh_in);
	f->fresh = (struct smtpd_body){ .bytes = HB_BUF_INIT(0),
		.file = slot };
	f->replaces = f->waits_for_file = false;
	smtpd_filters_count(s);
}

/* Nothing of what it said about this message counts. */
static void
fail(struct smtpd_session *s, size_t n, const char *why)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_milter *m = &f->v[n];

	if (m->state == SMTPD_MILTER_GONE)
		return;
	hb_stat(HB_STAT_FILTER_FAILED);
	log_filter(s, m, "failed", hb_span_str(why));
	m->failure = hb_strdup(why);
	smtpd_milter_drop(m);
	if (n != f->at || !f->is_round)
		return;
	forget_fresh(s);
	if (m->conf->on_failure == HB_FILTER_ACCEPT)
		to_filter(f, n + 1);
	else
		decide_lost(f, m);
}

static void
say_accept(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	if (f->step < HB_MILTER_MAIL && f->step != HB_MILTER_UNKNOWN)
		m->accepted = true;
	else
		m->passes = f->step != HB_MILTER_UNKNOWN;
	to_filter(f, f->at + 1);
}

static void
say_continue(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	if (f->step != HB_MILTER_FIELD && f->step != HB_MILTER_BODY)
		next_step(f);
}

static void
say_skip(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	m->skips = true;
}

static void
say_no(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	bool temporary = says->what == HB_MILTER_SAYS_TEMPFAIL;

	hb_stat(temporary ? HB_STAT_FILTER_TEMPFAIL : HB_STAT_FILTER_REJECT);
	log_filter(s, m, temporary ? "tempfail" : "reject", HB_SPAN_NONE);
	decide_reply(f, temporary ? SMTPD_R_FILTER_LATER : SMTPD_R_FILTERED);
}

static void
say_discard(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	hb_stat(HB_STAT_FILTER_DISCARD);
	log_filter(s, m, "discard", HB_SPAN_NONE);
	decide(f, HB_ACTION_DISCARD, HB_REASON_DISCARDED);
}

static void
say_leave(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	hb_stat(HB_STAT_FILTER_TEMPFAIL);
	log_filter(s, m, "shutdown", HB_SPAN_NONE);
	decide_reply(f, SMTPD_R_FILTER_SHUTDOWN);
}

static void
say_words(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_milter_words w;
	bool temporary;

	if (hb_milter_words(says->value, &w, &text) < 0) {
		fail(s, f->at, "a malformed reply code");
		hb_buf_free(&text);
		return;
	}
	temporary = w.code < 500;
	hb_stat(temporary ? HB_STAT_FILTER_TEMPFAIL : HB_STAT_FILTER_REJECT);
	log_filter(s, m, temporary ? "tempfail" : "reject",
	    hb_buf_span(&text));
	decide(f, temporary ? HB_ACTION_TEMPFAIL : HB_ACTION_REJECT,
	    HB_REASON_FILTERED);
	f->code = w.code;
	if (hb_span_copy(w.status, f->status, sizeof(f->status)) < 0)
		f->status[0] = '\0';
	hb_buf_add(&f->text, hb_buf_span(&text));
	hb_buf_free(&text);
}

static void
say_body(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	const char *why = smtpd_changes_body(s, m, says->value);

	if (why != NULL)
		fail(s, f->at, why);
}

static void
say_change(struct smtpd_session *s, struct smtpd_filters *f,
    struct smtpd_milter *m, const struct hb_milter_says *says)
{
	/* it is kept until the answer */
}

static void (*const sayings[])(struct smtpd_session *s,
    struct smtpd_filters *f, struct smtpd_milter *m,
    const struct hb_milter_says *says) = {
	[HB_MILTER_SAYS_CONTINUE] = say_continue,
	[HB_MILTER_SAYS_ACCEPT] = say_accept,
	[HB_MILTER_SAYS_REJECT] = say_no,
	[HB_MILTER_SAYS_TEMPFAIL] = say_no,
	[HB_MILTER_SAYS_DISCARD] = say_discard,
	[HB_MILTER_SAYS_WORDS] = say_words,
	[HB_MILTER_SAYS_SHUTDOWN] = say_leave,
	[HB_MILTER_SAYS_CONN_FAIL] = say_leave,
	[HB_MILTER_SAYS_SKIP] = say_skip,
	[HB_MILTER_SAYS_ADD_FIELD] = say_change,
	[HB_MILTER_SAYS_INSERT_FIELD] = say_change,
	[HB_MILTER_SAYS_CHANGE_FIELD] = say_change,
	[HB_MILTER_SAYS_SENDER] = say_change,
	[HB_MILTER_SAYS_ADD_RCPT] = say_change,
	[HB_MILTER_SAYS_ADD_RCPT_ARGS] = say_change,
	[HB_MILTER_SAYS_DELETE_RCPT] = say_change,
	[HB_MILTER_SAYS_REPLACE_BODY] = say_body,
	[HB_MILTER_SAYS_QUARANTINE] = say_change,
};

/* The answer to a whole message lets it go on: its changes count. */
static bool
settles(const struct smtpd_filters *f, const struct hb_milter_says *says)
{
	return f->step == HB_MILTER_END &&
	    (says->what == HB_MILTER_SAYS_CONTINUE ||
		says->what == HB_MILTER_SAYS_ACCEPT);
}

/* A filter that holds the message says why. */
static void
log_changes(struct smtpd_session *s, const struct smtpd_milter *m)
{
	if (m->holds)
		log_filter(s, m, "quarantine",
		    hb_buf_span(&s->filters->held_for));
	else
		log_filter(s, m, "change", HB_SPAN_NONE);
}

static void
take(struct smtpd_session *s, const struct hb_milter_says *says)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_milter *m = &f->v[f->at];
	const char *why = NULL;

	if (f->step == HB_MILTER_END && m->state == SMTPD_MILTER_READY)
		m->knows = false; /* for it the message is over */
	if (settles(f, says)) {
		bool changed = m->n_changes > 0 || f->replaces;

		why = smtpd_changes_apply(s, m);
		if (why == NULL && changed)
			log_changes(s, m);
		forget_fresh(s);
	}
	if (why != NULL)
		fail(s, f->at, why);
	else
		sayings[says->what](s, f, m, says);
}

bool
smtpd_round_input(struct smtpd_session *s, size_t n, struct hb_span in,
    size_t *used)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_milter *m = &f->v[n];
	bool was_round = f->is_round;
	struct hb_milter_says says;
	const char *why;

	*used = 0;
	if (m->state == SMTPD_MILTER_GONE || f->waits_for_file ||
	    s->n_acts > 0)
		return false;
	switch (smtpd_milter_input(m, f->step, in, used, &says, &why)) {
	case SMTPD_MILTER_MORE:
	case SMTPD_MILTER_BUSY:
		return false;
	case SMTPD_MILTER_AGREED:
		m->came = true;
		break;
	case SMTPD_MILTER_BROKEN:
		fail(s, n, why);
		break;
	case SMTPD_MILTER_SAYS:
		take(s, &says);
		break;
	}
	return was_round && run(s);
}

bool
smtpd_round_lost(struct smtpd_session *s, size_t n, const char *why)
{
	bool was_round = s->filters->is_round;

	fail(s, n, why);
	return was_round && run(s);
}

bool
smtpd_round_connected(struct smtpd_session *s, size_t n)
{
	struct smtpd_milter *m = &s->filters->v[n];

	if (m->state == SMTPD_MILTER_OPENING)
		smtpd_milter_connected(m);
	return false;
}

bool
smtpd_round_drained(struct smtpd_session *s, size_t n)
{
	struct smtpd_filters *f = s->filters;

	if (!f->is_round || n != f->at || !f->drains)
		return false;
	f->drains = false;
	return run(s);
}

void
smtpd_round_read(struct smtpd_session *s, struct hb_span bytes)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_milter *m = &f->v[f->at];

	if (!f->is_round || f->step != HB_MILTER_BODY ||
	    m->state != SMTPD_MILTER_READY)
		return;
	put_piece(f, m, bytes);
	m->knows = true;
	f->drains = !smtpd_milter_asked(m, HB_MILTER_BODY);
}
