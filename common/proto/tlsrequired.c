/* The header field TLS-Required.  Floor 1.  RFC 8689 s3. */
#include "common/proto/tlsrequired.h"

#include "common/proto/header.h"

enum { NONE, BEFORE, LETTER, WORD, AFTER, BAD }; /* where in the value */
enum { DEPTH_MAX = 100 };

static void
comment_byte(struct hb_tlsrequired *t, unsigned char c)
{
	if (t->quoted)
		t->quoted = false;
	else if (c == '\\')
		t->quoted = true;
	else if (c == ')')
		t->depth--;
	else if (c == '(' && ++t->depth == DEPTH_MAX)
		t->at = BAD;
}

/* A byte that is no part of a comment nor of what may surround the word. */
static void
word_byte(struct hb_tlsrequired *t, unsigned char c)
{
	if (t->at == BEFORE && hb_lower(c) == 'n')
		t->at = LETTER;
	else if (t->at == LETTER && hb_lower(c) == 'o')
		t->at = WORD;
	else
		t->at = BAD;
}

static void
value_byte(struct hb_tlsrequired *t, unsigned char c)
{
	bool between = hb_is_blank(c) || c == '\r' || c == '\n' || c == '(';

	if (t->depth > 0)
		comment_byte(t, c);
	else if (!between)
		word_byte(t, c);
	else if (t->at == LETTER)
		t->at = BAD;
	else if (t->at == WORD)
		t->at = AFTER;
	if (t->depth == 0 && c == '(')
		t->depth = 1;
}

void
hb_tlsrequired_more(struct hb_tlsrequired *t, struct hb_span bytes)
{
	for (size_t i = 0; i < bytes.n && t->open && t->at != BAD; i++)
		value_byte(t, bytes.p[i]);
}

void
hb_tlsrequired_line(struct hb_tlsrequired *t, struct hb_span line)
{
	enum hb_header_line what = hb_header_classify(line);

	if (what == HB_HEADER_FOLDED) {
		hb_tlsrequired_more(t, line);
		return;
	}
	t->open = false;
	if (what == HB_HEADER_FIELD && hb_header_is(line, "TLS-Required")) {
		t->several = t->several || t->at != NONE;
		t->open = true;
		t->at = BEFORE;
		hb_tlsrequired_more(t,
		    hb_span_from(line, hb_span_find(line, ':') + 1));
	}
}

bool
hb_tlsrequired_is_no(const struct hb_tlsrequired *t)
{
	return !t->several && t->depth == 0 &&
	    (t->at == WORD || t->at == AFTER);
}
