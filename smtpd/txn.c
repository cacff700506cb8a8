/*
 * One mail transaction: recipients, message bytes, the result.  Floor 2.  Queue
 * receives it with the first bytes (BEGIN with everything at once), so that a
 * small message crosses in one write.  RFC 5321 s3.3, s4.1.1.4.
 */
#include "common/proto/header.h"
#include "common/proto/stats.h"
#include "smtpd/session-priv.h"

enum {
	COMMIT_MS = 300000, /* bound of queue's answer; clients wait 10 min */
	DATA_BLOCK = 16384, /* bytes that must come within data-timeout */
	REST_STEP = 4096    /* bytes of a chunk that join those that wait */
};

static bool
is_submission(const struct smtpd_session *s)
{
	return s->rules->kind == HB_LISTEN_SUBMISSION ||
	    s->rules->kind == HB_LISTEN_SUBMISSIONS;
}

static void
start(struct smtpd_session *s, bool counted)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_incoming_rules rules = { .max_size = s->rules->max_size,
		.max_header = s->rules->max_header,
		.max_hops = s->rules->max_hops,
		/* Not from strangers: what a server in front of us takes for
		 * one message must not be several here.  RFC 5321 s2.3.8,
		 * RFC 6409 s8. */
		.lf_ends = s->rules->local ||
		    (is_submission(s) && s->user[0] != '\0'),
		.counted = counted, .separates = is_submission(s) };

	if (t->id == 0)
		t->id = smtpd_msgid_next(&s->site->ids, s->site->now_ms);
	hb_incoming_start(&t->in, &rules);
	t->block = 0;
	s->state = SMTPD_S_DATA;
	smtpd_set_timer(s, s->rules->data_ms);
}

void
smtpd_txn_start_data(struct smtpd_session *s)
{
	start(s, false);
}

void
smtpd_txn_start_chunks(struct smtpd_session *s)
{
	start(s, true);
}

static void
begin(struct smtpd_session *s)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_env *e;

	if (t->begun)
		return;
	t->begun = true;
	e = &smtpd_add_act(s, SMTPD_ACT_BEGIN)->begin;
	e->id = t->id;
	e->arrived_ms = s->site->now_ms;
	e->sender = hb_buf_span(&t->sender);
	e->body = t->body;
	e->flags = t->flags;
	e->ret = t->ret;
	e->envid = hb_buf_span(&t->envid);
	e->client = hb_span_str(s->client);
	e->helo = hb_span_str(s->helo);
	e->user = hb_span_str(s->user);
	e->with = smtpd_with_word(s);
	e->tls = hb_span_str(s->tls ? s->tls_word : "none");
	e->mail_auth = hb_buf_span(&t->mail_auth);
	if (s->filters != NULL)
		e->held_for = hb_buf_span(&s->filters->held_for);
}

bool
smtpd_txn_is_refused(const struct smtpd_txn *t)
{
	return t->failed != SMTPD_R_NONE || t->refused_code != 0;
}

static bool
goes_to_queue(const struct smtpd_txn *t)
{
	return t->n_rcpts > 0 && !t->discard && !smtpd_txn_is_refused(t);
}

static bool
is_receiving(const struct smtpd_session *s)
{
	return (s->state & (SMTPD_S_DATA | SMTPD_S_CHUNKS)) != 0;
}

void
smtpd_txn_fail(struct smtpd_session *s, enum smtpd_reply_id why)
{
	struct smtpd_txn *t = &s->txn;

	if (!is_receiving(s) || smtpd_txn_is_refused(t))
		return;
	t->failed = why;
	if (t->begun)
		smtpd_add_act(s, SMTPD_ACT_ABORT);
	t->begun = false;
}

static void
judge(struct smtpd_session *s)
{
	static const enum smtpd_reply_id replies[] = {
		[HB_INCOMING_BARE] = SMTPD_R_BODY_BARE,
		[HB_INCOMING_NUL] = SMTPD_R_BODY_NUL,
		[HB_INCOMING_LONG] = SMTPD_R_BODY_LONG,
		[HB_INCOMING_UNENDED] = SMTPD_R_BODY_BARE,
		[HB_INCOMING_BIG] = SMTPD_R_TOO_BIG,
		[HB_INCOMING_HEADER_BIG] = SMTPD_R_HEADER_BIG,
		[HB_INCOMING_HOPS] = SMTPD_R_HOPS,
	};
	enum hb_incoming_fault fault = hb_incoming_fault(&s->txn.in);

	if (fault != HB_INCOMING_GOOD)
		smtpd_txn_fail(s, replies[fault]);
}

/* Many sessions that send long header sections slowly are no memory for all of
 * them; a usual header section finds room always. */
static void
judge_held(struct smtpd_session *s)
{
	size_t before = s->txn.held;

	smtpd_txn_count_held(s);
	if (s->txn.held <= before || s->site->held <= HB_MAX_LONG_HEADERS)
		return;
	smtpd_txn_fail(s, SMTPD_R_HEADERS_HELD);
	hb_incoming_give_up(&s->txn.in);
	smtpd_txn_count_held(s);
}

/* The same of a body that filters are to see. */
static bool
asks_to_keep(struct smtpd_session *s, size_t coming)
{
	struct smtpd_txn *t = &s->txn;

	if (!t->in.scan.headers_over || !goes_to_queue(t) ||
	    !smtpd_body_asks_for_file(s, &s->filters->body, coming))
		return false;
	s->wait = SMTPD_W_FILE;
	smtpd_set_timer(s, COMMIT_MS);
	return true;
}

void
smtpd_txn_has_file(struct smtpd_session *s)
{
	s->wait = SMTPD_W_NOTHING;
	s->txn.block = 0;
	smtpd_set_timer(s, s->rules->data_ms);
	if (!smtpd_txn_is_refused(&s->txn))
		smtpd_body_in_file(s, &s->filters->body);
}

static void
ask_for_large(struct smtpd_session *s)
{
	begin(s);
	smtpd_add_act(s, SMTPD_ACT_LARGE);
	s->wait = SMTPD_W_LARGE;
	smtpd_set_timer(s, COMMIT_MS);
}

/* Does more of the body come than a common frame holds?  Then queue opens a
 * file. */
static bool
asks_for_file(struct smtpd_session *s, size_t coming)
{
	struct smtpd_txn *t = &s->txn;

	if (s->filters != NULL)
		return asks_to_keep(s, coming);
	if (t->large || !goes_to_queue(t) ||
	    (t->declared <= HB_MAX_LARGE_MESSAGE &&
		(!t->in.scan.headers_over ||
		    t->in.size + coming <= HB_MAX_LARGE_MESSAGE)))
		return false;
	ask_for_large(s);
	return true;
}

static void
pass_on(struct smtpd_session *s, struct hb_span body)
{
	if (body.n == 0 || !goes_to_queue(&s->txn))
		return;
	if (s->filters != NULL) {
		smtpd_body_put(s, &s->filters->body, body);
		return;
	}
	begin(s);
	smtpd_add_act(s, SMTPD_ACT_DATA)->data = body;
}

void
smtpd_txn_count_block(struct smtpd_session *s, size_t used)
{
	s->txn.block += used;
	if (s->txn.block < DATA_BLOCK)
		return;
	s->txn.block = 0;
	smtpd_set_timer(s, s->rules->data_ms);
}

/* RFC 2033 s4.2: LMTP answers for each recipient that was taken. */
static void
reply_result(struct smtpd_session *s, const struct smtpd_reply_words *w)
{
	uint32_t n = s->rules->kind == HB_LISTEN_LMTP ? s->txn.n_taken : 1;

	while (n-- > 0)
		smtpd_reply_words(s, w);
}

void
smtpd_txn_reply_refused(struct smtpd_session *s, bool each)
{
	struct smtpd_txn *t = &s->txn;
	bool many = each && t->n_taken > 0 && s->rules->kind == HB_LISTEN_LMTP;
	uint32_t n = many ? t->n_taken : 1;
	struct smtpd_reply_words w = { t->refused_code,
		hb_span_str(t->refused_status), hb_buf_span(&t->refused_text),
		t->refused_reason };

	while (n-- > 0)
		if (t->refused_code != 0)
			smtpd_reply_words(s, &w);
		else
			smtpd_reply(s, t->failed);
}

void
smtpd_txn_failed_at_end(struct smtpd_session *s)
{
	s->wait = SMTPD_W_NOTHING;
	smtpd_txn_reply_refused(s, true);
	smtpd_txn_reset(s);
}

static void
reply_accepted(struct smtpd_session *s)
{
	char text[40] = "accepted ", *id = text + strlen(text);
	struct smtpd_reply_words w = { 250, HB_SPAN("2.0.0"), HB_SPAN_NONE,
		HB_REASON_OK };

	hb_msgid_format(s->txn.id, id);
	w.text = hb_span_str(text);
	reply_result(s, &w);
}

static void
log_accept(struct smtpd_session *s, uint64_t size)
{
	struct smtpd_txn *t = &s->txn;
	const char *demand = hb_env_tls_demand(t->flags |
	    hb_incoming_flags(&t->in));
	unsigned char room[HB_MAX_MESSAGE_ID];
	/* what is discarded gets no header section of ours */
	struct hb_span id = hb_message_id(hb_buf_span(t->in.head.n > 0
		? &t->in.head : &t->in.fields), room);

	hb_stat(HB_STAT_ACCEPTED_SMTP);
	s->site->bytes += size;
	s->messages++;
	s->bytes += size;
	HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, t->id),
	    hb_kv_span(HB_K_FROM, hb_buf_span(&t->sender)),
	    hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_int(HB_K_SIZE, (int64_t)size),
	    hb_kv_int(HB_K_NRCPT, t->n_taken),
	    hb_kv_str(HB_K_TLS, s->tls ? s->tls_word : "none"),
	    hb_kv_if(s->tls_kex[0] != '\0', hb_kv_str(HB_K_KEX, s->tls_kex)),
	    hb_kv_if(s->tls_print[0] != '\0',
		hb_kv_str(HB_K_CERT, s->tls_print)),
	    hb_kv_if(s->user[0] != '\0', hb_kv_str(HB_K_USER, s->user)),
	    hb_kv_str(HB_K_HELO, s->helo),
	    hb_kv_if(id.n > 0, hb_kv_span(HB_K_MESSAGE_ID, id)),
	    hb_kv_if(demand[0] != '\0', hb_kv_str(HB_K_TLS_DEMAND, demand)),
	    hb_kv_if(!goes_to_queue(t),
		hb_kv_str(HB_K_REASON, hb_reason_word(HB_REASON_DISCARDED))));
}

/*
 * The header section that queue gets.  All of the message has come: what was
 * learnt of it can be said here (Authentication-Results), and what others
 * changed be done.
 */
static struct hb_span
make_head(struct smtpd_session *s)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_incoming_fields f = { .completes = is_submission(s),
		.hostname = hb_span_str(s->rules->hostname),
		.date_ms = s->site->now_ms, .id = t->id };

	hb_buf_clear(&t->trace);
	smtpd_trace_received(s, &t->trace);
	f.front = hb_buf_span(&t->trace);
	return hb_incoming_head(&t->in, &f);
}

/* HB_ENV_* of the header section and the body that filters left. */
static uint32_t
filtered_flags(struct smtpd_session *s)
{
	struct hb_incoming_rules rules = { .max_size = UINT64_MAX,
		.max_header = UINT64_MAX };
	struct hb_incoming head = { .fields = HB_BUF_INIT(0) };
	uint32_t flags;

	hb_incoming_start(&head, &rules);
	(void)hb_incoming_take(&head, hb_buf_span(&s->txn.in.head));
	flags = hb_incoming_flags(&head) | s->filters->body_flags;
	hb_incoming_free(&head);
	return flags;
}

static void
commit(struct smtpd_session *s)
{
	struct smtpd_txn *t = &s->txn;
	struct ipc_txn_commit *c;

	begin(s);
	smtpd_add_act(s, SMTPD_ACT_HEAD)->data = t->whole
	    ? hb_buf_span(&t->in.head) : make_head(s);
	smtpd_txn_count_held(s);
	c = &smtpd_add_act(s, SMTPD_ACT_COMMIT)->commit;
	c->size = t->in.size;
	c->crc = t->in.crc;
	c->flags = t->whole ? filtered_flags(s) : hb_incoming_flags(&t->in);
	s->wait = SMTPD_W_RESULT;
	smtpd_set_timer(s, COMMIT_MS);
}

/* The body that was kept goes to queue. */
static void
hand_over(struct smtpd_session *s)
{
	const struct smtpd_body *b = &s->filters->body;

	if (b->in_file) {
		ask_for_large(s);
		return;
	}
	begin(s);
	if (b->bytes.n > 0)
		smtpd_add_act(s, SMTPD_ACT_DATA)->data =
		    hb_buf_span(&b->bytes);
	commit(s);
}

void
smtpd_txn_copy(struct smtpd_session *s)
{
	smtpd_add_act(s, SMTPD_ACT_KEEP_COPY)->keep.file =
	    s->filters->body.file;
	s->wait = SMTPD_W_COPY;
	smtpd_set_timer(s, COMMIT_MS);
}

void
smtpd_txn_copied(struct smtpd_session *s)
{
	commit(s);
}

/* Filters see the header section as it would be stored, but for our own
 * field. */
static void
show(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;

	(void)make_head(s);
	smtpd_txn_count_held(s);
	f->ours = 0;
	f->ours_n = s->txn.trace.n;
	f->body_flags = hb_incoming_flags(&s->txn.in) &
	    (HB_ENV_8BIT | HB_ENV_DOTTED);
	s->wait = SMTPD_W_FILTERS;
	if (smtpd_round(s, HB_MILTER_DATA, HB_MILTER_END, NULL))
		smtpd_txn_filtered(s);
}

static void
finish(struct smtpd_session *s)
{
	struct smtpd_txn *t = &s->txn;

	if (goes_to_queue(t)) {
		if (s->filters == NULL)
			commit(s);
		else if (t->whole)
			hand_over(s);
		else
			show(s);
		return;
	}
	if (smtpd_txn_is_refused(t)) {
		smtpd_txn_failed_at_end(s);
		return;
	}
	log_accept(s, t->in.scan.bytes);
	reply_accepted(s);
	smtpd_txn_reset(s);
}

void
smtpd_txn_filtered(struct smtpd_session *s)
{
	struct ipc_verdict v = smtpd_round_verdict(s);
	struct smtpd_txn *t = &s->txn;
	uint32_t n = s->rules->kind == HB_LISTEN_LMTP ? t->n_taken : 1;

	s->wait = SMTPD_W_NOTHING;
	t->whole = true;
	if (v.action == HB_ACTION_ACCEPT || v.action == HB_ACTION_DISCARD) {
		t->discard = t->discard || v.action == HB_ACTION_DISCARD;
		finish(s);
		return;
	}
	while (n-- > 0)
		smtpd_reply_verdict(s, &v);
	smtpd_txn_reset(s);
}

/* Acts point into what was changed. */
static bool
is_lent(const struct smtpd_session *s)
{
	return s->txn.in.fixed.n > 0 && s->n_acts > 0;
}

static void
take_in(struct smtpd_session *s, struct hb_span body)
{
	judge(s);
	judge_held(s);
	pass_on(s, body);
}

bool
smtpd_txn_input(struct smtpd_session *s, struct hb_span in, size_t *used)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_incoming_piece p;

	if (in.n == 0)
		return false;
	if (is_lent(s))
		return false;
	if (asks_for_file(s, t->in.rules.lf_ends ? 2 * in.n : in.n))
		return true;
	p = hb_incoming_take(&t->in, in);
	*used = p.used;
	take_in(s, p.body);
	smtpd_txn_count_block(s, *used);
	if (p.end)
		finish(s);
	return *used > 0 || p.body.n > 0;
}

/* Chunks end anywhere.  What cannot be taken yet (half a line of the header
 * section, a CR) waits in REST for what comes next. */
bool
smtpd_txn_octets(struct smtpd_session *s, struct hb_span in, size_t *used)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_span few = hb_span_head(in, REST_STEP);
	struct hb_incoming_piece p;
	bool joins = t->rest.n > 0;

	if (in.n == 0 || is_lent(s))
		return false;
	if (asks_for_file(s, 2 * (t->rest.n + in.n)))
		return true;
	if (joins)
		hb_buf_add(&t->rest, few);
	p = hb_incoming_take(&t->in, joins ? hb_buf_span(&t->rest) : in);
	if (joins) {
		hb_buf_consume(&t->rest, p.used);
		*used = few.n;
	} else if (p.used == 0 && p.body.n == 0) {
		hb_buf_add(&t->rest, few);
		*used = few.n;
	} else {
		*used = p.used;
	}
	take_in(s, p.body);
	return true;
}

/* RFC 3030 s2: the last line may have no end. */
bool
smtpd_txn_octets_end(struct smtpd_session *s)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_incoming_piece p;

	if (is_lent(s))
		return false;
	if (asks_for_file(s, 2 * (t->rest.n + 2)))
		return true;
	if (t->rest.n > 0 || t->in.scan.mid_line)
		hb_buf_adds(&t->rest, "\r\n");
	do {
		p = hb_incoming_take(&t->in, hb_buf_span(&t->rest));
		hb_buf_consume(&t->rest, p.used);
		take_in(s, p.body);
	} while (t->rest.n > 0 && (p.used > 0 || p.body.n > 0));
	finish(s);
	return true;
}

/* Queue refused it before its end: the rest is dropped, then the words. */
static void
keep_refusal(struct smtpd_txn *t, const struct smtpd_reply_words *w)
{
	t->begun = false;
	t->refused_code = w->code;
	t->refused_reason = w->reason;
	hb_buf_add(&t->refused_text, w->text);
	if (hb_span_copy(w->status, t->refused_status,
		sizeof(t->refused_status)) < 0)
		t->refused_status[0] = '\0';
}

void
smtpd_txn_result(struct smtpd_session *s, const struct smtpd_reply_words *w)
{
	struct smtpd_reply_words no = *w;
	bool waited = s->wait == SMTPD_W_RESULT, ok = w->code == 250;

	if (!waited && (ok || !is_receiving(s)))
		return;
	if (!ok && (w->code < 400 || w->code > 599)) {
		no.code = 451;
		no.status = HB_SPAN("4.3.0");
	}
	if (s->wait == SMTPD_W_LARGE)
		smtpd_set_timer(s, s->rules->data_ms);
	s->wait = SMTPD_W_NOTHING;
	if (!waited) {
		keep_refusal(&s->txn, &no);
		if (s->txn.whole)
			smtpd_txn_failed_at_end(s);
		return;
	}
	if (ok) {
		s->refused = 0;
		smtpd_tried_mail(s);
		log_accept(s, s->txn.in.size + s->txn.in.head.n);
		reply_accepted(s);
	} else {
		reply_result(s, &no);
	}
	s->txn.begun = false;
	smtpd_txn_reset(s);
	if (s->gone)
		smtpd_close(s);
	else if (s->last_word != SMTPD_R_NONE)
		smtpd_reply(s, s->last_word);
}
