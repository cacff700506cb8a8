/* Address lists of header fields.  Floor 1.  RFC 5322 s3.4. */
#include "common/proto/addrlist.h"

#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/proto/address.h"

enum { COMMENT_DEPTH = 32 };

/* One element of the list as it is read. */
struct element {
	struct hb_buf text;  /* the address without blanks and comments */
	bool angle;	     /* "<" was seen: TEXT is what it holds */
	bool closed;	     /* ">" too */
	bool words_touch;    /* two words with only a blank between */
	bool after_word, blank; /* what came last */
	const unsigned char *end; /* of its last word in the input */
	bool bad;
};

size_t
hb_comment_length(struct hb_span s)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\') {
			i++;
		} else if (s.p[i] == '(') {
			if (++depth > COMMENT_DEPTH)
				return 0;
		} else if (s.p[i] == ')' && --depth == 0) {
			return i + 1;
		}
	}
	return 0;
}

/* How long the string at the front is that ends with END; 0: it has none. */
static size_t
delimited(struct hb_span s, unsigned char end)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == end)
			return i + 1;
	}
	return 0;
}

static bool
is_special(unsigned char c)
{
	return memchr("()<>[]:;@\\,.\"", c, 13) != NULL;
}

static size_t
atom(struct hb_span s)
{
	size_t n = 0;

	while (n < s.n && !is_special(s.p[n]) && !hb_is_blank(s.p[n]) &&
	    s.p[n] >= 0x20 && s.p[n] != 0x7f)
		n++;
	return n;
}

static void
add_word(struct element *e, struct hb_span word)
{
	if (e->closed)
		return;
	if (e->after_word && e->blank)
		e->words_touch = true;
	hb_buf_add(&e->text, word);
	e->end = word.p + word.n;
	e->after_word = true;
	e->blank = false;
}

static void
add_special(struct element *e, unsigned char c)
{
	if (c == '<') {
		e->bad = e->bad || e->angle;
		e->angle = true;
		e->words_touch = false;
		hb_buf_clear(&e->text);
	} else if (c == '>') {
		e->bad = e->bad || !e->angle || e->closed;
		e->closed = true;
	} else if (c == ':') {
		/* a group's name, or behind "<" a route: both are dropped;
		 * an address is no name of a group */
		e->bad = e->bad || (!e->angle &&
			hb_span_find(hb_buf_span(&e->text), '@') < e->text.n);
		e->words_touch = false;
		hb_buf_clear(&e->text);
	} else if (!e->closed) {
		hb_buf_add(&e->text, hb_span(&c, 1));
	}
	e->after_word = false;
	e->blank = false;
}

/* One token off the front of S that ends no element. */
static size_t
take_token(struct element *e, struct hb_span s)
{
	unsigned char c = s.p[0];
	size_t n;

	if (hb_is_blank(c) || c == '(') {
		n = c == '(' ? hb_comment_length(s) : 1;
		e->blank = true;
		e->bad = e->bad || n == 0;
	} else if (c == '"' || c == '[') {
		n = delimited(s, c == '"' ? '"' : ']');
		add_word(e, hb_span_head(s, n));
		e->bad = e->bad || n == 0;
	} else if (is_special(c) && c != ')' && c != ']' && c != '\\') {
		n = 1;
		add_special(e, c);
	} else {
		n = atom(s);
		add_word(e, hb_span_head(s, n));
		e->bad = e->bad || n == 0;
	}
	return n > 0 ? n : 1;
}

/* Reads up to "," or ";".  A comma inside "<" is part of a route. */
static void
take_element(struct hb_addrlist *l, struct element *e)
{
	while (l->rest.n > 0) {
		unsigned char c = l->rest.p[0];
		bool inside = e->angle && !e->closed;

		if (c == ';' || (c == ',' && !inside)) {
			l->rest = hb_span_from(l->rest, 1);
			return;
		}
		l->rest = hb_span_from(l->rest, take_token(e, l->rest));
	}
}

static int
finish(struct hb_addrlist *l, const struct element *e, struct hb_buf *out)
{
	struct hb_addr addr;
	int r;

	if (e->bad || e->angle != e->closed || e->words_touch)
		return HB_E_SYNTAX;
	r = hb_addr_parse(hb_buf_span(&e->text),
	    HB_ADDR_LOCAL | HB_ADDR_UTF8 | HB_ADDR_IDN, &addr);
	if (r == 0)
		r = hb_addr_format(&addr, out);
	l->end = e->end;
	l->bare = r == 0 && addr.domain.n == 0;
	return r < 0 ? r : 1;
}

int
hb_addrlist_next(struct hb_addrlist *l, struct hb_buf *out)
{
	hb_buf_clear(out);
	while (l->rest.n > 0) {
		struct element e = { .text = HB_BUF_INIT(0) };
		bool empty;
		int r;

		take_element(l, &e);
		empty = e.text.n == 0 && !e.angle && !e.bad;
		r = empty ? 0 : finish(l, &e, out);
		hb_buf_free(&e.text);
		if (!empty)
			return r;
	}
	return 0;
}

static bool
is_name(struct hb_span address)
{
	if (hb_span_eq(hb_span_head(address, 2), HB_SPAN("=?")) &&
	    hb_span_eq(hb_span_from(address, address.n - 2), HB_SPAN("?=")))
		return true;
	return !hb_utf8_is_ascii(address);
}

void
hb_addrlist_qualify(struct hb_span value, struct hb_span domain,
    struct hb_buf *out)
{
	struct hb_addrlist l = hb_addrlist(value);
	struct hb_buf address = HB_BUF_INIT(0);
	size_t from = 0;
	int r;

	while ((r = hb_addrlist_next(&l, &address)) != 0) {
		size_t end = r > 0 ? (size_t)(l.end - value.p) : 0;

		if (r < 0 || !l.bare || is_name(hb_buf_span(&address)))
			continue;
		hb_buf_add(out, hb_span(value.p + from, end - from));
		hb_buf_adds(out, "@");
		hb_buf_add(out, domain);
		from = end;
	}
	hb_buf_add(out, hb_span_from(value, from));
	hb_buf_free(&address);
}
