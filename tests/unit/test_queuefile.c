/* The file of waiting mail that goes from one host to another. */
#include "tests/unit/unit.h"

#include "common/proto/queuefile.h"

static const char body_text[] = "Subject: x\r\n\r\nhello\r\n";

static void
put_tlv(struct hb_buf *out, const struct hb_record *type, const void *rec)
{
	hb_buf_clear(out);
	assert_int_equal(hb_tlv_encode(type, rec, out), 0);
}

static void
put_message(struct hb_qf_writer *w, uint64_t id, size_t nrcpt,
    struct hb_buf *out)
{
	struct hb_buf part = HB_BUF_INIT(0), last = HB_BUF_INIT(0);
	struct hb_env env = { .id = id, .arrived_ms = 7,
		.sender = HB_SPAN("s@x.test"), .flags = HB_ENV_HELD,
		.size = sizeof(body_text) - 1 };
	struct hb_rcpt rcpt = { .address = HB_SPAN("r@y.test") };
	struct hb_outcome o = { .result = HB_RESULT_DEFER, .code = 451,
		.text = HB_SPAN("not now") };
	struct hb_qf_msg msg = { .waited_ms = 5000, .warned = 1 };
	struct hb_qf_rcpt to = { .attempts = 3, .wait_ms = 900 };

	put_tlv(&part, &hb_env_record, &env);
	msg.env = hb_buf_span(&part);
	assert_int_equal(hb_qf_put_record(w, HB_QF_MSG, &hb_qf_msg_record,
	    &msg, out), 0);
	put_tlv(&last, &hb_outcome_record, &o);
	for (size_t i = 0; i < nrcpt; i++) {
		rcpt.idx = (uint32_t)i;
		put_tlv(&part, &hb_rcpt_record, &rcpt);
		to.rcpt = hb_buf_span(&part);
		to.outcome = i == 0 ? hb_buf_span(&last) : HB_SPAN_NONE;
		assert_int_equal(hb_qf_put_record(w, HB_QF_RCPT,
		    &hb_qf_rcpt_record, &to, out), 0);
	}
	hb_qf_put(w, HB_QF_BODY, hb_span(body_text, 5), out);
	hb_qf_put(w, HB_QF_BODY, hb_span(body_text + 5,
	    sizeof(body_text) - 6), out);
	hb_qf_put(w, HB_QF_END, HB_SPAN_NONE, out);
	hb_buf_free(&part);
	hb_buf_free(&last);
}

static void
begin_file(struct hb_qf_writer *w, struct hb_buf *out)
{
	struct hb_qf_head head = { .written_ms = 1000,
		.hostname = HB_SPAN("host.test") };

	*w = (struct hb_qf_writer){ .begun = false };
	hb_buf_clear(out);
	assert_int_equal(hb_qf_put_record(w, HB_QF_HEAD, &hb_qf_head_record,
	    &head, out), 0);
}

static void
make_file(struct hb_buf *out)
{
	struct hb_qf_writer w;

	begin_file(&w, out);
	put_message(&w, 1, 2, out);
	put_message(&w, 2, 0, out);
	hb_qf_put(&w, HB_QF_TAIL, HB_SPAN_NONE, out);
}

/* Reads all of IN, cut into parts of STEP.  The sequence of types as letters,
 * and "!" for an error, "-" for a file that is cut short. */
static const char *
read_all(struct hb_span in, size_t step)
{
	static char seen[64];
	static const char letters[] = "?HMRBEDT";
	struct hb_qf_reader r = { .at = 0 };
	struct hb_qf_item it;
	size_t from = 0, end = 0, n = 0;

	for (;;) {
		struct hb_span part = hb_span_from(hb_span_head(in, end), from);
		int used = hb_qf_read(&r, part, &it);

		if (used < 0) {
			seen[n++] = '!';
			break;
		}
		if (used > 0) {
			seen[n++] = letters[it.type];
			from += (size_t)used;
			assert_int_equal(r.at, from);
			continue;
		}
		if (end == in.n) {
			if (r.last != HB_QF_TAIL)
				seen[n++] = '-';
			break;
		}
		end = end + step < in.n ? end + step : in.n;
	}
	seen[n] = '\0';
	return seen;
}

static void
test_S_17_what_is_written_is_read(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_qf_reader r = { .at = 0 };
	struct hb_qf_item it;
	struct hb_span in;
	int used;

	make_file(&b);
	in = at_page_end(hb_buf_span(&b));
	for (size_t step = 1; step < in.n + 2; step += 13)
		assert_string_equal(read_all(in, step), "HMRRBBEMBBET");
	used = hb_qf_read(&r, in, &it);
	assert_int_equal(it.head.written_ms, 1000);
	assert_span(it.head.hostname, "host.test");
	in = hb_span_from(in, (size_t)used);
	used = hb_qf_read(&r, in, &it);
	assert_int_equal(it.env.id, 1);
	assert_int_equal(it.env.flags, HB_ENV_HELD);
	assert_int_equal(it.msg.waited_ms, 5000);
	assert_int_equal(it.msg.warned, 1);
	in = hb_span_from(in, (size_t)used);
	used = hb_qf_read(&r, in, &it);
	assert_span(it.rcpt.address, "r@y.test");
	assert_int_equal(it.to.attempts, 3);
	assert_int_equal(it.to.wait_ms, 900);
	assert_int_equal(it.outcome.code, 451);
	assert_span(it.outcome.text, "not now");
	in = hb_span_from(in, (size_t)used);
	used = hb_qf_read(&r, in, &it);
	assert_int_equal(it.outcome.result, HB_RESULT_NONE);
	in = hb_span_from(in, (size_t)used);
	assert_true(hb_qf_read(&r, in, &it) > 0);
	assert_span(it.body, "Subje");
	hb_buf_free(&b);
}

/* Each bit that is another, and each byte that is missing. */
static void
test_S_17_damage_is_seen_where_it_is(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	unsigned char *p;
	size_t n;

	make_file(&b);
	p = b.p + b.off;
	n = b.n;
	for (size_t i = 0; i < n * 8; i++) {
		const char *seen;

		p[i / 8] ^= (unsigned char)(1u << i % 8);
		seen = read_all(hb_buf_span(&b), n);
		assert_true(strcspn(seen, "!-") < 12);
		assert_true(seen[strcspn(seen, "!-")] != '\0');
		assert_int_equal(strncmp(seen, "HMRRBBEMBBET",
		    strcspn(seen, "!-")), 0);
		p[i / 8] ^= (unsigned char)(1u << i % 8);
	}
	for (size_t i = 0; i < n; i++)
		assert_non_null(strchr(read_all(
		    hb_span_head(hb_buf_span(&b), i), n), '-'));
	/* and nothing may stand behind the end */
	hb_buf_adds(&b, "x");
	assert_string_equal(read_all(hb_buf_span(&b), n), "HMRRBBEMBBET!");
	hb_buf_free(&b);
}

static void
test_S_17_other_files(void **state)
{
	assert_string_equal(read_all(HB_SPAN_NONE, 1), "-");
	assert_string_equal(read_all(HB_SPAN("HBQUEUE1"), 3), "-");
	for (size_t i = 0; i < 2; i++) {
		struct hb_qf_reader r = { .at = 0 };
		struct hb_qf_item it;

		assert_int_equal(hb_qf_read(&r, i == 0
			? HB_SPAN("HBQUEUE2\n") : HB_SPAN("HBDROP1\n"), &it),
		    i == 0 ? HB_E_UNSUPPORTED : HB_E_SYNTAX);
	}
}

/* Whole records of good checks, at a place where they do not belong. */
static void
test_S_17_records_out_of_place(void **state)
{
	static const struct {
		enum hb_qf_type types[4];
		const char *seen;
	} rows[] = {
		{ { HB_QF_END }, "H!" },
		{ { HB_QF_BODY }, "H!" },
		{ { HB_QF_DROP }, "H!" },
		{ { HB_QF_HEAD }, "H!" },
		{ { HB_QF_TAIL, HB_QF_TAIL }, "HT!" },
		{ { HB_QF_MSG, HB_QF_MSG }, "HM!" },
		{ { HB_QF_MSG, HB_QF_TAIL }, "HM!" },
		{ { HB_QF_MSG, HB_QF_END, HB_QF_END }, "HME!" },
		{ { HB_QF_MSG, HB_QF_RCPT }, "HMR-" },
		{ { HB_QF_MSG, HB_QF_BODY }, "HM!" }, /* more than its size */
		{ { HB_QF_MSG, HB_QF_DROP, HB_QF_RCPT }, "HMD!" },
		{ { HB_QF_MSG, HB_QF_DROP, HB_QF_TAIL }, "HMDT" },
	};
	struct hb_buf b = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_qf_writer w;

		begin_file(&w, &b);
		for (size_t k = 0; k < 4 && rows[i].types[k] != HB_QF_START;
		     k++)
			hb_qf_put(&w, rows[i].types[k],
			    rows[i].types[k] == HB_QF_BODY ? HB_SPAN("x")
							   : HB_SPAN_NONE, &b);
		assert_string_equal(read_all(hb_buf_span(&b), 7),
		    rows[i].seen);
	}
	hb_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_S_17_what_is_written_is_read),
		cmocka_unit_test(test_S_17_damage_is_seen_where_it_is),
		cmocka_unit_test(test_S_17_other_files),
		cmocka_unit_test(test_S_17_records_out_of_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
