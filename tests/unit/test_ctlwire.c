/* The control socket's bytes and the list of commands. */
#include "tests/unit/unit.h"

#include "common/proto/ctlcmd.h"
#include "common/proto/ctlwire.h"
#include "common/proto/ipc.h"

static void
put_question(struct hb_buf *out, bool json, const char *a, const char *b)
{
	struct hb_ctl_question q = { .json = json, .nwords = b != NULL ? 2 : 1,
		.words = { hb_span_str(a), hb_span_str(b) } };

	assert_int_equal(hb_ctl_question_put(&q, out), 0);
}

static void
question_round_trips(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_ctl_question q;

	put_question(&b, true, "flush", "x@far.test");
	for (size_t cut = 0; cut < b.n; cut++)
		assert_int_equal(hb_ctl_question_parse(at_page_end(
		    hb_span_head(hb_buf_span(&b), cut)), &q), 0);
	assert_int_equal(hb_ctl_question_parse(at_page_end(hb_buf_span(&b)),
	    &q), b.n);
	assert_true(q.json);
	assert_int_equal(q.nwords, 2);
	assert_span(q.words[0], "flush");
	assert_span(q.words[1], "x@far.test");
	hb_buf_free(&b);
}

static void
bad_questions_are_errors(void **state)
{
	static const struct {
		const char *name;
		struct hb_span in;
		int want;
	} rows[] = {
		{ "too long", HB_SPAN_INIT("\x01\x40\0\0\0\1"), HB_E_LIMIT },
		{ "huge", HB_SPAN_INIT("\xff\xff\xff\xff\0\1"), HB_E_LIMIT },
		{ "no head", HB_SPAN_INIT("\1\0\0\0\0"), HB_E_SYNTAX },
		{ "flag", HB_SPAN_INIT("\4\0\0\0\2\1\0\0"), HB_E_SYNTAX },
		{ "no word", HB_SPAN_INIT("\2\0\0\0\0\0"), HB_E_SYNTAX },
		{ "17 words", HB_SPAN_INIT("\2\0\0\0\0\x11"), HB_E_SYNTAX },
		{ "word too long", HB_SPAN_INIT("\5\0\0\0\0\1\2\0x"),
		    HB_E_SYNTAX },
		{ "bytes left", HB_SPAN_INIT("\6\0\0\0\0\1\1\0xy"),
		    HB_E_SYNTAX },
		{ "word missing", HB_SPAN_INIT("\5\0\0\0\0\2\1\0x"),
		    HB_E_SYNTAX },
		{ "good", HB_SPAN_INIT("\5\0\0\0\0\1\1\0x"), 9 },
	};
	struct hb_ctl_question q;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		int r = hb_ctl_question_parse(at_page_end(rows[i].in), &q);

		if (r != rows[i].want)
			fail_msg("%s: %d", rows[i].name, r);
	}
}

static void
question_bound(void **state)
{
	static unsigned char word[HB_MAX_CONTROL_LINE];
	struct hb_ctl_question q = { .nwords = 1 };
	struct hb_buf b = HB_BUF_INIT(0);

	memset(word, 'x', sizeof(word));
	q.words[0] = hb_span(word, HB_MAX_CONTROL_LINE - 4);
	assert_int_equal(hb_ctl_question_put(&q, &b), 0);
	assert_int_equal(hb_ctl_question_parse(hb_buf_span(&b), &q), b.n);
	q.words[0] = hb_span(word, HB_MAX_CONTROL_LINE - 3);
	assert_int_equal(hb_ctl_question_put(&q, &b), HB_E_LIMIT);
	hb_buf_free(&b);
}

static void
answer_round_trips(void **state)
{
	static unsigned char text[HB_CTL_PIECE + 1];
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_ctl_piece p;
	struct hb_span rest;
	int used;

	memset(text, 'x', sizeof(text));
	hb_ctl_piece_put(HB_CTL_OUT, hb_span(text, sizeof(text)), &b);
	hb_ctl_exit_put(69, &b);
	rest = hb_buf_span(&b);
	used = hb_ctl_piece_parse(rest, &p);
	assert_int_equal(used, HB_CTL_PIECE + 5);
	assert_int_equal(p.bytes.n, HB_CTL_PIECE);
	rest = hb_span_from(rest, (size_t)used);
	used = hb_ctl_piece_parse(rest, &p);
	assert_int_equal(p.bytes.n, 1);
	assert_int_equal(p.kind, HB_CTL_OUT);
	rest = hb_span_from(rest, (size_t)used);
	for (size_t cut = 0; cut < rest.n; cut++)
		assert_int_equal(hb_ctl_piece_parse(at_page_end(
		    hb_span_head(rest, cut)), &p), 0);
	assert_int_equal(hb_ctl_piece_parse(rest, &p), rest.n);
	assert_int_equal(p.kind, HB_CTL_EXIT);
	assert_int_equal(p.exit_code, 69);
	hb_buf_free(&b);
}

static void
bad_pieces_are_errors(void **state)
{
	struct hb_ctl_piece p;

	assert_int_equal(hb_ctl_piece_parse(HB_SPAN("\1\0\1\0\0"), &p),
	    HB_E_LIMIT);
	assert_int_equal(hb_ctl_piece_parse(HB_SPAN("\1\0\0\0\3"), &p),
	    HB_E_SYNTAX);
	assert_int_equal(hb_ctl_piece_parse(HB_SPAN("\2\0\0\0\2xy"), &p),
	    HB_E_SYNTAX);
	assert_int_equal(hb_ctl_piece_parse(HB_SPAN("\0\0\0\0\2"), &p),
	    HB_E_SYNTAX);
}

static void
commands_are_found(void **state)
{
	static const struct {
		const char *line;
		int want;
		enum hb_ctl_cmd cmd;
	} rows[] = {
		{ "status", 1, HB_CMD_STATUS },
		{ "status x", HB_E_RANGE, HB_CMD_STATUS },
		{ "queue", 1, HB_CMD_QUEUE },
		{ "queue x", 1, HB_CMD_QUEUE },
		{ "show", HB_E_RANGE, HB_CMD_SHOW },
		{ "explain a@b --live", 1, HB_CMD_EXPLAIN },
		{ "sts", HB_E_NOTFOUND, HB_CMD_COUNT },
		{ "sts list", 2, HB_CMD_STS_LIST },
		{ "sts show", HB_E_RANGE, HB_CMD_STS_SHOW },
		{ "sts show d", 2, HB_CMD_STS_SHOW },
		{ "stsshow d", HB_E_NOTFOUND, HB_CMD_COUNT },
		{ "nosuch", HB_E_NOTFOUND, HB_CMD_COUNT },
		{ "", HB_E_NOTFOUND, HB_CMD_COUNT },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span rest = hb_span_str(rows[i].line), words[4];
		enum hb_ctl_cmd cmd = HB_CMD_COUNT;
		size_t n = 0;

		while ((words[n] = hb_span_word(&rest)).n > 0)
			n++;
		if (hb_ctl_cmd_find(words, n, &cmd) != rows[i].want ||
		    cmd != rows[i].cmd)
			fail_msg("%s", rows[i].line);
	}
}

/* What others may ask is the decision of one list. */
static void
what_others_may_ask(void **state)
{
	for (unsigned i = 0; i < HB_CMD_COUNT; i++)
		assert_int_equal(hb_ctl_cmds[i].for_all,
		    i == HB_CMD_STATUS || i == HB_CMD_QUEUE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(question_round_trips),
		cmocka_unit_test(bad_questions_are_errors),
		cmocka_unit_test(question_bound),
		cmocka_unit_test(answer_round_trips),
		cmocka_unit_test(bad_pieces_are_errors),
		cmocka_unit_test(commands_are_found),
		cmocka_unit_test(what_others_may_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
