/* A message on its way in: header section apart, limits, what is added. */
#include "tests/unit/unit.h"

#include "common/base/hash.h"
#include "common/proto/envelope.h"
#include "common/proto/header.h"
#include "common/proto/incoming.h"

static const struct hb_incoming_rules usual = { .max_size = 1000000,
	.max_header = 1000, .max_hops = 2, .no_dot = true };

/* Gives IN in steps of STEP bytes; the body into BODY. */
static void
give(struct hb_incoming *m, const struct hb_incoming_rules *rules,
    struct hb_span in, size_t step, struct hb_buf *body)
{
	size_t used = 0, have = 0;

	hb_incoming_start(m, rules);
	hb_buf_clear(body);
	while (have < in.n) {
		struct hb_incoming_piece p;

		have = have + step < in.n ? have + step : in.n;
		do {
			p = hb_incoming_take(m,
			    at_page_end(hb_span(in.p + used, have - used)));
			hb_buf_add(body, p.body);
			used += p.used;
		} while (p.used > 0 || p.body.n > 0);
	}
	hb_incoming_end(m, hb_span_from(in, used));
	assert_int_equal(m->size, body->n);
	assert_int_equal(m->crc, hb_crc32c(0, hb_buf_span(body)));
}

/* BDAT-04: octets that were counted get their dots here, cut anywhere. */
static void
counted_octets(void **state)
{
	static const struct {
		const char *in, *fields, *body;
	} rows[] = {
		{ "a: b\r\n\r\n.\r\n", "a: b\r\n", "\r\n..\r\n" },
		{ "a: b\r\n\r\nx\r\n.\r\n..y\r\nz.\r\n", "a: b\r\n",
		    "\r\nx\r\n..\r\n...y\r\nz.\r\n" },
		{ ".x: b\r\na: b\r\n\r\n", "..x: b\r\na: b\r\n", "\r\n" },
		{ ".\r\na: b\r\n", "", "..\r\na: b\r\n" },
		{ "a: b\r\n\r\n.\r.\r\n", "a: b\r\n", "\r\n..\r.\r\n" },
		{ "a: b\r\n\r\n\n.\r\n", "a: b\r\n", "\r\n\n.\r\n" },
	};
	struct hb_incoming_rules rules = { .max_size = 1000000,
		.max_header = 1000, .max_hops = 2, .counted = true };
	struct hb_incoming m = { .size = 0 };
	struct hb_buf body = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= 1 + strlen(rows[i].in); step++) {
			give(&m, &rules, hb_span_str(rows[i].in), step, &body);
			assert_true(hb_span_eq(hb_buf_span(&m.fields),
			    hb_span_str(rows[i].fields)));
			assert_true(hb_span_eq(hb_buf_span(&body),
			    hb_span_str(rows[i].body)));
		}
	hb_incoming_free(&m);
	hb_buf_free(&body);
}

static void
header_section_and_body(void **state)
{
	static const struct {
		const char *in, *fields, *body;
	} rows[] = {
		{ "a: b\r\n\r\nx\r\n", "a: b\r\n", "\r\nx\r\n" },
		{ "a: b\r\n c\r\n\r\n\r\n", "a: b\r\n c\r\n", "\r\n\r\n" },
		{ "a: b\r\n\r\n", "a: b\r\n", "\r\n" }, /* empty body */
		{ "a: b\r\n", "a: b\r\n", "" }, /* header section alone */
		{ "\r\nx\r\n", "", "\r\nx\r\n" },
		{ "", "", "" },
		{ "no field\r\na: b\r\n", "", "no field\r\na: b\r\n" },
		{ "From x\r\na: b\r\n\r\n.\r\n", "From x\r\na: b\r\n",
		    "\r\n.\r\n" },
		{ "a: b\r\nno field\r\nc: d\r\n\r\n",
		    "a: b\r\nno field\r\nc: d\r\n", "\r\n" },
	};
	struct hb_incoming m = { .size = 0 };
	struct hb_buf body = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= 1 + strlen(rows[i].in); step++) {
			give(&m, &usual, hb_span_str(rows[i].in), step, &body);
			assert_span(hb_buf_span(&m.fields), rows[i].fields);
			assert_span(hb_buf_span(&body), rows[i].body);
		}
	hb_incoming_free(&m);
	hb_buf_free(&body);
}

/* One test for each limit: at it, and one more. */
static void
limits(void **state)
{
	static const struct {
		struct hb_incoming_rules rules;
		const char *in;
		enum hb_incoming_fault fault;
	} rows[] = {
		{ { .max_size = 11, .max_header = 6 },
		    "a: b\r\n\r\n..x\r\n", HB_INCOMING_BIG },
		{ { .max_size = 12, .max_header = 6 },
		    "a: b\r\n\r\n..x\r\n", HB_INCOMING_GOOD },
		{ { .max_size = 99, .max_header = 6 }, "a: b\r\n\r\nxxxxxxx\r\n",
		    HB_INCOMING_GOOD },
		{ { .max_size = 99, .max_header = 5 }, "a: b\r\n\r\nx\r\n",
		    HB_INCOMING_HEADER_BIG },
		{ { .max_size = 99, .max_header = 5 }, "a: b\r\n",
		    HB_INCOMING_HEADER_BIG },
		{ { .max_size = 99, .max_header = 99, .max_hops = 1 },
		    "Received: a\r\n\r\nReceived: b\r\n", HB_INCOMING_GOOD },
		{ { .max_size = 99, .max_header = 99, .max_hops = 1 },
		    "Received: a\r\nReceived: b\r\n\r\n", HB_INCOMING_HOPS },
		{ { .max_size = 99, .max_header = 99 }, "a: b\r\n\r\n.\r\n",
		    HB_INCOMING_BARE },
		{ { .max_size = 99, .max_header = 99 }, "a: b\r\n\r\nx",
		    HB_INCOMING_UNENDED },
		{ { .max_size = 99, .max_header = 99 }, "a: b",
		    HB_INCOMING_UNENDED },
		{ { .max_size = 99, .max_header = 99 }, "a: b\n\r\n",
		    HB_INCOMING_BARE },
	};
	struct hb_incoming m = { .size = 0 };
	struct hb_buf body = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= 20; step++) {
			struct hb_incoming_rules rules = rows[i].rules;

			rules.no_dot = true;
			give(&m, &rules, hb_span_str(rows[i].in), step, &body);
			assert_int_equal(hb_incoming_fault(&m), rows[i].fault);
			assert_true((hb_incoming_fault_text(&m)[0] == '\0') ==
			    (rows[i].fault == HB_INCOMING_GOOD));
		}
	hb_incoming_free(&m);
	hb_buf_free(&body);
}

/* What is put in front or added comes when all of the message is known. */
static void
fields_are_added_late(void **state)
{
	static const char rest[] =
	    "From: <a@b.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
	    "Message-ID: <000000000000000f@h.test>\r\n";
	static const struct {
		const char *in, *head;
		bool completes;
	} rows[] = {
		{ "a: b\r\n\r\n", "F: x\r\na: b\r\n", false },
		{ "\r\n", "F: x\r\n", false },
		{ "from: x\r\nDATE : y\r\nMessage-Id:z\r\n\r\n",
		    "F: x\r\nfrom: x\r\nDATE : y\r\nMessage-Id:z\r\n", true },
		{ "text\r\n", "F: x\r\n", false },
	};
	struct hb_incoming_fields f = { .front = HB_SPAN("F: x\r\n"),
		.from = HB_SPAN("a@b.test"), .hostname = HB_SPAN("h.test"),
		.id = 15 };
	struct hb_incoming_rules rules = usual;
	struct hb_incoming m = { .size = 0 };
	struct hb_buf body = HB_BUF_INIT(0);
	char want[400];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		give(&m, &usual, hb_span_str(rows[i].in), 4, &body);
		f.completes = rows[i].completes;
		assert_span(hb_incoming_head(&m, &f), rows[i].head);
		/* and again: it changes nothing of what came */
		assert_span(hb_incoming_head(&m, &f), rows[i].head);
	}
	f.completes = rules.separates = true;
	give(&m, &rules, HB_SPAN("text\r\n"), 1, &body);
	snprintf(want, sizeof(want), "F: x\r\n%s", rest);
	assert_span(hb_incoming_head(&m, &f), want);
	assert_span(hb_buf_span(&body), "\r\ntext\r\n");
	hb_incoming_free(&m);
	hb_buf_free(&body);
}

static void
test_S_12_message_ids_are_printable(void **state)
{
	static const struct {
		struct hb_span section;
		const char *want;
	} rows[] = {
		{ HB_SPAN(""), "" },
		{ HB_SPAN("a: b\r\n"), "" },
		{ HB_SPAN("Message-ID: <a@b>\r\n"), "<a@b>" },
		{ HB_SPAN("x: y\r\nmessage-id:\r\n\t<a@b>\r\n"), "<a@b>" },
		{ HB_SPAN("Message-ID: <a@b> (c)\r\n"), "<a@b>" },
		{ HB_SPAN("Message-ID:\r\n"), "" },
		{ HB_SPAN("Message-ID: \x1b[m\xff\0\"\r\n"), "?[m??\"" },
		{ HB_SPAN("x: y\r\n Message-ID: z\r\n"), "" },
		{ HB_SPAN("Message-ID: 1\r\nMessage-ID: 2\r\n"), "1" },
		{ HB_SPAN("Message-ID: x"), "x" },
		{ HB_SPAN("Message-ID"), "" },
	};
	unsigned char room[HB_MAX_MESSAGE_ID], longer[300];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_span(hb_message_id(at_page_end(rows[i].section), room),
		    rows[i].want);
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "Message-ID:", 11);
	assert_int_equal(hb_message_id(hb_span(longer, 11 + HB_MAX_MESSAGE_ID),
	    room).n, HB_MAX_MESSAGE_ID);
	assert_int_equal(hb_message_id(hb_span(longer, 12 + HB_MAX_MESSAGE_ID),
	    room).n, HB_MAX_MESSAGE_ID);
	assert_true(hb_message_id_eq(HB_SPAN("<a@b>"), HB_SPAN("a@b")));
	assert_true(hb_message_id_eq(HB_SPAN("a@b"), HB_SPAN("a@b")));
	assert_false(hb_message_id_eq(HB_SPAN("<>"), HB_SPAN("")));
	assert_false(hb_message_id_eq(HB_SPAN("a@b"), HB_SPAN("a@B")));
}

/* The memory of a long header section goes with its message. */
static void
memory_is_let_go(void **state)
{
	static char long_one[40000];
	struct hb_incoming_rules rules = usual;
	struct hb_incoming m = { .size = 0 };
	struct hb_buf body = HB_BUF_INIT(0);

	memset(long_one, 'x', sizeof(long_one));
	memcpy(long_one, "a: ", 3);
	memcpy(long_one + sizeof(long_one) - 2, "\r\n", 2);
	rules.max_header = sizeof(long_one);
	give(&m, &rules, hb_span(long_one, sizeof(long_one)), 9000, &body);
	assert_int_equal(hb_incoming_fault(&m), HB_INCOMING_GOOD);
	assert_int_equal(m.fields.n, sizeof(long_one));
	hb_incoming_clear(&m);
	assert_int_equal(m.fields.cap, 0);
	rules.max_header--;
	give(&m, &rules, hb_span(long_one, sizeof(long_one)), 9000, &body);
	assert_int_equal(hb_incoming_fault(&m), HB_INCOMING_HEADER_BIG);
	assert_int_equal(m.fields.cap, 0);
	hb_incoming_free(&m);
	hb_buf_free(&body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counted_octets),
		cmocka_unit_test(header_section_and_body),
		cmocka_unit_test(limits),
		cmocka_unit_test(fields_are_added_late),
		cmocka_unit_test(memory_is_let_go),
		cmocka_unit_test(test_S_12_message_ids_are_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
