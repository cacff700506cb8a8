/* Enhanced status codes.  Floor 1.  RFC 3463 s3. */
#include "common/proto/status.h"

#include "common/base/limits.h"

/* 1 to 3 digits at the front of S: how many. */
static size_t
digits(struct hb_span s)
{
	size_t n = 0;

	while (n < s.n && n < 3 && hb_is_digit(s.p[n]))
		n++;
	return n;
}

/* Length of the code at the front of S, or 0. */
static size_t
take(struct hb_span s)
{
	size_t n = 2, d;

	if (s.n < 5 || strchr("245", s.p[0]) == NULL || s.p[0] == '\0' ||
	    s.p[1] != '.')
		return 0;
	d = digits(hb_span_from(s, n));
	n += d;
	if (d == 0 || n >= s.n || s.p[n++] != '.')
		return 0;
	d = digits(hb_span_from(s, n));
	return d > 0 ? n + d : 0;
}

bool
hb_status_is_valid(struct hb_span s)
{
	return s.n > 0 && take(s) == s.n;
}

size_t
hb_status_at_front(struct hb_span text, unsigned code)
{
	size_t n = take(text);

	if (n == 0 || (unsigned)(text.p[0] - '0') != code / 100)
		return 0;
	return n == text.n || text.p[n] == ' ' ? n : 0;
}

const char *
hb_status_for_code(unsigned code)
{
	/* code 0: every code of that class */
	static const struct {
		unsigned code;
		const char *status;
	} rows[] = {
		{ 421, "4.4.2" }, { 450, "4.2.0" }, { 451, "4.3.0" },
		{ 452, "4.3.1" }, { 454, "4.7.0" }, { 500, "5.5.1" },
		{ 501, "5.5.4" }, { 502, "5.5.1" }, { 503, "5.5.1" },
		{ 504, "5.5.4" }, { 521, "5.3.2" }, { 530, "5.7.0" },
		{ 535, "5.7.8" }, { 550, "5.1.1" }, { 551, "5.1.6" },
		{ 552, "5.3.4" }, { 553, "5.1.3" }, { 555, "5.5.4" },
		{ 556, "5.1.10" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (rows[i].code == code)
			return rows[i].status;
	return code / 100 == 2 ? "2.0.0" : code / 100 == 4 ? "4.0.0" : "5.0.0";
}

const char *
hb_status_text(struct hb_span status)
{
	static const struct {
		const char *tail, *text;
	} rows[] = {
		{ "1.1", "bad destination mailbox address" },
		{ "1.2", "bad destination system address" },
		{ "1.3", "bad destination mailbox address syntax" },
		{ "1.6", "mailbox has moved" },
		{ "1.7", "bad sender's mailbox address syntax" },
		{ "1.8", "bad sender's system address" },
		{ "1.10", "recipient address has null MX" },
		{ "2.0", "mailbox problem" },
		{ "2.1", "mailbox disabled" },
		{ "2.2", "mailbox full" },
		{ "2.3", "message too long for the mailbox" },
		{ "3.0", "mail system problem" },
		{ "3.1", "mail system full" },
		{ "3.2", "system not accepting messages" },
		{ "3.4", "message too big for system" },
		{ "4.1", "no answer from host" },
		{ "4.2", "bad connection" },
		{ "4.3", "directory server failure" },
		{ "4.4", "unable to route" },
		{ "4.6", "routing loop detected" },
		{ "4.7", "delivery time expired" },
		{ "5.0", "protocol problem" },
		{ "5.1", "invalid command" },
		{ "5.2", "syntax error" },
		{ "5.3", "too many recipients" },
		{ "5.4", "invalid command arguments" },
		{ "6.0", "content problem" },
		{ "6.7", "non-ASCII addresses not taken" },
		{ "7.0", "security problem" },
		{ "7.1", "delivery not authorised" },
		{ "7.5", "cryptographic failure" },
		{ "7.8", "authentication credentials invalid" },
		{ "7.10", "encryption needed" },
		{ "7.30", "REQUIRETLS support needed" },
	};

	if (!hb_status_is_valid(status))
		return "";
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (hb_span_eq(hb_span_from(status, 2),
			hb_span_str(rows[i].tail)))
			return rows[i].text;
	return "";
}
