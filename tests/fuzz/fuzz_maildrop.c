/*
 * Files of the maildrop: any bytes are read without harm.  As random bytes
 * hardly ever pass the checksum of the head, the input is taken as records
 * too: a byte is the length of the envelope, then come envelope and
 * recipients.  What is taken in is canonical, and stays what it is when it is
 * written and taken in again.
 */
#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/intake.h"
#include "common/proto/maildrop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool good)
{
	if (!good)
		abort();
}

static void
head_again(const struct hb_drop_head *h)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_drop_head back;

	hb_drop_head_put(h, &out);
	must(hb_drop_head_parse(hb_buf_span(&out), &back) == 0 &&
	    back.env_n == h->env_n && back.rcpts_n == h->rcpts_n &&
	    back.body_n == h->body_n && back.crc == h->crc);
	hb_buf_free(&out);
}

static void
env_again(struct hb_span in, struct hb_arena *a)
{
	struct hb_buf one = HB_BUF_INIT(0), two = HB_BUF_INIT(0);
	struct hb_env e, back;

	if (hb_drop_env(in, &e) < 0 || hb_intake_env(&e, a) < 0)
		return;
	must(hb_intake_is_path(e.sender) && hb_intake_is_text(e.sender));
	must(hb_intake_is_text(e.envid) && hb_intake_is_text(e.user) &&
	    hb_intake_is_text(e.helo) && hb_intake_is_text(e.mail_auth));
	must(hb_tlv_encode(&hb_env_record, &e, &one) == 0);
	must(hb_drop_env(hb_buf_span(&one), &back) == 0);
	must(hb_intake_env(&back, a) == 0);
	must(hb_tlv_encode(&hb_env_record, &back, &two) == 0);
	must(hb_span_eq(hb_buf_span(&one), hb_buf_span(&two)));
	hb_buf_free(&one);
	hb_buf_free(&two);
}

static void
rcpts_again(struct hb_span in, struct hb_arena *a)
{
	struct hb_rcpt r, kept, back, again;

	while (hb_drop_rcpt(&in, &r) > 0) {
		struct hb_buf out = HB_BUF_INIT(0);
		struct hb_span rest;

		if (hb_intake_rcpt(&r, a, &kept) < 0)
			continue;
		must(kept.address.n > 0 && hb_intake_is_path(kept.address) &&
		    hb_intake_is_text(kept.address) &&
		    hb_intake_is_orcpt(kept.orcpt) &&
		    hb_intake_is_text(kept.orcpt));
		must(hb_drop_rcpt_put(&kept, &out) == 0);
		rest = hb_buf_span(&out);
		must(hb_drop_rcpt(&rest, &back) == 1 && rest.n == 0);
		must(hb_intake_rcpt(&back, a, &again) == 0);
		must(hb_span_eq(again.address, kept.address) &&
		    hb_span_eq(again.orcpt, kept.orcpt) &&
		    again.notify == kept.notify);
		hb_buf_free(&out);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span s = hb_span(data, size);
	struct hb_arena *a = hb_arena_new();
	struct hb_drop_head h;

	(void)hb_drop_is_name(s);
	if (hb_drop_head_parse(s, &h) == 0) {
		head_again(&h);
		s = hb_span_from(s, HB_DROP_HEAD);
		env_again(hb_span_head(s, h.env_n), a);
		rcpts_again(hb_span_head(hb_span_from(s, h.env_n), h.rcpts_n),
		    a);
	} else if (s.n > 0) {
		env_again(hb_span_head(hb_span_from(s, 1), s.p[0]), a);
		rcpts_again(hb_span_from(s, 1 + (size_t)s.p[0]), a);
	}
	hb_arena_free(&a);
	return 0;
}
