/*
 * What a filter changes in a message.  Floor 2.  All of it is checked before
 * anything is done: a change that cannot be spoils them all.
 */
#include "smtpd/filters.h"

#include "common/base/err.h"
#include "common/proto/header.h"
#include "smtpd/session-priv.h"

/* --- the header section --- */

/* Puts IN in the place of N bytes at AT. */
static void
splice(struct hb_buf *b, size_t at, size_t n, struct hb_span in)
{
	struct hb_span all = hb_buf_span(b);
	struct hb_buf out = HB_BUF_INIT(b->max);

	hb_buf_add(&out, hb_span_head(all, at));
	hb_buf_add(&out, in);
	hb_buf_add(&out, hb_span_from(all, at + n));
	hb_buf_free(b);
	*b = out;
}

/* The field as it stands in a message. */
static void
format(const struct smtpd_milter *m, const struct hb_milter_says *c,
    struct hb_buf *out)
{
	bool keeps = (m->terms.steps & HB_MILTER_KEEPS_SPACE) != 0;
	struct hb_span rest = c->value;

	hb_buf_add(out, c->name);
	hb_buf_adds(out, keeps ? ":" : ": ");
	do {
		struct hb_span line = hb_span_cut(&rest, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		hb_buf_add(out, line);
		hb_buf_adds(out, "\r\n");
	} while (rest.n > 0);
}

/* Puts it at AT, where our own field may begin. */
static void
insert(struct smtpd_session *s, const struct smtpd_milter *m,
    const struct hb_milter_says *c, size_t at)
{
	struct smtpd_filters *f = s->filters;
	struct hb_buf field = HB_BUF_INIT(0);

	format(m, c, &field);
	splice(&s->txn.in.head, at, 0, hb_buf_span(&field));
	if (at <= f->ours)
		f->ours += field.n;
	hb_buf_free(&field);
}

/* Where field number INDEX begins, from 0 and with our own; or the end. */
static size_t
place_of(const struct smtpd_session *s, uint32_t index)
{
	struct hb_span head = hb_buf_span(&s->txn.in.head), rest = head;

	while (rest.n > 0) {
		struct hb_span field = hb_header_field(rest);

		if (hb_header_classify(field) == HB_HEADER_FIELD &&
		    index-- == 0)
			break;
		rest = hb_span_from(rest, field.n);
	}
	return head.n - rest.n;
}

static void
add_field(struct smtpd_session *s, const struct smtpd_milter *m,
    const struct hb_milter_says *c)
{
	insert(s, m, c, s->txn.in.head.n);
}

static void
insert_field(struct smtpd_session *s, const struct smtpd_milter *m,
    const struct hb_milter_says *c)
{
	insert(s, m, c, place_of(s, c->index));
}

/* The INDEXth field of that name, from 1, is changed, or taken out by an empty
 * value; where there is none, it is added. */
static void
change_field(struct smtpd_session *s, const struct smtpd_milter *m,
    const struct hb_milter_says *c)
{
	struct smtpd_filters *f = s->filters;
	struct hb_buf *head = &s->txn.in.head;
	uint32_t left = c->index > 0 ? c->index : 1;
	size_t at = 0;

	while (at < head->n) {
		struct hb_span field = hb_header_field(
		    hb_span_from(hb_buf_span(head), at));

		if (at != f->ours && hb_span_eq_nocase(hb_header_name(field),
			c->name) && --left == 0) {
			splice(head, at, field.n, HB_SPAN_NONE);
			if (at < f->ours)
				f->ours -= field.n;
			break;
		}
		at += field.n;
	}
	if (c->value.n > 0)
		insert(s, m, c, at);
}

/* --- the envelope --- */

/* Reads an address, with or without brackets and domain, and its parameters,
 * as if a client had sent them.  TEXT holds what A points to. */
static bool
read_path(const struct smtpd_session *s, const struct hb_milter_says *c,
    struct hb_buf *text, struct smtpd_args *a)
{
	bool is_sender = c->what == HB_MILTER_SAYS_SENDER;
	struct hb_span path = hb_span_trim(c->value);

	if (path.n >= 2 && path.p[0] == '<' && path.p[path.n - 1] == '>')
		path = hb_span(path.p + 1, path.n - 2);
	hb_buf_adds(text, is_sender ? "FROM:<" : "TO:<");
	hb_buf_add(text, path);
	if (path.n > 0 && hb_span_find(path, '@') == path.n)
		hb_buf_addf(text, "@%s", s->rules->origin);
	hb_buf_adds(text, "> ");
	hb_buf_add(text, c->args);
	return smtpd_read_args(s, is_sender ? HB_PARAM_FOR_MAIL
					    : HB_PARAM_FOR_RCPT,
	    hb_span_trim(hb_buf_span(text)), a).id == SMTPD_R_NONE;
}

static void
change_sender(struct smtpd_session *s, const struct smtpd_args *a)
{
	struct smtpd_txn *t = &s->txn;

	hb_buf_clear(&t->sender);
	hb_buf_add(&t->sender, hb_buf_span(&a->address));
	if ((a->params.seen & HB_PARAM_RET) != 0)
		t->ret = a->params.ret;
	if ((a->params.seen & HB_PARAM_ENVID) != 0) {
		hb_buf_clear(&t->envid);
		hb_buf_add(&t->envid, a->params.envid);
	}
}

static void
add_rcpt(struct smtpd_session *s, const struct smtpd_args *a)
{
	struct hb_rcpt r = { .address = hb_buf_span(&a->address),
		.notify = a->params.notify, .orcpt = a->params.orcpt };

	smtpd_txn_add_rcpt(s, &r);
}

static void
delete_rcpt(struct smtpd_session *s, const struct smtpd_args *a)
{
	struct smtpd_txn *t = &s->txn;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->n_rcpts; i++) {
		if (hb_span_eq_nocase(t->rcpts[i].address,
			hb_buf_span(&a->address)))
			continue;
		t->rcpts[kept] = t->rcpts[i];
		t->rcpts[kept].idx = kept;
		kept++;
	}
	t->n_rcpts = kept;
}

/* The reason is printed in listings. */
static void
hold(struct smtpd_session *s, struct smtpd_milter *m,
    const struct hb_milter_says *c)
{
	struct hb_span why = hb_span_head(c->value, HB_MAX_HOLD_REASON);
	struct hb_buf *b = &s->filters->held_for;

	hb_stat(HB_STAT_FILTER_QUARANTINE);
	m->holds = true;
	s->txn.flags |= HB_ENV_HELD;
	hb_buf_clear(b);
	for (size_t i = 0; i < why.n; i++) {
		bool ok = why.p[i] >= ' ' && why.p[i] < 127;

		hb_buf_add(b, ok ? hb_span(why.p + i, 1) : HB_SPAN("?"));
	}
}

/* --- all of them --- */

static bool
is_path(const struct hb_milter_says *c)
{
	return c->what == HB_MILTER_SAYS_SENDER ||
	    c->what == HB_MILTER_SAYS_ADD_RCPT ||
	    c->what == HB_MILTER_SAYS_ADD_RCPT_ARGS ||
	    c->what == HB_MILTER_SAYS_DELETE_RCPT;
}

/* *ADDED: bytes of the header section so far. */
static const char *
check(struct smtpd_session *s, const struct hb_milter_says *c, size_t *added)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct smtpd_args a;
	bool ok;

	*added += c->name.n + 2 * c->value.n;
	if (s->txn.in.head.n + *added > HB_MAX_HEADER_BYTES)
		return "a header section that is too large";
	if (c->name.n + c->value.n > HB_MAX_TEXT_LINE / 2)
		return "a field that is too long";
	if (!is_path(c))
		return NULL;
	ok = read_path(s, c, &text, &a);
	hb_buf_free(&a.address);
	hb_buf_free(&text);
	return ok ? NULL : "an address that is none";
}

static void
apply_path(struct smtpd_session *s, const struct hb_milter_says *c)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct smtpd_args a;

	if (read_path(s, c, &text, &a)) {
		if (c->what == HB_MILTER_SAYS_SENDER)
			change_sender(s, &a);
		else if (c->what == HB_MILTER_SAYS_DELETE_RCPT)
			delete_rcpt(s, &a);
		else
			add_rcpt(s, &a);
	}
	hb_buf_free(&a.address);
	hb_buf_free(&text);
}

static void
apply(struct smtpd_session *s, struct smtpd_milter *m,
    const struct hb_milter_says *c)
{
	if (is_path(c))
		apply_path(s, c);
	else if (c->what == HB_MILTER_SAYS_ADD_FIELD)
		add_field(s, m, c);
	else if (c->what == HB_MILTER_SAYS_INSERT_FIELD)
		insert_field(s, m, c);
	else if (c->what == HB_MILTER_SAYS_CHANGE_FIELD)
		change_field(s, m, c);
	else
		hold(s, m, c);
}

/* The next of the packets in *REST, which were read before. */
static bool
next(struct hb_span *rest, struct hb_milter_says *out)
{
	struct hb_milter_packet p;
	int r = hb_milter_packet(*rest, &p);

	if (r <= 0 || hb_milter_says(&p, out) < 0)
		return false;
	*rest = hb_span_from(*rest, (size_t)r);
	return true;
}

static const char *end_body(struct smtpd_session *s);

const char *
smtpd_changes_apply(struct smtpd_session *s, struct smtpd_milter *m)
{
	struct hb_span rest = hb_buf_span(&m->changes);
	struct hb_milter_says c;
	const char *why = NULL;
	size_t added = 0;

	while (why == NULL && next(&rest, &c))
		why = check(s, &c, &added);
	if (why == NULL && s->filters->replaces)
		why = end_body(s);
	if (why != NULL)
		return why;
	rest = hb_buf_span(&m->changes);
	while (next(&rest, &c))
		apply(s, m, &c);
	return NULL;
}

/* --- a new body --- */

static void
start_body(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	struct hb_incoming_rules rules = { .max_size = s->rules->max_size,
		.max_header = s->rules->max_header, .lf_ends = true,
		.counted = true };

	hb_incoming_start(&f->fresh_in, &rules);
	f->replaces = true;
	hb_buf_adds(&f->fresh_rest, "\r\n"); /* the empty line */
}

/* Takes what can be taken of the rest; it is put into fresh_out. */
static const char *
take_body(struct smtpd_filters *f)
{
	struct hb_incoming_piece p;

	do {
		p = hb_incoming_take(&f->fresh_in,
		    hb_buf_span(&f->fresh_rest));
		hb_buf_consume(&f->fresh_rest, p.used);
		hb_buf_add(&f->fresh_out, p.body);
	} while (f->fresh_rest.n > 0 && (p.used > 0 || p.body.n > 0));
	return hb_incoming_fault(&f->fresh_in) == HB_INCOMING_GOOD ? NULL
	    : "a body that is too large, or has bytes that no mail has";
}

const char *
smtpd_changes_body(struct smtpd_session *s, struct smtpd_milter *m,
    struct hb_span bytes)
{
	struct smtpd_filters *f = s->filters;
	const char *why;

	if (!f->replaces)
		start_body(s);
	hb_buf_clear(&f->fresh_out);
	hb_buf_add(&f->fresh_rest, bytes);
	why = take_body(f);
	if (why != NULL)
		return why;
	f->waits_for_file = smtpd_body_asks_for_file(s, &f->fresh,
	    f->fresh_out.n);
	if (!f->waits_for_file)
		smtpd_body_put(s, &f->fresh, hb_buf_span(&f->fresh_out));
	return NULL;
}

void
smtpd_changes_body_on(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;

	f->waits_for_file = false;
	smtpd_body_in_file(s, &f->fresh);
	smtpd_body_put(s, &f->fresh, hb_buf_span(&f->fresh_out));
}

static bool
ends_with_cr(const struct hb_buf *b)
{
	return b->p[b->off + b->n - 1] == '\r';
}

/* The new body takes the place of the old one. */
static const char *
end_body(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	struct smtpd_body old = f->body;
	const char *why = NULL;

	hb_buf_clear(&f->fresh_out);
	if (f->fresh_rest.n > 0 || f->fresh_in.scan.mid_line) {
		hb_buf_adds(&f->fresh_rest,
		    f->fresh_rest.n > 0 && ends_with_cr(&f->fresh_rest)
			? "\n" : "\r\n");
		why = take_body(f);
	}
	if (why != NULL)
		return why;
	smtpd_body_put(s, &f->fresh, hb_buf_span(&f->fresh_out));
	f->body = f->fresh;
	f->fresh = (struct smtpd_body){ .bytes = HB_BUF_INIT(0) };
	hb_buf_free(&old.bytes);
	s->txn.in.size = f->fresh_in.size;
	s->txn.in.crc = f->fresh_in.crc;
	f->body_flags = hb_incoming_flags(&f->fresh_in);
	return NULL;
}
