/* Writer of DSNs.  Floor 2.  RFC 3464, RFC 6522, RFC 6533, RFC 3834. */
#include "queue/manager/dsn_text.h"

#include "common/base/prose.h"
#include "common/base/timefmt.h"
#include "common/base/utf8.h"
#include "common/proto/header.h"
#include "common/proto/qp.h"
#include "common/proto/xtext.h"

enum { FOLD_AT = 76, ID_MAX = 250, WORD_MAX = 900 };

static const struct {
	const char *action, *any_status, *subject, *lead;
} kinds[] = {
	[Q_DSN_FAILED] = { "failed", "5.0.0",
	    "Your message could not be delivered",
	    "Your message could not be delivered to the recipients below.  "
	    "It will not be tried again." },
	[Q_DSN_DELAYED] = { "delayed", "4.0.0",
	    "Your message is delayed",
	    "Your message could not be delivered yet to the recipients below.  "
	    "Nothing needs to be done now: the message is kept, and it is "
	    "tried again until" },
	[Q_DSN_SUCCESS] = { "", "2.0.0",
	    "Your message was delivered or passed on",
	    "You asked to be told when your message is delivered.  This is "
	    "what became of it for the recipients below." },
};

static const struct {
	const char *action, *sentence;
} handed[HB_HANDED_COUNT] = {
	[HB_HANDED_DELIVERED] = { "delivered", "It was delivered." },
	[HB_HANDED_RELAYED] = { "relayed",
	    "It was passed on to the next mail host, which sends no notices of "
	    "success.  You will hear no more of it unless it fails there." },
	[HB_HANDED_EXPANDED] = { "expanded",
	    "This address stands for others.  It was passed on to all of them, "
	    "and you are not told when they have it." },
};

/* Text from outside, as one or more folded lines. */
static void
put_text(struct hb_buf *out, struct hb_span s, size_t column)
{
	bool blank = false;

	for (size_t i = 0; i < s.n; i++, column++) {
		unsigned char c = s.p[i];

		if (c >= 0x7f)
			c = '?';
		else if (c < 0x20)
			c = ' ';
		/* a folded line of blanks alone would end the header */
		if (c == ' ' && blank)
			continue;
		blank = c == ' ';
		if (blank && column >= FOLD_AT) {
			hb_buf_adds(out, "\r\n");
			column = 0;
		} else if (column >= FOLD_AT * 10) {
			hb_buf_adds(out, "\r\n ");
			column = 1;
		}
		hb_buf_add(out, hb_span(&c, 1));
	}
}

/* "Name: type; value" when there is a value. */
static void
put_field(struct hb_buf *out, const char *name, struct hb_span value)
{
	if (value.n == 0)
		return;
	hb_buf_adds(out, name);
	put_text(out, hb_span_trim(value), strlen(name));
	hb_buf_adds(out, "\r\n");
}

/* UTF-8 as it is, but for what no header field may hold. */
static void
add_utf8(struct hb_buf *out, struct hb_span s)
{
	while (s.n > 0) {
		size_t n = hb_utf8_length(s);
		struct hb_span c = hb_span_head(s, n > 0 ? n : 1);

		if (n == 0 || c.p[0] < 0x20 || c.p[0] == 0x7f ||
		    (n > 1 && hb_utf8_is_hidden(c)))
			hb_buf_adds(out, "?");
		else
			hb_buf_add(out, c);
		s = hb_span_from(s, c.n);
	}
}

static void
add_ascii(struct hb_buf *out, struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		c = c >= 0x7f ? '?' : c < 0x20 ? ' ' : c;
		hb_buf_add(out, hb_span(&c, 1));
	}
}

/* What the sender gave, which he may compare with what he has: as it is, but
 * for what no header field may hold.  It is shorter than a line may be. */
static void
put_given(struct hb_buf *out, const char *name, struct hb_span value, bool utf8)
{
	if (value.n == 0)
		return;
	hb_buf_adds(out, name);
	if (utf8)
		add_utf8(out, value);
	else
		add_ascii(out, value);
	hb_buf_adds(out, "\r\n");
}

/* What XTEXT means; what is not xtext stays as it is. */
static void
add_decoded(struct hb_span xtext, struct hb_buf *out)
{
	size_t before = out->n;

	if (hb_xtext_decode(xtext, out) == 0)
		return;
	hb_buf_truncate(out, before);
	hb_buf_add(out, xtext);
}

/* "type;xtext": the type stays, the rest is decoded (RFC 3461 s6.3).  A utf-8
 * address is letters where letters may stand (UTF8), and else its escapes, RFC
 * 6533 s3. */
static void
put_orcpt(struct hb_buf *out, struct hb_span orcpt, bool utf8)
{
	struct hb_buf plain = HB_BUF_INIT(0);
	struct hb_span rest = orcpt, type;
	bool type_is_utf8;

	if (orcpt.n == 0)
		return;
	type = hb_span_cut(&rest, ';');
	type_is_utf8 = hb_span_eq_nocase(type, HB_SPAN("utf-8"));
	hb_buf_add(&plain, type);
	hb_buf_adds(&plain, ";");
	if (!type_is_utf8)
		add_decoded(rest, &plain);
	else if (utf8)
		hb_xtext_unicode(rest, &plain);
	else
		hb_xtext_ascii(rest, &plain);
	put_given(out, "Original-Recipient: ", hb_buf_span(&plain),
	    utf8 && type_is_utf8);
	hb_buf_free(&plain);
}

/* Text from outside as words: no control character, nothing above 127, no
 * word that is too long for a line (RFC 5322 s2.1.1). */
static void
add_plain(struct hb_buf *out, struct hb_span s)
{
	size_t word = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i] >= 0x7f ? '?' : s.p[i];

		word = c <= ' ' ? 0 : word + 1;
		if (word > WORD_MAX) {
			hb_buf_adds(out, " ");
			word = 1;
		}
		hb_buf_adds(out, (char[]){ c < ' ' ? ' ' : (char)c, '\0' });
	}
}

static bool
is_visible(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0 && s.n <= ID_MAX;
}

static void
put_boundary(struct hb_buf *out, const struct q_dsn *d)
{
	hb_buf_addf(out, "=_%016llx_%016llx", (unsigned long long)d->id,
	    (unsigned long long)d->nonce);
}

static void
put_date(struct hb_buf *out, const char *name, int64_t ms)
{
	char when[HB_TIME_RFC5322_SIZE];

	hb_time_rfc5322(ms, when);
	hb_buf_addf(out, "%s: %s\r\n", name, when);
}

static void
put_head(const struct q_dsn *d, struct hb_buf *out)
{
	struct hb_span id = hb_header_find(d->head, "Message-ID");

	put_date(out, "Date", d->now_ms);
	hb_buf_adds(out, "From: Mail Delivery System <MAILER-DAEMON@");
	hb_buf_add(out, d->hostname);
	hb_buf_adds(out, ">\r\n");
	hb_buf_adds(out, "To: <");
	/* An address as it came; it was parsed there, and yet nothing of it may
	 * end the line. */
	add_utf8(out, d->to);
	hb_buf_addf(out, ">\r\nSubject: %s\r\nMessage-ID: <%016llx@",
	    kinds[d->kind].subject, (unsigned long long)d->id);
	hb_buf_add(out, d->hostname);
	hb_buf_adds(out, ">\r\n");
	if (is_visible(id)) {
		put_field(out, "In-Reply-To: ", id);
		put_field(out, "References: ", id);
	}
	/* RFC 3834 s5.2: replied, never generated */
	hb_buf_adds(out, "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"");
	put_boundary(out, d);
	hb_buf_adds(out, "\"\r\n");
}

static void
part(struct hb_buf *out, const struct q_dsn *d, const char *type)
{
	hb_buf_adds(out, "\r\n--");
	put_boundary(out, d);
	hb_buf_addf(out, "\r\nContent-Type: %s\r\n", type);
}

/* S, which may be in wire form, without its stuffed dots. */
static void
put_quoted(struct hb_buf *out, struct hb_span s)
{
	hb_buf_adds(out,
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	while (s.n > 0) {
		struct hb_span line = hb_span_cut(&s, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 1 && line.p[0] == '.') /* stuffed */
			line = hb_span_from(line, 1);
		hb_qp_line(line, out);
	}
}

/* A part of TEXT: of type PLAIN, or of UTF8 with letters above 127.  The second
 * is encoded, which RFC 6533 s4 and RFC 2045 allow, as any mail host takes a
 * DSN then. */
static void
put_part(struct hb_buf *out, const struct q_dsn *d, const char *plain,
    const char *utf8, struct hb_span text)
{
	bool is_plain = hb_utf8_is_ascii(text);

	part(out, d, is_plain ? plain : utf8);
	if (!is_plain) {
		put_quoted(out, text);
		return;
	}
	hb_buf_adds(out, "\r\n");
	hb_buf_add(out, text);
}

/* --- the part for a person --- */

/* A paragraph of a recipient; PARA is emptied. */
static void
put_para(struct hb_buf *out, struct hb_buf *para, const char *indent)
{
	hb_prose_wrap(out, hb_buf_span(para), indent, "\r\n");
	hb_buf_clear(para);
}

static void
add_date(struct hb_buf *para, int64_t ms)
{
	char when[HB_TIME_RFC5322_SIZE];

	hb_time_rfc5322(ms, when);
	hb_buf_adds(para, when);
}

static void
put_whom(const struct q_dsn_rcpt *r, struct hb_buf *para, struct hb_buf *out)
{
	hb_buf_adds(out, "\r\n");
	hb_buf_adds(para, "<");
	add_utf8(para, r->address);
	hb_buf_adds(para, ">");
	put_para(out, para, "  ");
	if (r->original.n == 0 || hb_span_eq(r->original, r->address))
		return;
	hb_buf_adds(para, "(for <");
	add_utf8(para, r->original);
	hb_buf_adds(para, ">)");
	put_para(out, para, "    ");
}

/* What our own text says beyond the sentence of the reason: "HOST: SENTENCE
 * (detail)", as delivery writes it. */
static struct hb_span
detail_of(const struct hb_outcome *o)
{
	struct hb_span why =
	    hb_span_str(hb_reason_text((enum hb_reason)o->reason));
	size_t at = hb_span_search(o->text, why);

	if (why.n > 0 && at < o->text.n)
		return hb_span_trim(hb_span_from(o->text, at + why.n));
	return o->text;
}

/* What the mail host said, or the detail of our own text. */
static void
put_words(const struct hb_outcome *o, struct hb_buf *para, struct hb_buf *out)
{
	struct hb_span text = o->from_remote ? o->text : detail_of(o);

	if (o->mx.n > 0) {
		hb_buf_adds(para, "Mail host: ");
		add_plain(para, o->mx);
		put_para(out, para, "    ");
	}
	if (text.n == 0)
		return;
	hb_buf_adds(para, o->from_remote ? "It said: " : "Detail: ");
	if (o->from_remote && o->code > 0)
		hb_buf_addf(para, "%u ", o->code);
	add_plain(para, text);
	put_para(out, para, "    ");
}

/* Since when the message waits, and when it was last tried. */
static void
put_time(const struct q_dsn *d, const struct hb_outcome *o,
    struct hb_buf *para, struct hb_buf *out)
{
	if (d->kind == Q_DSN_DELAYED || o->expired != 0) {
		hb_buf_adds(para, d->kind == Q_DSN_DELAYED
			? "Waiting since: " : "Tried since: ");
		add_date(para, d->arrived_ms);
		put_para(out, para, "    ");
	}
	if (o->at_ms > 0) {
		hb_buf_adds(para, "Last tried: ");
		add_date(para, o->at_ms);
		put_para(out, para, "    ");
	}
	if (d->kind != Q_DSN_FAILED || o->expired == 0)
		return;
	hb_buf_adds(para, "The time for which a message is kept here is over."
			  "  You can send it again when the cause is gone.");
	put_para(out, para, "    ");
}

/* One recipient for a person. */
static void
put_why(const struct q_dsn *d, const struct q_dsn_rcpt *r, struct hb_buf *out)
{
	const struct hb_outcome *o = &r->outcome;
	const char *advice = hb_reason_advice((enum hb_reason)o->reason);
	struct hb_buf para = HB_BUF_INIT(0);

	put_whom(r, &para, out);
	if (d->kind == Q_DSN_SUCCESS)
		hb_buf_adds(&para, handed[o->handed].sentence);
	else
		hb_buf_addf(&para, "Why: %s.",
		    hb_reason_text((enum hb_reason)o->reason));
	put_para(out, &para, "    ");
	put_words(o, &para, out);
	if (d->kind == Q_DSN_SUCCESS) {
		hb_buf_free(&para);
		return;
	}
	put_time(d, o, &para, out);
	if (advice[0] != '\0')
		hb_buf_addf(&para, "What would change it: %s", advice);
	put_para(out, &para, "    ");
	hb_buf_free(&para);
}

static void
put_human(const struct q_dsn *d, struct hb_buf *to)
{
	struct hb_buf para = HB_BUF_INIT(0), text = HB_BUF_INIT(0),
	    *out = &text;

	hb_buf_adds(out, "This is the mail system at ");
	hb_buf_add(out, d->hostname);
	hb_buf_adds(out, ".\r\n\r\n");
	hb_buf_adds(&para, kinds[d->kind].lead);
	if (d->kind == Q_DSN_DELAYED) {
		hb_buf_adds(&para, " ");
		add_date(&para, d->retry_until_ms);
		hb_buf_adds(&para, ".  If it cannot be delivered by then, "
				   "you will be told.");
	}
	put_para(out, &para, "");
	hb_buf_free(&para);
	for (size_t i = 0; i < d->n; i++)
		put_why(d, &d->rcpts[i], out);
	put_part(to, d, "text/plain; charset=us-ascii",
	    "text/plain; charset=utf-8", hb_buf_span(&text));
	hb_buf_free(&text);
}

/* --- the part for a program --- */

/* RFC 3464 s2.3.6: the remote reply, or our own words. */
static void
put_diagnostic(const struct hb_outcome *o, struct hb_buf *out)
{
	struct hb_buf text = HB_BUF_INIT(0);

	if (o->from_remote && o->code > 0)
		hb_buf_addf(&text, "smtp; %u ", o->code);
	else
		hb_buf_adds(&text, "X-Hauberk; ");
	hb_buf_add(&text, o->text);
	if (o->text.n > 0)
		put_field(out, "Diagnostic-Code: ", hb_buf_span(&text));
	hb_buf_free(&text);
}

/* RFC 6533 s4: the type tells which characters it has. */
static void
put_final_rcpt(struct hb_span address, struct hb_buf *out)
{
	if (hb_utf8_is_ascii(address))
		put_field(out, "Final-Recipient: rfc822; ", address);
	else
		put_given(out, "Final-Recipient: utf-8; ", address, true);
}

static void
put_rcpt(const struct q_dsn *d, const struct q_dsn_rcpt *r, bool utf8,
    struct hb_buf *out)
{
	const struct hb_outcome *o = &r->outcome;
	const char *any = kinds[d->kind].any_status;
	bool fits = o->status.n >= 5 &&
	    o->status.p[0] == (unsigned char)any[0];

	hb_buf_adds(out, "\r\n");
	put_orcpt(out, r->orcpt, utf8);
	put_final_rcpt(r->address, out);
	hb_buf_addf(out, "Action: %s\r\n", d->kind == Q_DSN_SUCCESS
		? handed[o->handed].action : kinds[d->kind].action);
	/* RFC 3464 s2.3.4: the class agrees with the action. */
	put_field(out, "Status: ", fits ? o->status : hb_span_str(any));
	put_field(out, "Remote-MTA: dns; ", o->mx);
	put_diagnostic(o, out);
	if (o->at_ms > 0)
		put_date(out, "Last-Attempt-Date", o->at_ms);
	if (d->kind == Q_DSN_DELAYED)
		put_date(out, "Will-Retry-Until", d->retry_until_ms);
	put_field(out, "X-Hauberk-Reason: ",
	    hb_span_str(hb_reason_word((enum hb_reason)o->reason)));
	if (o->expired != 0)
		hb_buf_adds(out, "X-Hauberk-Expired: yes\r\n");
	put_field(out, "X-Hauberk-TLS: ", o->tls);
	put_field(out, "X-Hauberk-STS: ", o->sts);
}

/* Is there an address that message/delivery-status cannot name? */
static bool
has_utf8(const struct q_dsn *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (!hb_utf8_is_ascii(d->rcpts[i].address))
			return true;
	return false;
}

static void
put_status(const struct q_dsn *d, struct hb_buf *to)
{
	struct hb_buf text = HB_BUF_INIT(0), plain = HB_BUF_INIT(0);
	bool utf8 = has_utf8(d);

	add_decoded(d->envid, &plain);
	put_given(&text, "Original-Envelope-Id: ", hb_buf_span(&plain), false);
	hb_buf_free(&plain);
	put_field(&text, "Reporting-MTA: dns; ", d->hostname);
	hb_buf_addf(&text, "X-Hauberk-Message: %016llx\r\n",
	    (unsigned long long)d->parent);
	put_date(&text, "Arrival-Date", d->arrived_ms);
	for (size_t i = 0; i < d->n; i++)
		put_rcpt(d, &d->rcpts[i], utf8, &text);
	put_part(to, d, "message/delivery-status",
	    "message/global-delivery-status", hb_buf_span(&text));
	hb_buf_free(&text);
}

static bool
has_leading_dot(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' && (i == 0 || s.p[i - 1] == '\n'))
			return true;
	return false;
}

/* The message is in wire form already: its dots are stuffed. */
static void
put_original(const struct q_dsn *d, bool whole, struct hb_buf *out)
{
	if (!whole) { /* RFC 6522 s4, RFC 6533 s4 */
		put_part(out, d, "text/rfc822-headers", d->utf8
			? "message/global-headers" : "text/rfc822-headers",
		    d->head);
		return;
	}
	part(out, d, "message/rfc822");
	hb_buf_adds(out, "\r\n");
	hb_buf_add(out, d->head);
	hb_buf_add(out, d->body);
	if (d->body.n > 0 && d->body.p[d->body.n - 1] != '\n')
		hb_buf_adds(out, "\r\n");
}

/* Address, host and text are there twice; what is encoded takes three bytes for
 * one, and a fold is at least a third of a line away from the next one. */
size_t
q_dsn_rcpt_bytes(const struct q_dsn_rcpt *r)
{
	const struct hb_outcome *o = &r->outcome;

	return 2000 + 6 * r->address.n + 3 * (r->original.n + r->orcpt.n) +
	    7 * o->text.n + 3 * (o->mx.n + o->tls.n + o->sts.n);
}

/* The lines of HEAD that are returned. */
static struct hb_span
returned(struct hb_span head)
{
	size_t n = Q_DSN_HEAD_BYTES;

	if (head.n <= n)
		return head;
	while (n > 0 && head.p[n - 1] != '\n')
		n--;
	return hb_span_head(head, n);
}

uint32_t
q_dsn_write(const struct q_dsn *dsn, struct hb_buf *head, struct hb_buf *body)
{
	struct q_dsn cut = *dsn;
	const struct q_dsn *d = &cut;
	bool high, whole;

	cut.head = returned(dsn->head);
	high = !hb_utf8_is_ascii(d->head);
	/* message/rfc822 cannot be encoded, RFC 2046 s5.2.1 */
	whole = d->whole && !high && hb_utf8_is_ascii(d->body);

	put_head(d, head);
	put_human(d, body);
	put_status(d, body);
	if (d->head.n > 0 || whole)
		put_original(d, whole, body);
	hb_buf_adds(body, "\r\n--");
	put_boundary(body, d);
	hb_buf_adds(body, "--\r\n");
	return ((!high && has_leading_dot(d->head)) ||
		(whole && has_leading_dot(d->body)) ? HB_ENV_DOTTED : 0u) |
	    (hb_utf8_is_ascii(d->to) ? 0u
				     : HB_ENV_SMTPUTF8 | HB_ENV_8BIT);
}
