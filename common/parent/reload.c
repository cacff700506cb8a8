/*
 * Replacing the configuration.  Floor 4.
 *
 * A new configuration is valid when every role has accepted it.  Until then the
 * previous one is kept, and it returns in all roles if one cannot use the new
 * one: an error that only a role can find (an invalid certificate) must not
 * leave half of the server changed.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/parent/conf_check.h"
#include "common/io/conf_load.h"
#include "common/parent/parent.h"
#include "common/io/trouble.h"
#include "common/proto/idna.h"

enum { RELOAD_WAIT_MS = 10000 };

void
pd_log_lines(struct hb_span text, enum hb_level level)
{
	while (text.n > 0)
		HB_LOG(level, HB_EV_CONFIG,
		    hb_kv_span(HB_K_TEXT, hb_span_cut(&text, '\n')));
}

bool
pd_read_setup(const struct pd_parent *pd, struct pd_setup *out,
    struct hb_conf_report *report)
{
	const struct pd_check how = { pd->libexec, pd->privileged };

	out->conf = pd_conf_load(pd->conf_file, hb_idna_domain, report);
	pd_conf_check(&how, out->conf, report);
	out->warnings = HB_BUF_INIT(0);
	if (report->errors == 0)
		hb_buf_add(&out->warnings, hb_buf_span(&report->text));
	return report->errors == 0;
}

/* Says by its line that each word of CHANGED stays as it was. */
static void
tell_fixed(const struct pd_parent *pd, const struct hb_conf *conf,
    struct hb_span changed, struct hb_buf *out)
{
	struct hb_span word;

	while ((word = hb_span_word(&changed)).n > 0) {
		const struct hb_place *at = hb_conf_line_of(conf, word);

		hb_buf_addf(out, "%s:%u: '%.*s' counts at the next start\n",
		    at != NULL ? at->file : pd->conf_file,
		    at != NULL ? at->line : 1, HB_SPAN_ARG(word));
	}
}

/* Words that only count at start stay as they are. */
static void
keep_fixed(struct pd_parent *pd, struct pd_setup *out)
{
	struct hb_buf changed = HB_BUF_INIT(0), told = HB_BUF_INIT(0);
	struct hb_conf *kept;

	kept = pd_conf_keep_fixed(pd->now.conf, out->conf, &changed);
	tell_fixed(pd, out->conf, hb_buf_span(&changed), &told);
	if (kept != out->conf)
		hb_conf_free(&out->conf);
	out->conf = kept;
	hb_buf_add(&out->warnings, hb_buf_span(&told));
	hb_buf_free(&changed);
	hb_buf_free(&told);
}

/* All that can fail, on the side.  While listening is paused there are no
 * listeners. */
static int
prepare(struct pd_parent *pd, struct pd_setup *out, struct hb_buf *why)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	int r = 0;

	*out = (struct pd_setup){ 0 };
	if (pd_read_setup(pd, out, &report)) {
		keep_fixed(pd, out);
		pd_log_lines(hb_buf_span(&out->warnings), HB_LOG_WARN);
	} else {
		pd_log_lines(hb_buf_span(&report.text), HB_LOG_ERROR);
		hb_buf_add(why, hb_span_trim(hb_buf_span(&report.text)));
		r = HB_E_SYNTAX;
	}
	if (r == 0 && pd_load_files(pd, out->conf, &out->files, why) != 0)
		r = HB_E_IO;
	if (r == 0 && !pd->listen_paused && pd_listen(out->conf,
	    &pd->now.listeners, &out->listeners, why) != 0) {
		pd_free_files(&out->files);
		r = HB_E_IO;
	}
	if (r != 0) {
		hb_conf_free(&out->conf);
		hb_buf_free(&out->warnings);
	}
	hb_buf_free(&report.text);
	return r;
}

static void
reopen_logs(struct pd_parent *pd)
{
	struct hb_buf err = HB_BUF_INIT(0);

	if (pd_open_log(pd, &err) != 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_LOG, hb_kv_str(HB_K_STATE, "kept"),
		    hb_kv_span(HB_K_ERROR, hb_buf_span(&err)));
	else
		pd_spread_log(pd);
	hb_buf_free(&err);
}

/* What is in force now goes to all roles. */
static void
spread(struct pd_parent *pd)
{
	pd_role_text(pd->now.conf, &pd->text);
	(void)pd_files_changed(pd);
	pd_renewal_begin(pd);
	pd->generation++;
	reopen_logs(pd);
	pd_renew(pd, NULL);
}

/* Frees S but for the sockets that are in KEEP too. */
static void
drop(struct pd_setup *s, const struct pd_listeners *keep)
{
	hb_conf_free(&s->conf);
	pd_free_files(&s->files);
	pd_listen_close(&s->listeners, keep);
	hb_buf_free(&s->warnings);
}

static void
log_kept(const struct pd_parent *pd, struct hb_span why)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_span rest = why, first = hb_span_cut(&rest, '\n');

	hb_buf_addf(&text, "it was refused, what was in force before still is: "
	    "%.*s", HB_SPAN_ARG(first));
	hb_trouble_begin(HB_EV_CONFIG, hb_span_str(pd->conf_file),
	    hb_buf_span(&text));
	hb_buf_free(&text);
	HB_LOG(HB_LOG_ERROR, HB_EV_CONFIG, hb_kv_str(HB_K_STATE, "kept"),
	    hb_kv_span(HB_K_ERROR, why));
}

/* Tells who asked, or begins once more when somebody asked meanwhile. */
static void
settle(struct pd_parent *pd, unsigned exit_code, const char *text)
{
	struct hb_buf why = HB_BUF_INIT(0);
	bool again = pd->reload_again;
	int r;

	hb_timer_clear(pd->reload_timer);
	pd_notify("READY=1\n");
	pd->reload_again = false;
	r = again ? pd_reload(pd, &why) : 0;
	if (r < 0)
		pd_answer_all(pd, &pd->reload_askers, 1,
		    why.n > 0 ? hb_buf_cstr(&why) : hb_strerror(r));
	else if (!again)
		pd_answer_all(pd, &pd->reload_askers, exit_code, text);
	hb_buf_free(&why);
}

void
pd_reload_done(struct pd_parent *pd)
{
	if (pd->before.conf == NULL)
		return;
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].state != PD_READY ||
		    pd->procs[i].generation != pd->generation)
			return;
	drop(&pd->before, &pd->now.listeners);
	/* also that of files that are no longer named */
	hb_trouble_end_all(HB_EV_CONFIG);
	HB_LOG(HB_LOG_INFO, HB_EV_CONFIG, hb_kv_str(HB_K_STATE, "reloaded"));
	pd_say_features(pd->now.conf);
	settle(pd, 0, NULL);
}

void
pd_reload_refused(struct pd_parent *pd, uint32_t generation, const char *why)
{
	if (pd->before.conf == NULL || generation != pd->generation)
		return;
	drop(&pd->now, &pd->before.listeners);
	pd->now = pd->before;
	pd->before = (struct pd_setup){ 0 };
	spread(pd);
	log_kept(pd, hb_span_str(why));
	settle(pd, 1, why);
}

/* A role that is down or busy starting takes the new one later. */
static void
on_late(void *ctx)
{
	static const char text[] = "the new configuration is in force, but a "
	    "role did not answer";
	struct pd_parent *pd = ctx;

	drop(&pd->before, &pd->now.listeners);
	hb_trouble_end_all(HB_EV_CONFIG);
	HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_STATE, "reloaded"),
	    hb_kv_str(HB_K_TEXT, text));
	settle(pd, 1, text);
}

int
pd_reload(struct pd_parent *pd, struct hb_buf *why)
{
	struct pd_setup next;
	int r;

	if (pd->phase != PD_RUNNING)
		return HB_E_STATE;
	if (pd->before.conf != NULL) {
		pd->reload_again = true;
		return 0;
	}
	pd_renewal_cancel(pd);
	r = prepare(pd, &next, why);
	if (r < 0) {
		reopen_logs(pd);
		log_kept(pd, hb_buf_span(why));
		return r;
	}
	pd_notify("RELOADING=1\n");
	pd->before = pd->now;
	pd->now = next;
	if (pd->reload_timer == NULL)
		pd->reload_timer = hb_timer_new(pd->loop, on_late, pd);
	hb_timer_set(pd->reload_timer, RELOAD_WAIT_MS);
	spread(pd);
	return 0;
}
