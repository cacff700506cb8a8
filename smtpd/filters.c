/* The filters of a session, and what is kept for them.  Floor 2. */
#include "smtpd/filters.h"

#include <stdio.h>
#include <stdlib.h>

#include "smtpd/session-priv.h"

struct smtpd_filters *
smtpd_filters_new(const struct hb_filters *conf)
{
	struct smtpd_filters *f;

	if (conf == NULL || conf->n == 0)
		return NULL;
	f = hb_calloc(1, sizeof(*f) + conf->n * sizeof(f->v[0]));
	f->n = conf->n;
	for (size_t i = 0; i < f->n; i++)
		f->v[i].conf = &conf->v[i];
	return f;
}

void
smtpd_filters_free(struct smtpd_filters **f)
{
	if (*f == NULL)
		return;
	for (size_t i = 0; i < (*f)->n; i++)
		smtpd_milter_free(&(*f)->v[i]);
	hb_buf_free(&(*f)->line);
	hb_buf_free(&(*f)->text);
	hb_buf_free(&(*f)->body.bytes);
	hb_buf_free(&(*f)->fresh.bytes);
	hb_incoming_free(&(*f)->fresh_in);
	hb_buf_free(&(*f)->fresh_rest);
	hb_buf_free(&(*f)->fresh_out);
	hb_buf_free(&(*f)->held_for);
	free(*f);
	*f = NULL;
}

void
smtpd_filters_tls(struct smtpd_session *s, const struct hb_tls_facts *facts)
{
	struct smtpd_filters *f = s->filters;

	if (facts->print[0] == '\0') /* it showed none */
		return;
	snprintf(f->tls_subject, sizeof(f->tls_subject), "%s",
	    facts->subject);
	snprintf(f->tls_issuer, sizeof(f->tls_issuer), "%s", facts->issuer);
}

void
smtpd_session_place(struct smtpd_session *s, const struct hb_netaddr *local,
    uint16_t client_port)
{
	if (s->filters == NULL)
		return;
	s->filters->local = *local;
	s->filters->client_port = client_port;
}

void
smtpd_filters_count(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	size_t now = f->body.bytes.cap + f->fresh.bytes.cap;

	s->site->filtered += now - f->counted;
	f->counted = now;
}

static void
clear(struct smtpd_body *b)
{
	hb_buf_free(&b->bytes);
	*b = (struct smtpd_body){ .bytes = HB_BUF_INIT(0) };
}

void
smtpd_filters_forget(struct smtpd_session *s)
{
	struct smtpd_filters *f = s->filters;
	bool files;

	if (f == NULL)
		return;
	files = f->body.in_file || f->fresh.in_file || f->waits_for_file ||
	    s->wait == SMTPD_W_FILE;
	for (size_t i = 0; i < f->n; i++)
		smtpd_milter_forget(&f->v[i]);
	f->is_round = f->drains = f->replaces = f->waits_for_file = false;
	f->about = NULL;
	clear(&f->body);
	clear(&f->fresh);
	hb_incoming_free(&f->fresh_in);
	hb_buf_free(&f->fresh_rest);
	hb_buf_free(&f->fresh_out);
	hb_buf_free(&f->held_for);
	smtpd_filters_count(s);
	if (files)
		smtpd_add_act(s, SMTPD_ACT_KEEP_END);
}

void
smtpd_filters_quit(struct smtpd_session *s)
{
	if (s->filters == NULL)
		return;
	s->filters->is_round = false;
	for (size_t i = 0; i < s->filters->n; i++)
		smtpd_milter_quit(&s->filters->v[i]);
}

/* --- the body --- */

bool
smtpd_body_asks_for_file(struct smtpd_session *s, struct smtpd_body *b,
    size_t more)
{
	struct smtpd_keep *k;

	if (b->in_file || more == 0 ||
	    (b->size + more <= HB_MAX_LARGE_MESSAGE &&
		s->site->filtered + more <= HB_MAX_FILTERED_BODIES))
		return false;
	/* the other one may hold the body that is to be replaced */
	b->file = b == &s->filters->fresh ? 1 - s->filters->body.file : 0;
	k = &smtpd_add_act(s, SMTPD_ACT_KEEP_OPEN)->keep;
	k->file = b->file;
	k->id = s->txn.id;
	return true;
}

static void
write_to_file(struct smtpd_session *s, const struct smtpd_body *b,
    struct hb_span bytes)
{
	struct smtpd_keep *k;

	if (bytes.n == 0)
		return;
	k = &smtpd_add_act(s, SMTPD_ACT_KEEP_WRITE)->keep;
	k->file = b->file;
	k->data = bytes;
}

void
smtpd_body_in_file(struct smtpd_session *s, struct smtpd_body *b)
{
	b->in_file = true;
	write_to_file(s, b, hb_buf_span(&b->bytes));
}

void
smtpd_body_put(struct smtpd_session *s, struct smtpd_body *b,
    struct hb_span bytes)
{
	if (b->size == 0 && bytes.n > 0 && bytes.p[0] == '\r')
		b->empty_line = 2;
	b->size += bytes.n;
	if (!b->in_file) {
		hb_buf_add(&b->bytes, bytes);
		smtpd_filters_count(s);
		return;
	}
	if (s->n_acts == 0) /* it was written */
		hb_buf_free(&b->bytes);
	write_to_file(s, b, bytes);
}

/* --- for the owner --- */

size_t
smtpd_session_filters(const struct smtpd_session *s)
{
	return s->filters != NULL ? s->filters->n : 0;
}

struct smtpd_milter *
smtpd_session_filter(struct smtpd_session *s, size_t n)
{
	return &s->filters->v[n];
}
