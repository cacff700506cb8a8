/*
 * Bytes from a damaged disk: headers, records and payloads.  The key is
 * fixed; as random bytes hardly ever pass its check, payload decoders get
 * the input directly as well.  A payload that decodes is written again and
 * must decode to the same.
 */
#include <stdlib.h>

#include "common/base/err.h"
#include "queue/spool/record.h"

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

/* A payload that was read, written again from its parts. */
static void
message_again(const struct q_message *m, struct hb_span in)
{
	struct q_message_info info = { .large = m->large, .crc = m->crc,
		.size = m->size, .head = m->head.n };
	struct hb_buf out = HB_BUF_INIT(0);
	struct q_message_writer w;
	struct q_list rcpts = m->rcpts, changes = m->changes;
	struct q_message back;
	struct hb_span item;

	q_message_begin(&w, &out, &info, m->env);
	while (q_list_next(&rcpts, &item) > 0)
		q_message_item(&w, item);
	q_message_changes(&w);
	while (q_list_next(&changes, &item) > 0)
		q_message_item(&w, item);
	q_message_end(&w, m->head, m->body);
	if (q_message_decode(hb_buf_span(&out), &back) < 0 ||
	    !hb_span_eq(back.env, m->env) || !hb_span_eq(back.head, m->head) ||
	    !hb_span_eq(back.body, m->body) ||
	    back.large != m->large ||
	    (m->large && (back.crc != m->crc || back.size != m->size)) ||
	    out.n > in.n)
		abort();
	hb_buf_free(&out);
}

static void
finished_again(const struct q_finished *f)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct q_finished back;

	q_finished_begin(f->upto, &out);
	for (size_t i = 0; i < f->ngens; i++)
		q_finished_gen(q_u32_at(f->gens, i), &out);
	if (q_finished_decode(hb_buf_span(&out), &back) < 0 ||
	    back.upto != f->upto || !hb_span_eq(back.gens, f->gens))
		abort();
	hb_buf_free(&out);
}

static void
header_again(const struct q_header *h)
{
	static unsigned char bytes[Q_SEG_START];
	struct q_header back;

	q_header_encode(h, bytes);
	if (q_header_decode(hb_span(bytes, sizeof(bytes)), &back) < 0 ||
	    back.gen != h->gen || back.size != h->size ||
	    memcmp(back.key, h->key, sizeof(back.key)) != 0)
		abort();
}

/* Any bytes are a payload: what is written is found and read again. */
static void
record_again(struct hb_span in)
{
	struct q_rec_head h = { .len = (uint32_t)in.n, .gen = 7,
		.type = Q_REC_CHANGES, .seq = 3, .id = 9 }, back;
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_span all, payload;

	q_rec_append(&h, key, in, &out);
	all = hb_buf_span(&out);
	if (all.n != q_rec_total(h.len) ||
	    q_rec_head_decode(all, key, 7, &back) < 0 ||
	    q_rec_check(all, key, &back, &payload) < 0 ||
	    !hb_span_eq(payload, in) || back.seq != 3 || back.id != 9 ||
	    q_rec_search(all, 0, 7) != 0)
		abort();
	hb_buf_free(&out);
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
	record_again(in);
	if (q_header_decode(in, &header) == 0) {
		if (header.gen == 0)
			abort();
		header_again(&header);
	}
	if (q_message_decode(in, &m) == 0) {
		if (m.head_at + m.head.n + m.body.n != n)
			abort();
		message_again(&m, in);
		walk_changes(m.changes);
	}
	if (q_changes_decode(in, &l) == 0)
		walk_changes(l);
	if (q_finished_decode(in, &f) == 0)
		finished_again(&f);
	(void)q_seals_find(in, 1, &end);
	return 0;
}
