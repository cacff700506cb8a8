/* Which servers are queried without OPT.  Floor 1.  RFC 6891 s6.2.2, s7. */
#include "common/proto/edns.h"

bool
hb_edns_next(struct hb_edns *e, int64_t now_ms)
{
	if (e->without_ms > now_ms)
		return false;
	if (e->without_ms != 0) { /* a trial; the others wait for it */
		e->without_ms = now_ms + HB_EDNS_TRIAL_MS;
		return true;
	}
	if (e->misses < HB_EDNS_MISSES)
		return true;
	e->turn = !e->turn;
	return !e->turn;
}

static bool
leave_out(struct hb_edns *e, int64_t now_ms)
{
	bool news = e->without_ms == 0;

	e->rest_ms = news ? HB_EDNS_FIRST_REST_MS : e->rest_ms * 2;
	if (e->rest_ms > HB_EDNS_LONGEST_REST_MS)
		e->rest_ms = HB_EDNS_LONGEST_REST_MS;
	e->without_ms = now_ms + e->rest_ms;
	return news;
}

/*
 * An answer without OPT, where none was to be had with it.  One loss or one
 * slow answer proves nothing against a server that has known OPT before: it
 * has to fail with it once more in between.
 */
static bool
note_win(struct hb_edns *e, bool at_once, int64_t now_ms)
{
	if (e->without_ms != 0)
		return false;
	e->wins++;
	if (at_once || (e->misses >= HB_EDNS_MISSES &&
			   (!e->proven || e->wins > 1)))
		return leave_out(e, now_ms);
	if (e->misses >= HB_EDNS_MISSES)
		e->misses = HB_EDNS_MISSES - 1;
	e->turn = false;
	return false;
}

bool
hb_edns_heard(struct hb_edns *e, bool with, bool at_once,
    enum hb_edns_answer answer, int64_t now_ms)
{
	if (with && answer == HB_EDNS_GOOD) {
		bool news = e->without_ms != 0;

		*e = (struct hb_edns){ .proven = true };
		return news;
	}
	if (!with)
		return answer == HB_EDNS_GOOD && note_win(e, at_once, now_ms);
	if (e->misses < HB_EDNS_MISSES)
		e->misses++;
	return e->without_ms != 0 && leave_out(e, now_ms);
}
