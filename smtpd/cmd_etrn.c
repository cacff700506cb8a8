/*
 * ETRN: what waits for a domain is tried now.  Floor 2.  RFC 1985 s5; RFC 6409
 * s7: not for submission.
 */
#include "common/proto/domain.h"
#include "smtpd/session-priv.h"

enum { WALK_MS = 60000 }; /* a long queue is walked through */

/* A local program has hauberkctl. */
static bool
is_here(const struct smtpd_session *s)
{
	return s->rules->kind == HB_LISTEN_SMTP && !s->rules->local;
}

static bool
may_relay(const struct smtpd_session *s)
{
	return s->relays || s->user[0] != '\0';
}

bool
smtpd_etrn_is_offered(const struct smtpd_session *s)
{
	return is_here(s) && may_relay(s);
}

static void
ask(struct smtpd_session *s, struct hb_span domain, bool below)
{
	struct ipc_etrn *m = &smtpd_add_act(s, SMTPD_ACT_ETRN)->etrn;

	*m = (struct ipc_etrn){ .ref = ++s->site->refs, .domain = domain,
		.below = below };
	s->etrn = m->ref;
	s->n_etrn++;
	s->wait = SMTPD_W_ETRN;
	smtpd_set_timer(s, WALK_MS);
}

/* "domain", or "@domain" for all below it, too. */
void
smtpd_cmd_etrn(struct smtpd_session *s, struct hb_span args)
{
	bool below = args.n > 0 && args.p[0] == '@';
	struct hb_span domain = hb_span_from(args, below);

	if (!is_here(s))
		smtpd_reply_bad(s, SMTPD_R_NOT_HERE);
	else if (!may_relay(s))
		smtpd_reply_bad(s, SMTPD_R_ETRN_DENIED);
	else if (args.n == 0)
		smtpd_reply_bad(s, SMTPD_R_WANTS_ARGUMENT);
	else if (!hb_domain_is_dns_name(domain))
		smtpd_reply_bad(s, SMTPD_R_ARGUMENT);
	else if (s->n_etrn >= HB_MAX_ETRN || !s->site->queue_up)
		smtpd_reply(s, SMTPD_R_ETRN_BUSY);
	else
		ask(s, domain, below);
}

void
smtpd_session_etrn(struct smtpd_session *s, const struct ipc_etrn_result *r)
{
	struct smtpd_reply_words w = { .code = 253,
		.status = HB_SPAN("2.0.0") };
	struct hb_buf text = HB_BUF_INIT(0);

	if (s->wait != SMTPD_W_ETRN || (r != NULL && r->ref != s->etrn))
		return;
	s->wait = SMTPD_W_NOTHING;
	if (r == NULL || r->busy) {
		smtpd_reply(s, SMTPD_R_ETRN_BUSY);
	} else if (r->messages == 0) {
		smtpd_reply(s, SMTPD_R_ETRN_NONE);
	} else {
		hb_buf_addf(&text, "%u pending messages are tried now",
		    r->messages);
		w.text = hb_buf_span(&text);
		smtpd_reply_words(s, &w);
	}
	hb_buf_free(&text);
}
