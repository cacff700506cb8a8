/* A session with filters: what they are asked, and what their answers do. */
#include "tests/unit/unit.h"

#include "smtpd/milter.h"
#include "smtpd/session.h"

enum { MOST = 2 };

#define AGREE "O\0\0\0\6\0\0\1\xff\0\0\4\0"
#define MESSAGE "Subject: x\r\n\r\n..b\r\n.\r\n"

struct fix {
	struct hb_filter conf[MOST];
	struct hb_filters filters;
	struct smtpd_listener_conf rules;
	struct smtpd_worker_conf site;
	struct smtpd_session *s;
	struct hb_buf out, head, body;
	char asked[256]; /* letters that went to filters */
	bool committed, closed;
};

/* Letters of the packets in OUT, without symbols. */
static void
note(struct fix *f, struct hb_span out)
{
	struct hb_milter_packet p;
	int r;

	while ((r = hb_milter_packet(out, &p)) > 0) {
		size_t n = strlen(f->asked);

		if (p.letter != 'D' && n + 1 < sizeof(f->asked))
			f->asked[n] = p.letter;
		out = hb_span_from(out, (size_t)r);
	}
	assert_int_equal(out.n, 0);
}

static void
act(struct fix *f, const struct smtpd_act *a)
{
	struct ipc_verdict yes = { .action = HB_ACTION_ACCEPT };

	if (a->kind == SMTPD_ACT_CHECK) {
		yes.ref = a->check.ref;
		smtpd_session_verdict(f->s, &yes);
	} else if (a->kind == SMTPD_ACT_DATA) {
		hb_buf_add(&f->body, a->data);
	} else if (a->kind == SMTPD_ACT_HEAD) {
		hb_buf_add(&f->head, a->data);
	} else if (a->kind == SMTPD_ACT_COMMIT) {
		f->committed = true;
	} else if (a->kind == SMTPD_ACT_CLOSE) {
		f->closed = true;
	}
}

static void
take(struct fix *f)
{
	struct ipc_txn_result ok = { .code = 250 };
	struct smtpd_act a;

	while (smtpd_session_act(f->s, &a))
		act(f, &a);
	for (size_t i = 0; i < smtpd_session_filters(f->s); i++) {
		struct smtpd_milter *m = smtpd_session_filter(f->s, i);
		bool opens = m->opens;

		note(f, hb_buf_span(&m->out));
		hb_buf_clear(&m->out);
		m->opens = false;
		if (opens) {
			smtpd_session_filter_connected(f->s, i);
			take(f);
		}
	}
	if (f->committed) {
		f->committed = false;
		smtpd_session_result(f->s, &ok);
	}
	hb_buf_add(&f->out, hb_buf_span(smtpd_session_output(f->s)));
	hb_buf_clear(smtpd_session_output(f->s));
}

/* Filter N says this; its letter is the first byte. */
static void
says(struct fix *f, size_t n, struct hb_span data)
{
	struct hb_buf b = HB_BUF_INIT(0);
	size_t begun = hb_milter_begin(&b, (char)data.p[0]);

	hb_buf_add(&b, hb_span_from(data, 1));
	hb_milter_end(&b, begun);
	assert_int_equal(smtpd_session_filter_input(f->s, n, hb_buf_span(&b)),
	    b.n);
	hb_buf_free(&b);
	take(f);
}

static void
feed(struct fix *f, const char *text)
{
	struct hb_span in = hb_span_str(text);
	size_t used;

	do {
		used = smtpd_session_input(f->s, in);
		in = hb_span_from(in, used);
		take(f);
	} while (used > 0);
}

/* All that was said to the client since the last call is WANT. */
static void
heard(struct fix *f, const char *want)
{
	struct hb_span got = hb_buf_span(&f->out);

	if (got.n < strlen(want) || memcmp(got.p, want, strlen(want)) != 0)
		fail_msg("%.*s, not %s", HB_SPAN_ARG(got), want);
	hb_buf_clear(&f->out);
}

static void
asked(struct fix *f, const char *want)
{
	assert_string_equal(f->asked, want);
	memset(f->asked, 0, sizeof(f->asked));
}

static void
begin(struct fix *f, size_t n, enum hb_on_failure on_failure)
{
	static char name[] = "unix:/f";

	memset(f, 0, sizeof(*f));
	for (size_t i = 0; i < MOST; i++)
		f->conf[i] = (struct hb_filter){ .name = name,
			.timeout_ms = 1000, .on_failure = on_failure };
	f->filters = (struct hb_filters){ f->conf, n };
	f->rules = (struct smtpd_listener_conf){ .hostname = "mx.example",
		.max_size = 600000, .max_header = 20000,
		.max_recipients = 20, .max_hops = 9, .command_ms = 1000,
		.data_ms = 1000, .filters = &f->filters };
	f->site = (struct smtpd_worker_conf){ .space = 1000000,
		.queue_up = true };
	hb_log_set_level(HB_LOG_ERROR);
	f->s = smtpd_session_new(&f->rules, &f->site, HB_SPAN("192.0.2.1"),
	    false);
	smtpd_session_relays(f->s);
	smtpd_session_start(f->s, SMTPD_GREET_OK);
	take(f);
	for (size_t i = 0; i < n; i++) {
		says(f, i, HB_SPAN(AGREE));
		says(f, i, HB_SPAN("c"));
	}
}

static void
end(struct fix *f)
{
	smtpd_session_closed(f->s);
	take(f);
	smtpd_session_free(&f->s);
	assert_int_equal(f->site.filtered, 0);
	hb_buf_free(&f->out);
	hb_buf_free(&f->head);
	hb_buf_free(&f->body);
}

static void
to_mail(struct fix *f)
{
	feed(f, "EHLO x\r\n");
	says(f, 0, HB_SPAN("c"));
	feed(f, "MAIL FROM:<a@b.test>\r\n");
}

static void
test_T_7_accept_is_for_one_message(void **state)
{
	struct fix f;

	begin(&f, 1, HB_FILTER_TEMPFAIL);
	heard(&f, "220 ");
	asked(&f, "OC");
	to_mail(&f);
	says(&f, 0, HB_SPAN("a"));
	asked(&f, "HM");
	feed(&f, "RCPT TO:<c@d.test>\r\nDATA\r\n" MESSAGE);
	asked(&f, "A"); /* the message is over, and the filter knew of it */
	hb_buf_clear(&f.out);
	feed(&f, "MAIL FROM:<a@b.test>\r\n");
	asked(&f, "M");
	says(&f, 0, HB_SPAN("y450-4.1.0 one\r\n450 4.1.0 two\0"));
	heard(&f, "450-4.1.0 one\r\n450 4.1.0 two\r\n");
	end(&f);
}

/* A message in front of filter 0, which was asked about its end. */
static void
to_end(struct fix *f)
{
	to_mail(f);
	says(f, 0, HB_SPAN("c"));
	feed(f, "RCPT TO:<c@d.test>\r\n");
	says(f, 0, HB_SPAN("c"));
	feed(f, "DATA\r\n");
	says(f, 0, HB_SPAN("c"));
	feed(f, MESSAGE);
	for (unsigned i = 0; i < 3; i++) /* field, end of them, body */
		says(f, 0, HB_SPAN("c"));
	asked(f, "OCHMRTLNBE");
	hb_buf_clear(&f->out);
}

static void
test_T_7_changes_count_together(void **state)
{
	struct fix f;

	begin(&f, 1, HB_FILTER_TEMPFAIL);
	to_end(&f);
	says(&f, 0, HB_SPAN("i\0\0\0\1X-A\0one\n two\0"));
	says(&f, 0, HB_SPAN("m\0\0\0\1subject\0\0"));
	says(&f, 0, HB_SPAN("b.new\n"));
	says(&f, 0, HB_SPAN("p"));
	assert_int_equal(f.head.n + f.body.n, 0);
	says(&f, 0, HB_SPAN("c"));
	heard(&f, "250 ");
	assert_true(hb_span_has_prefix_nocase(hb_buf_span(&f.head),
	    HB_SPAN("Received: ")));
	assert_true(hb_span_search(hb_buf_span(&f.head),
	    HB_SPAN("\r\nX-A: one\r\n two\r\n")) + 18 == f.head.n);
	assert_span(hb_buf_span(&f.body), "\r\n..new\r\n");
	end(&f);
}

static void
test_T_7_a_lost_filter_leaves_nothing(void **state)
{
	static const char *const heards[] = { "421 4.3.0", "250 2.0.0",
		"554 5.3.0" };
	struct fix f;

	for (unsigned i = 0; i < HB_ARRAY_LEN(heards); i++) {
		begin(&f, 1, (enum hb_on_failure)i);
		to_end(&f);
		says(&f, 0, HB_SPAN("hX-A\0one\0"));
		says(&f, 0, HB_SPAN("bhalf"));
		smtpd_session_filter_lost(f.s, 0, "it is gone");
		take(&f);
		heard(&f, heards[i]);
		assert_int_equal(f.closed, i == HB_FILTER_TEMPFAIL);
		assert_int_equal(f.head.n > 0, i == HB_FILTER_ACCEPT);
		assert_true(hb_span_search(hb_buf_span(&f.head),
		    HB_SPAN("X-A")) == f.head.n);
		if (i == HB_FILTER_ACCEPT)
			assert_span(hb_buf_span(&f.body), "\r\n..b\r\n");
		end(&f);
	}
}

/* One bad change spoils them all. */
static void
test_T_8_a_bad_change(void **state)
{
	struct fix f;

	begin(&f, 1, HB_FILTER_ACCEPT);
	to_end(&f);
	says(&f, 0, HB_SPAN("hX-A\0one\0"));
	says(&f, 0, HB_SPAN("+<no address\0"));
	says(&f, 0, HB_SPAN("c"));
	heard(&f, "250 ");
	assert_true(hb_span_search(hb_buf_span(&f.head), HB_SPAN("X-A")) ==
	    f.head.n);
	end(&f);
}

static void
test_T_8_answers_without_a_question(void **state)
{
	static const struct hb_span bad[] = { HB_SPAN_INIT("c"),
		HB_SPAN_INIT("hX\0y\0"), HB_SPAN_INIT("?"),
		HB_SPAN_INIT(AGREE) };
	struct fix f;

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		begin(&f, 1, HB_FILTER_TEMPFAIL);
		hb_buf_clear(&f.out);
		says(&f, 0, bad[i]);
		assert_false(f.closed);
		feed(&f, "EHLO x\r\n");
		heard(&f, "421 4.3.0");
		end(&f);
	}
}

static void
test_T_7_two_filters_in_order(void **state)
{
	struct fix f;

	begin(&f, 2, HB_FILTER_TEMPFAIL);
	asked(&f, "OCOC");
	feed(&f, "EHLO x\r\n");
	asked(&f, "H");
	says(&f, 0, HB_SPAN("c"));
	asked(&f, "H");
	says(&f, 1, HB_SPAN("r"));
	hb_buf_clear(&f.out);
	feed(&f, "MAIL FROM:<a@b.test>\r\n");
	heard(&f, "503"); /* nobody was greeted */
	asked(&f, "");
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T_7_accept_is_for_one_message),
		cmocka_unit_test(test_T_7_changes_count_together),
		cmocka_unit_test(test_T_7_a_lost_filter_leaves_nothing),
		cmocka_unit_test(test_T_8_a_bad_change),
		cmocka_unit_test(test_T_8_answers_without_a_question),
		cmocka_unit_test(test_T_7_two_filters_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
