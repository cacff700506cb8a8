/* The client's side of a session for a dropped message. */
#include "unit.h"

#include "smtpd/speaker.h"

static struct hb_rcpt rcpts[] = {
	{ .idx = 0, .address = HB_SPAN("b@x.example"), .notify = 2,
	    .orcpt = HB_SPAN("rfc822;B@x.example") },
	{ .idx = 1, .address = HB_SPAN("c@x.example") },
};

static char refused[256];

static void
on_refused(void *ctx, const struct hb_rcpt *r, const struct hb_reply *why)
{
	size_t n = strlen(refused);

	snprintf(refused + n, sizeof(refused) - n, "%u:%u %s;",
	    (unsigned)r->idx, why->code, why->status);
}

#define HI "220 hi\r\n"
#define EHLO "250-host\r\n250 PIPELINING\r\n"
#define OK "250 2.1.0 ok\r\n"
#define HELLO "EHLO localhost\r\n"
#define MAIL "MAIL FROM:<a@x.example> SIZE=100\r\n"
#define RCPT_B                                                                 \
	"RCPT TO:<b@x.example> NOTIFY=SUCCESS ORCPT=rfc822;B@x.example\r\n"
#define RCPT_C "RCPT TO:<c@x.example>\r\n"

/* What it says to what it hears, and whom it tells of. */
static void
what_is_said_follows_from_what_is_heard(void **state)
{
	static const struct {
		const char *heard, *said, *refused;
		enum smtpd_speaker_step step;
		unsigned code;
	} rows[] = {
		{ "", "", "", SMTPD_SAYS_NOTHING, 0 },
		{ HI, HELLO, "", SMTPD_SAYS_HELLO, 0 },
		{ "554 5.7.1 no\r\n", "", "", SMTPD_SAYS_OVER, 554 },
		{ "421 4.7.0 later\r\n", "", "", SMTPD_SAYS_OVER, 421 },
		{ HI EHLO, HELLO MAIL, "", SMTPD_SAYS_MAIL, 0 },
		{ HI "550 no\r\n", HELLO, "", SMTPD_SAYS_OVER, 550 },
		{ HI EHLO "451 4.7.1 later\r\n", HELLO MAIL, "",
		    SMTPD_SAYS_OVER, 451 },
		{ HI EHLO OK OK OK "354 go\r\n",
		    HELLO MAIL RCPT_B RCPT_C "DATA\r\n", "",
		    SMTPD_SAYS_MESSAGE, 0 },
		{ HI EHLO OK "550 5.7.9 x\r\n" OK "354 go\r\n" OK,
		    HELLO MAIL RCPT_B RCPT_C "DATA\r\n", "0:550 5.7.9;",
		    SMTPD_SAYS_OVER, 250 },
		{ HI EHLO OK "550 5.7.9 x\r\n" "554 y\r\n",
		    HELLO MAIL RCPT_B RCPT_C, "0:550 5.7.9;1:554 ;",
		    SMTPD_SAYS_OVER, 554 },
		{ HI EHLO OK OK "450 4.7.1 later\r\n",
		    HELLO MAIL RCPT_B RCPT_C, "", SMTPD_SAYS_OVER, 450 },
		{ HI EHLO OK "421 4.3.0 bye\r\n", HELLO MAIL RCPT_B, "",
		    SMTPD_SAYS_OVER, 421 },
		{ HI EHLO OK OK OK "554 5.7.1 no\r\n",
		    HELLO MAIL RCPT_B RCPT_C "DATA\r\n", "",
		    SMTPD_SAYS_OVER, 554 },
		{ HI EHLO OK OK OK "354 go\r\n" "550 5.7.1 no\r\n" OK,
		    HELLO MAIL RCPT_B RCPT_C "DATA\r\n", "",
		    SMTPD_SAYS_OVER, 550 },
	};
	struct hb_env env = { .sender = HB_SPAN("a@x.example") };

	/* in one piece, and octet by octet */
	for (size_t i = 0; i < 2 * HB_ARRAY_LEN(rows); i++) {
		struct smtpd_speaker s = { .env = &env, .rcpts = rcpts,
			.n = HB_ARRAY_LEN(rcpts), .size = 100,
			.refused = on_refused };
		struct hb_span in = hb_span_str(rows[i / 2].heard);
		size_t step = i % 2 == 0 ? in.n : 1;

		refused[0] = '\0';
		for (; in.n > 0; in = hb_span_from(in, step))
			smtpd_speaker_hear(&s, hb_span_head(in, step));
		assert_span(hb_buf_span(&s.out), rows[i / 2].said);
		assert_string_equal(refused, rows[i / 2].refused);
		assert_int_equal(s.step, rows[i / 2].step);
		if (s.step == SMTPD_SAYS_OVER)
			assert_int_equal(s.reply.code, rows[i / 2].code);
		smtpd_speaker_free(&s);
	}
}

static void
parameters_of_mail_are_passed_on(void **state)
{
	static const struct {
		struct hb_env env;
		const char *said;
	} rows[] = {
		{ { .sender = HB_SPAN("") }, "MAIL FROM:<> SIZE=5\r\n" },
		{ { .sender = HB_SPAN("a@x"), .body = HB_BODY_8BITMIME },
		    "MAIL FROM:<a@x> SIZE=5 BODY=8BITMIME\r\n" },
		{ { .sender = HB_SPAN("a@x"),
		      .flags = HB_ENV_SMTPUTF8 | HB_ENV_REQUIRETLS },
		    "MAIL FROM:<a@x> SIZE=5 SMTPUTF8 REQUIRETLS\r\n" },
		{ { .sender = HB_SPAN("a@x"), .ret = HB_RET_HDRS,
		      .envid = HB_SPAN("Q+2B") },
		    "MAIL FROM:<a@x> SIZE=5 RET=HDRS ENVID=Q+2B\r\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct smtpd_speaker s = { .env = &rows[i].env,
			.rcpts = rcpts, .n = 1, .size = 5,
			.refused = on_refused };

		smtpd_speaker_hear(&s, HB_SPAN(HI));
		hb_buf_clear(&s.out);
		smtpd_speaker_hear(&s, HB_SPAN(EHLO));
		assert_span(hb_buf_span(&s.out), rows[i].said);
		smtpd_speaker_free(&s);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_follows_from_what_is_heard),
		cmocka_unit_test(parameters_of_mail_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
