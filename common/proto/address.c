/* Mail addresses.  Floor 1.  RFC 5321 s4.1.2, RFC 6531 s3.3. */
#include "common/proto/address.h"

#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/proto/domain.h"

const char *
hb_addr_fault_text(enum hb_addr_fault fault)
{
	static const char *const texts[] = {
#define X(sym, text) text,
		HB_ADDR_FAULTS(X)
#undef X
	};

	return texts[fault];
}

/* R is the error; where it is one of syntax, FAULT says which. */
static int
wrong(struct hb_addr *out, enum hb_addr_fault fault, int r)
{
	out->fault = r == HB_E_RANGE ? HB_ADDR_FAULT_LONG : fault;
	return r;
}

static bool
is_atext(unsigned char c)
{
	return hb_is_alnum(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Bytes of the character above 127 at the front of S, or 0: it may not stand
 * in an address. */
static size_t
utf8_char(struct hb_span s)
{
	size_t n = hb_utf8_length(s);

	return n > 0 && !hb_utf8_is_hidden(hb_span_head(s, n)) ? n : 0;
}

/* One character that may stand in S: bytes used, 0 if it is another one. */
static int
take_char(struct hb_span s, unsigned flags, bool quoted, struct hb_addr *out)
{
	size_t n;

	if (s.p[0] < 128) {
		if (!quoted)
			return is_atext(s.p[0]);
		return s.p[0] >= ' ' && s.p[0] < 127 && s.p[0] != '"';
	}
	if ((flags & HB_ADDR_UTF8) == 0)
		return HB_E_UNSUPPORTED;
	n = utf8_char(s);
	out->utf8 = true;
	return n > 0 ? (int)n : HB_E_SYNTAX;
}

/* Dot-string: bytes used, or HB_E_*. */
static int
take_dot_string(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	size_t i = 0;
	bool dot = true; /* a dot, or nothing, stands before */

	while (i < s.n) {
		int r = take_char(hb_span_from(s, i), flags, false, out);

		if (r < 0)
			return r;
		if (r == 0 && (s.p[i] != '.' || dot))
			break;
		dot = r == 0;
		i += r > 0 ? (size_t)r : 1;
	}
	return dot ? HB_E_SYNTAX : (int)i;
}

/* Quoted-string, with its quotes: bytes used, or HB_E_*. */
static int
take_quoted(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	size_t i = 1;

	while (i < s.n && s.p[i] != '"') {
		int r;

		if (s.p[i] == '\\') {
			if (++i >= s.n || s.p[i] < ' ' || s.p[i] > 126)
				return HB_E_SYNTAX;
			i++;
			continue;
		}
		r = take_char(hb_span_from(s, i), flags, true, out);
		if (r <= 0)
			return r < 0 ? r : HB_E_SYNTAX;
		i += (size_t)r;
	}
	out->quoted = true;
	return i < s.n ? (int)i + 1
		       : wrong(out, HB_ADDR_FAULT_QUOTE, HB_E_SYNTAX);
}

static int
take_local(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	int r;

	out->fault = HB_ADDR_FAULT_LOCAL_PART;
	if (s.n == 0)
		return HB_E_SYNTAX;
	if (hb_is_blank(s.p[0]))
		return wrong(out, HB_ADDR_FAULT_SPACE, HB_E_SYNTAX);
	s = hb_span_head(s, HB_MAX_PATH);
	r = s.p[0] == '"' ? take_quoted(s, flags, out)
			  : take_dot_string(s, flags, out);
	if (r < 0)
		return r;
	out->local = hb_span_head(s, (size_t)r);
	return r;
}

/* U-labels: characters and dots alone are looked at here, the rest by
 * IDNA2008. */
static int
take_labels(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	bool dot = true; /* a dot, or nothing, stands before */

	if ((flags & HB_ADDR_IDN) == 0)
		return HB_E_UNSUPPORTED;
	for (size_t i = 0, n; i < s.n; i += n) {
		n = s.p[i] < 128 ? 1 : utf8_char(hb_span_from(s, i));
		if (n == 0 || (dot && s.p[i] == '.'))
			return HB_E_SYNTAX;
		dot = s.p[i] == '.';
	}
	out->domain = s;
	out->idn = true;
	return (int)s.n;
}

/* Domain or literal, up to the first byte that cannot belong to one. */
static int
take_domain(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	size_t n = 0;
	bool literal = s.n > 0 && s.p[0] == '[';

	if (literal) {
		n = hb_span_find(s, ']');
		n += n < s.n;
	}
	while (!literal && n < s.n &&
	    (hb_is_alnum(s.p[n]) || s.p[n] == '-' || s.p[n] == '_' ||
		s.p[n] == '.' || s.p[n] >= 128))
		n++;
	s = hb_span_head(s, n);
	if (n > HB_MAX_DOMAIN)
		return HB_E_RANGE;
	if (!hb_utf8_is_ascii(s))
		return literal ? HB_E_SYNTAX : take_labels(s, flags, out);
	if (literal ? !hb_domain_is_literal(s) : !hb_domain_is_dns_name(s))
		return HB_E_SYNTAX;
	out->domain = s;
	return (int)n;
}

static int
take_mailbox(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	int r = take_local(s, flags, out), d;
	size_t n;

	if (r < 0)
		return r;
	n = (size_t)r;
	if (n + 2 > HB_MAX_PATH) /* a path has brackets */
		return wrong(out, HB_ADDR_FAULT_LONG, HB_E_RANGE);
	if (n == s.n || s.p[n] != '@')
		return (flags & HB_ADDR_LOCAL) != 0 ? r
		    : wrong(out, HB_ADDR_FAULT_NO_DOMAIN, HB_E_SYNTAX);
	d = take_domain(hb_span_from(s, n + 1), flags, out);
	if (d >= 0 && n + 1 + (size_t)d + 2 > HB_MAX_PATH)
		d = HB_E_RANGE;
	return d < 0 ? wrong(out, HB_ADDR_FAULT_DOMAIN, d) : r + 1 + d;
}

/* REST stands where the address ought to end. */
static int
no_end(struct hb_addr *out, struct hb_span rest)
{
	enum hb_addr_fault fault = out->domain.n > 0
	    ? HB_ADDR_FAULT_DOMAIN : HB_ADDR_FAULT_LOCAL_PART;

	if (hb_is_blank(rest.p[0]))
		fault = HB_ADDR_FAULT_SPACE;
	else if (rest.p[0] == '@')
		fault = HB_ADDR_FAULT_AT;
	return wrong(out, fault, HB_E_SYNTAX);
}

/* "@a,@b:" in front of a mailbox: bytes used. */
static int
take_route(struct hb_span s, unsigned flags)
{
	size_t i = 0;
	struct hb_addr ignored;

	while (i < s.n && s.p[i] == '@') {
		int r = take_domain(hb_span_from(s, i + 1), flags, &ignored);

		if (r < 0)
			return r;
		i += (size_t)r + 1;
		if (i == s.n || (s.p[i] != ',' && s.p[i] != ':'))
			return HB_E_SYNTAX;
		if (s.p[i++] == ':')
			return (int)i;
	}
	return i == 0 ? 0 : HB_E_SYNTAX;
}

static int
take_path(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	size_t n = 1;
	int r;

	if (s.n == 0 || s.p[0] != '<')
		return wrong(out, HB_ADDR_FAULT_NO_OPEN, HB_E_SYNTAX);
	if (s.n > 1 && s.p[1] == '>')
		return (flags & HB_ADDR_NULL) != 0 ? 2
		    : wrong(out, HB_ADDR_FAULT_EMPTY, HB_E_SYNTAX);
	r = take_route(hb_span_from(s, n), flags);
	if (r < 0)
		return wrong(out, HB_ADDR_FAULT_ROUTE, r);
	n += (size_t)r;
	out->routed = r > 0;
	r = take_mailbox(hb_span_from(s, n), flags, out);
	if (r < 0)
		return r;
	n += (size_t)r;
	if (n >= s.n)
		return HB_E_SYNTAX;
	if (s.p[n] != '>')
		return no_end(out, hb_span_from(s, n));
	return n + 1 > HB_MAX_PATH
	    ? wrong(out, HB_ADDR_FAULT_LONG, HB_E_RANGE) : (int)n + 1;
}

int
hb_addr_parse_path(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	int r;

	memset(out, 0, sizeof(*out));
	r = take_path(s, flags, out);
	if (r == HB_E_SYNTAX && s.n > 0 && s.p[0] == '<' &&
	    hb_span_find(s, '>') == s.n)
		out->fault = HB_ADDR_FAULT_NO_CLOSE;
	return r;
}

int
hb_addr_parse(struct hb_span s, unsigned flags, struct hb_addr *out)
{
	int r;

	memset(out, 0, sizeof(*out));
	if (s.n == 0)
		return (flags & HB_ADDR_NULL) != 0 ? 0
		    : wrong(out, HB_ADDR_FAULT_MISSING, HB_E_SYNTAX);
	r = take_mailbox(s, flags, out);
	if (r < 0)
		return r;
	return (size_t)r == s.n ? 0
	    : no_end(out, hb_span_from(s, (size_t)r));
}

int
hb_addr_unquote(struct hb_span local, struct hb_buf *out)
{
	int r = 0;

	if (local.n < 2 || local.p[0] != '"')
		return hb_buf_put(out, local);
	for (size_t i = 1; i + 1 < local.n && r == 0; i++) {
		if (local.p[i] == '\\' && i + 2 < local.n)
			i++;
		r = hb_buf_putc(out, local.p[i]);
	}
	return r;
}

/* Would the meaning of a quoted local part be the same without quotes? */
static bool
quotes_not_needed(struct hb_span local)
{
	struct hb_span in = hb_span(local.p + 1, local.n - 2);
	struct hb_addr a;

	return in.n > 0 &&
	    take_dot_string(in, HB_ADDR_UTF8, &a) == (int)in.n;
}

int
hb_addr_format(const struct hb_addr *a, struct hb_buf *out)
{
	struct hb_span local = a->local;
	size_t start = out->n;
	int r;

	if (a->quoted && quotes_not_needed(local))
		local = hb_span(local.p + 1, local.n - 2);
	r = hb_buf_put(out, local);
	if (r == 0 && a->domain.n > 0)
		r = hb_buf_putc(out, '@');
	if (r == 0)
		r = hb_buf_put(out, a->domain);
	if (r == 0)
		hb_buf_lower(out, out->n - a->domain.n);
	if (r == 0 && out->n > start && a->domain.n > 0 &&
	    out->p[out->off + out->n - 1] == '.')
		hb_buf_truncate(out, out->n - 1); /* root dot */
	if (r < 0)
		hb_buf_truncate(out, start);
	return r;
}

void
hb_addr_split(struct hb_span text, struct hb_span *local,
    struct hb_span *domain)
{
	for (size_t i = text.n; i > 0; i--) {
		if (text.p[i - 1] != '@')
			continue;
		*local = hb_span_head(text, i - 1);
		*domain = hb_span_from(text, i);
		return;
	}
	*local = text;
	*domain = HB_SPAN_NONE;
}

bool
hb_addr_is_role(struct hb_span local)
{
	return hb_span_eq_nocase(local, HB_SPAN("abuse")) ||
	    hb_span_eq_nocase(local, HB_SPAN("mailer-daemon"));
}

bool
hb_addr_is_postmaster(struct hb_span local)
{
	return hb_span_eq_nocase(local, HB_SPAN("postmaster"));
}
