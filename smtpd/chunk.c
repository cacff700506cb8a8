/*
 * One chunk of a message: the octets that a BDAT announces.  Floor 2.
 * RFC 3030 s2.
 *
 * They are read whatever becomes of them: a reply before their end would leave
 * a client that pipelines and its server at different places.  A chunk that is
 * refused spoils the message; those behind it are read and refused without
 * another record in the log.
 */
#include "smtpd/session-priv.h"

#include "common/base/err.h"

/* ARGS: octets, and perhaps LAST. */
static int
parse(struct hb_span args, struct smtpd_chunk *c)
{
	struct hb_span size = hb_span_word(&args), last = hb_span_word(&args);

	c->last = hb_span_eq_nocase(last, HB_SPAN("LAST"));
	if ((last.n > 0 && !c->last) || hb_span_word(&args).n > 0)
		return HB_E_SYNTAX;
	return hb_span_u64(size, UINT64_MAX, &c->left);
}

void
smtpd_chunk_start(struct smtpd_session *s, struct hb_span args,
    enum smtpd_reply_id why)
{
	struct smtpd_chunk *c = &s->chunk;

	memset(c, 0, sizeof(*c));
	if (parse(args, c) < 0) {
		/* What comes now may be octets: it must not run as commands. */
		smtpd_reply_bad(s, SMTPD_R_ARGUMENT);
		smtpd_reply(s, SMTPD_R_CHUNK_END);
		return;
	}
	c->open = true;
	c->refused = why;
	s->txn.block = 0;
	smtpd_set_timer(s, s->rules->data_ms);
	if (s->state == SMTPD_S_CHUNKS)
		s->state = SMTPD_S_DATA;
	if (c->left > s->rules->max_size)
		smtpd_txn_fail(s, SMTPD_R_TOO_BIG);
}

/* All octets of a chunk that is no part of a message have come.  With LMTP the
 * last is answered for each recipient, RFC 2033 s4.3. */
static void
end_refused(struct smtpd_session *s)
{
	const struct smtpd_chunk *c = &s->chunk;
	bool of_txn = s->state == SMTPD_S_DATA;
	bool many = of_txn && c->last && s->rules->kind == HB_LISTEN_LMTP;
	uint32_t n = many && s->txn.n_taken > 0 ? s->txn.n_taken : 1;

	while (n-- > 0)
		smtpd_reply(s, c->refused);
	if (of_txn && c->last)
		smtpd_txn_reset(s);
	else if (of_txn)
		s->state = SMTPD_S_CHUNKS;
}

static void
end_part(struct smtpd_session *s)
{
	if (smtpd_txn_is_refused(&s->txn)) {
		smtpd_txn_reply_refused(s, false);
		s->txn.chunk_refused = true;
	} else {
		smtpd_reply(s, SMTPD_R_CHUNK_OK);
	}
	s->state = SMTPD_S_CHUNKS;
}

/* False: not now. */
static bool
end(struct smtpd_session *s)
{
	struct smtpd_chunk *c = &s->chunk;

	if (c->refused != SMTPD_R_NONE) {
		c->open = false;
		end_refused(s);
	} else if (!c->last) {
		c->open = false;
		end_part(s);
	} else if (smtpd_txn_octets_end(s)) {
		/* once more when there is a file */
		c->open = !s->txn.whole && (s->wait == SMTPD_W_LARGE ||
		    s->wait == SMTPD_W_FILE);
	} else {
		return false;
	}
	return true;
}

bool
smtpd_chunk_input(struct smtpd_session *s, struct hb_span in, size_t *used)
{
	struct smtpd_chunk *c = &s->chunk;
	bool moved;

	if (c->left == 0)
		return end(s);
	if (in.n > c->left)
		in = hb_span_head(in, (size_t)c->left);
	if (c->refused != SMTPD_R_NONE || smtpd_txn_is_refused(&s->txn)) {
		*used = in.n;
		moved = in.n > 0;
	} else {
		moved = smtpd_txn_octets(s, in, used);
	}
	c->left -= *used;
	smtpd_txn_count_block(s, *used);
	return moved;
}
