/*
 * Bytes from a damaged disk: headers, records and payloads.  The key is
 * fixed; as random bytes hardly ever pass its check, payload decoders get
 * the input directly as well.  A payload that decodes is written again and
 * must decode to the same.
 */
#include <stdlib.h>

#include "common/base/err.h"
#include "queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const unsigned char key[Q_KEY_SIZE] = "spool fuzz key!";

static void
walk_records(struct hb_span in)
{
	struct hb_span payload;
	struct q_rec_head h;
	size_t at = 0;

	while ((at = q_rec_search(in, at, 1)) < in.n) {
		struct hb_span rest = hb_span_from(in, at);

		if (q_rec_head_decode(rest, key, 1, &h) == 0 &&
		    q_rec_check(rest, key, &h, &payload) == 0 &&
		    payload.n != h.len)
			abort();
		at += Q_REC_ALIGN;
	}
}

static void
again(const struct q_change *c)
{
	struct q_change_store store;
	struct hb_buf out = HB_BUF_INIT(0), out2 = HB_BUF_INIT(0);
	struct q_change c2;

	if (q_change_encode(c, &out) < 0 ||
	    q_change_decode(hb_buf_span(&out), &c2, &store) < 0 ||
	    q_change_encode(&c2, &out2) < 0 ||
	    !hb_span_eq(hb_buf_span(&out), hb_buf_span(&out2)))
		abort();
	hb_buf_free(&out);
	hb_buf_free(&out2);
}

static void
walk_changes(struct q_list l)
{
	struct q_change_store store;
	struct q_change c;
	struct hb_span item;

	while (q_list_next(&l, &item) > 0)
		if (q_change_decode(item, &c, &store) == 0)
			again(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct q_finished f;
	struct q_header header;
	struct q_message m;
	struct q_list l;
	uint32_t end;

	walk_records(in);
	if (q_header_decode(in, &header) == 0 && header.gen == 0)
		abort();
	if (q_message_decode(in, &m) == 0) {
		if (m.body_at + m.body.n != n)
			abort();
		walk_changes(m.changes);
	}
	if (q_changes_decode(in, &l) == 0)
		walk_changes(l);
	if (q_finished_decode(in, &f) == 0 && f.ngens > 0)
		(void)q_u32_at(f.gens, f.ngens - 1);
	(void)q_seals_find(in, 1, &end);
	return 0;
}
