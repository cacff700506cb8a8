/* The protocol of the control socket.  Floor 1. */
#include "common/proto/ctlwire.h"

#include "common/base/bytes.h"
#include "common/base/err.h"

enum { LENGTH = 4, QUESTION_HEAD = 2, WORD_HEAD = 2, PIECE_HEAD = 5 };

int
hb_ctl_question_put(const struct hb_ctl_question *q, struct hb_buf *out)
{
	size_t n = QUESTION_HEAD;

	for (size_t i = 0; i < q->nwords; i++) {
		if (q->words[i].n > HB_MAX_CONTROL_LINE)
			return HB_E_LIMIT;
		n += WORD_HEAD + q->words[i].n;
	}
	if (n > HB_MAX_CONTROL_LINE)
		return HB_E_LIMIT;
	hb_buf_add_le(out, n, LENGTH);
	hb_buf_add_le(out, q->json, 1);
	hb_buf_add_le(out, q->nwords, 1);
	for (size_t i = 0; i < q->nwords; i++) {
		hb_buf_add_le(out, q->words[i].n, WORD_HEAD);
		hb_buf_add(out, q->words[i]);
	}
	return 0;
}

/* The words of a question, all of S. */
static int
parse_words(struct hb_span s, struct hb_ctl_question *out)
{
	for (size_t i = 0; i < out->nwords; i++) {
		uint32_t n;

		if (s.n < WORD_HEAD)
			return HB_E_SYNTAX;
		n = (uint32_t)hb_get_le(s.p, WORD_HEAD);
		s = hb_span_from(s, WORD_HEAD);
		if (n > s.n)
			return HB_E_SYNTAX;
		out->words[i] = hb_span_head(s, n);
		s = hb_span_from(s, n);
	}
	return s.n == 0 ? 0 : HB_E_SYNTAX;
}

int
hb_ctl_question_parse(struct hb_span in, struct hb_ctl_question *out)
{
	uint32_t n;
	int r;

	if (in.n < LENGTH)
		return 0;
	n = hb_get_le32(in.p);
	if (n > HB_MAX_CONTROL_LINE)
		return HB_E_LIMIT;
	if (n < QUESTION_HEAD)
		return HB_E_SYNTAX;
	if (in.n - LENGTH < n)
		return 0;
	in = hb_span_head(hb_span_from(in, LENGTH), n);
	if (in.p[0] > 1 || in.p[1] == 0 || in.p[1] > HB_CTL_WORDS)
		return HB_E_SYNTAX;
	*out = (struct hb_ctl_question){ .json = in.p[0] == 1,
		.nwords = in.p[1] };
	r = parse_words(hb_span_from(in, QUESTION_HEAD), out);
	return r < 0 ? r : (int)(LENGTH + n);
}

static void
put_piece(enum hb_ctl_kind kind, struct hb_span s, struct hb_buf *out)
{
	hb_buf_add_le(out, s.n, LENGTH);
	hb_buf_add_le(out, kind, 1);
	hb_buf_add(out, s);
}

void
hb_ctl_piece_put(enum hb_ctl_kind kind, struct hb_span s, struct hb_buf *out)
{
	for (; s.n > 0; s = hb_span_from(s, HB_CTL_PIECE))
		put_piece(kind, hb_span_head(s, HB_CTL_PIECE), out);
}

void
hb_ctl_exit_put(unsigned exit_code, struct hb_buf *out)
{
	unsigned char c = (unsigned char)exit_code;

	put_piece(HB_CTL_EXIT, hb_span(&c, 1), out);
}

int
hb_ctl_piece_parse(struct hb_span in, struct hb_ctl_piece *out)
{
	uint32_t n;

	if (in.n < PIECE_HEAD)
		return 0;
	n = hb_get_le32(in.p);
	if (n > HB_CTL_PIECE)
		return HB_E_LIMIT;
	if (in.p[LENGTH] >= HB_CTL_KINDS)
		return HB_E_SYNTAX;
	if (in.n - PIECE_HEAD < n)
		return 0;
	*out = (struct hb_ctl_piece){ .kind = (enum hb_ctl_kind)in.p[LENGTH],
		.bytes = hb_span_head(hb_span_from(in, PIECE_HEAD), n) };
	if (out->kind == HB_CTL_EXIT && n != 1)
		return HB_E_SYNTAX;
	if (out->kind == HB_CTL_EXIT)
		out->exit_code = out->bytes.p[0];
	return (int)(PIECE_HEAD + n);
}
