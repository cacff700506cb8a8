/*
 * Symbols (sendmail's macros) for filters.  Floor 2.  A filter gets those of
 * sendmail's usual lists, or those it asked for.
 */
#include "smtpd/filters.h"

#include "common/proto/header.h"
#include "smtpd/session-priv.h"

#define AT(moment) (1u << HB_MILTER_AT_##moment)

static void
put_hostname(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->rules->hostname);
}

static void
put_program(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, "Hauberk");
}

static void
put_id(const struct smtpd_session *s, struct hb_buf *out)
{
	char id[17];

	if (s->txn.id == 0)
		return;
	hb_msgid_format(s->txn.id, id);
	hb_buf_adds(out, id);
}

static void
put_client_addr(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->client);
}

static void
put_client_name(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_addf(out, "[%s]", s->client);
}

static void
put_client_port(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_addf(out, "%u", s->filters->client_port);
}

static void
put_daemon_name(const struct smtpd_session *s, struct hb_buf *out)
{
	static const char *const names[] = {
		[HB_LISTEN_SMTP] = "MTA",
		[HB_LISTEN_SUBMISSION] = "MSA",
		[HB_LISTEN_SUBMISSIONS] = "TLSMSA",
		[HB_LISTEN_LMTP] = "LMTP",
	};

	hb_buf_adds(out, names[s->rules->kind]);
}

static void
put_daemon_addr(const struct smtpd_session *s, struct hb_buf *out)
{
	char text[HB_NETADDR_TEXT];

	if (s->filters->local.family == 0)
		return;
	hb_netaddr_format(&s->filters->local, text);
	hb_buf_adds(out, text);
}

static void
put_daemon_port(const struct smtpd_session *s, struct hb_buf *out)
{
	if (s->filters->local.family != 0)
		hb_buf_addf(out, "%u", s->filters->local.port);
}

static void
put_helo(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->helo);
}

static void
put_tls_version(const struct smtpd_session *s, struct hb_buf *out)
{
	struct hb_span word = hb_span_str(s->tls_word);

	if (s->tls)
		hb_buf_add(out, hb_span_head(word, hb_span_find(word, '/')));
}

static void
put_cipher(const struct smtpd_session *s, struct hb_buf *out)
{
	if (s->tls)
		hb_buf_adds(out, s->tls_cipher);
}

/* Bits of the cipher's key, as its name says. */
static void
put_cipher_bits(const struct smtpd_session *s, struct hb_buf *out)
{
	bool strong = strstr(s->tls_cipher, "256") != NULL ||
	    strstr(s->tls_cipher, "CHACHA20") != NULL;

	if (s->tls)
		hb_buf_adds(out, strong ? "256" : "128");
}

static void
put_verify(const struct smtpd_session *s, struct hb_buf *out)
{
	/* certificates of clients are recorded, and nobody vouches for them */
	if (s->tls)
		hb_buf_adds(out, s->tls_print[0] != '\0' ? "FAIL" : "NO");
}

static void
put_cert_subject(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->filters->tls_subject);
}

static void
put_cert_issuer(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->filters->tls_issuer);
}

static void
put_auth_type(const struct smtpd_session *s, struct hb_buf *out)
{
	if (s->user[0] != '\0' && s->auth_mech != NULL)
		hb_buf_adds(out, s->auth_mech);
}

static void
put_auth_user(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, s->user);
}

static void
put_auth_ssf(const struct smtpd_session *s, struct hb_buf *out)
{
	if (s->user[0] != '\0')
		hb_buf_adds(out, "0");
}

static void
put_auth_author(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_add(out, hb_buf_span(&s->txn.mail_auth));
}

static void
put_mailer(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_adds(out, "esmtp");
}

static void
put_domain(struct hb_span address, struct hb_buf *out)
{
	struct hb_span local, domain;

	hb_addr_split(address, &local, &domain);
	hb_buf_add(out, domain);
}

static void
put_mail_host(const struct smtpd_session *s, struct hb_buf *out)
{
	put_domain(hb_buf_span(&s->txn.sender), out);
}

static void
put_mail_addr(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_add(out, hb_buf_span(&s->txn.sender));
}

/* A recipient that is refused: sendmail says so in these three. */
static bool
is_refused(const struct smtpd_question *q)
{
	return q->verdict.action != HB_ACTION_ACCEPT;
}

static void
put_rcpt_mailer(const struct smtpd_session *s, struct hb_buf *out)
{
	if (s->filters->about != NULL)
		hb_buf_adds(out, is_refused(s->filters->about) ? "error"
							       : "esmtp");
}

static void
put_rcpt_host(const struct smtpd_session *s, struct hb_buf *out)
{
	const struct smtpd_question *q = s->filters->about;

	if (q == NULL)
		return;
	if (is_refused(q))
		hb_buf_add(out, q->verdict.status);
	else
		put_domain(q->rcpt.address, out);
}

static void
put_rcpt_addr(const struct smtpd_session *s, struct hb_buf *out)
{
	const struct smtpd_question *q = s->filters->about;

	if (q != NULL)
		hb_buf_add(out, is_refused(q) ? q->verdict.text
					      : q->rcpt.address);
}

static void
put_nrcpts(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_addf(out, "%u", s->txn.n_taken);
}

static void
put_msg_id(const struct smtpd_session *s, struct hb_buf *out)
{
	unsigned char room[HB_MAX_MESSAGE_ID];

	hb_buf_add(out, hb_message_id(hb_buf_span(&s->txn.in.head), room));
}

static const struct {
	const char *name;
	unsigned usual; /* moments at which sendmail sends it, and some more */
	void (*put)(const struct smtpd_session *s, struct hb_buf *out);
} symbols[] = {
	{ "j", AT(CONNECT), put_hostname },
	{ "_", AT(CONNECT), put_client_name },
	{ "v", AT(CONNECT), put_program },
	{ "daemon_name", AT(CONNECT), put_daemon_name },
	{ "daemon_addr", AT(CONNECT), put_daemon_addr },
	{ "daemon_port", AT(CONNECT), put_daemon_port },
	{ "if_name", AT(CONNECT), put_hostname },
	{ "if_addr", AT(CONNECT), put_daemon_addr },
	{ "client_addr", AT(CONNECT), put_client_addr },
	{ "client_name", AT(CONNECT), put_client_name },
	{ "client_ptr", AT(CONNECT), put_client_name },
	{ "client_port", AT(CONNECT), put_client_port },
	{ "s", 0, put_helo },
	{ "tls_version", AT(HELO), put_tls_version },
	{ "cipher", AT(HELO), put_cipher },
	{ "cipher_bits", AT(HELO), put_cipher_bits },
	{ "verify", AT(HELO), put_verify },
	{ "cert_subject", AT(HELO), put_cert_subject },
	{ "cert_issuer", AT(HELO), put_cert_issuer },
	{ "i", AT(MAIL) | AT(DATA) | AT(EOH) | AT(END), put_id },
	{ "auth_type", AT(MAIL), put_auth_type },
	{ "auth_authen", AT(MAIL), put_auth_user },
	{ "auth_ssf", AT(MAIL), put_auth_ssf },
	{ "auth_author", AT(MAIL), put_auth_author },
	{ "mail_mailer", AT(MAIL), put_mailer },
	{ "mail_host", AT(MAIL), put_mail_host },
	{ "mail_addr", AT(MAIL), put_mail_addr },
	{ "rcpt_mailer", AT(RCPT), put_rcpt_mailer },
	{ "rcpt_host", AT(RCPT), put_rcpt_host },
	{ "rcpt_addr", AT(RCPT), put_rcpt_addr },
	{ "nrcpts", AT(DATA) | AT(END), put_nrcpts },
	{ "msg_id", AT(END), put_msg_id },
};

/* One of a letter stands alone, all others in braces. */
static void
put(struct smtpd_session *s, size_t i, struct hb_buf *out)
{
	const char *name = symbols[i].name;
	struct hb_buf value = HB_BUF_INIT(0);

	symbols[i].put(s, &value);
	if (value.n > 0) {
		hb_buf_addf(out, name[1] == '\0' ? "%s" : "{%s}", name);
		hb_buf_add(out, hb_span("", 1));
		hb_milter_put_text(out, hb_buf_span(&value));
	}
	hb_buf_free(&value);
}

static struct hb_span
without_braces(struct hb_span name)
{
	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		return hb_span(name.p + 1, name.n - 2);
	return name;
}

static void
put_listed(struct smtpd_session *s, struct hb_span list, struct hb_buf *out)
{
	struct hb_span name;
	size_t left = HB_ARRAY_LEN(symbols); /* one each, whatever is listed */

	while (left > 0 && (name = hb_span_word(&list)).n > 0) {
		name = without_braces(name);
		for (size_t i = 0; i < HB_ARRAY_LEN(symbols); i++)
			if (hb_span_eq(name, hb_span_str(symbols[i].name))) {
				put(s, i, out);
				left--;
			}
	}
}

void
smtpd_symbols_put(struct smtpd_session *s, struct smtpd_milter *m,
    enum hb_milter_step step)
{
	struct hb_milter_step_info info = hb_milter_step_info(step);
	size_t begun;

	if (info.moment == HB_MILTER_MOMENTS)
		return;
	begun = hb_milter_begin(&m->out, 'D');
	hb_buf_add(&m->out, hb_span(&info.letter, 1));
	if (m->terms.symbols[info.moment].p != NULL)
		put_listed(s, m->terms.symbols[info.moment], &m->out);
	else
		for (size_t i = 0; i < HB_ARRAY_LEN(symbols); i++)
			if ((symbols[i].usual >> info.moment & 1) != 0)
				put(s, i, &m->out);
	hb_milter_end(&m->out, begun);
}
