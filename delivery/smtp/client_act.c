/* What the client does, and how it ends.  Floor 2. */
#include "delivery/smtp/client-priv.h"

#include <stdarg.h>
#include <stdio.h>

/* --- acts --- */

/*
 * The act that one more of its kind joins: bytes and the timer do not mind
 * each other's order.  So a server that replies ahead of the commands, many
 * times in one piece, makes no more than two.  NULL: none.
 */
static struct dlv_client_act *
joinable(struct dlv_client *c, enum dlv_act_kind kind)
{
	for (size_t i = c->nacts; i-- > 0;) {
		struct dlv_client_act *a = &c->acts[i];

		if (a->kind != DLV_ACT_SEND && a->kind != DLV_ACT_TIMER)
			return NULL;
		if (a->kind == kind)
			return a;
	}
	return NULL;
}

void
dlv_client_act(struct dlv_client *c, enum dlv_act_kind kind, size_t len, int64_t ms)
{
	struct dlv_client_act *same = joinable(c, kind);

	if (same != NULL) {
		same->len += len;
		same->ms = ms;
		return;
	}
	if (c->nacts == DLV_CLIENT_ACTS)
		HB_BUG("acts of the client are not taken");
	c->acts[c->nacts++] = (struct dlv_client_act){ kind, len, ms };
}

struct dlv_act
dlv_client_next(struct dlv_client *c)
{
	struct dlv_act out = { .kind = DLV_ACT_NONE };
	struct dlv_client_act a;

	hb_buf_consume(&c->out, c->consumed);
	c->consumed = 0;
	if (c->nacts == 0)
		return out;
	a = c->acts[0];
	memmove(c->acts, c->acts + 1, --c->nacts * sizeof(a));
	out.kind = a.kind;
	out.ms = a.ms;
	if (a.kind == DLV_ACT_SEND) {
		out.bytes = hb_span_head(hb_buf_span(&c->out), a.len);
		c->consumed = a.len;
	}
	return out;
}

void
dlv_client_timer(struct dlv_client *c, int64_t ms)
{
	dlv_client_act(c, DLV_ACT_TIMER, 0, ms);
}

void HB_PRINTF(2, 3)
dlv_client_say(struct dlv_client *c, const char *fmt, ...)
{
	char line[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	HB_ASSERT(n > 0 && (size_t)n < sizeof(line));
	hb_buf_add(&c->out, hb_span(line, (size_t)n));
	dlv_client_act(c, DLV_ACT_SEND, (size_t)n, 0);
}

void
dlv_client_say_parts(struct dlv_client *c, const char *verb, struct hb_span part,
    const char *end)
{
	size_t before = c->out.n;

	hb_buf_adds(&c->out, verb);
	hb_buf_add(&c->out, part);
	hb_buf_adds(&c->out, end);
	dlv_client_act(c, DLV_ACT_SEND, c->out.n - before, 0);
}

void
dlv_client_await(struct dlv_client *c, enum client_state state)
{
	c->state = state;
	dlv_client_timer(c, c->conf.reply_ms);
}

/* --- results --- */

static enum hb_result
result_of_class(const struct hb_reply *r)
{
	switch (hb_reply_class(r)) {
	case 2:
		return HB_RESULT_OK;
	case 5:
		return HB_RESULT_FAIL;
	default: /* 4yz, and 3yz where it makes no sense */
		return HB_RESULT_DEFER;
	}
}

struct hb_outcome
dlv_remote_result(const struct hb_reply *r, struct hb_arena *arena)
{
	struct hb_outcome res = { .result = result_of_class(r),
		.reason = HB_REASON_REMOTE_REPLY, .code = r->code,
		.status = hb_arena_span(arena, hb_span_str(r->status)),
		.text = hb_arena_span(arena, hb_reply_text(r)),
		.from_remote = 1 };

	if (res.result == HB_RESULT_OK)
		res.reason = HB_REASON_OK;
	else if (hb_reply_class(r) == 3)
		res.reason = HB_REASON_BAD_REPLY;
	return res;
}

struct hb_outcome
dlv_own_outcome(enum hb_result result, enum hb_reason reason)
{
	return (struct hb_outcome){ .result = result, .reason = reason,
		.code = hb_reason_code(reason, result),
		.status = hb_span_str(hb_reason_status(reason, result)),
		.text = hb_span_str(hb_reason_text(reason)) };
}

void
dlv_client_close_with(struct dlv_client *c, struct hb_outcome why)
{
	if (c->state == S_CLOSED)
		return;
	c->failure = why;
	c->state = S_CLOSED;
	dlv_client_timer(c, 0);
	dlv_client_act(c, DLV_ACT_CLOSED, 0, 0);
}

/* There was no reply, so there is no code. */
static struct hb_outcome
cut_off(enum hb_reason reason)
{
	struct hb_outcome why = dlv_own_outcome(HB_RESULT_DEFER, reason);

	why.code = 0;
	return why;
}

void
dlv_client_break_off(struct dlv_client *c, enum hb_reason reason)
{
	dlv_client_close_with(c, cut_off(reason));
}

void
dlv_client_out_of_step(struct dlv_client *c)
{
	struct hb_outcome why = cut_off(HB_REASON_BAD_REPLY);
	struct hb_buf text = HB_BUF_INIT(0);

	hb_buf_addf(&text, "%s (a reply that nothing was asked for: %u ",
	    hb_reason_text(HB_REASON_BAD_REPLY), c->reply.code);
	hb_buf_add(&text, hb_reply_text(&c->reply));
	hb_buf_adds(&text, ")");
	why.text = hb_arena_span(c->failure_arena, hb_buf_span(&text));
	hb_buf_free(&text);
	dlv_client_close_with(c, why);
}

void
dlv_client_refused(struct dlv_client *c)
{
	struct hb_outcome why = dlv_remote_result(&c->reply, c->failure_arena);

	/* What a server says before it knows the message is no word on the
	 * message: another host, or later. */
	why.result = HB_RESULT_DEFER;
	if (c->reply.code != 421)
		dlv_client_say(c, "QUIT\r\n");
	dlv_client_close_with(c, why);
}
