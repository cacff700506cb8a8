/*
 * A hostile server: the first byte chooses TLS use, message and pieces, the
 * rest is what the server says, a line at a time or all in one.  The machine
 * must end or wait, with bounded acts, and nobody gets a message that is not
 * out yet.
 */
#include <stdlib.h>

#include "delivery/smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { RCPTS = 3, GOOD_TLS = 32, ONE_PIECE = 64, SLOW_BODY = 128 };

struct peer {
	struct dlv_client *c;
	uint8_t mode;
	struct dlv_txn txn;
	unsigned due; /* turns until the body is out */
	bool sent;    /* it is */
};

static void
expect_nothing_taken(const struct peer *p)
{
	for (size_t i = 0; i < p->txn.nrcpt; i++)
		if (p->txn.rcpt[i].outcome.result == HB_RESULT_OK)
			abort();
}

static void
send_body(struct peer *p)
{
	expect_nothing_taken(p);
	p->due = (p->mode & SLOW_BODY) != 0 ? 2 : 1;
}

static void
perform(struct peer *p)
{
	const struct sts_verdict go = { .action = STS_PROCEED };
	struct hb_tls_facts f = { .state = (p->mode & GOOD_TLS) != 0
		? HB_TLSF_DONE : HB_TLSF_FAILED };
	struct dlv_act a;

	while ((a = dlv_client_next(p->c)).kind != DLV_ACT_NONE) {
		if (a.kind == DLV_ACT_TLS)
			dlv_client_tls_done(p->c, &f);
		else if (a.kind == DLV_ACT_READY)
			dlv_client_mail(p->c, &p->txn, &go);
		else if (a.kind == DLV_ACT_BODY)
			send_body(p);
		else if (a.kind == DLV_ACT_DONE)
			dlv_client_quit(p->c);
	}
	if (!p->sent)
		expect_nothing_taken(p);
	if (p->due > 0 && --p->due == 0) {
		p->sent = true;
		dlv_client_body_sent(p->c);
	}
}

static size_t
piece(const struct peer *p, struct hb_span in)
{
	size_t line = hb_span_find(in, '\n');

	return (p->mode & ONE_PIECE) != 0 || line == in.n ? in.n : line + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t mode = n > 0 ? data[0] : 0;
	struct dlv_client_conf conf = { .helo = "me.test", .reply_ms = 1000,
		.tls = (enum dlv_tls_use)(mode % 3), .lmtp = (mode & 4) != 0,
		.demanded = (mode & 8) != 0 };
	struct hb_env env = { .sender = HB_SPAN("a@b.test"), .size = 10,
		.flags = mode & 16 ? HB_ENV_8BIT : 0 };
	struct dlv_rcpt rcpt[RCPTS] = { { .address = HB_SPAN("a@x.test") },
		{ .address = HB_SPAN("b@x.test"), .notify = 6 },
		{ .address = HB_SPAN("c@x.test") } };
	struct peer p = { .c = dlv_client_new(&conf), .mode = mode,
		.txn = { .env = &env, .rcpt = rcpt, .nrcpt = RCPTS,
		    .octets = (mode & 16) != 0 ? 0 : 10, .requiretls = true } };
	struct hb_span in = hb_span(data + (n > 0), n - (n > 0));
	struct hb_span left = HB_SPAN_NONE;

	dlv_client_connected(p.c);
	perform(&p);
	while (in.n > 0) {
		size_t more = piece(&p, in);

		/* what was left of the piece before stands in front of it */
		left = hb_span(in.p - left.n, left.n + more);
		in = hb_span_from(in, more);
		left = hb_span_from(left, dlv_client_input(p.c, left));
		perform(&p);
	}
	dlv_client_free(&p.c);
	return 0;
}
