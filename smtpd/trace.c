/*
 * The header field that we add: Received.  Floor 2.  RFC 5321 s4.4, RFC 3848,
 * RFC 6531 s4.3.
 */
#include "common/base/timefmt.h"
#include "common/base/utf8.h"
#include "smtpd/session-priv.h"

struct hb_span
smtpd_with_word(const struct smtpd_session *s)
{
	/* RFC 3848: +1 TLS, +2 authenticated */
	static const char *const words[][4] = {
		{ "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
		{ "LMTP", "LMTPS", "LMTPA", "LMTPSA" },
		{ "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" },
		{ "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA" },
	};
	unsigned row = (s->rules->kind == HB_LISTEN_LMTP ? 1u : 0u) +
	    (s->txn.utf8 ? 2u : 0u);
	unsigned i = (s->tls ? 1u : 0u) + (s->user[0] != '\0' ? 2u : 0u);

	if (!s->esmtp)
		return HB_SPAN("SMTP");
	return hb_span_str(words[row][i]);
}

static void
put_client(const struct smtpd_session *s, struct hb_buf *out)
{
	struct hb_span name = smtpd_origin_name(s);

	hb_buf_addf(out, "Received: from %s (%.*s%s[%s%s])\r\n", s->helo,
	    HB_SPAN_ARG(name), name.n > 0 ? " " : "",
	    s->client_is_v6 ? "IPv6:" : "", s->client);
}

static void
put_tls(const struct smtpd_session *s, struct hb_buf *out)
{
	size_t version = hb_span_find(hb_span_str(s->tls_word), '/');

	if (s->tls)
		hb_buf_addf(out, " (%.*s %s)", (int)version, s->tls_word,
		    s->tls_cipher);
}

/* RFC 5321 s4.4, for a message that came without SMTP. */
static void
put_local(const struct smtpd_session *s, const char *date, struct hb_buf *out)
{
	hb_buf_addf(out, "Received: by %s (Hauberk, from userid %u)\r\n"
	    "\tid %016llx; %s\r\n", s->rules->hostname,
	    (unsigned)s->local->uid, (unsigned long long)s->txn.id, date);
}

void
smtpd_trace_received(struct smtpd_session *s, struct hb_buf *out)
{
	char id[17], date[HB_TIME_RFC5322_SIZE];
	struct hb_span with = smtpd_with_word(s);

	hb_msgid_format(s->txn.id, id);
	hb_time_rfc5322(s->site->now_ms, date);
	if (s->local != NULL) {
		put_local(s, date, out);
		return;
	}
	put_client(s, out);
	hb_buf_addf(out, "\tby %s with %.*s", s->rules->hostname,
	    HB_SPAN_ARG(with));
	put_tls(s, out);
	hb_buf_addf(out, "\r\n\tid %s", id);
	/* an alias may lead to a server that takes no UTF-8 in the header */
	if (s->txn.n_taken == 1 && s->txn.n_rcpts == 1 &&
	    hb_utf8_is_ascii(s->txn.rcpts[0].address)) {
		hb_buf_adds(out, "\r\n\tfor <");
		hb_buf_add(out, s->txn.rcpts[0].address);
		hb_buf_adds(out, ">");
	}
	hb_buf_addf(out, ";\r\n\t%s\r\n", date);
}
