/* Expiry of certificates in use: the operator is warned in time.  Floor 4. */
#include "config.h"

#include "smtpd/worker.h"

#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/io/trouble.h"

enum {
	LOOK_MS = 60 * 60 * 1000,
	DAY_MS = 24 * LOOK_MS,
	LAST_PART = 3 /* of its time: some are made for a week */
};

/* The one that we made ourselves?  Nobody checks it. */
static bool
is_own(const struct hb_conf *conf, struct hb_span path)
{
	struct hb_buf own = HB_BUF_INIT(0);
	bool same;

	hb_buf_addf(&own, "%s/tls/cert.pem", conf->spool);
	same = hb_span_eq(path, hb_buf_span(&own));
	hb_buf_free(&own);
	return same;
}

/* What is wrong with a certificate for [FROM, TO); nothing: all is well. */
static void
fault_of(int64_t from, int64_t to, struct hb_buf *text)
{
	/* what the lab makes of time is no matter of certificates */
	int64_t now = hb_now_ms() - hb_clock_ahead();
	int64_t early = (int64_t)HB_MAX_CERTIFICATE_DAYS * DAY_MS;
	char day[HB_TIME_RFC3339_SIZE];

	if ((to - from) / LAST_PART < early)
		early = (to - from) / LAST_PART;
	hb_time_rfc3339(now < from ? from : to, day);
	if (now >= to)
		hb_buf_addf(text, "it has expired on %.10s", day);
	else if (now < from)
		hb_buf_addf(text, "it is not valid before %.10s", day);
	else if (to - now < early)
		hb_buf_addf(text, "it expires on %.10s", day);
	if (text->n > 0)
		hb_buf_adds(text, ": put a new one there");
}

static void
look_at(const struct smtpd_worker *w, size_t i)
{
	struct hb_span path = hb_span_str(w->env->conf->certs.v[i].chain);
	struct hb_buf text = HB_BUF_INIT(0);
	int64_t from, to;

	if (is_own(w->env->conf, path) ||
	    !hb_tls_validity(w->tls, i, &from, &to))
		return;
	fault_of(from, to, &text);
	if (text.n > 0)
		hb_trouble_begin(HB_EV_CERTIFICATE, path, hb_buf_span(&text));
	hb_buf_free(&text);
}

static int64_t
days_left(const struct hb_tls *t, size_t i)
{
	int64_t from = 0, to = 0;

	(void)!hb_tls_validity(t, i, &from, &to);
	return (to - (hb_now_ms() - hb_clock_ahead())) / DAY_MS;
}

/* One of the workers speaks for all. */
void
smtpd_certs_tell(const struct smtpd_worker *w, const struct hb_tls *before)
{
	if (w->env->instance != 0 || before == NULL || w->tls == NULL)
		return;
	for (size_t i = 0; i < hb_tls_chains(w->tls); i++)
		if (!hb_tls_is_same(w->tls, before, i))
			HB_LOG(HB_LOG_INFO, HB_EV_CERTIFICATE,
			    hb_kv_str(HB_K_ACTION, "in-use"),
			    hb_kv_str(HB_K_NAME, hb_tls_name(w->tls, i)),
			    hb_kv_int(HB_K_DAYS, days_left(w->tls, i)));
}

void
smtpd_certs_answer(const struct smtpd_worker *w, const struct hb_ctl *c)
{
	const struct hb_conf *conf = w->env->conf;

	hb_ctl_array(c, "certificates");
	for (size_t i = 0; w->tls != NULL && i < hb_tls_chains(w->tls); i++) {
		hb_ctl_object(c, NULL);
		hb_ctl_text(c, "file", i < conf->certs.n
			? conf->certs.v[i].chain : "");
		hb_ctl_text(c, "name", hb_tls_name(w->tls, i));
		hb_ctl_int(c, "days", days_left(w->tls, i));
		hb_ctl_close(c);
	}
	hb_ctl_close(c);
}

static void
look(void *ctx)
{
	struct smtpd_worker *w = ctx;

	for (size_t i = 0; w->tls != NULL && i < w->env->conf->certs.n; i++)
		look_at(w, i);
	hb_timer_set(w->certs, LOOK_MS);
}

void
smtpd_certs_changed(struct smtpd_worker *w)
{
	if (w->certs == NULL)
		w->certs = hb_timer_new(w->env->loop, look, w);
	hb_trouble_end_all(HB_EV_CERTIFICATE);
	look(w);
}
