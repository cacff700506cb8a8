/*
 * Room on the disk for new mail: reported to smtpd, and to the operator before
 * mail is refused.  Floor 4.
 *
 * Smtpd alone replies 452 to a large message that does not fit, so queue does
 * not wait for a refusal: it measures.
 */
#include "config.h"

#include "queue/manager/role.h"

#include "common/base/limits.h"
#include "common/io/trouble.h"

enum {
	LOOK_MS = 10000,
	LOW_LOOK_MS = 1000, /* mail may fit again soon */
	MIB_SHIFT = 20
};

/* With less than this a message that `max-message-size' allows may be
 * refused. */
static uint64_t
least_room(const struct q *q)
{
	uint64_t most = q->env->conf->max_message_size;

	return (most < HB_MAX_ROOM_LOW ? most : HB_MAX_ROOM_LOW) +
	    HB_MAX_OTHERS_ROOM;
}

static void
tell_operator(struct q *q, uint64_t bytes)
{
	struct hb_span spool = hb_span_str(q->env->conf->spool);
	uint64_t least = least_room(q);
	struct hb_buf text = HB_BUF_INIT(0);

	/* Room that comes and goes at the limit is one trouble. */
	q->low = bytes < least || (q->low && bytes < least + least / 4);
	if (!q->low) {
		hb_trouble_end(HB_EV_DISK, spool);
		return;
	}
	if (bytes == 0)
		hb_buf_adds(&text, "it is full: mail is refused with 452 until "
		    "there is room");
	else
		hb_buf_addf(&text, "%llu MiB are left for new mail: what is "
		    "larger is refused with 452",
		    (unsigned long long)(bytes >> MIB_SHIFT));
	hb_trouble_begin(HB_EV_DISK, spool, hb_buf_span(&text));
	hb_buf_free(&text);
}

void
q_tell_space(struct q *q, struct hb_peer *p)
{
	struct ipc_space m = { .bytes = q->room,
		.stuck = q->stuck };

	hb_peer_post(p, HB_IPC_SPACE, &m, -1);
}

static void
tell_all(struct q *q)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(q->smtpd); i++)
		if (q->smtpd[i] != NULL)
			q_tell_space(q, q->smtpd[i]);
}

/* Room that holds the largest message is enough, however much more it is. */
void
q_room_seen(struct q *q, uint64_t bytes)
{
	uint64_t most = q->env->conf->max_message_size, before = q->room;

	q->room = bytes;
	tell_operator(q, bytes);
	if (bytes == before || (bytes > most && before > most))
		return;
	tell_all(q);
}

/* While results cannot be recorded new mail would only add to them. */
static void
look_for_results(struct q *q)
{
	bool stuck = q_spool_is_stuck(q->spool);

	if (stuck == q->stuck)
		return;
	q->stuck = stuck;
	tell_all(q);
}

static void
look(void *ctx)
{
	struct q *q = ctx;

	look_for_results(q);
	q_spool_space_look(q->spool);
	q_room_seen(q, q_spool_space(q->spool));
	hb_timer_set(q->room_timer, q->low || q->stuck ? LOW_LOOK_MS
						       : LOOK_MS);
}

void
q_room_start(struct q *q)
{
	q->room_timer = hb_timer_new(q->loop, look, q);
	look(q);
}
