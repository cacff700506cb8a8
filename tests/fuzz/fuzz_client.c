/* A hostile server: the first byte chooses TLS use and message, the rest is
 * what the server says.  The machine must end or wait, with bounded acts. */
#include <stdlib.h>

#include "delivery/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
perform(struct dlv_client *c, const struct dlv_txn *txn, bool good)
{
	const struct sts_verdict go = { .action = STS_PROCEED };
	struct hb_tls_facts f = {
		.state = good ? HB_TLSF_DONE : HB_TLSF_FAILED };
	struct dlv_act a;

	while ((a = dlv_client_next(c)).kind != DLV_ACT_NONE) {
		if (a.kind == DLV_ACT_TLS)
			dlv_client_tls_done(c, &f);
		else if (a.kind == DLV_ACT_READY)
			dlv_client_mail(c, txn, &go);
		else if (a.kind == DLV_ACT_DONE)
			dlv_client_quit(c);
	}
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
	struct dlv_rcpt rcpt[3] = { { .address = HB_SPAN("a@x.test") },
		{ .address = HB_SPAN("b@x.test"), .notify = 6 },
		{ .address = HB_SPAN("c@x.test") } };
	struct dlv_txn txn = { .env = &env, .rcpt = rcpt, .nrcpt = 3,
		.requiretls = true };
	struct dlv_client *c = dlv_client_new(&conf);
	struct hb_span in = hb_span(data + (n > 0), n - (n > 0));

	dlv_client_connected(c);
	perform(c, &txn, (mode & 32) != 0);
	for (size_t used = 1; used > 0 && in.n > 0;) {
		used = dlv_client_input(c, in);
		in = hb_span_from(in, used);
		perform(c, &txn, (mode & 32) != 0);
	}
	dlv_client_free(&c);
	return 0;
}
