/*
 * What local commands dropped goes by the mail filters: queue hands over the
 * file, and a session takes it in as it takes in a client's message.  Floor 4.
 *
 * The file takes the place of a connection.  smtpd/speaker.h says its envelope;
 * the message is read in slices as the session takes it.  A message that could
 * end before its end is not said at all.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/dropfile.h"
#include "common/proto/status.h"
#include "common/proto/wire.h"
#include "smtpd/speaker.h"
#include "smtpd/worker.h"

enum {
	SLICE = 65536,
	TURN = 1 << 20, /* bytes said in a turn of the loop */
	COMMAND = 5000	/* what a command counts as */
};

struct drop {
	struct smtpd_source source;
	struct smtpd_client *client;
	struct hb_arena *arena;
	struct hb_dropfile file;
	struct hb_dropped in;
	struct smtpd_local local;
	struct smtpd_speaker speaker;
	struct hb_wire wire;
	struct hb_buf slice; /* read, and not taken by the session yet */
	bool ended;	     /* nothing comes behind it */
	bool damaged;
	size_t said; /* in this turn */
	struct hb_timer *next_turn;
};

static struct drop *
drop_of(struct smtpd_source *source)
{
	return (struct drop *)(void *)source;
}

/* --- to queue --- */

/* The words of R without the enhanced code, which has a field of its own. */
static struct hb_span
words_of(const struct hb_reply *r)
{
	struct hb_span text = hb_reply_text(r);

	text = hb_span_trim(hb_span_from(text,
	    hb_status_at_front(text, r->code)));
	return hb_span_head(text, 500);
}

static void
tell_refused(void *ctx, const struct hb_rcpt *r, const struct hb_reply *why)
{
	struct drop *d = ctx;
	struct smtpd_worker *w = d->client->worker;
	struct hb_peer *queue = hb_role_peer(w->env, HB_ROLE_QUEUE, 0);
	struct ipc_drop_refused m = { .drop = d->source.drop,
		.status = why->status[0] != '\0' ? hb_span_str(why->status)
						 : HB_SPAN("5.7.1"),
		.text = words_of(why) };

	hb_buf_clear(&w->scratch);
	if (hb_tlv_encode(&hb_rcpt_record, r, &w->scratch) < 0)
		HB_BUG("a recipient that was decoded cannot be encoded");
	m.rcpt = hb_buf_span(&w->scratch);
	if (queue != NULL)
		hb_peer_post(queue, HB_IPC_DROP_REFUSED, &m, -1);
}

/* CODE 0: it is no message; without a reply it has to wait. */
static void
tell_end(struct smtpd_worker *w, uint32_t number, unsigned code,
    const struct hb_reply *r)
{
	struct hb_peer *queue = hb_role_peer(w->env, HB_ROLE_QUEUE, 0);
	struct ipc_drop_end m = { .drop = number, .code = code };

	if (r != NULL) {
		m.status = hb_span_str(r->status);
		m.text = words_of(r);
	}
	if (queue != NULL)
		hb_peer_post(queue, HB_IPC_DROP_END, &m, -1);
}

static void
free_drop(struct drop *d)
{
	if (d->file.fd >= 0)
		close(d->file.fd);
	smtpd_speaker_free(&d->speaker);
	hb_timer_free(&d->next_turn);
	hb_buf_free(&d->slice);
	hb_arena_free(&d->arena);
	free(d);
}

static void
end(struct smtpd_source *source)
{
	struct drop *d = drop_of(source);
	const struct hb_reply *r = &d->speaker.reply;
	bool over = d->speaker.step == SMTPD_SAYS_OVER && r->done;

	if (d->damaged)
		tell_end(d->client->worker, d->source.drop, 0, NULL);
	else
		tell_end(d->client->worker, d->source.drop, over ? r->code : 451,
		    over ? r : NULL);
	free_drop(d);
}

/* --- what is said and heard --- */

static bool
is_over(const struct smtpd_source *source)
{
	const struct drop *d = (const struct drop *)(const void *)source;

	return d->damaged || d->speaker.step == SMTPD_SAYS_OVER;
}

static void
hear(struct smtpd_source *source, struct hb_span output)
{
	smtpd_speaker_hear(&drop_of(source)->speaker, output);
}

/* The session may want more than there is, to see the end of a line. */
static void
read_on(struct drop *d)
{
	size_t had = d->slice.n;
	unsigned seen;
	int err;

	if (d->ended || had >= SLICE)
		return;
	err = hb_dropfile_more(&d->file, SLICE - had, &d->slice);
	if (err == HB_E_IO) { /* nothing of it goes on; it waits */
		d->speaker.step = SMTPD_SAYS_OVER;
		d->speaker.reply.done = false;
		return;
	}
	seen = hb_wire_feed(&d->wire,
	    hb_span_from(hb_buf_span(&d->slice), had));
	d->ended = err < 0 || d->file.left == 0;
	if (d->ended)
		seen |= hb_wire_end(&d->wire);
	d->damaged = err < 0 || (seen & HB_WIRE_FAULTS) != 0;
	if (d->ended)
		hb_buf_adds(&d->slice, ".\r\n");
}

static struct hb_span
input(struct smtpd_source *source)
{
	struct drop *d = drop_of(source);

	if (is_over(source))
		return HB_SPAN_NONE;
	if (d->said >= TURN) {
		hb_timer_set(d->next_turn, 0);
		return HB_SPAN_NONE;
	}
	if (d->speaker.step != SMTPD_SAYS_MESSAGE || d->speaker.out.n > 0)
		return hb_buf_span(&d->speaker.out);
	read_on(d);
	return is_over(source) ? HB_SPAN_NONE : hb_buf_span(&d->slice);
}

static void
consume(struct smtpd_source *source, size_t n)
{
	struct drop *d = drop_of(source);
	bool command = d->speaker.out.n > 0;

	hb_buf_consume(command ? &d->speaker.out : &d->slice, n);
	d->said += command ? COMMAND : n;
}

static void
on_turn(void *ctx)
{
	struct drop *d = ctx;

	d->said = 0;
	smtpd_client_run(d->client);
}

/* --- the beginning --- */

static void
start(struct smtpd_worker *w, struct drop *d)
{
	d->speaker = (struct smtpd_speaker){ .env = &d->in.env,
		.rcpts = d->in.rcpts, .n = d->in.n,
		.size = d->file.head.body_n, .refused = tell_refused,
		.ctx = d };
	hb_wire_init(&d->wire);
	d->next_turn = hb_timer_new(w->env->loop, on_turn, d);
	d->client = smtpd_client_local(w, &d->source, &d->local);
	smtpd_client_begin(d->client);
}

void
smtpd_on_drop(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_drop *m, int fd)
{
	static const struct smtpd_source source = { .input = input,
		.consume = consume, .hear = hear, .is_over = is_over,
		.end = end };
	struct drop *d = HB_NEW(struct drop);
	int err;

	d->source = source;
	d->source.drop = m->drop;
	d->arena = hb_arena_new();
	d->file.fd = fd;
	d->local = (struct smtpd_local){ m->uid, m->dropped_ms };
	d->slice = HB_BUF_INIT(0);
	err = w->stopping ? HB_E_IO : hb_dropfile_begin(&d->file, m->size,
	    w->env->conf->max_recipients, d->arena, &d->in);
	if (err == 0) {
		start(w, d);
		return;
	}
	tell_end(w, d->source.drop, err == HB_E_IO ? 451 : 0, NULL);
	free_drop(d);
}
