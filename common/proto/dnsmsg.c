/* Parser of DNS messages.  RFC 1035, RFC 2181, RFC 2308.  Floor 1. */
#include "common/proto/dnsmsg.h"

#include "common/base/err.h"
#include "common/base/limits.h"

enum {
	HEADER = 12,
	RR_LEAST = 11, /* bytes of a record */
	TYPE_SOA = 6,
	SOA_LEAST = 22, /* two names of the root, five numbers */
	CLASS_IN = 1,
	RCODE_FORMERR = 1,
	RCODE_SERVFAIL = 2,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	FLAG_RESPONSE = 0x80, /* third byte of the header */
	FLAG_AD = 0x20,	      /* fourth byte */
	MAX_POINTERS = 64,    /* a name has at most 127 labels */
	NAME_TEXT = 1024,     /* 255 bytes, each written as \ddd */
	MAX_TTL_S = 0x7fffffff
};

/* A cursor; the first failure sticks. */
struct wire {
	struct hb_span msg;
	size_t at;
	bool bad;
};

/* A record as it stands in the message. */
struct raw_rr {
	struct hb_span owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data, len; /* position in the message */
};

struct section {
	struct raw_rr *rr;
	size_t n;
};

static uint32_t
take(struct wire *w, size_t n)
{
	uint32_t v = 0;

	if (w->bad || w->msg.n - w->at < n) {
		w->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | w->msg.p[w->at++];
	return v;
}

/* One byte of a label as text: what could be mistaken is written \ddd. */
static size_t
put_byte(char *dst, unsigned char c)
{
	if (c > ' ' && c < 0x7f && c != '.' && c != '\\') {
		dst[0] = (char)hb_lower(c);
		return 1;
	}
	dst[0] = '\\';
	dst[1] = (char)('0' + c / 100);
	dst[2] = (char)('0' + c / 10 % 10);
	dst[3] = (char)('0' + c % 10);
	return 4;
}

/*
 * Follows the name at *AT; moves *AT behind it.  Pointers go backwards only
 * and are counted, so that no loop is possible (RFC 1035 s4.1.4).  Returns
 * bytes of text, or -1.
 */
static int
read_name(struct hb_span msg, size_t *at, char text[NAME_TEXT])
{
	size_t pos = *at, wire = 1, n = 0, limit = pos;
	unsigned jumps = 0;

	for (;;) {
		unsigned char len;

		if (pos >= msg.n)
			return -1;
		len = msg.p[pos++];
		if (len == 0)
			break;
		if ((len & 0xc0) == 0xc0) {
			size_t to;

			if (pos >= msg.n || jumps++ >= MAX_POINTERS)
				return -1;
			to = (size_t)(len & 0x3f) << 8 | msg.p[pos++];
			if (jumps == 1)
				*at = pos;
			if (to >= limit)
				return -1;
			limit = pos = to;
			continue;
		}
		wire += (size_t)len + 1;
		if (len > HB_MAX_LABEL || wire > HB_MAX_DOMAIN ||
		    msg.n - pos < len)
			return -1;
		if (n > 0)
			text[n++] = '.';
		for (unsigned i = 0; i < len; i++)
			n += put_byte(text + n, msg.p[pos++]);
	}
	if (jumps == 0)
		*at = pos;
	return (int)n;
}

static struct hb_span
take_name(struct wire *w, struct hb_arena *arena)
{
	char text[NAME_TEXT];
	int n;

	if (w->bad)
		return HB_SPAN_NONE;
	n = read_name(w->msg, &w->at, text);
	if (n < 0) {
		w->bad = true;
		return HB_SPAN_NONE;
	}
	return hb_arena_span(arena, hb_span(text, (size_t)n));
}

static void
take_rr(struct wire *w, struct hb_arena *arena, struct raw_rr *rr)
{
	rr->owner = take_name(w, arena);
	rr->type = (uint16_t)take(w, 2);
	rr->class = (uint16_t)take(w, 2);
	rr->ttl_s = take(w, 4);
	if (rr->ttl_s > MAX_TTL_S) /* RFC 2181 s8 */
		rr->ttl_s = 0;
	rr->len = take(w, 2);
	rr->data = w->at;
	if (w->bad || w->msg.n - w->at < rr->len)
		w->bad = true;
	else
		w->at += rr->len;
}

static struct section
take_section(struct wire *w, size_t count, struct hb_arena *arena)
{
	struct section s = { NULL, 0 };

	/* what cannot be there is not reserved */
	if (w->bad || count > (w->msg.n - w->at) / RR_LEAST) {
		w->bad = true;
		return s;
	}
	s.rr = hb_arena_alloc(arena, (count + 1) * sizeof(*s.rr));
	while (!w->bad && s.n < count)
		take_rr(w, arena, &s.rr[s.n++]);
	return s;
}

/* A name inside a record's data, which it must fill to the end. */
static int
data_name(struct hb_span msg, const struct raw_rr *raw, size_t skip,
    struct hb_arena *arena, struct hb_span *out)
{
	struct wire w = { msg, raw->data + skip, raw->len < skip };

	*out = take_name(&w, arena);
	return w.bad || w.at != raw->data + raw->len ? HB_E_SYNTAX : 0;
}

static int
read_fixed(struct hb_span msg, const struct raw_rr *raw, size_t len,
    struct hb_arena *arena, struct hb_dns_rr *out)
{
	if (raw->len != len)
		return HB_E_SYNTAX;
	out->data = hb_arena_span(arena, hb_span(msg.p + raw->data, len));
	return 0;
}

/* Character-strings are joined without anything between, RFC 8461 s3.1. */
static int
read_txt(struct hb_span msg, const struct raw_rr *raw, struct hb_arena *arena,
    struct hb_dns_rr *out)
{
	unsigned char *dst = hb_arena_alloc(arena, raw->len + 1);
	size_t n = 0, at = raw->data, end = raw->data + raw->len;

	if (raw->len == 0)
		return HB_E_SYNTAX;
	while (at < end) {
		size_t len = msg.p[at++];

		if (end - at < len)
			return HB_E_SYNTAX;
		memcpy(dst + n, msg.p + at, len);
		n += len;
		at += len;
	}
	out->data = hb_span(dst, n);
	return 0;
}

static int
read_mx(struct hb_span msg, const struct raw_rr *raw, struct hb_arena *arena,
    struct hb_dns_rr *out)
{
	if (raw->len < 3)
		return HB_E_SYNTAX;
	out->preference = (uint16_t)(msg.p[raw->data] << 8 |
	    msg.p[raw->data + 1]);
	return data_name(msg, raw, 2, arena, &out->name);
}

static int
read_tlsa(struct hb_span msg, const struct raw_rr *raw, struct hb_arena *arena,
    struct hb_dns_rr *out)
{
	const unsigned char *p = msg.p + raw->data;

	/* One without data is no use, but its neighbours are: RFC 7671 s9. */
	if (raw->len < 3)
		return HB_E_SYNTAX;
	out->tlsa_usage = p[0];
	out->tlsa_selector = p[1];
	out->tlsa_match = p[2];
	out->data = hb_arena_span(arena, hb_span(p + 3, raw->len - 3));
	return 0;
}

static int
read_data(struct hb_span msg, const struct raw_rr *raw, struct hb_arena *arena,
    struct hb_dns_rr *out)
{
	out->type = (enum hb_dns_type)raw->type;
	switch (out->type) {
	case HB_DNS_A:
		return read_fixed(msg, raw, 4, arena, out);
	case HB_DNS_AAAA:
		return read_fixed(msg, raw, 16, arena, out);
	case HB_DNS_NS:
	case HB_DNS_CNAME:
	case HB_DNS_PTR:
		return data_name(msg, raw, 0, arena, &out->name);
	case HB_DNS_MX:
		return read_mx(msg, raw, arena, out);
	case HB_DNS_TXT:
		return read_txt(msg, raw, arena, out);
	case HB_DNS_TLSA:
		return read_tlsa(msg, raw, arena, out);
	}
	return HB_E_SYNTAX;
}

static const struct raw_rr *
find_rr(const struct section *s, struct hb_span owner, unsigned type)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->rr[i].type == type && s->rr[i].class == CLASS_IN &&
		    hb_span_eq(s->rr[i].owner, owner))
			return &s->rr[i];
	return NULL;
}

static void
lower_ttl(struct hb_dns_answer *out, uint32_t ttl_s)
{
	if (ttl_s < out->ttl_s)
		out->ttl_s = ttl_s;
}

/* Walks the aliases from the name asked; 0, or HB_E_SYNTAX for a loop. */
static int
follow_aliases(struct hb_span msg, const struct section *s,
    struct hb_arena *arena, struct hb_dns_answer *out)
{
	for (unsigned links = 0;; links++) {
		const struct raw_rr *raw = find_rr(s, out->canonical,
		    HB_DNS_CNAME);

		if (raw == NULL)
			return 0;
		if (links >= HB_MAX_CNAME_CHAIN ||
		    data_name(msg, raw, 0, arena, &out->canonical) < 0)
			return HB_E_SYNTAX;
		out->aliased = true;
		lower_ttl(out, raw->ttl_s);
	}
}

static int
collect(struct hb_span msg, const struct section *s, enum hb_dns_type type,
    struct hb_arena *arena, struct hb_dns_answer *out)
{
	out->rr = hb_arena_alloc(arena, (s->n + 1) * sizeof(*out->rr));
	for (size_t i = 0; i < s->n; i++) {
		const struct raw_rr *raw = &s->rr[i];

		if (raw->type != (unsigned)type || raw->class != CLASS_IN ||
		    !hb_span_eq(raw->owner, out->canonical))
			continue;
		if (read_data(msg, raw, arena, &out->rr[out->n]) < 0)
			return HB_E_SYNTAX;
		lower_ttl(out, raw->ttl_s);
		out->n++;
	}
	return 0;
}

/* RFC 2308 s5: the smaller of the SOA's TTL and its last field. */
static uint32_t
negative_ttl(struct hb_span msg, const struct section *authority)
{
	for (size_t i = 0; i < authority->n; i++) {
		const struct raw_rr *raw = &authority->rr[i];
		struct wire w = { msg, raw->data + raw->len, false };
		uint32_t minimum;

		if (raw->type != TYPE_SOA || raw->class != CLASS_IN ||
		    raw->len < SOA_LEAST)
			continue;
		w.at -= 4;
		minimum = take(&w, 4);
		return minimum < raw->ttl_s ? minimum : raw->ttl_s;
	}
	return 0;
}

static void
set_negative(struct hb_dns_answer *out, enum hb_dns_status status,
    uint32_t ttl_s)
{
	out->status = status;
	out->n = 0;
	lower_ttl(out, ttl_s);
}

/* The question must be the one that was asked. */
static bool
check_question(struct wire *w, size_t count, struct hb_span name,
    enum hb_dns_type type, struct hb_arena *arena)
{
	struct hb_span asked;

	if (count != 1)
		return false;
	asked = take_name(w, arena);
	return take(w, 2) == (uint32_t)type && take(w, 2) == CLASS_IN &&
	    !w->bad && hb_span_eq(asked, name);
}

static int
parse(struct hb_span msg, struct hb_span name, enum hb_dns_type type,
    struct hb_arena *arena, struct hb_dns_answer *out)
{
	struct wire w = { msg, 2, false };
	uint32_t flags_hi = take(&w, 1), flags_lo = take(&w, 1);
	uint32_t rcode = flags_lo & 0x0f, questions = take(&w, 2);
	uint32_t answers = take(&w, 2), authorities = take(&w, 2);
	struct section an, ns;

	(void)take(&w, 2);
	if (w.bad || (flags_hi & FLAG_RESPONSE) == 0)
		return HB_E_SYNTAX;
	out->servfail = rcode == RCODE_SERVFAIL;
	out->misread = rcode == RCODE_FORMERR || rcode == RCODE_NOTIMP;
	if (rcode != 0 && rcode != RCODE_NXDOMAIN)
		return 0; /* the server's trouble: HB_DNS_TEMP */
	if (!check_question(&w, questions, name, type, arena))
		return HB_E_SYNTAX;
	an = take_section(&w, answers, arena);
	ns = take_section(&w, authorities, arena);
	if (w.bad)
		return HB_E_SYNTAX;
	out->ad = (flags_lo & FLAG_AD) != 0;
	if ((type != HB_DNS_CNAME &&
		follow_aliases(msg, &an, arena, out) < 0) ||
	    collect(msg, &an, type, arena, out) < 0)
		return HB_E_SYNTAX;
	if (rcode == RCODE_NXDOMAIN)
		set_negative(out, HB_DNS_NXDOMAIN, negative_ttl(msg, &ns));
	else if (out->n == 0)
		set_negative(out, HB_DNS_NODATA, negative_ttl(msg, &ns));
	else
		out->status = HB_DNS_OK;
	return 0;
}

int
hb_dnsmsg_parse(struct hb_span msg, struct hb_span name,
    enum hb_dns_type type, struct hb_arena *arena, struct hb_dns_answer *out)
{
	int err = HB_E_SYNTAX;

	*out = (struct hb_dns_answer){ .status = HB_DNS_TEMP,
		.canonical = hb_arena_span(arena, name),
		.ttl_s = MAX_TTL_S };
	if (msg.n >= HEADER && msg.n <= HB_MAX_DNS_MESSAGE)
		err = parse(msg, name, type, arena, out);
	if (err < 0 || out->status == HB_DNS_TEMP) {
		out->status = HB_DNS_TEMP;
		out->ad = false;
		out->n = 0;
		out->ttl_s = 0;
	}
	return err;
}
