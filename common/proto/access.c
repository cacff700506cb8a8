/* Entries of sendmail's access table.  Floor 1. */
#include "common/proto/access.h"

#include "common/base/err.h"
#include "common/proto/intake.h"
#include "common/proto/status.h"

enum { MAX_BITS = 4096 };

/* Is WORD at the front of *S?  Then it is taken off. */
static bool
take_word(struct hb_span *s, struct hb_span word)
{
	if (!hb_span_has_prefix_nocase(*s, word))
		return false;
	*s = hb_span_from(*s, word.n);
	return true;
}

/* --- errors --- */

/* S without the quotes around all of it. */
static struct hb_span
unquote(struct hb_span s)
{
	s = hb_span_trim(s);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return hb_span_trim(hb_span(s.p + 1, s.n - 2));
	return s;
}

/* The reply code at the front of *S, taken off; 0: there is none. */
static unsigned
take_code(struct hb_span *s)
{
	struct hb_span head = hb_span_head(*s, 3);
	uint64_t code;

	if (s->n < 3 || (s->n > 3 && s->p[3] != ' ') ||
	    hb_span_u64(head, 999, &code) < 0)
		return 0;
	*s = hb_span_trim(hb_span_from(*s, 3));
	return (unsigned)code;
}

/* "D.S.N:" at the front of *S, taken off; empty if it is not there. */
static struct hb_span
take_status(struct hb_span *s)
{
	struct hb_span rest = *s, status = hb_span_trim(hb_span_cut(&rest, ':'));

	if (status.n == s->n || !hb_status_is_valid(status))
		return HB_SPAN_NONE;
	*s = rest;
	return status;
}

static int
take_reply(struct hb_span s, struct hb_span status,
    struct hb_access_value *out)
{
	size_t n;

	s = unquote(s);
	out->kind = HB_ACCESS_ERROR;
	out->code = take_code(&s);
	if (out->code == 0)
		out->code = status.n > 0 && status.p[0] == '4' ? 451 : 550;
	if (out->code < 400 || out->code > 599)
		return HB_E_SYNTAX;
	n = hb_status_at_front(s, out->code);
	if (n > 0)
		status = hb_span_take(&s, n);
	if (status.n > 0 && (unsigned)(status.p[0] - '0') == out->code / 100)
		out->status = status;
	out->text = hb_span_trim(s);
	return 0;
}

/* --- values --- */

int
hb_access_parse(struct hb_span value, struct hb_access_value *out)
{
	static const struct {
		const char *word;
		enum hb_access_kind kind;
	} words[] = {
		{ "OK", HB_ACCESS_OK },
		{ "RELAY", HB_ACCESS_RELAY },
		{ "REJECT", HB_ACCESS_REJECT },
		{ "DISCARD", HB_ACCESS_DISCARD },
		{ "SKIP", HB_ACCESS_SKIP },
	};
	struct hb_span s = unquote(value), status, rest;

	*out = (struct hb_access_value){ .kind = HB_ACCESS_OK };
	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (hb_span_eq_nocase(s, hb_span_str(words[i].word))) {
			out->kind = words[i].kind;
			return 0;
		}
	if (take_word(&s, HB_SPAN("QUARANTINE:"))) {
		out->kind = HB_ACCESS_QUARANTINE;
		out->text = unquote(s);
		return out->text.n > 0 && hb_intake_is_text(out->text)
		    ? 0 : HB_E_SYNTAX;
	}
	if (take_word(&s, HB_SPAN("ERROR:"))) {
		status = take_status(&s);
		return take_reply(s, status, out);
	}
	rest = s;
	return take_code(&rest) > 0 ? take_reply(s, HB_SPAN_NONE, out)
				    : HB_E_SYNTAX;
}

static int
take_bits(struct hb_span s, unsigned *bits)
{
	uint64_t n;

	if (hb_span_u64(s, MAX_BITS, &n) < 0)
		return HB_E_SYNTAX;
	*bits = (unsigned)n;
	return 0;
}

int
hb_access_parse_tls(struct hb_span value, struct hb_access_tls *out)
{
	struct hb_span s = unquote(value);

	*out = (struct hb_access_tls){ .verify = false };
	out->perm = take_word(&s, HB_SPAN("PERM+"));
	if (!out->perm)
		(void)take_word(&s, HB_SPAN("TEMP+"));
	if (take_word(&s, HB_SPAN("ENCR:")))
		return take_bits(s, &out->bits);
	out->verify = take_word(&s, HB_SPAN("VERIFY"));
	if (!out->verify)
		return HB_E_SYNTAX;
	if (s.n == 0)
		return 0;
	return take_word(&s, HB_SPAN(":")) ? take_bits(s, &out->bits)
					   : HB_E_SYNTAX;
}

/* --- entries --- */

static enum hb_access_fault
check_action(struct hb_span value)
{
	struct hb_access_value v;

	return hb_access_parse(value, &v) == 0 ? HB_ACCESS_GOOD
					       : HB_ACCESS_UNKNOWN;
}

/* No authority is asked about the certificates of clients. */
static enum hb_access_fault
check_tls(struct hb_span value)
{
	struct hb_access_tls t;

	if (hb_access_parse_tls(value, &t) < 0)
		return HB_ACCESS_UNKNOWN;
	return t.verify ? HB_ACCESS_UNMET : HB_ACCESS_GOOD;
}

static enum hb_access_fault
check_ignored(struct hb_span value)
{
	return HB_ACCESS_IGNORED;
}

static enum hb_access_fault
check_unmet(struct hb_span value)
{
	return HB_ACCESS_UNMET;
}

enum hb_access_fault
hb_access_fault(struct hb_span key, struct hb_span value)
{
	static const struct {
		const char *tag;
		enum hb_access_fault (*check)(struct hb_span value);
	} tags[] = {
		{ "TLS_Clt:", check_tls },
		{ "TLS_Srv:", check_unmet },
		{ "TLS_Rcpt:", check_unmet },
		{ "Try_TLS:", check_ignored },
		{ "CERTIssuer:", check_ignored },
		{ "CERTSubject:", check_ignored },
		{ "Spam:", check_ignored },
		{ "AuthInfo:", check_ignored },
		{ "Srv_Features:", check_ignored },
		{ "Clt_Features:", check_ignored },
		{ "ClientRate:", check_ignored },
		{ "ClientConn:", check_ignored },
		{ "GreetPause:", check_ignored },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(tags); i++)
		if (hb_span_has_prefix_nocase(key, hb_span_str(tags[i].tag)))
			return tags[i].check(value);
	return check_action(value);
}
