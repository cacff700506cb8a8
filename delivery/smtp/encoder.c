/* A body on its way to a server that takes 7-bit octets alone.  Floor 3. */
#include "config.h"

#include "delivery/smtp/encoder.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/proto/sevenbit.h"
#include "common/proto/stats.h"
#include "common/proto/wire.h"

enum { STEP = 65536 };

struct dlv_encoder {
	struct hb_sevenbit machine;
	struct hb_wire wire; /* of what it makes */
	uint64_t at;
	bool done;
};

static uint64_t
length(const struct dlv_body *b)
{
	return b->bytes.n + (b->fd >= 0 ? b->len : 0);
}

/* The bytes at E->at; ROOM has STEP bytes. */
static int
read_piece(const struct dlv_encoder *e, const struct dlv_body *b,
    unsigned char *room, struct hb_span *piece)
{
	uint64_t at = e->at - b->bytes.n, left = length(b) - e->at;
	ssize_t n;

	if (e->at < b->bytes.n) {
		*piece = hb_span_head(hb_span_from(b->bytes, (size_t)e->at),
		    STEP);
		return 0;
	}
	n = pread(b->fd, room, left < STEP ? (size_t)left : STEP, (off_t)at);
	if (n <= 0)
		return HB_E_CORRUPT;
	*piece = hb_span(room, (size_t)n);
	return 0;
}

static int
encode(struct dlv_encoder *e, const struct dlv_body *b, struct hb_buf *out)
{
	unsigned char room[STEP];
	struct hb_span piece = HB_SPAN_NONE;
	int r = 0;

	if (e->at < length(b))
		r = read_piece(e, b, room, &piece);
	if (r == 0)
		r = hb_sevenbit_feed(&e->machine, piece, out);
	e->at += piece.n;
	if (r == 0 && e->at == length(b)) {
		r = hb_sevenbit_end(&e->machine, out);
		e->done = r == 0;
	}
	return r;
}

int
dlv_encoder_next(struct dlv_encoder *e, const struct dlv_body *body,
    struct hb_buf *out)
{
	int r = 0;

	/* what is kept back is no piece */
	while (r == 0 && !e->done && out->n == 0)
		r = encode(e, body, out);
	if (r < 0)
		return r;
	if ((hb_wire_feed(&e->wire, hb_buf_span(out)) & HB_WIRE_UNSAFE) != 0)
		return HB_E_CORRUPT;
	if (e->done) {
		if (e->machine.changed)
			hb_stat(HB_STAT_CONVERTED);
		hb_buf_adds(out, ".\r\n");
	}
	return 0;
}

bool
dlv_encoder_is_done(const struct dlv_encoder *e)
{
	return e->done;
}

/* A trial: what comes back does so before a server is bothered. */
static bool
is_encodable(struct hb_sevenbit *m, const struct dlv_body *body)
{
	struct hb_span rest = body->bytes;
	struct hb_buf out = HB_BUF_INIT(0);
	int r = 0;

	hb_sevenbit_start(m);
	while (r == 0 && rest.n > 0) {
		struct hb_span piece = hb_span_head(rest, STEP);

		r = hb_sevenbit_feed(m, piece, &out);
		rest = hb_span_from(rest, piece.n);
		hb_buf_clear(&out);
	}
	if (r == 0 && body->fd < 0)
		r = hb_sevenbit_end(m, &out);
	hb_buf_free(&out);
	return r == 0;
}

struct dlv_encoder *
dlv_encoder_new(const struct dlv_body *body)
{
	struct dlv_encoder *e = HB_NEW(struct dlv_encoder);

	if (!is_encodable(&e->machine, body)) {
		dlv_encoder_free(&e);
		return NULL;
	}
	hb_sevenbit_start(&e->machine);
	hb_wire_init(&e->wire);
	return e;
}

void
dlv_encoder_free(struct dlv_encoder **e)
{
	if (*e == NULL)
		return;
	hb_sevenbit_free(&(*e)->machine);
	free(*e);
	*e = NULL;
}
