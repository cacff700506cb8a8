/* Replies.  Floor 2.  RFC 5321 s4.2, RFC 2034. */
#include "smtpd/session-priv.h"

enum { TEXT_MAX = 400 }; /* of words from elsewhere: one line of 512 */

static const struct {
	unsigned code;
	enum hb_reason reason;
	const char *status, *text;
} replies[SMTPD_R_COUNT] = {
#define SMTPD_REPLY(sym, code, status, reason, text)                           \
	[SMTPD_R_##sym] = { (code), HB_REASON_##reason, (status), (text) },
#include "smtpd/reply.def"
};

void
smtpd_put_line(struct smtpd_session *s, unsigned code, char sep,
    struct hb_span text)
{
	hb_buf_addf(&s->out, "%u%c", code, sep);
	hb_buf_add(&s->out, text);
	hb_buf_adds(&s->out, "\r\n");
}

/* TEXT without bytes that would end or bend the line. */
static void
put_printable(struct hb_buf *out, struct hb_span text)
{
	text = hb_span_head(text, TEXT_MAX);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.p[i];
		char ch = c >= ' ' && c < 127 ? (char)c : '?';

		hb_buf_add(out, hb_span(&ch, 1));
	}
}

/* An LF in the text begins a new line, RFC 5321 s4.2.1, RFC 2034 s4. */
static void
put_reply(struct hb_buf *out, const struct smtpd_reply_words *w)
{
	struct hb_span rest = w->text;

	do {
		struct hb_span line = hb_span_cut(&rest, '\n');

		hb_buf_addf(out, "%u%c", w->code, rest.n > 0 ? '-' : ' ');
		if (w->status.n > 0) {
			hb_buf_add(out, w->status);
			hb_buf_adds(out, " ");
		}
		put_printable(out, line);
		hb_buf_adds(out, "\r\n");
	} while (rest.n > 0);
}

static enum hb_stat
stage_of(const struct smtpd_session *s)
{
	if (s->first != NULL)
		return s->first->stage->refused;
	switch (s->state) {
	case SMTPD_S_START:
	case SMTPD_S_REFUSED:
		return HB_STAT_REFUSED_CONNECT;
	case SMTPD_S_HELLO:
		return HB_STAT_REFUSED_HELO;
	case SMTPD_S_READY:
		return HB_STAT_REFUSED_MAIL;
	case SMTPD_S_MAIL:
		return HB_STAT_REFUSED_RCPT;
	case SMTPD_S_DATA:
	case SMTPD_S_CHUNKS:
	case SMTPD_S_OVER:
		break;
	}
	return HB_STAT_REFUSED_DATA;
}

static void
log_refusal(struct smtpd_session *s, const struct smtpd_reply_words *w)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_span rcpt = s->first != NULL ? s->first->rcpt.address
					       : HB_SPAN_NONE;
	enum hb_stat stage = stage_of(s);

	hb_stat(stage);
	HB_LOG(HB_LOG_INFO, HB_EV_REJECT,
	    hb_kv_if(s->state == SMTPD_S_DATA, hb_kv_id(HB_K_MSG, t->id)),
	    hb_kv_str(HB_K_STAGE, hb_stat_info(stage).value),
	    hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_int(HB_K_CODE, w->code),
	    hb_kv_str(HB_K_REASON, hb_reason_word(w->reason)),
	    hb_kv_if(w->status.n > 0, hb_kv_span(HB_K_STATUS, w->status)),
	    hb_kv_if(s->helo[0] != '\0', hb_kv_str(HB_K_HELO, s->helo)),
	    hb_kv_if(s->user[0] != '\0', hb_kv_str(HB_K_USER, s->user)),
	    hb_kv_if(t->sender.n > 0,
		hb_kv_span(HB_K_FROM, hb_buf_span(&t->sender))),
	    hb_kv_if(rcpt.n > 0, hb_kv_span(HB_K_RCPT, rcpt)),
	    hb_kv_span(HB_K_TEXT, w->text));
}

/* A client that is refused again and again is a stranger who guesses, or
 * broken.  What was pipelined behind a refused MAIL could not know of it; what
 * is said about a message has its own bounds. */
static void
count_refusal(struct smtpd_session *s, const struct smtpd_reply_words *w)
{
	if (s->state == SMTPD_S_DATA || w->code == 421)
		return;
	if (w->code == 503 && s->spare > 0) {
		s->spare--;
		return;
	}
	if (s->state == SMTPD_S_READY && w->code != 503)
		s->spare = HB_MAX_PIPELINED;
	if (w->code >= 500)
		s->refused++;
	if (s->refused >= (smtpd_is_known(s) ? HB_MAX_REFUSED_KNOWN
				 : 2 * HB_MAX_REFUSED))
		smtpd_reply(s, SMTPD_R_BAD_COMMANDS);
}

/* What the operator or this server does wrong refuses nobody's mail for good,
 * whoever found the words. */
static struct smtpd_reply_words
spare_client(const struct smtpd_reply_words *w)
{
	struct smtpd_reply_words words = *w;

	if (w->code >= 500 && !hb_reason_is_final(w->reason)) {
		words.code = 451;
		words.status = HB_SPAN("4.3.0");
	}
	return words;
}

void
smtpd_reply_words(
    struct smtpd_session *s, const struct smtpd_reply_words *words)
{
	struct smtpd_reply_words spared = spare_client(words), *w = &spared;
	bool told;

	if (s->gone || s->state == SMTPD_S_OVER)
		return;
	/* What was under way behind a refused chunk says nothing new. */
	told = w->code != 421 && s->txn.chunk_refused;
	if (w->code >= 400 && !told)
		log_refusal(s, w);
	put_reply(&s->out, w);
	smtpd_set_timer(s, s->rules->command_ms);
	if (w->code == 421)
		smtpd_close(s);
	else if (w->code >= 400 && !told)
		count_refusal(s, w);
}

static struct smtpd_reply_words
words_of(enum smtpd_reply_id id)
{
	return (struct smtpd_reply_words){
		.code = replies[id].code,
		.status = hb_span_str(replies[id].status),
		.text = hb_span_str(replies[id].text),
		.reason = replies[id].reason,
	};
}

void
smtpd_reply(struct smtpd_session *s, enum smtpd_reply_id id)
{
	struct smtpd_reply_words w = words_of(id);

	smtpd_reply_words(s, &w);
}

static void
count_bad(struct smtpd_session *s)
{
	if (++s->bad_commands >= HB_MAX_BAD_COMMANDS)
		smtpd_reply(s, SMTPD_R_BAD_COMMANDS);
}

void
smtpd_reply_bad(struct smtpd_session *s, enum smtpd_reply_id id)
{
	smtpd_reply(s, id);
	count_bad(s);
}

void
smtpd_reply_fault(struct smtpd_session *s, const struct smtpd_fault *fault)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct smtpd_reply_words w = words_of(fault->id);

	hb_buf_add(&text, w.text);
	if (fault->why.n > 0) {
		hb_buf_adds(&text, ": ");
		hb_buf_add(&text, fault->why);
	}
	w.text = hb_buf_span(&text);
	smtpd_reply_words(s, &w);
	hb_buf_free(&text);
	count_bad(s);
}

struct ipc_verdict
smtpd_verdict(enum smtpd_reply_id id)
{
	struct smtpd_reply_words w = words_of(id);

	return (struct ipc_verdict){
		.action = w.code / 100 == 4 ? HB_ACTION_TEMPFAIL
					    : HB_ACTION_REJECT,
		.code = w.code,
		.status = w.status,
		.text = w.text,
		.reason = (uint32_t)w.reason,
	};
}

void
smtpd_reply_verdict(struct smtpd_session *s, const struct ipc_verdict *v)
{
	bool temporary = v->action == HB_ACTION_TEMPFAIL;
	struct smtpd_reply_words w = { v->code, v->status, v->text,
		(enum hb_reason)v->reason };

	if (v->code / 100 != (temporary ? 4 : 5)) {
		w.code = temporary ? 451 : 550;
		w.status = temporary ? HB_SPAN("4.3.0") : HB_SPAN("5.7.1");
	}
	if (w.text.n == 0)
		w.text = hb_span_str(hb_reason_text(w.reason));
	smtpd_reply_words(s, &w);
}
