/*
 * A session with filters: bytes of a script say what comes next, from the
 * client, from a filter, from router and queue.  What reaches queue is what
 * COMMIT says of it, holds no bare CR or LF, and nothing that ends a message
 * for who comes behind us.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "smtpd/milter.h"
#include "smtpd/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILTERS = 2, STEPS = 400, ASKED = 64 };

struct run {
	struct smtpd_session *s;
	struct hb_span script;
	struct hb_buf input, from[FILTERS], kept[2], head, body;
	bool begun, committed, opened, copies;
	unsigned large;
	uint64_t asked[ASKED];
	unsigned n_asked, n_answered;
};

static const struct hb_span lines[] = {
	HB_SPAN_INIT("EHLO x\r\n"), HB_SPAN_INIT("MAIL FROM:<a@b.test>\r\n"),
	HB_SPAN_INIT("RCPT TO:<c@d.test>\r\n"), HB_SPAN_INIT("DATA\r\n"),
	HB_SPAN_INIT("Subject: x\r\nX-A: 1\r\n two\r\n\r\n..b\r\n.\r\n"),
	HB_SPAN_INIT("BDAT 9 LAST\r\nA: b\r\n\r\n."), HB_SPAN_INIT("RSET\r\n"),
	HB_SPAN_INIT("WHAT\r\n"), HB_SPAN_INIT("QUIT\r\n"),
	HB_SPAN_INIT("MAIL FROM:<> SIZE=300000\r\n"),
};
static const struct hb_span answers[] = {
	HB_SPAN_INIT("c"), HB_SPAN_INIT("a"), HB_SPAN_INIT("r"),
	HB_SPAN_INIT("t"), HB_SPAN_INIT("d"), HB_SPAN_INIT("s"),
	HB_SPAN_INIT("p"), HB_SPAN_INIT("4"), HB_SPAN_INIT("y550 5.7.1 no\0"),
	HB_SPAN_INIT("hX-B\0one\n\ttwo\0"),
	HB_SPAN_INIT("i\0\0\0\1X-C\0one\0"), HB_SPAN_INIT("m\0\0\0\1X-A\0\0"),
	HB_SPAN_INIT("+<e@f.test>\0"), HB_SPAN_INIT("-<c@d.test>\0"),
	HB_SPAN_INIT("e<g@h.test>\0"), HB_SPAN_INIT("qwhy\0"),
	HB_SPAN_INIT("b.\nnew\r\n"),
	HB_SPAN_INIT("O\0\0\0\6\0\0\1\xff\0\0\4\0"),
	HB_SPAN_INIT("O\0\0\0\6\0\0\1\xff\0\x1f\xf4\x80"),
	HB_SPAN_INIT("O\0\0\0\2\0\0\0\x3f\0\0\0\x30"),
};

static unsigned
next(struct run *r)
{
	return r->script.n > 0 ? hb_span_take(&r->script, 1).p[0] : 0;
}

static void
check_message(struct hb_span m)
{
	for (size_t i = 0; i < m.n; i++) {
		if ((m.p[i] == '\n') != (i > 0 && m.p[i - 1] == '\r'))
			abort();
		if (i >= 4 && memcmp(m.p + i - 4, "\r\n.\r\n", 5) == 0)
			abort();
	}
}

static void
check_commit(struct run *r, const struct ipc_txn_commit *c)
{
	if (!r->begun || c->size != r->body.n ||
	    c->crc != hb_crc32c(0, hb_buf_span(&r->body)))
		abort();
	hb_buf_add(&r->head, hb_buf_span(&r->body));
	check_message(hb_buf_span(&r->head));
	r->begun = false;
	r->committed = true;
}

static void
keep(struct run *r, const struct smtpd_act *a)
{
	struct hb_buf *file = &r->kept[a->keep.file];

	if (a->kind == SMTPD_ACT_KEEP_OPEN) {
		hb_buf_clear(file);
		r->opened = true;
	} else if (a->kind == SMTPD_ACT_KEEP_WRITE) {
		hb_buf_add(file, a->keep.data);
	} else if (a->kind == SMTPD_ACT_KEEP_READ) {
		smtpd_session_read(r->s, hb_span_head(hb_span_from(
		    hb_buf_span(file), (size_t)a->keep.at), a->keep.n));
	} else if (a->kind == SMTPD_ACT_KEEP_COPY) {
		hb_buf_add(&r->body, hb_buf_span(file));
		r->copies = true;
	}
}

static void
act(struct run *r, const struct smtpd_act *a)
{
	if (a->kind == SMTPD_ACT_BEGIN) {
		if (r->begun)
			abort();
		r->begun = true;
		r->committed = false;
		hb_buf_clear(&r->head);
		hb_buf_clear(&r->body);
	} else if (a->kind == SMTPD_ACT_DATA) {
		hb_buf_add(&r->body, a->data);
	} else if (a->kind == SMTPD_ACT_HEAD) {
		hb_buf_add(&r->head, a->data);
	} else if (a->kind == SMTPD_ACT_COMMIT) {
		check_commit(r, &a->commit);
	} else if (a->kind == SMTPD_ACT_ABORT) {
		r->begun = false;
	} else if (a->kind == SMTPD_ACT_CHECK) {
		r->asked[r->n_asked++ % ASKED] = a->check.ref;
	} else if (a->kind == SMTPD_ACT_TRY) {
		smtpd_session_turn(r->s, 0);
	} else {
		keep(r, a);
	}
}

static void
take(struct run *r)
{
	struct smtpd_act a;

	hb_buf_clear(smtpd_session_output(r->s));
	while (smtpd_session_act(r->s, &a))
		act(r, &a);
	for (size_t i = 0; i < smtpd_session_filters(r->s); i++) {
		struct smtpd_milter *m = smtpd_session_filter(r->s, i);

		m->opens = m->closes = m->came = m->timer_set = false;
		free(m->failure);
		m->failure = NULL;
		hb_buf_clear(&m->out);
	}
}

/* Passes on all that can be passed on. */
static void
feed(struct run *r)
{
	size_t used;

	for (size_t i = 0; i < FILTERS; i++)
		do {
			used = smtpd_session_filter_input(r->s, i,
			    hb_buf_span(&r->from[i]));
			if (used > r->from[i].n)
				abort();
			hb_buf_consume(&r->from[i], used);
			take(r);
		} while (used > 0);
	do {
		used = smtpd_session_input(r->s, hb_buf_span(&r->input));
		if (used > r->input.n)
			abort();
		take(r);
		hb_buf_consume(&r->input, used);
	} while (used > 0);
}

static void
say(struct run *r, size_t n, struct hb_span bytes)
{
	size_t begun = hb_milter_begin(&r->from[n], (char)bytes.p[0]);

	hb_buf_add(&r->from[n], hb_span_from(bytes, 1));
	hb_milter_end(&r->from[n], begun);
}

/* A piece of a body that soon needs a file. */
static void
say_large(struct run *r, size_t n)
{
	static unsigned char piece[60000];

	if (r->large++ > 20)
		return;
	memset(piece, 'x', sizeof(piece));
	piece[0] = 'b';
	piece[sizeof(piece) - 1] = '\n';
	say(r, n, hb_span(piece, sizeof(piece)));
}

static void
from_queue(struct run *r, unsigned what)
{
	struct ipc_txn_result result = { .code = (what & 1) != 0 ? 250 : 452 };

	if ((what & 6) == 2)
		smtpd_session_write_failed(r->s, true);
	else if ((what & 6) == 4)
		smtpd_session_queue_lost(r->s);
	else if (r->committed)
		smtpd_session_result(r->s, &result);
	if ((what & 6) == 4)
		r->begun = false;
}

static void
from_router(struct run *r, unsigned what)
{
	struct ipc_verdict v = { .action = (what & 7) == 7
		? HB_ACTION_REJECT : HB_ACTION_ACCEPT };

	if (r->n_answered == r->n_asked)
		return;
	v.ref = r->asked[r->n_answered++ % ASKED];
	smtpd_session_verdict(r->s, &v);
}

static void
files(struct run *r)
{
	if (r->opened)
		smtpd_session_kept(r->s);
	r->opened = false;
	take(r);
	smtpd_session_large(r->s);
	take(r);
	if (r->copies)
		smtpd_session_copied(r->s);
	r->copies = false;
}

static void
step(struct run *r)
{
	unsigned what = next(r), arg = what >> 4;
	size_t n = arg & 1;

	switch (what & 15) {
	case 0: case 1: case 2:
		hb_buf_add(&r->input, lines[(arg + 16 * (what & 3)) %
		    HB_ARRAY_LEN(lines)]);
		break;
	case 3: case 4: case 5: case 6:
		say(r, n, answers[next(r) % HB_ARRAY_LEN(answers)]);
		break;
	case 7:
		say_large(r, n);
		break;
	case 8:
		hb_buf_add(&r->from[n], hb_span_take(&r->script, next(r)));
		break;
	case 9:
		smtpd_session_filter_connected(r->s, n);
		break;
	case 10:
		smtpd_session_filter_drained(r->s, n);
		break;
	case 11:
		smtpd_session_filter_lost(r->s, n, "it is gone");
		break;
	case 12:
		from_queue(r, arg);
		break;
	case 13:
		from_router(r, arg);
		break;
	case 14:
		files(r);
		break;
	case 15:
		smtpd_session_timeout(r->s);
		break;
	}
	take(r);
	feed(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[] = "unix:/f";
	struct hb_filter conf[FILTERS] = {
		{ .name = name, .timeout_ms = 1000 },
		{ .name = name, .timeout_ms = 1000 } };
	struct hb_filters filters = { conf, FILTERS };
	struct smtpd_listener_conf rules = { .hostname = "mx.example",
		.max_size = 600000, .max_header = 2000, .max_recipients = 20,
		.max_hops = 9, .command_ms = 1000, .data_ms = 1000,
		.filters = &filters };
	struct smtpd_worker_conf site = { .space = 1000000,
		.queue_up = true };
	struct run r = { .script = hb_span(data, size) };
	unsigned flags = next(&r);

	hb_log_set_level(HB_LOG_ERROR);
	conf[0].on_failure = (enum hb_on_failure)((flags & 3) % 3);
	conf[1].on_failure = (enum hb_on_failure)((flags >> 2 & 3) % 3);
	rules.kind = (flags & 16) != 0 ? HB_LISTEN_LMTP : HB_LISTEN_SMTP;
	r.s = smtpd_session_new(&rules, &site, HB_SPAN("192.0.2.1"), false);
	smtpd_session_relays(r.s);
	smtpd_session_start(r.s, SMTPD_GREET_OK);
	take(&r);
	for (unsigned i = 0; i < STEPS && r.script.n > 0; i++)
		step(&r);
	smtpd_session_closed(r.s);
	take(&r);
	smtpd_session_free(&r.s);
	if (site.filtered != 0 || site.held != 0)
		abort();
	for (size_t i = 0; i < FILTERS; i++) {
		hb_buf_free(&r.from[i]);
		hb_buf_free(&r.kept[i]);
	}
	hb_buf_free(&r.input);
	hb_buf_free(&r.head);
	hb_buf_free(&r.body);
	return 0;
}
