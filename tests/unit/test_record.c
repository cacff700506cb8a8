/* The bytes of the spool: heads, payloads, planted and altered records. */
#include "tests/unit/unit.h"

#include "common/base/hash.h"
#include "queue/spool/record.h"

static const unsigned char key[Q_KEY_SIZE] = "0123456789abcdef";

static struct hb_span
one_record(struct hb_buf *b, uint32_t gen, const char *payload)
{
	struct q_rec_head h = { (uint32_t)strlen(payload), gen,
		Q_REC_CHANGES, 77, 0xabcdef };

	q_rec_append(&h, key, hb_span_str(payload), b);
	return hb_buf_span(b);
}

static void
a_record_comes_back(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span in = one_record(&b, 5, "payload"), payload;
	struct q_rec_head h;

	assert_int_equal(in.n % Q_REC_ALIGN, 0);
	assert_int_equal(in.n, q_rec_total(7));
	assert_int_equal(q_rec_head_decode(in, key, 5, &h), 0);
	assert_int_equal(h.seq, 77);
	assert_int_equal(h.id, 0xabcdef);
	assert_int_equal(h.type, Q_REC_CHANGES);
	assert_int_equal(q_rec_check(at_page_end(in), key, &h, &payload), 0);
	assert_span(payload, "payload");
	hb_buf_free(&b);
}

static int
whole_check(struct hb_span in, const unsigned char *k, uint32_t gen)
{
	struct q_rec_head h;
	struct hb_span payload;
	int r = q_rec_head_decode(in, k, gen, &h);

	return r < 0 ? r : q_rec_check(in, k, &h, &payload);
}

static void
no_altered_or_foreign_record_passes(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span in = one_record(&b, 5, "payload");
	unsigned char other[Q_KEY_SIZE] = "0123456789abcdeF";

	assert_int_equal(whole_check(in, key, 6), HB_E_CORRUPT);
	assert_int_equal(whole_check(in, other, 5), HB_E_CORRUPT);
	for (size_t i = 0; i < Q_REC_HEAD + 7; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b.p[i] ^= (unsigned char)(1u << bit);
			assert_true(whole_check(in, key, 5) < 0);
			b.p[i] ^= (unsigned char)(1u << bit);
		}
	for (size_t cut = 0; cut < in.n; cut++)
		assert_true(whole_check(at_page_end(hb_span_head(in, cut)),
		    key, 5) < 0);
	assert_int_equal(whole_check(in, key, 5), 0);
	hb_buf_free(&b);
}

static void
the_newer_good_header_counts(void **state)
{
	static unsigned char bytes[Q_SEG_START], newer[Q_SEG_START];
	struct q_header h = { .gen = 3, .size = 1 << 20, .key = { 1, 2, 3 } },
			got;
	struct hb_span in = hb_span(bytes, sizeof(bytes));

	q_header_encode(&h, bytes);
	assert_int_equal(q_header_decode(in, &got), 0);
	assert_int_equal(got.gen, 3);
	assert_memory_equal(got.key, h.key, Q_KEY_SIZE);
	bytes[5] ^= 1;
	assert_int_equal(q_header_decode(in, &got), 0);
	assert_int_equal(got.gen, 3);
	h.gen = 9;
	q_header_encode(&h, newer);
	memcpy(bytes, newer, Q_HEADER_SIZE);
	assert_int_equal(q_header_decode(in, &got), 0);
	assert_int_equal(got.gen, 9);
	bytes[0] ^= 1;
	bytes[Q_HEADER_COPY] ^= 1;
	assert_int_equal(q_header_decode(in, &got), HB_E_CORRUPT);
	assert_int_equal(q_header_decode(hb_span(bytes, 100), &got),
	    HB_E_CORRUPT);
}

/* A header as the versions before format numbers wrote it, and one of a
 * version that is to come. */
static void
another_format_is_refused(void **state)
{
	static unsigned char bytes[Q_SEG_START];
	struct q_header h = { .gen = 3, .size = 1 << 20 }, got;
	struct hb_span in = hb_span(bytes, sizeof(bytes));
	static const struct {
		unsigned char at28[8];
		uint32_t format;
	} rows[] = { { { 0 }, Q_FORMAT_UNNUMBERED }, { { 3 }, 3 } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		bool numbered = rows[i].format > Q_FORMAT_UNNUMBERED;
		size_t check = numbered ? 32 : 28;
		uint32_t crc;

		q_header_encode(&h, bytes);
		memcpy(bytes + 28, rows[i].at28, 8);
		crc = hb_crc32c(0, hb_span(bytes, check));
		for (size_t k = 0; k < 4; k++)
			bytes[check + k] = (unsigned char)(crc >> (8 * k));
		memcpy(bytes + Q_HEADER_COPY, bytes, Q_HEADER_SIZE);
		assert_int_equal(q_header_decode(in, &got),
		    HB_E_UNSUPPORTED);
		assert_int_equal(got.format, rows[i].format);
	}
}

static void
changes_come_back(void **state)
{
	struct hb_rcpt rcpt = { .idx = 4, .address = HB_SPAN("a@b.example") };
	struct hb_outcome out = { .idx = 2, .result = HB_RESULT_DEFER,
		.code = 451, .text = HB_SPAN("later") };
	struct q_change in[] = {
		{ .kind = Q_CHANGE_RCPT, .rcpt = &rcpt },
		{ .kind = Q_CHANGE_TRIED, .idx = 2, .attempts = 7,
		    .next_ms = -5, .outcome = &out },
		{ .kind = Q_CHANGE_FLAGS, .flags = HB_ENV_HELD },
		{ .kind = Q_CHANGE_WARNED },
	}, c;
	struct hb_buf b = HB_BUF_INIT(0);
	struct q_change_store store;
	struct hb_span item;
	struct q_list l;

	assert_int_equal(q_changes_encode(in, 4, &b), 0);
	assert_int_equal(q_changes_decode(hb_buf_span(&b), &l), 0);
	assert_int_equal(q_list_next(&l, &item), 1);
	assert_int_equal(q_change_decode(item, &c, &store), 0);
	assert_int_equal(c.rcpt->idx, 4);
	assert_span(c.rcpt->address, "a@b.example");
	assert_int_equal(q_list_next(&l, &item), 1);
	assert_int_equal(q_change_decode(item, &c, &store), 0);
	assert_int_equal(c.attempts, 7);
	assert_true(c.next_ms == -5);
	assert_span(c.outcome->text, "later");
	assert_int_equal(q_list_next(&l, &item), 1);
	assert_int_equal(q_change_decode(item, &c, &store), 0);
	assert_int_equal(c.flags, HB_ENV_HELD);
	assert_int_equal(q_list_next(&l, &item), 1);
	assert_int_equal(q_list_next(&l, &item), 0);
	for (size_t cut = 0; cut < b.n; cut++)
		assert_true(q_changes_decode(at_page_end(hb_span_head(
		    hb_buf_span(&b), cut)), &l) < 0);
	hb_buf_free(&b);
}

static void
message_payloads_come_back(void **state)
{
	struct q_message_info info = { .size = 4, .head = 6 };
	struct hb_buf b = HB_BUF_INIT(0);
	struct q_message_writer w;
	struct q_message m;
	struct hb_span item;

	q_message_begin(&w, &b, &info, HB_SPAN("env"));
	q_message_item(&w, HB_SPAN("r1"));
	q_message_item(&w, HB_SPAN(""));
	q_message_changes(&w);
	q_message_item(&w, HB_SPAN("c1"));
	q_message_end(&w, HB_SPAN("a: b\r\n"), HB_SPAN("body"));
	assert_int_equal(q_message_decode(hb_buf_span(&b), &m), 0);
	assert_span(m.env, "env");
	assert_span(m.head, "a: b\r\n");
	assert_span(m.body, "body");
	assert_int_equal(m.head_at, b.n - 10);
	assert_int_equal(m.rcpts.left, 2);
	assert_int_equal(q_list_next(&m.rcpts, &item), 1);
	assert_span(item, "r1");
	assert_int_equal(q_list_next(&m.changes, &item), 1);
	assert_span(item, "c1");
	for (size_t cut = 0; cut < b.n; cut++)
		assert_int_equal(q_message_decode(at_page_end(hb_span_head(
		    hb_buf_span(&b), cut)), &m), HB_E_CORRUPT);
	hb_buf_free(&b);
}

static void
finished_and_seals_come_back(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct q_finished f;
	uint32_t end = 0;

	q_finished_begin(99, &b);
	q_finished_gen(7, &b);
	assert_int_equal(q_finished_decode(hb_buf_span(&b), &f), 0);
	assert_int_equal(f.upto, 99);
	assert_int_equal(f.ngens, 1);
	assert_int_equal(q_u32_at(f.gens, 0), 7);
	assert_int_equal(q_finished_decode(hb_span_head(hb_buf_span(&b), 7),
	    &f), HB_E_CORRUPT);
	hb_buf_clear(&b);
	q_seals_add(&b, 3, 100);
	q_seals_add(&b, 100, 200);
	assert_true(q_seals_find(hb_buf_span(&b), 100, &end));
	assert_int_equal(end, 200);
	assert_false(q_seals_find(hb_buf_span(&b), 200, &end));
	hb_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back),
		cmocka_unit_test(no_altered_or_foreign_record_passes),
		cmocka_unit_test(the_newer_good_header_counts),
		cmocka_unit_test(another_format_is_refused),
		cmocka_unit_test(changes_come_back),
		cmocka_unit_test(message_payloads_come_back),
		cmocka_unit_test(finished_and_seals_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
