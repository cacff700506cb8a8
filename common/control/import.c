/*
 * `sts import`: lines of JSON become policies, which go to the worker that owns
 * their domain.  Floor 4.
 *
 * The file comes in pieces after the request.  A bounded number of policies is
 * in transit, made durable together; meanwhile the client is not read from.
 */
#include "config.h"

#include "common/control/control.h"
#include "common/control/page.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum {
	WINDOW = 4096,		  /* policies without answer */
	WINDOW_BYTES = 2 << 20,	  /* and what their texts may be */
	LINE_MOST = 512 << 10,	  /* bytes: a policy of 64 KiB, escaped */
	REPORTS_MOST = 1000	  /* damaged lines that are named */
};

struct ctl_import {
	struct hb_buf text; /* out of the pieces, not yet lines */
	uint64_t line;	    /* of the last one */
	size_t flying, flying_bytes;
	bool whole;   /* the client has sent all */
	bool ended;   /* and the workers were told */
	bool too_long; /* passing over the rest of a line */
	uint64_t imported, kept, damaged;
};

static void
damaged(struct ctl_client *c, uint64_t line, const char *why)
{
	struct ctl_import *im = c->state;
	struct hb_buf text = HB_BUF_INIT(0);

	if (im->damaged++ < REPORTS_MOST) {
		hb_buf_addf(&text, "%.*s:%llu: %s%c", HB_SPAN_ARG(c->args[0]),
		    (unsigned long long)line, why, 0);
		ctl_err(c, (const char *)hb_buf_span(&text).p);
		hb_hook_arm(c->write);
	}
	hb_buf_free(&text);
}

/* one line */

/* The policy as it was fetched, or as its fields say. */
static void
take_policy(const json_t *o, struct hb_buf *out)
{
	const json_t *mx = json_object_get(o, "mx"), *v;
	struct hb_span text = ctl_member(o, "text");
	size_t i;

	if (text.n > 0) {
		hb_buf_add(out, text);
		return;
	}
	hb_buf_addf(out, "version: STSv1\nmode: %.*s\nmax_age: %lld\n",
	    HB_SPAN_ARG(ctl_member(o, "mode")), (long long)json_integer_value(
		json_object_get(o, "max_age")));
	json_array_foreach(mx, i, v)
		hb_buf_addf(out, "mx: %.*s\n", HB_SPAN_ARG(ctl_string(v)));
}

/* The worker whose domain it is says the rest. */
static const char *
hand_over(struct ctl_client *c, struct ipc_sts_row *m)
{
	struct ctl_import *im = c->state;
	unsigned char lower[HB_MAX_DOMAIN];
	const struct ctl_ask *a;

	if (m->domain.n == 0 || m->domain.n > sizeof(lower) ||
	    hb_span_find(m->domain, 0) < m->domain.n)
		return "no domain";
	m->domain = hb_span_lower(m->domain, lower);
	a = c->asks[hb_home_worker(m->domain, (unsigned)c->nasks)];
	m->ref = a->ref;
	if (a->peer == NULL ||
	    hb_peer_send(a->peer, HB_IPC_STS_ROW, m, -1) < 0)
		return "the worker of this domain does not run";
	im->flying++;
	im->flying_bytes += m->text.n;
	return NULL;
}

static const char *
take_object(struct ctl_client *c, const json_t *o)
{
	const struct ctl_import *im = c->state;
	struct ipc_sts_row m = { .line = im->line,
		.domain = ctl_member(o, "domain"), .id = ctl_member(o, "id") };
	struct hb_buf text = HB_BUF_INIT(0);
	const char *why = NULL;

	if (!json_is_object(o))
		why = "not a JSON object";
	else if (!ctl_time(o, "fetched", &m.fetched_ms) ||
	    !ctl_time(o, "refreshed", &m.refreshed_ms) ||
	    !ctl_time(o, "expires", &m.expires_ms))
		why = "fetched, refreshed or expires is not a time";
	if (why == NULL) {
		take_policy(o, &text);
		m.text = hb_buf_span(&text);
		why = m.text.n > HB_MAX_STS_BODY ? "the policy is too long"
						 : hand_over(c, &m);
	}
	hb_buf_free(&text);
	return why;
}

static void
take_line(struct ctl_client *c, struct hb_span line)
{
	struct ctl_import *im = c->state;
	json_error_t e;
	json_t *o;
	const char *why;

	im->line++;
	if (hb_span_trim(line).n == 0)
		return;
	o = json_loadb((const char *)line.p, line.n, 0, &e);
	why = o != NULL ? take_object(c, o) : "not a JSON object";
	if (why != NULL)
		damaged(c, im->line, why);
	json_decref(o);
}

/* the whole file */

/* False: there is no whole line. */
static bool
next_line(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	struct hb_span text = hb_buf_span(&im->text);
	size_t n = hb_span_find(text, '\n');
	bool last = n == text.n && im->whole;

	if (n == text.n && !last) {
		if (n > LINE_MOST) {
			im->too_long = true;
			hb_buf_clear(&im->text);
		}
		return false;
	}
	if (n == 0 && last)
		return false;
	if (im->too_long)
		damaged(c, ++im->line, "the line is too long");
	else
		take_line(c, hb_span_head(text, n));
	im->too_long = false;
	hb_buf_consume(&im->text, last ? n : n + 1);
	return true;
}

/* 0: more is needed; else one was taken, or the client makes no sense. */
static int
next_piece(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	struct hb_ctl_piece piece;
	int used = hb_ctl_piece_parse(hb_buf_span(&c->more), &piece);

	if (used <= 0)
		return used;
	if (piece.kind == HB_CTL_EXIT)
		im->whole = true;
	else
		hb_buf_add(&im->text, piece.bytes);
	hb_buf_consume(&c->more, (size_t)used);
	return used;
}

static void
end_rows(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	struct ipc_sts_row m = { .line = 0 };

	if (im->ended)
		return;
	im->ended = true;
	for (size_t i = 0; i < c->nasks; i++) {
		m.ref = c->asks[i]->ref;
		if (c->asks[i]->peer != NULL)
			hb_peer_post(
			    c->asks[i]->peer, HB_IPC_STS_ROW, &m, -1);
	}
}

static bool
is_full(const struct ctl_import *im)
{
	return im->flying >= WINDOW || im->flying_bytes >= WINDOW_BYTES;
}

static void
go_on(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	int r = 1;

	while (!is_full(im) && r > 0) {
		if (next_line(c))
			continue;
		r = im->whole ? 0 : next_piece(c);
	}
	if (r < 0) {
		ctl_err(c, "not a piece of a file");
		im->damaged++;
		im->whole = true;
		hb_buf_clear(&im->text);
	}
	ctl_hold(c, is_full(im) || im->whole);
	if (im->whole && im->text.n == 0 && im->flying == 0)
		end_rows(c);
}

static void
free_import(struct ctl_client *c)
{
	struct ctl_import *im = c->state;

	end_rows(c);
	hb_buf_free(&im->text);
	free(im);
}

void
ctl_import_begin(struct ctl_client *c)
{
	struct ipc_ctl q = { .verb = HB_CTL_STS_IMPORT };
	struct ctl_import *im;

	ctl_ask_all(c, HB_TO(DELIVERY), &q, true);
	if (c->waiting == 0) {
		ctl_exit_worst(c);
		return;
	}
	c->state = im = HB_NEW(struct ctl_import);
	im->text = HB_BUF_INIT(0);
	c->free_state = free_import;
	c->input = go_on;
}

/* {"line":N,"size":BYTES,"result":"imported"|"kept"|what is wrong} */
void
ctl_import_element(struct ctl_client *c, json_t *v)
{
	struct ctl_import *im = c->state;
	struct hb_span result = ctl_member(v, "result");
	size_t size = (size_t)json_integer_value(json_object_get(v, "size"));
	const char *why = json_string_value(json_object_get(v, "result"));

	if (im->flying > 0)
		im->flying--;
	im->flying_bytes = size < im->flying_bytes ? im->flying_bytes - size
						   : 0;
	if (hb_span_eq(result, HB_SPAN("imported")))
		im->imported++;
	else if (hb_span_eq(result, HB_SPAN("kept")))
		im->kept++;
	else
		damaged(c, (uint64_t)json_integer_value(
		    json_object_get(v, "line")), why != NULL ? why : "?");
	go_on(c);
}

void
ctl_import_finish(struct ctl_client *c)
{
	const struct ctl_import *im = c->state;
	unsigned worst = 0;

	for (size_t i = 0; i < c->nasks; i++) {
		if (c->asks[i]->exit_code > worst)
			worst = c->asks[i]->exit_code;
		if (c->asks[i]->text[0] != '\0')
			ctl_err(c, c->asks[i]->text);
	}
	ctl_addf(c, c->q.json
		? "{\"imported\":%llu,\"kept\":%llu,\"damaged\":%llu}\n"
		: "imported %llu, newer ones kept %llu, damaged lines %llu\n",
	    (unsigned long long)im->imported, (unsigned long long)im->kept,
	    (unsigned long long)im->damaged);
	ctl_exit(c, worst == 0 && im->damaged > 0 ? 1 : worst);
}
