/*
 * A whole session: the first bytes are a script, the rest input in pieces.
 * Script byte: low bits say which event comes after the next piece, high bits
 * how long that piece is.  The body that reaches queue is checked against
 * what COMMIT says, and must hold no bare CR or LF.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/utf8.h"
#include "common/proto/address.h"
#include "smtpd/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SCRIPT = 24, ASKED_MAX = 256 };

struct run {
	struct smtpd_session *s;
	struct hb_buf input, head, body;
	bool begun, committed;
	uint64_t asked[ASKED_MAX]; /* of router, in a ring */
	unsigned n_asked, n_answered;
	uint64_t etrn;
};

static void
check_body(struct hb_span body)
{
	for (size_t i = 0; i < body.n; i++) {
		bool cr = i > 0 && body.p[i - 1] == '\r';

		if ((body.p[i] == '\n') != cr)
			abort();
		/* no end of a message for who comes behind us */
		if (i >= 4 && memcmp(body.p + i - 4, "\r\n.\r\n", 5) == 0)
			abort();
	}
}

/* No role behind this one reads U-labels. */
static void
check_domain(struct hb_span address)
{
	struct hb_span local, domain;

	hb_addr_split(address, &local, &domain);
	if (!hb_utf8_is_ascii(domain))
		abort();
}

static void
take(struct run *r)
{
	struct smtpd_act a;

	hb_buf_clear(smtpd_session_output(r->s));
	while (smtpd_session_act(r->s, &a)) {
		if (a.kind == SMTPD_ACT_BEGIN) {
			if (r->begun)
				abort();
			check_domain(a.begin.sender);
			r->begun = true;
			r->committed = false;
			hb_buf_clear(&r->head);
			hb_buf_clear(&r->body);
		} else if (a.kind == SMTPD_ACT_DATA) {
			hb_buf_add(&r->body, a.data);
		} else if (a.kind == SMTPD_ACT_HEAD) {
			hb_buf_add(&r->head, a.data);
		} else if (a.kind == SMTPD_ACT_COMMIT) {
			if (!r->begun || a.commit.size != r->body.n)
				abort();
			r->begun = false;
			r->committed = true;
			hb_buf_add(&r->head, hb_buf_span(&r->body));
			check_body(hb_buf_span(&r->head));
		} else if (a.kind == SMTPD_ACT_ABORT) {
			r->begun = false;
		} else if (a.kind == SMTPD_ACT_ETRN) {
			r->etrn = a.etrn.ref;
		} else if (a.kind == SMTPD_ACT_CHECK) {
			r->asked[r->n_asked++ % ASKED_MAX] = a.check.ref;
		} else if (a.kind == SMTPD_ACT_AUTH) {
			r->asked[r->n_asked++ % ASKED_MAX] = a.auth.ref;
		}
	}
}

/* All questions are answered, in their order or in the other one. */
static void
answer(struct run *r, unsigned what)
{
	struct ipc_verdict v = { .action = what & 3, .text = HB_SPAN("x") };
	struct ipc_auth_result auth = { .result = what % HB_AUTH_COUNT,
		.salt = HB_SPAN("salt"), .iterations = 4096,
		.nonce = HB_SPAN("y"), .signature = HB_SPAN("signed") };
	unsigned from = r->n_answered, n = r->n_asked - from;

	r->n_answered = r->n_asked;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = from + ((what & 4) != 0 ? i : n - 1 - i);

		v.ref = auth.ref = r->asked[at % ASKED_MAX];
		smtpd_session_verdict(r->s, &v);
		take(r);
		smtpd_session_auth(r->s, &auth);
		take(r);
	}
}

static void
event(struct run *r, unsigned what)
{
	struct ipc_txn_result result = { .code = (what & 1) != 0 ? 250 : 452 };
	struct hb_tls_facts facts = { .state = HB_TLSF_DONE, .version = 13,
		.has_binding = true };
	struct ipc_etrn_result etrn = { .busy = what & 1,
		.messages = what >> 1 };

	switch (what) {
	case 12:
		smtpd_session_timeout(r->s);
		break;
	case 13:
		smtpd_session_router_up(r->s);
		break;
	case 14:
		r->begun = false;
		smtpd_session_queue_lost(r->s);
		break;
	case 15:
		smtpd_session_write_failed(r->s, true);
		break;
	default:
		answer(r, what);
		etrn.ref = r->etrn;
		smtpd_session_etrn(r->s, &etrn);
		take(r);
		smtpd_session_tls(r->s, &facts);
		take(r);
		smtpd_session_large(r->s);
		take(r);
		if (r->committed)
			smtpd_session_result(r->s, &result);
	}
	take(r);
}

/* Who tries waits: not at all, some time, in vain, or for the others. */
static void
feed(struct run *r, unsigned what)
{
	static const int64_t turns[16] = { [10] = 5, [11] = SMTPD_TURN_NONE,
		[9] = SMTPD_TURN_ALONE };
	size_t used;

	do {
		used = smtpd_session_input(r->s, hb_buf_span(&r->input));
		take(r);
		smtpd_session_turn(r->s, turns[what]);
		take(r);
		if (used > r->input.n)
			abort();
		hb_buf_consume(&r->input, used);
	} while (used > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtpd_listener_conf rules = { .hostname = "mx.example",
		.tls = HB_DEMAND_OFFER, .auth = HB_DEMAND_OFFER,
		.max_size = 600000, .max_header = 2000, .max_recipients = 20,
		.max_hops = 2,
		.command_ms = 1000, .data_ms = 1000 };
	struct smtpd_worker_conf site = { .space = 1000000, .queue_up = true,
		.tls_ready = true, .scram = true };
	struct run r = { .input = HB_BUF_INIT(0), .head = HB_BUF_INIT(0),
		.body = HB_BUF_INIT(0) };
	struct hb_span in = hb_span_from(hb_span(data, size), SCRIPT + 1);

	if (size < SCRIPT + 1)
		return 0;
	hb_log_set_level(HB_LOG_ERROR);
	rules.kind = (enum hb_listen_kind)(data[0] & 3);
	rules.local = (size & 1) != 0;
	rules.implicit_tls = rules.kind == HB_LISTEN_SUBMISSIONS;
	r.s = smtpd_session_new(&rules, &site, HB_SPAN("192.0.2.1"), false);
	if ((data[0] & 4) != 0)
		smtpd_session_relays(r.s);
	smtpd_session_start(r.s, SMTPD_GREET_OK);
	take(&r);
	for (size_t i = 1; i <= SCRIPT; i++) {
		size_t n = i == SCRIPT ? in.n : (size_t)(data[i] >> 4) * 8;

		hb_buf_add(&r.input, hb_span_head(in, n));
		in = hb_span_from(in, n);
		feed(&r, data[i] & 15);
		event(&r, data[i] & 15);
		feed(&r, data[i] & 15);
	}
	smtpd_session_closed(r.s);
	take(&r);
	smtpd_session_free(&r.s);
	hb_buf_free(&r.head);
	hb_buf_free(&r.input);
	hb_buf_free(&r.body);
	return 0;
}
