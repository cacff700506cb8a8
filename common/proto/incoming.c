/* An incoming message.  Floor 1. */
#include "common/proto/incoming.h"

#include "common/base/hash.h"
#include "common/base/timefmt.h"
#include "common/proto/envelope.h"

enum {
	FIX_STEP = 32768,    /* bytes that may become two each */
	KEPT_MEMORY = 16384  /* a longer header section is not usual */
};

static void
clear(struct hb_buf *b)
{
	if (b->cap > KEPT_MEMORY)
		hb_buf_free(b);
	else
		hb_buf_clear(b);
}

struct hb_incoming_rules
hb_incoming_dropped(const struct hb_conf *c)
{
	return (struct hb_incoming_rules){ .max_size = c->max_message_size,
		.max_header = c->max_header_size + HB_INCOMING_OURS,
		.max_hops = c->max_hops + 1, .no_dot = true,
		.separates = true };
}

void
hb_incoming_clear(struct hb_incoming *m)
{
	clear(&m->fields);
	clear(&m->head);
	clear(&m->fixed);
}

void
hb_incoming_start(struct hb_incoming *m, const struct hb_incoming_rules *rules)
{
	m->rules = *rules;
	hb_datascan_init(&m->scan);
	m->scan.lf_ends = rules->lf_ends;
	m->scan.no_dot = rules->no_dot;
	m->scan.counted = rules->counted;
	hb_incoming_clear(m);
	m->header_big = m->separated = false;
	m->size = 0;
	m->crc = 0;
}

void
hb_incoming_free(struct hb_incoming *m)
{
	hb_buf_free(&m->fields);
	hb_buf_free(&m->head);
	hb_buf_free(&m->fixed);
}

static size_t
held(const struct hb_buf *b)
{
	return b->cap > KEPT_MEMORY ? b->cap : 0;
}

size_t
hb_incoming_held(const struct hb_incoming *m)
{
	return held(&m->fields) + held(&m->head);
}

void
hb_incoming_give_up(struct hb_incoming *m)
{
	m->header_big = true;
	hb_buf_free(&m->fields);
}

/* BYTES, the next of the header section, are those of PIECE. */
static void
keep_fields(struct hb_incoming *m, const struct hb_data_piece *piece,
    struct hb_span bytes)
{
	size_t more = bytes.n + (piece->stuff ? 1 : 0) + (piece->lf ? 1 : 0);

	m->header_big = m->header_big ||
	    m->fields.n + more > m->rules.max_header;
	if (m->header_big)
		hb_buf_free(&m->fields);
	else
		hb_datascan_put(piece, bytes, &m->fields);
}

/* Are lines of the body changed on their way? */
static bool
changes_lines(const struct hb_incoming *m)
{
	return m->rules.lf_ends || m->rules.counted;
}

/* What stands between header section and body is missing. */
static bool
is_separator_due(struct hb_incoming *m)
{
	bool due = m->rules.separates && m->scan.no_headers && !m->separated;

	m->separated = m->separated || due;
	return due;
}

/* The next of IN behind *USED.  False: that was all for now. */
static bool
take_some(struct hb_incoming *m, struct hb_span in,
    struct hb_incoming_piece *out)
{
	bool is_body = m->scan.headers_over;
	struct hb_span rest = hb_span_from(in, out->used), bytes;
	struct hb_data_piece p;

	if (is_separator_due(m)) {
		out->body = HB_SPAN("\r\n");
		return false;
	}
	p = hb_datascan(&m->scan, rest);
	bytes = hb_span_head(rest, p.body);
	out->used += p.used;
	out->end = p.end;
	if (!is_body)
		keep_fields(m, &p, bytes);
	else if (changes_lines(m))
		hb_datascan_put(&p, bytes, &m->fixed);
	else
		out->body = bytes;
	return !p.end && (p.headers_end ||
	    (p.used > 0 && (!is_body || changes_lines(m))));
}

struct hb_incoming_piece
hb_incoming_take(struct hb_incoming *m, struct hb_span in)
{
	struct hb_incoming_piece out = { 0 };

	hb_buf_clear(&m->fixed);
	if (changes_lines(m))
		in = hb_span_head(in, FIX_STEP);
	while (take_some(m, in, &out))
		continue;
	if (m->fixed.n > 0)
		out.body = hb_buf_span(&m->fixed);
	m->size += out.body.n;
	m->crc = hb_crc32c(m->crc, out.body);
	return out;
}

void
hb_incoming_end(struct hb_incoming *m, struct hb_span rest)
{
	(void)hb_wire_feed(&m->scan.wire, rest);
	(void)hb_wire_end(&m->scan.wire);
}

enum hb_incoming_fault
hb_incoming_fault(const struct hb_incoming *m)
{
	static const struct {
		unsigned seen;
		enum hb_incoming_fault fault;
	} rows[] = {
		{ HB_WIRE_CR | HB_WIRE_LF | HB_WIRE_DOT, HB_INCOMING_BARE },
		{ HB_WIRE_NUL, HB_INCOMING_NUL },
		{ HB_WIRE_LONG, HB_INCOMING_LONG },
		{ HB_WIRE_UNENDED, HB_INCOMING_UNENDED },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if ((m->scan.wire.seen & rows[i].seen) != 0)
			return rows[i].fault;
	/* RFC 1870 s6.3 */
	if (m->scan.bytes - m->scan.wire.dots > m->rules.max_size)
		return HB_INCOMING_BIG;
	if (m->header_big)
		return HB_INCOMING_HEADER_BIG;
	/* RFC 5321 s6.3 */
	return m->scan.hops > m->rules.max_hops ? HB_INCOMING_HOPS
						: HB_INCOMING_GOOD;
}

const char *
hb_incoming_fault_text(const struct hb_incoming *m)
{
	switch (hb_incoming_fault(m)) {
	case HB_INCOMING_BIG:
		return "larger than max-message-size";
	case HB_INCOMING_HEADER_BIG:
		return "a header section larger than max-header-size";
	case HB_INCOMING_HOPS:
		return "more Received fields than max-hops: a loop";
	case HB_INCOMING_GOOD:
	case HB_INCOMING_BARE:
	case HB_INCOMING_NUL:
	case HB_INCOMING_LONG:
	case HB_INCOMING_UNENDED:
	default:
		return hb_wire_fault(m->scan.wire.seen);
	}
}

uint32_t
hb_incoming_flags(const struct hb_incoming *m)
{
	unsigned seen = m->scan.wire.seen;

	return ((seen & HB_WIRE_8BIT) != 0 ? HB_ENV_8BIT : 0) |
	    ((seen & HB_WIRE_DOTTED) != 0 ? HB_ENV_DOTTED : 0) |
	    (hb_tlsrequired_is_no(&m->scan.tls_required)
		    ? HB_ENV_TLS_OPTIONAL
		    : 0);
}

struct hb_span
hb_incoming_head(struct hb_incoming *m, const struct hb_incoming_fields *f)
{
	hb_buf_clear(&m->head);
	hb_buf_add(&m->head, f->front);
	hb_buf_add(&m->head, hb_buf_span(&m->fields));
	if (f->completes) {
		/* RFC 5321 s6.4, RFC 6409 s8.2, s8.3; relayed mail, well-formed
		 * or not, stays what it is. */
		char date[HB_TIME_RFC5322_SIZE], id[17];

		if (!m->scan.has_from && f->from.n > 0)
			hb_buf_addf(&m->head, "From: <%.*s>\r\n",
			    HB_SPAN_ARG(f->from));
		if (!m->scan.has_date) {
			hb_time_rfc5322(f->date_ms, date);
			hb_buf_addf(&m->head, "Date: %s\r\n", date);
		}
		if (!m->scan.has_message_id) {
			hb_msgid_format(f->id, id);
			hb_buf_addf(&m->head, "Message-ID: <%s@%.*s>\r\n", id,
			    HB_SPAN_ARG(f->hostname));
		}
	}
	return hb_buf_span(&m->head);
}
