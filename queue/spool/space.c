/* Room on the disk for mail and results: the segments that are made, and what
 * is left.  Floor 3. */
#include "config.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"

enum { RESERVE_SEGMENTS = 2 /* room that new mail leaves to results */ };

bool
q_space_is_reserved(const struct q_spool *s)
{
	return s->segs.error == HB_E_NOSPACE && s->segs.ready == NULL &&
	    s->segs.making == NULL;
}

/* After a failure a new file waits for the next look at the space; a free
 * segment needs none. */
void
q_space_prepare(struct q_spool *s, uint32_t need)
{
	if (s->segs.error == 0 ||
	    (s->segs.nfree > 0 && need <= s->segs.size - Q_SEG_START))
		q_segs_prepare(&s->segs, need);
}

uint64_t
q_spool_space(const struct q_spool *s)
{
	uint64_t have = s->avail + q_segs_room(&s->segs);
	uint64_t keep = (uint64_t)RESERVE_SEGMENTS * s->segs.size +
	    s->waiting_bytes;

	return have > keep && !q_space_is_reserved(s) ? have - keep : 0;
}

bool
q_spool_is_stuck(const struct q_spool *s)
{
	return s->segs.error != 0 && s->segs.current == NULL &&
	    s->segs.ready == NULL && !STAILQ_EMPTY(&s->waiting);
}

static void
measure(struct q_spool *s)
{
	uint64_t avail, total;

	if (s->io->space(s->io->ctx, &avail, &total) == 0)
		s->avail = avail;
}

void
q_spool_space_look(struct q_spool *s)
{
	bool full;

	s->avail_ms = hb_mono_ms();
	measure(s);
	if (s->segs.error != 0 && s->avail > s->segs.size)
		q_segs_prepare(&s->segs, 0);
	full = q_spool_space(s) == 0;
	if (full == s->full)
		return;
	s->full = full;
	HB_LOG(HB_LOG_WARN, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "space"),
	    hb_kv_int(HB_K_SIZE, (int64_t)q_spool_space(s)));
	s->cfg.ops->on_space(s->cfg.ctx, q_spool_space(s));
}

void
q_space_changed(void *ctx)
{
	struct q_spool *s = ctx;

	if (s->segs.error != 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL,
		    hb_kv_str(HB_K_ACTION, "segment"),
		    hb_kv_str(HB_K_ERROR, hb_strerror(s->segs.error)));
	/* a fast sender fills segments between two looks */
	measure(s);
	q_segs_collect(&s->segs);
	q_spool_wake(s, 0);
}
